"""Urgent studies go first: through the analysis, the report and every delivery, whatever arrived before them."""

from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import Connection, event, text

from dicom_node.header import read_identity
from storage import listing, queue, views
from storage.engine import Database
from storage.folder import DataFolder
from storage.records import JobKind, Receipt
from storage.steps import Step
from tests.builders import chest_film, write
from tests.instances import (
    NOW,
    OWNER,
    analyse,
    claim,
    claim_delivery,
    claimed,
    instance,
    receive,
    report,
    result,
)
from tests.unit.test_database import OLD_INSTANCE, migrate_to


def studies(folder: DataFolder, kinds: tuple[JobKind, ...], many: int, now: float = NOW + 9) -> list[str]:
    """The studies whose jobs are claimed, in that order."""
    found = []
    for _ in range(many):
        with folder.database.write(Step.BY_HAND) as connection:
            job = queue.claim_job(connection, kinds, OWNER, now, 60.0, retries=False)
        assert job is not None
        found.append(f"{job.study_instance_uid} {job.kind}")
    return found


def test_an_urgent_image_is_looked_at_first_and_an_earlier_film_last(folder: DataFolder) -> None:
    receive(folder, instance(study="1.1", is_prior=True), now=NOW)
    for number in (2, 3):
        receive(folder, instance(study=f"1.{number}"), now=NOW + number)
    receive(folder, instance(study="1.4"), now=NOW + 4, is_urgent=True)
    order = studies(folder, (JobKind.ANALYSE,), 4)
    assert order == ["1.4 analyse", "1.2 analyse", "1.3 analyse", "1.1 analyse"]


def test_an_urgent_image_goes_before_a_report_that_is_due_and_not_urgent(folder: DataFolder) -> None:
    receive(folder, instance(study="1.1"))
    analyse(folder)
    receive(folder, instance(study="1.2"))
    receive(folder, instance(study="1.3"), is_urgent=True)
    order = studies(folder, (JobKind.REPORT, JobKind.ANALYSE), 3)
    assert order == ["1.3 analyse", "1.1 report", "1.2 analyse"]


def test_a_study_is_urgent_as_a_whole_its_next_image_and_its_next_report_too(folder: DataFolder) -> None:
    receive(folder, instance(study="1.1"), now=NOW)
    receive(folder, instance(1, study="1.2"), now=NOW + 1)
    receive(folder, instance(2, study="1.2"), now=NOW + 2, is_urgent=True)
    receive(folder, instance(3, study="1.2"), now=NOW + 3)
    assert studies(folder, (JobKind.ANALYSE,), 3) == ["1.2 analyse"] * 3
    for study, is_urgent in (("1.1", False), ("1.2", True)):
        with folder.database.read() as connection:
            assert views.study(connection, study)["is_urgent"] is is_urgent


def test_the_same_image_again_as_urgent_moves_what_is_still_queued_of_its_study_up(
    folder: DataFolder,
) -> None:
    for number in (1, 2):
        receive(folder, instance(study=f"1.{number}"), now=NOW + number)
    again = receive(folder, instance(study="1.2"), now=NOW + 3, is_urgent=True)
    assert again is Receipt.DUPLICATE
    assert claimed(folder, JobKind.ANALYSE, NOW + 9).study_instance_uid == "1.2"


def test_an_urgent_result_is_sent_first_also_where_that_is_said_after_it_was_made(folder: DataFolder) -> None:
    for number, is_urgent in enumerate((False, False, True, False)):
        receive(folder, instance(study=f"1.{number}"), is_urgent=is_urgent)
    for _ in range(4):
        analyse(folder)
    reported = [report(folder, [result(number)]).study_instance_uid for number in range(4)]
    assert reported == ["1.2", "1.0", "1.1", "1.3"]
    receive(folder, instance(study="1.3"), is_urgent=True)
    sent = [claim_delivery(folder) for _ in range(4)]
    assert [each.result.sop_instance_uid for each in sent if each is not None] == [
        f"2.25.{number}" for number in (0, 3, 1, 2)
    ]


