"""What `dicom-node verify` finds: each breach that something else made, and nothing in what a node makes."""

import math
import re
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from storage import queue, verification
from storage.backup import BACKUP_NAME, Backup, make_backup, restore
from storage.errors import DatabaseDamaged, FolderInUse, StorageUnavailable
from storage.folder import DataFolder
from storage.invariants import INVARIANTS
from storage.needed import NeededObject, needed_objects
from storage.records import JobKind, Result
from storage.schema import jobs
from storage.steps import Step
from tests.instances import NOW, OWNER, analyse, claim_delivery, claimed, instance, receive, report


@pytest.fixture
def worked(folder: DataFolder) -> DataFolder:
    """A node's day: reported and delivered, failed, running, waiting, only stored."""
    for number in range(1, 5):
        key = folder.objects.put(f"radiograph {number}".encode()).key
        receive(folder, instance(number, f"1.2.{number}", object_key=key))
    stored_key = folder.objects.put(b"a report").key
    receive(folder, instance(9, "1.2.9", object_key=stored_key, stored_only="not_an_image"))
    analyse(folder)
    made = folder.objects.put(b"report").key
    report(folder, [Result("structured_report", "1.2.3.4", "2.25.1", "2.25.9", made)])
    delivery = claim_delivery(folder)
    assert delivery is not None
    with folder.database.write(Step.BY_HAND) as connection:
        queue.arrived(connection, delivery.id, OWNER, NOW + 11, awaits_commitment=False, status=0)
    failed = claimed(folder, JobKind.ANALYSE)
    with folder.database.write(Step.BY_HAND) as connection:
        queue.give_up(connection, jobs, failed.id, OWNER, NOW, "worker_died")
    claimed(folder, JobKind.ANALYSE)
    return folder


def faults(folder: DataFolder | Backup) -> list[str]:
    database = folder.database
    found = verification.check_pages(database) or verification.check_schema(database)
    return [each.fault for each in found or verification.check_rows(database)]


def test_nothing_is_found_in_what_a_node_makes(worked: DataFolder) -> None:
    assert faults(worked) == []
    assert verification.check_rights(worked.folder) == []


BREACHES = [
    ("UPDATE jobs SET owner = NULL WHERE state = 'running'", "jobs that run without an owner"),
    ("UPDATE jobs SET lease_until = NULL WHERE state = 'running'", "jobs that run without an owner"),
    ("UPDATE deliveries SET owner = 'somebody'", "deliveries that do not run and have an owner"),
    ("UPDATE deliveries SET ended_at = NULL", "deliveries that have ended at no time"),
    ("UPDATE jobs SET ended_at = 1 WHERE state = 'queued'", "jobs that have ended at no time"),
    (
        "UPDATE jobs SET reason = NULL WHERE state = 'failed'",
        "jobs that failed or were rejected for no reason",
    ),
    ("DELETE FROM jobs WHERE kind = 'analyse' AND state = 'running'", "received images that no job analyses"),
    ("DELETE FROM jobs WHERE kind = 'report' AND state = 'queued'", "received images that no job reports on"),
    ("UPDATE jobs SET study_instance_uid = '9.9' WHERE kind = 'analyse'", "neither the analysis of an image"),
    ("UPDATE jobs SET kind = 'nonsense' WHERE state = 'failed'", "neither the analysis of an image"),
    ("DELETE FROM predictions", "analyses that are done without a prediction"),
    ("UPDATE results SET revision = 7", "results of a report that is not done"),
    ("UPDATE deliveries SET delivered_at = NULL", "deliveries that have arrived at no time"),
    ("UPDATE jobs SET is_blocked = 0 WHERE state = 'queued'", "reports that are blocked by nothing"),
    ("UPDATE jobs SET is_blocked = 1 WHERE kind = 'report'", "reports that are blocked by nothing"),
    ("UPDATE counts SET number = number + 1 WHERE subject = 'jobs'", "counts of other rows than there are"),
    ("UPDATE jobs SET is_retry = NOT is_retry", "that were tried, or were not"),
    ("DELETE FROM counts WHERE subject = 'instances'", "counts of other rows than there are"),
]


@pytest.mark.parametrize(("tampering", "fault"), BREACHES)
def test_a_row_that_no_node_makes_is_found(worked: DataFolder, tampering: str, fault: str) -> None:
    with worked.database.write(Step.BY_HAND) as connection:
        connection.execute(text(tampering))
    assert any(fault in each for each in faults(worked))


