"""However much is finished, nothing that a node asks again and again looks through it."""

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import select

from storage import queue, waiting
from storage.folder import DataFolder
from storage.invariants import INVARIANTS
from storage.records import JobKind
from storage.schema import counts, deliveries, jobs
from storage.states import Event, State, origins
from storage.steps import Step
from storage.triggers import TRIGGERS
from tests.instances import NOW, OWNER, analyse, claim, claimed, instance, receive, report, result
from tests.plans import planned
from tests.questions import QUESTIONS, queue_work

ALWAYS_FEW = re.compile(r"SCAN (CONSTANT ROW|counts|pauses|audit_end|anon_\d+ VIRTUAL TABLE INDEX 1:)$")
"""One row for each state, for each pause, one row in all, the ids that a person named."""
# what else is looked through or sorted, and why it does not grow
FEW = {
    "list jobs": {"SCAN jobs", "SCAN deliveries"},  # from the end, and no further than what is listed
    "list page by page": {"SCAN jobs", "SCAN audit", "SCAN deliveries", "SCAN fetches"},  # as above
    "is there time for a candidate": {
        "SCAN predictions",  # the latest thousand, and so on
        "SCAN anon_1",
        "USE TEMP B-TREE FOR ORDER BY",
    },
    "worklist": {"SCAN anon_2", "USE TEMP B-TREE FOR GROUP BY"},  # the studies of a day
    "worklist page": {
        "USE TEMP B-TREE FOR ORDER BY",
        "USE TEMP B-TREE FOR GROUP BY",
    },  # of the studies on it
    "study page": {"USE TEMP B-TREE FOR ORDER BY"},  # what is of one study
    "what was made and arrived since yesterday": {"USE TEMP B-TREE FOR DISTINCT"},  # as above
    "how the node does": {
        "USE TEMP B-TREE FOR GROUP BY",  # what was made, and who was asked, in a day
        "SCAN predictions",  # from the end, and no further than the last
        "SCAN devices",  # a hundred at most
    },
    "show a study": {"USE TEMP B-TREE FOR ORDER BY"},  # what is of one study
    "report": {
        "USE TEMP B-TREE FOR ORDER BY",
        "USE TEMP B-TREE FOR GROUP BY",
    },  # of one study, of one patient
    "take back at the start": {"USE TEMP B-TREE FOR ORDER BY"},  # the settings that there were
    "judge a study": {
        "USE TEMP B-TREE FOR ORDER BY",  # the films of one study
        "USE TEMP B-TREE FOR DISTINCT",  # the studies of one order
    },
    "what was judged since last month": {
        "SCAN anon_2",  # the studies of a month
        "SCAN anon_3",
        "USE TEMP B-TREE FOR GROUP BY",
        "USE TEMP B-TREE FOR ORDER BY",
        "USE TEMP B-TREE FOR DISTINCT",
    },
    "retry and dismiss": {"USE TEMP B-TREE FOR DISTINCT"},  # of the ids that a person named
}
OF_A_FOREIGN_KEY = "SCAN results"
"""Announced for each new job, and done only where the same transaction has broken a key before (SQLite 3.40)."""


@pytest.fixture
def working(folder: DataFolder) -> DataFolder:
    with folder.database.write(Step.BY_HAND) as connection:
        queue_work(connection, time.time())
    return folder


def plans(folder: DataFolder, name: str) -> Iterator[tuple[str, str]]:
    """Ask, and yield each step of what SQLite does for it, with the statement."""
    with folder.database.write(Step.BY_HAND) as connection, planned(connection) as found:
        QUESTIONS[name](connection, time.time())
    yield from found


def assert_counted(folder: DataFolder) -> None:
    with folder.database.read() as connection:
        assert [fault for fault, query in INVARIANTS if connection.execute(query).first()] == []


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_is_asked_again_and_again_goes_by_an_index(working: DataFolder, name: str) -> None:
    asked = False
    for step, statement in plans(working, name):
        asked = True
        if not re.search("SCAN|TEMP B-TREE", step) or ALWAYS_FEW.match(step):
            continue
        is_of_a_key = step == OF_A_FOREIGN_KEY and statement.startswith("INSERT INTO jobs")
        assert is_of_a_key or step in FEW.get(name, ()), f"{step}: {statement}"
    assert asked
    assert_counted(working)  # whatever it has changed


def test_what_is_kept_is_looked_for_by_its_name_and_what_may_go_by_its_age(working: DataFolder) -> None:
    """Either index would do for both, and either is wrong for one of them."""
    steps = {step for step, _ in plans(working, "what may be removed")}
    for table, at in (("instances", "received_at"), ("results", "created_at")):
        assert f"SEARCH {table} USING INDEX ix_{table}_object_key (object_key=?)" in steps
        assert f"SEARCH {table} USING INDEX ix_{table}_kept_{at} ({at}<?)" in steps


def test_what_has_waited_longest_is_the_first_of_an_index(working: DataFolder) -> None:
    steps = {step for step, _ in plans(working, "status")}
    assert {f"SEARCH {table} USING INDEX ix_{table}_queued_at" for table in ("jobs", "deliveries")} <= steps


def test_a_claim_takes_what_is_queued_and_nothing_else() -> None:
    """The words of the index on what is queued say so, too."""
    assert origins(Event.CLAIM) == (State.QUEUED,)


def counted(folder: DataFolder, subject: str) -> dict[str, int]:
    with folder.database.read() as connection:
        rows = connection.execute(select(counts.c.what, counts.c.number).where(counts.c.subject == subject))
        return {what: number for what, number in rows if number}


