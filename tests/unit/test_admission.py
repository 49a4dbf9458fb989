"""Who is let in, and how refusals are counted: with times and callers as no test could wait for or make."""

from contextlib import AbstractContextManager
from ipaddress import ip_network
from threading import Thread
from typing import cast

import pytest
from pynetdicom.association import Association
from sqlalchemy import Connection, select

from config.peers import Source
from config.settings import Settings
from dicom_node import admission
from dicom_node.admission import FULL, SOURCE_FULL, STRANGER, Admission
from dicom_node.refusals import FORGOTTEN_AFTER_SECONDS, LONGEST_SECONDS, REMEMBERED, Refusals
from storage import views
from storage.errors import StorageUnavailable
from storage.folder import DataFolder
from storage.schema import audit
from storage.steps import Step
from tests.instances import NOW

PACS, OTHER, STRANGE = "10.0.0.1", "10.0.0.2", "192.0.2.7"


class Open(Thread):
    """An association as far as it is counted."""

    is_released = is_aborted = False

    def is_alive(self) -> bool:
        return not (self.is_released or self.is_aborted)


def opened() -> Association:
    return cast(Association, Open())


def admits(*, require_known_source: bool = True) -> Admission:
    sources = tuple(
        Source(name=name, ae_title=name.upper(), hosts=(ip_network(host),))
        for name, host in (("pacs", PACS), ("other", OTHER))
    )
    receiver = {
        "maximum_associations": 5,
        "maximum_associations_per_source": 3,
        "require_known_source": require_known_source,
    }
    return Admission(Settings(sources=sources, receiver=receiver))  # type: ignore[arg-type]


def test_a_source_that_runs_wild_leaves_room_for_the_others() -> None:
    door = admits()
    for _ in range(3):
        assert door.rejection(opened(), "PACS", PACS) is None
    assert door.rejection(opened(), "PACS", PACS) is SOURCE_FULL
    assert door.rejection(opened(), "OTHER", OTHER) is None
    assert door.rejection(opened(), "OTHER", OTHER) is None
    assert door.rejection(opened(), "OTHER", OTHER) is FULL


def test_an_association_that_has_ended_makes_room() -> None:
    door = admits()
    associations = [opened() for _ in range(3)]
    for association in associations:
        assert door.rejection(association, "PACS", PACS) is None
    associations[0].is_released = True
    assert door.rejection(opened(), "PACS", PACS) is None
    assert door.rejection(opened(), "PACS", PACS) is SOURCE_FULL


@pytest.mark.parametrize("address", [PACS, f"::ffff:{PACS}"])
def test_a_source_is_its_title_and_its_address_also_where_that_is_written_as_ipv6(address: str) -> None:
    door = admits()
    assert door.rejection(opened(), "PACS", address) is None
    assert door.rejection(opened(), "OTHER", address) is STRANGER
    assert door.rejection(opened(), "PACS", STRANGE) is STRANGER


def test_where_strangers_may_send_each_address_has_its_own_limit() -> None:
    door = admits(require_known_source=False)
    for _ in range(3):
        assert door.rejection(opened(), "ANY", STRANGE) is None
    assert door.rejection(opened(), "OTHER_NAME", STRANGE) is SOURCE_FULL
    assert door.rejection(opened(), "ANY", "192.0.2.8") is None


def test_connections_of_strangers_are_counted_together_and_keep_no_source_out() -> None:
    door = admits()
    got_in = sum(door.may_ask(f"192.0.2.{number % 200}", number) for number in range(1000))
    assert got_in == admission.ASKING_BY_STRANGERS
    assert sum(door.may_ask(PACS, number) for number in range(1000)) == admission.ASKING_AT_ONE_ADDRESS
    assert door.may_ask(OTHER, 1)


def test_a_connection_that_has_asked_or_is_closed_is_not_counted_any_more() -> None:
    door = admits()
    for number in range(10 * admission.ASKING_BY_STRANGERS):
        assert door.may_ask(STRANGE, number)
        door.has_asked(STRANGE, number)


def test_a_connection_that_ended_without_telling_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    door = admits()
    while door.may_ask(STRANGE, len(door._asking)):
        pass
    later = admission.time.monotonic() + admission.FORGOTTEN_AFTER_SECONDS
    monkeypatch.setattr(admission.time, "monotonic", lambda: later)
    assert door.may_ask(STRANGE, 1)