def test_every_invariant_has_its_breach_here() -> None:
    def without_table(words: str) -> str:
        return re.sub("^(jobs|deliveries|fetches) ", "", words)

    tried = {without_table(fault) for _, fault in BREACHES}
    for sentence, _ in INVARIANTS:
        assert any(fault in without_table(sentence) for fault in tried), sentence


def test_a_row_that_names_one_that_is_gone_is_found(worked: DataFolder) -> None:
    with closing(sqlite3.connect(worked.database.path)) as other:
        other.execute("DELETE FROM results")
        other.commit()
    assert any("deliveries: 1 rows name a row that is not there" in each for each in faults(worked))


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE shadow_answers",
        "DROP TRIGGER audit_no_delete",
        "DROP TRIGGER jobs_counted_update",
        "CREATE TRIGGER other AFTER INSERT ON audit BEGIN DELETE FROM jobs; END",
    ],
)
def test_a_changed_schema_is_found(worked: DataFolder, change: str) -> None:
    with worked.database.write(Step.BY_HAND) as connection:
        connection.execute(text(change))
    assert any("changes in its schema" in each for each in faults(worked))


def test_an_earlier_schema_is_told_from_a_damaged_one(worked: DataFolder) -> None:
    with worked.database.write(Step.BY_HAND) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    [finding] = verification.check_schema(worked.database)
    assert "start the node" in finding.mend


def test_every_object_that_is_missing_or_altered_is_found_and_no_other(worked: DataFolder) -> None:
    with worked.database.read() as connection:
        needed = needed_objects(connection, 0.0)
    assert len(needed) == 6
    worked.objects.put(b"an orphan")
    assert verification.count_unneeded(worked.objects, needed) == 1
    worked.objects.remove(needed[0].key)
    worked.objects.path(needed[-1].key).write_bytes(b"altered")
    found = [verification.check_object(worked.database, worked.objects, each, math.inf) for each in needed]
    assert [each is not None for each in found] == [True, False, False, False, False, True]
    assert found[0] is not None
    assert found[-1] is not None
    assert ("missing" in found[0].fault, "altered" in found[-1].fault) == (True, True)


def test_what_retention_removes_meanwhile_is_not_missed(worked: DataFolder) -> None:
    with worked.database.read() as connection:
        needed = needed_objects(connection, 0.0)
    with worked.database.write(Step.BY_HAND) as connection:
        connection.execute(text("UPDATE instances SET object_removed_at = 1 WHERE id = 1"))
    worked.objects.remove(needed[0].key)
    assert verification.check_object(worked.database, worked.objects, needed[0], math.inf) is None


def test_files_that_others_may_read_are_found(worked: DataFolder) -> None:
    (worked.folder / "node.sqlite").chmod(0o640)
    [finding] = verification.check_rights(worked.folder)
    assert "node.sqlite" in finding.fault
    assert "chmod" in finding.mend


def test_a_backup_is_complete_or_is_not_there(worked: DataFolder, tmp_path: Path) -> None:
    target = tmp_path / "backup"

    def interrupted(_objects: Sequence[NeededObject]) -> Iterable[NeededObject]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_backup(worked, target, 0.0, NOW, interrupted)
    with pytest.raises(StorageUnavailable, match="no complete backup"):
        Backup(target)
    assert make_backup(worked, target, 0.0, NOW, lambda each: each).new == 6
    with pytest.raises(KeyboardInterrupt):
        make_backup(worked, target, 0.0, NOW, interrupted)
    assert faults(Backup(target)) == []


def test_two_backups_do_not_write_into_one_folder_at_once(worked: DataFolder, tmp_path: Path) -> None:
    target = tmp_path / "backup"

    def with_another_beside(objects: Sequence[NeededObject]) -> Iterable[NeededObject]:
        with pytest.raises(FolderInUse):
            make_backup(worked, target, 0.0, NOW, lambda each: each)
        return objects

    make_backup(worked, target, 0.0, NOW, with_another_beside)
    assert faults(Backup(target)) == []


def test_a_damaged_backup_is_not_restored(worked: DataFolder, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    make_backup(worked, target, 0.0, NOW, lambda each: each)
    with (target / BACKUP_NAME).open("r+b") as file:
        file.seek(-8192, 2)
        file.write(bytes(8192))
    empty = DataFolder(tmp_path / "empty")
    with pytest.raises(DatabaseDamaged):
        restore(Backup(target), empty, 0.0, NOW, lambda each: each)
    assert empty.database.revision() is None
    empty.close()