def test_rows_are_counted_as_they_change(folder: DataFolder) -> None:
    receive(folder, instance(1))
    receive(folder, instance(2))
    receive(folder, instance(2))
    assert counted(folder, "instances") == {"rows": 2, "times_received": 1}
    assert counted(folder, "jobs") == {"queued": 3}
    analyse(folder)
    assert counted(folder, "jobs") == {"queued": 2, "done": 1}
    claim(folder, JobKind.ANALYSE)
    assert counted(folder, "jobs") == {"queued": 1, "running": 1, "done": 1}
    with folder.database.write(Step.BY_HAND) as connection:
        queue.release_leases(connection, jobs, NOW, 1)
    assert counted(folder, "jobs") == {"queued": 1, "failed": 1, "done": 1}
    report(folder, [result()], ("pacs", "vna"))
    assert counted(folder, "deliveries") == {"queued": 1}  # of each
    with folder.database.write(Step.BY_HAND) as connection:
        connection.execute(deliveries.delete())
    assert counted(folder, "deliveries") == {}


@pytest.mark.parametrize("table", ["jobs", "deliveries", "fetches", "instances", "conflicting_objects"])
def test_what_somebody_else_changes_is_counted_as_well(working: DataFolder, table: str) -> None:
    with working.database.write(Step.BY_HAND) as connection:
        QUESTIONS["receive an image again"](connection, time.time())
    assert counted(working, table)
    with closing(sqlite3.connect(working.database.path)) as other:
        other.execute("UPDATE conflicting_objects SET corrected_at = 1")
        other.commit()
        assert counted(working, "conflicting_objects") == {"rows": 2, "corrected_at": 2}
        other.execute(f"DELETE FROM {table}")
        other.commit()
    assert counted(working, table) == {}


def test_whether_a_report_is_blocked_is_found_without_looking_at_all_images_of_its_study(
    folder: DataFolder,
) -> None:
    found = re.search(r"BEGIN (UPDATE .*); END", TRIGGERS["jobs_blocked_insert"])
    assert found is not None
    look = found[1].replace("NEW.study_instance_uid", "'1.2.3'")
    with folder.database.read() as connection:
        steps = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {look}")]
    searched = [step for step in steps if "SEARCH" in step]
    assert len(searched) == 3
    for step in searched:
        assert "ix_jobs_study_instance_uid_kind_state (study_instance_uid=? AND kind=? AND state=?)" in step


def test_a_transaction_that_comes_to_nothing_is_not_counted(folder: DataFolder) -> None:
    with pytest.raises(InterruptedError), folder.database.write(Step.BY_HAND) as connection:
        queue_work(connection, NOW)
        raise InterruptedError
    assert counted(folder, "jobs") == counted(folder, "instances") == {}


def is_blocked(folder: DataFolder, revision: int = 1) -> bool:
    with folder.database.read() as connection:
        return bool(
            connection.execute(select(jobs.c.is_blocked).where(jobs.c.revision == revision)).scalar_one()
        )


def test_a_report_is_blocked_while_an_image_of_its_study_is_analysed(folder: DataFolder) -> None:
    receive(folder, instance(1))
    assert is_blocked(folder)
    job = claimed(folder, JobKind.ANALYSE)
    assert is_blocked(folder)
    with folder.database.write(Step.BY_HAND) as connection:
        queue.reject(connection, jobs, job.id, OWNER, NOW, "lateral_view")
    assert not is_blocked(folder)
    receive(folder, instance(2))
    assert is_blocked(folder)


def test_a_report_that_was_being_made_when_an_image_came_waits_for_it_where_it_is_tried_again(
    folder: DataFolder,
) -> None:
    receive(folder, instance(1))
    analyse(folder)
    job = claimed(folder, JobKind.REPORT, NOW + 10)
    receive(folder, instance(2), now=NOW + 11)
    with folder.database.write(Step.BY_HAND) as connection:
        queue.retry_later(connection, jobs, job.id, OWNER, NOW + 12, "worker_died")
    assert is_blocked(folder) and is_blocked(folder, 2)
    analyse(folder, NOW + 13)
    assert not is_blocked(folder) and is_blocked(folder, 2)


def test_an_image_that_is_moved_to_another_study_blocks_the_other_report(folder: DataFolder) -> None:
    receive(folder, instance(1))
    receive(folder, instance(1, "1.9"))
    with folder.database.write(Step.BY_HAND) as connection:
        reports = select(jobs.c.is_blocked).where(jobs.c.kind == JobKind.REPORT).order_by(jobs.c.id)
        analysed = jobs.update().where(jobs.c.kind == JobKind.ANALYSE, jobs.c.study_instance_uid == "1.9")
        connection.execute(analysed.values(study_instance_uid="1.2.3"))
        assert list(connection.execute(reports).scalars()) == [True, False]


def test_it_is_known_when_there_is_something_to_do(folder: DataFolder) -> None:
    with folder.database.read() as connection:
        assert waiting.next_job(connection, retries=False) is None
        assert waiting.next_delivery(connection, "pacs") is None
        assert waiting.next_fetch(connection) is None
        assert not waiting.is_busy(connection, NOW)
    receive(folder, instance(1))
    job = claimed(folder, JobKind.ANALYSE)
    with folder.database.write(Step.BY_HAND) as connection:
        assert waiting.is_busy(connection, NOW)
        queue.retry_later(connection, jobs, job.id, OWNER, NOW + 7, "worker_died")
        assert waiting.next_job(connection, retries=False) == NOW + 2  # the report, which waits for it
        assert waiting.next_job(connection, retries=True) == NOW + 7
        assert not waiting.is_busy(connection, NOW)
        assert waiting.is_busy(connection, NOW + 7)
