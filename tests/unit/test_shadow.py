"""When a candidate looks, at which film, and when it is given up; its process is a script here."""

from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from structlog.testing import capture_logs

from config.sections import ModelSettings
from config.settings import Settings
from dicom_node import shadow
from dicom_node.errors import AnalysisDied, AnalysisFailed, ModelRefused
from dicom_node.shadow import Shadow
from inference.card import SHIPPED, load_card
from inference.prediction import Attention, NotAnalysable, Outcome, Prediction, Reason
from storage import ledger
from storage.folder import DataFolder
from storage.records import JobKind
from storage.schema import instances, shadow_answers
from storage.steps import Step
from tests.instances import NOW, analyse, claim, instance, receive

SEEN = Prediction(0.9, (0.4, 0.6), Attention(1, 1, (1.0,)), (), None)
DIED = AnalysisDied("deadline_exceeded")
CHANGED = ModelRefused("candidate: not the model that was there when the node was started")


class Scripted:
    """An analysing process that does what its script says, one entry a film; what it was asked is in `asked`."""

    def __init__(self, script: list[Outcome | Exception]) -> None:
        self._script = iter(script)
        self._next: Outcome | Exception = DIED
        self.asked: list[Path] = []
        self.starts = 0

    def ensure_started(self) -> None:
        self.starts += 1
        self._next = next(self._script)
        if self._next is CHANGED:
            raise self._next

    def analyse(self, path: Path, deadline_seconds: float) -> Outcome:
        assert deadline_seconds == 60.0
        self.asked.append(path)
        if isinstance(self._next, Exception):
            raise self._next
        return self._next


Make = Callable[..., tuple[Shadow, Scripted]]


@pytest.fixture
def make(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> Make:
    def made(*script: Outcome | Exception) -> tuple[Shadow, Scripted]:
        process = Scripted(list(script))
        monkeypatch.setattr(shadow, "AnalysisProcess", lambda *_arguments: process)
        settings = Settings(model=ModelSettings(shadow=SHIPPED))
        return Shadow(settings, folder, load_card(SHIPPED), lambda: NOW), process

    return made


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as logs:
        yield logs


def answered_in_service(folder: DataFolder, *numbers: int) -> None:
    for number in numbers:
        receive(folder, instance(number), quiet=1000.0)
        analyse(folder)


def in_shadow(folder: DataFolder) -> list[tuple[str, float | None, str | None, str | None]]:
    """Return what was kept: the film's UID, score, answer and reason, in the order of the looks."""
    columns = (
        instances.c.sop_instance_uid,
        *(shadow_answers.c[name] for name in ("score", "answer", "reason")),
    )
    with folder.database.read() as connection:
        rows = connection.execute(
            select(*columns)
            .join(shadow_answers, shadow_answers.c.instance_id == instances.c.id)
            .order_by(shadow_answers.c.id)
        )
        return [tuple(row) for row in rows]


def test_it_looks_only_while_no_film_is_waiting_or_being_analysed(folder: DataFolder, make: Make) -> None:
    answered_in_service(folder, 1)
    receive(folder, instance(2), quiet=1000.0)
    one, process = make(SEEN)
    assert one.step() > 0  # the second film is waiting
    assert claim(folder, JobKind.ANALYSE) is not None
    assert one.step() > 0  # it is being analysed
    assert not process.starts


def test_it_looks_while_a_study_is_quiet_before_its_report(folder: DataFolder, make: Make) -> None:
    answered_in_service(folder, 1)
    one, _ = make(SEEN)
    assert one.step() == 0
    assert in_shadow(folder) == [("1.2.3.1", 0.9, "likely", None)]


def test_it_looks_at_each_answered_film_once_the_latest_first(folder: DataFolder, make: Make) -> None:
    answered_in_service(folder, 1, 2, 3)
    one, process = make(SEEN, NotAnalysable(Reason.LATERAL_VIEW), SEEN)
    assert [one.step() for _ in range(4)] == [0, 0, 0, shadow.POLL_SECONDS]
    assert process.asked == [folder.objects.path(f"{number:064x}") for number in (3, 2, 1)]
    assert [row[3] for row in in_shadow(folder)] == [None, Reason.LATERAL_VIEW, None]


def test_it_looks_at_no_film_that_retention_removed_and_back_only_so_far(
    folder: DataFolder, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered_in_service(folder, 1, 2, 3)
    with folder.database.write(Step.BY_HAND) as connection:
        removed = instances.c.sop_instance_uid == "1.2.3.3"
        connection.execute(update(instances).where(removed).values(object_removed_at=NOW))
    monkeypatch.setattr(ledger, "MOST_IN_SHADOW", 2)
    one, _ = make(SEEN, SEEN)
    assert [one.step(), one.step()] == [0, shadow.POLL_SECONDS]
    assert [row[0] for row in in_shadow(folder)] == ["1.2.3.2"]


def test_after_three_deaths_in_a_row_it_is_given_up_with_one_error(
    folder: DataFolder, make: Make, logged: list[MutableMapping[str, Any]]
) -> None:
    answered_in_service(folder, 1, 2, 3, 4)
    one, process = make(DIED, DIED, DIED, SEEN)
    for _ in range(6):
        one.step()
    assert len(process.asked) == 3
    assert [row[3] for row in in_shadow(folder)] == ["deadline_exceeded"] * 3
    [error] = [each for each in logged if each["log_level"] == "error"]
    assert (error["event"], error["reason"]) == ("shadow_given_up", "deadline_exceeded")


def test_an_answer_in_between_shows_that_it_lives(folder: DataFolder, make: Make) -> None:
    answered_in_service(folder, *range(1, 8))
    one, process = make(DIED, DIED, SEEN, DIED, DIED, NotAnalysable(Reason.LATERAL_VIEW), SEEN)
    for _ in range(7):
        one.step()
    assert len(process.asked) == 7


def test_a_candidate_that_does_not_load_is_given_up_and_no_film_is_blamed_for_it(
    folder: DataFolder, make: Make, logged: list[MutableMapping[str, Any]]
) -> None:
    answered_in_service(folder, 1)
    one, process = make(CHANGED, CHANGED, CHANGED, SEEN)
    for _ in range(6):
        assert one.step() > 0
    assert process.starts == 3
    assert in_shadow(folder) == []
    [error] = [each for each in logged if each["log_level"] == "error"]
    assert (error["event"], error["reason"]) == ("shadow_given_up", str(CHANGED))


def test_an_error_of_the_candidate_is_kept_as_the_reason_and_costs_no_restart(
    folder: DataFolder, make: Make
) -> None:
    answered_in_service(folder, 1, 2, 3, 4)
    one, process = make(*[AnalysisFailed("RuntimeError", ())] * 3, SEEN)
    for _ in range(4):
        one.step()
    assert len(process.asked) == 4
    assert [row[3] for row in in_shadow(folder)] == ["RuntimeError"] * 3 + [None]