def test_an_earlier_film_that_is_sent_to_be_read_waits_with_the_others(folder: DataFolder) -> None:
    receive(folder, instance(study="1.1", is_prior=True), now=NOW)
    receive(folder, instance(study="1.1"), now=NOW + 1)
    receive(folder, instance(study="1.2"), now=NOW + 2)
    assert studies(folder, (JobKind.ANALYSE,), 2) == ["1.1 analyse", "1.2 analyse"]


def test_who_waits_is_listed_with_the_word_for_it(folder: DataFolder) -> None:
    receive(folder, instance(study="1.1", is_prior=True))
    receive(folder, instance(study="1.2"), is_urgent=True)
    with folder.database.read() as connection:
        listed = listing.list_jobs(connection, None, 10)
    assert [(row["kind"], row["priority"]) for row in listed] == [
        ("report", "urgent"),
        ("analyse", "urgent"),
        ("analyse", "earlier_film"),
    ]


def test_an_earlier_film_of_an_older_version_still_waits_for_the_others(tmp_path: Path) -> None:
    old = Database(tmp_path / "old.sqlite")
    migrate_to(old, "0005")
    with old.write(Step.BY_HAND) as connection:
        for number in (1, 2):
            connection.execute(text(OLD_INSTANCE), {"id": number, "uid": f"1.2.{number}"})
            connection.execute(
                text(
                    "INSERT INTO jobs (kind, study_instance_uid, instance_id, state, attempts, not_before, queued_at)"
                    " VALUES ('analyse', '1.2', :id, 'queued', 0, :id, 1.0)"
                ),
                {"id": number},
            )
        connection.execute(text("UPDATE instances SET is_prior = 1 WHERE id = 1"))
    old.migrate()
    with old.write(Step.BY_HAND) as connection:
        job = queue.claim_job(connection, [JobKind.ANALYSE], OWNER, NOW, 60.0, retries=False)
    assert job is not None and job.instance_id == 2
    old.close()


def test_a_claim_reads_a_range_of_an_index_and_sorts_nothing(folder: DataFolder) -> None:
    """However many wait: a burst of thousands is worked off as fast at its beginning as at its end."""
    plans: list[str] = []

    def explain(connection: Connection, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith("UPDATE"):
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.append("\n".join(row[3] for row in plan))

    with folder.database.write(Step.BY_HAND) as connection:
        event.listen(connection, "before_cursor_execute", explain)
        assert queue.claim_job(connection, list(JobKind), OWNER, NOW, 60.0, retries=False) is None
        assert queue.claim_delivery(connection, "pacs", OWNER, NOW, 60.0) is None
    assert len(plans) == 9
    for plan in plans:
        assert "TEMP B-TREE" not in plan, plan
        assert "SCAN" not in plan, plan
        assert "priority=? AND not_before<?" in plan, plan


@pytest.mark.parametrize(
    ("order", "is_urgent"), [("STAT", True), ("HIGH", True), ("ROUTINE", False), ("", False), ("stat ", True)]
)
@pytest.mark.parametrize("in_request", [False, True])
def test_haste_is_read_where_the_order_stands_in_the_header(
    tmp_path: Path, order: str, is_urgent: bool, in_request: bool
) -> None:
    film = chest_film()
    place = film
    if in_request:
        place = Dataset()
        film.RequestAttributesSequence = [place]
    place.RequestedProcedurePriority = order
    assert read_identity(write(film, tmp_path / "film.dcm")).is_ordered_urgently is is_urgent


def test_a_header_that_breaks_off_before_the_order_asks_for_no_haste(tmp_path: Path) -> None:
    path = write(chest_film(RequestedProcedurePriority="STAT"), tmp_path / "film.dcm")
    content = path.read_bytes()
    path.write_bytes(content[: content.index(bytes.fromhex("40000310")) + 8])
    assert not read_identity(path).is_ordered_urgently


def test_nothing_is_claimed_before_its_time_however_urgent(folder: DataFolder) -> None:
    receive(folder, instance(), now=NOW, is_urgent=True)
    assert claim(folder, JobKind.ANALYSE, NOW - 1) is None
    assert claim(folder, JobKind.REPORT, NOW + 1) is None