class Door:
    """Refusals, at a time that is set."""

    def __init__(self, folder: DataFolder) -> None:
        self.now = NOW
        self.woken = 0
        self._folder = folder
        self.refusals = Refusals(folder, lambda address: address == PACS, self._wake, lambda: self.now)

    def _wake(self) -> None:
        self.woken += 1

    def refuse(self, title: str = "STRANGER", address: str = STRANGE, reason: str = "why") -> None:
        self.refusals.note(title, address, reason)

    def step(self, after: float = 0.0) -> float:
        self.now += after
        return self.refusals.step()

    @property
    def told(self) -> list[tuple[str, str, int]]:
        with self._folder.database.read() as connection:
            rows = connection.execute(select(audit.c.event, audit.c.detail)).all()
        assert {event for event, _ in rows} <= {"association_refused"}
        return [(detail["ae_title"], detail["address"], detail["count"]) for _, detail in rows]


@pytest.fixture
def door(folder: DataFolder) -> Door:
    return Door(folder)


def test_the_first_refusal_is_written_at_once_and_the_others_ever_less_often_as_a_number(door: Door) -> None:
    door.refuse()
    assert door.woken == 1
    wait = door.step()
    waits = []
    for _ in range(4):
        for _ in range(500):
            door.refuse()
        wait = door.step()
        waits.append(wait)
        assert door.told[-1][2] == (500 if len(waits) > 1 else 1)
        door.step(wait)
    assert waits == [1, 2, 4, 8]
    assert door.told == [("STRANGER", STRANGE, 1), *[("STRANGER", STRANGE, 500)] * 4]
    assert door.woken == 5


def test_a_flood_of_a_whole_day_is_a_few_records(door: Door) -> None:
    for _ in range(24 * 360):
        door.refuse()
        door.step(10)
    assert len(door.told) < 160
    door.refusals.tell_all()
    assert sum(count for _, _, count in door.told) == 24 * 360


def test_each_caller_is_told_by_itself(door: Door) -> None:
    for title, address in (("A", STRANGE), ("B", STRANGE), ("A", PACS)):
        door.refuse(title, address)
    door.step()
    assert sorted(door.told) == [("A", PACS, 1), ("A", STRANGE, 1), ("B", STRANGE, 1)]


def test_a_thousand_names_fill_neither_memory_nor_disk_and_none_is_missing_from_the_sum(door: Door) -> None:
    for number in range(1000):
        door.refuse(f"NAME{number}")
        door.step()
    door.refusals.tell_all()
    assert len(door.told) <= REMEMBERED + 2
    assert sum(count for _, _, count in door.told) == 1000
    assert len(door.refusals._counts) <= REMEMBERED + 1


def test_strangers_hide_no_source_that_is_set_up_wrongly(door: Door) -> None:
    for number in range(1000):
        door.refuse(f"NAME{number}")
    door.refuse("MISSPELT", PACS)
    door.refusals.tell_all()
    assert ("MISSPELT", PACS, 1) in door.told


def test_who_was_not_seen_for_long_is_told_at_once_again(door: Door) -> None:
    door.refuse()
    door.step()
    for _ in range(9):
        door.refuse()
        door.step(LONGEST_SECONDS)
    many = len(door.told)
    door.step(FORGOTTEN_AFTER_SECONDS)
    door.refuse()
    door.step()
    assert len(door.told) == many + 1
    door.refuse()
    assert door.step() == 1


def test_a_clock_that_was_set_back_keeps_nothing_untold(door: Door) -> None:
    for _ in range(2):
        door.refuse()
        door.step()
    door.step(-86400)
    assert len(door.told) == 2


def test_what_a_stranger_calls_itself_is_written_as_far_as_it_is_printable(door: Door) -> None:
    door.refuse('A\r\n{"x":\x1b\0é' + 100 * "Z")
    door.step()
    assert door.told == [('A??{"x":???ZZZZZ', STRANGE, 1)]


def test_what_could_not_be_written_is_written_later(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    door.refuse()
    with monkeypatch.context() as broken:

        def fail(_step: object) -> None:
            raise StorageUnavailable("database is locked")

        broken.setattr(door._folder.database, "write", fail)
        door.step()
    door.refuse()
    door.step(1)
    assert door.told == [("STRANGER", STRANGE, 2)]


def test_who_is_refused_while_others_are_written_down_is_counted(
    door: Door, folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = folder.database.write
    with monkeypatch.context() as meanwhile:

        def write_slowly(step: Step) -> AbstractContextManager[Connection]:
            door.refuse()
            return write(step)

        door.refuse()
        meanwhile.setattr(folder.database, "write", write_slowly)
        door.step()
    door.refusals.tell_all()
    assert sum(count for _, _, count in door.told) == 2


def test_status_says_how_many_were_refused_in_the_last_day_and_why(door: Door, folder: DataFolder) -> None:
    door.refuse(reason="long ago")
    door.step()
    door.step(86401)
    for reason in ("one", "other", "one", "one"):
        door.refuse(reason=reason)
    door.refusals.tell_all()
    with folder.database.read() as connection:
        assert views.status(connection, door.now)["refused_last_day"] == {"one": 3, "other": 1}
