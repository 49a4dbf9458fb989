"""Writers that share a transaction: each is answered for itself, and none before its rows are durable."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import select

from storage import audit, engine, together
from storage.errors import DatabaseBusy, StorageUnavailable
from storage.folder import DataFolder
from storage.schema import audit as audit_table
from storage.steps import Step
from storage.together import Together, Transaction
from tests.peers import wait_for

MANY = 8


class WrittenTogether:
    """As many writers as asked for, who all wait for a transaction that one before them has open."""

    def __init__(self, folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.database = folder.database
        self.together = Together(self.database, Step.INSTANCE_RECEIVED)
        self.transactions = 0
        self.written: list[Future[Any]] = []
        self.before_commit: Callable[[], None] = lambda: None
        write = self.database.write

        @contextmanager
        def counted(step: Step) -> Iterator[Any]:
            with write(step) as connection:
                self.transactions += 1
                yield connection
                self.before_commit()

        monkeypatch.setattr(self.database, "write", counted)

    def write(self, *works: Callable[[Transaction], Any]) -> list[Future[Any]]:
        holding, first_is_in = threading.Event(), threading.Event()

        def hold(_connection: Transaction) -> None:
            first_is_in.set()
            assert holding.wait(60)

        with ThreadPoolExecutor(len(works) + 1) as writers:
            writers.submit(self.together.write, hold)
            assert first_is_in.wait(60)
            self.written = [writers.submit(self.together.write, work) for work in works]
            wait_for(lambda: len(self.together._waiting) == len(works))
            self.transactions = 0
            holding.set()
        return self.written

    def kept(self) -> set[str]:
        with self.database.read() as connection:
            return set(connection.execute(select(audit_table.c.event)).scalars())


@pytest.fixture
def writing(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> WrittenTogether:
    return WrittenTogether(folder, monkeypatch)


def adding(name: str) -> Callable[[Transaction], str]:
    def add(connection: Transaction) -> str:
        audit.append(connection, 1.0, name)
        return name

    return add


def failing(name: str, error: Exception) -> Callable[[Transaction], None]:
    def fail(connection: Transaction) -> None:
        audit.append(connection, 1.0, name)
        raise error

    return fail


def test_those_who_wait_share_a_transaction_and_each_gets_what_is_its_own(writing: WrittenTogether) -> None:
    names = [f"film {number}" for number in range(MANY)]
    written = writing.write(*map(adding, names))
    assert [each.result() for each in written] == names
    assert writing.kept() == set(names)
    assert writing.transactions == 1


def test_one_that_is_alone_waits_for_nobody(writing: WrittenTogether) -> None:
    assert writing.together.write(adding("a film")) == "a film"
    assert writing.kept() == {"a film"}
    assert writing.together.write(adding("another")) == "another"


@pytest.mark.parametrize("error", [StorageUnavailable("what came is gone again"), ValueError("a mistake")])
def test_a_writer_that_fails_takes_nobody_with_it(writing: WrittenTogether, error: Exception) -> None:
    first, failed, last = writing.write(adding("first"), failing("failed", error), adding("last"))
    assert (first.result(), last.result()) == ("first", "last")
    assert failed.exception() is error
    assert writing.kept() == {"first", "last"}


def test_nobody_is_answered_before_the_commit(writing: WrittenTogether) -> None:
    answered: list[set[Future[Any]]] = []
    writing.before_commit = lambda: answered.append(wait(writing.written, 0.2, FIRST_COMPLETED).done)
    names = [f"film {number}" for number in range(MANY)]
    written = writing.write(*map(adding, names))
    assert [each.result() for each in written] == names
    assert answered[-1:] == [set()]


@pytest.mark.parametrize("error", [StorageUnavailable("disk is full"), DatabaseBusy("locked")])
def test_where_nothing_could_be_committed_everybody_hears_it_and_nothing_is_kept(
    writing: WrittenTogether, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    write = writing.database.write

    @contextmanager
    def full(step: Step) -> Iterator[Any]:
        with write(step) as connection:
            yield connection
            raise error

    monkeypatch.setattr(writing.database, "write", full)
    written = writing.write(*(adding(f"film {number}") for number in range(MANY)))
    assert [each.exception() for each in written] == [error] * MANY
    assert writing.kept() == set()
    if isinstance(error, DatabaseBusy):  # each of them would wait as long again
        assert writing.transactions == 1


def test_a_leader_that_is_ended_answers_nobody_with_success(
    writing: WrittenTogether, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(_connection: Transaction) -> None:
        raise SystemExit

    written = writing.write(end, adding("a film"))
    assert {type(each.exception()) for each in written} <= {SystemExit, StorageUnavailable}
    assert writing.kept() == set()
    assert writing.together.write(adding("the next")) == "the next"


def test_nobody_waits_longer_than_a_sender_and_what_was_given_up_is_not_written(
    writing: WrittenTogether, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "BUSY_SECONDS", 0.05)
    holding, is_in = threading.Event(), threading.Event()

    def hold(_connection: Transaction) -> None:
        is_in.set()
        assert holding.wait(60)

    with ThreadPoolExecutor(1) as writers:
        first = writers.submit(writing.together.write, hold)
        assert is_in.wait(60)
        with pytest.raises(DatabaseBusy):
            writing.together.write(adding("given up"))
        holding.set()
        first.result()
    assert writing.together.write(adding("later")) == "later"
    assert writing.kept() == {"later"}
    assert engine.BUSY_SECONDS == 10
