"""The database file: migrated to this version's schema, refused when newer, durable when told."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError

from storage import audit, engine
from storage.engine import MIGRATIONS, Database
from storage.errors import DatabaseDamaged, DatabaseTooNew, StorageUnavailable
from storage.folder import DataFolder
from storage.schema import audit as audit_table
from storage.schema import conflicting_objects, metadata, predictions
from storage.steps import Step

OLD_INSTANCE = """INSERT INTO instances (id, sop_instance_uid, sop_class_uid, transfer_syntax_uid, study_instance_uid,
series_instance_uid, accession_number, object_key, size, source, received_at, times_received)
VALUES (:id, :uid, '1', '1', '1.2', '1.3', 'ACC1', 'key', 1, 'pacs', 1.0, 1)"""
OLD_DELIVERY = [
    """INSERT INTO jobs (id, kind, study_instance_uid, state, attempts, not_before, queued_at)
    VALUES (1, 'report', '1.2', 'done', 1, 1.0, 1.0)""",
    """INSERT INTO results (id, job_id, study_instance_uid, revision, kind, sop_class_uid, sop_instance_uid,
    series_instance_uid, object_key, created_at) VALUES (1, 1, '1.2', 1, 'heatmap', '1', '1.8', '1.7', 'key', 1.0)""",
    """INSERT INTO deliveries (id, result_id, destination, status, sent_sop_instance_uid, state, attempts, not_before,
    queued_at, first_claimed_at, ended_at) VALUES (7, 1, 'pacs', 0, '1.9', 'done', 3, 2.0, 1.0, 2.5, 5.0)""",
]
OLD_CONFLICT = """INSERT INTO conflicting_objects (instance_id, object_key, source, received_at)
VALUES (:id, 'other', 'pacs', 2.0)"""
OLD_PREDICTION = """INSERT INTO predictions (id, instance_id, model_sha256, score, threshold, attention, regions,
created_at) VALUES (:id, :id, 'sha', :score, 0.5, '{}', '[]', 1.0)"""


def test_the_migrations_lead_to_the_schema(folder: DataFolder) -> None:
    with folder.database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_migrations_are_known_by_their_files() -> None:
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS))
    scripts = ScriptDirectory.from_config(configuration)
    assert engine._revisions() == {script.revision for script in scripts.walk_revisions()}
    assert engine.newest_revision() == scripts.get_current_head()


def test_a_prediction_by_one_threshold_keeps_its_answer_when_there_are_three(folder: DataFolder) -> None:
    old = Database(folder.folder / "old.sqlite")
    migrate_to(old, "0001")
    with old.write(Step.BY_HAND) as connection:
        for number, score in enumerate((0.2, 0.5, 0.9), start=1):
            connection.execute(text(OLD_INSTANCE), {"id": number, "uid": f"1.2.{number}"})
            connection.execute(text(OLD_PREDICTION), {"id": number, "score": score})
            connection.execute(text(OLD_CONFLICT), {"id": number})
    old.migrate()
    with old.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        kept = connection.execute(
            select(
                predictions.c.score,
                predictions.c.uncertain_from,
                predictions.c.likely_from,
                predictions.c.answer,
            ).order_by(predictions.c.id)
        ).all()
        assert (
            connection.execute(select(conflicting_objects.c.study_instance_uid)).scalars().all()
            == ["1.2"] * 3
        )
    assert [tuple(row) for row in kept] == [
        (0.2, 0.5, 0.5, "unlikely"),
        (0.5, 0.5, 0.5, "likely"),
        (0.9, 0.5, 0.5, "likely"),
    ]
    old.close()


def test_a_delivery_keeps_all_it_had_and_may_then_be_committed(folder: DataFolder) -> None:
    old = Database(folder.folder / "old.sqlite")
    migrate_to(old, "0003")
    with old.write(Step.BY_HAND) as connection:
        for statement in OLD_DELIVERY:
            connection.execute(text(statement))
    old.migrate()
    with old.write(Step.BY_HAND) as connection:
        kept = connection.execute(text("SELECT * FROM deliveries")).mappings().one()
        assert {**kept} == {
            "id": 7, "result_id": 1, "destination": "pacs", "status": 0, "sent_sop_instance_uid": "1.9",
            "delivered_at": 5.0, "priority": 1, "state": "done", "attempts": 3, "not_before": 2.0, "owner": None,
            "lease_until": None, "reason": None, "queued_at": 1.0, "first_claimed_at": 2.5, "ended_at": 5.0,
        }  # fmt: skip
        connection.execute(text("UPDATE deliveries SET state = 'committed'"))
        with pytest.raises(IntegrityError, match="ck_deliveries_state"):
            connection.execute(text("UPDATE deliveries SET state = 'lost'"))
        connection.execute(text("UPDATE jobs SET state = 'dismissed'"))
        with pytest.raises(IntegrityError, match="ck_jobs_state"):
            connection.execute(text("UPDATE jobs SET state = 'delivered'"))
    old.close()


def migrate_to(database: Database, revision: str) -> None:
    """What an earlier version of the node did."""
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS))
    with database.write(Step.BY_HAND) as connection:
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, revision)


def test_migrating_again_changes_nothing(folder: DataFolder) -> None:
    with folder.database.write(Step.BY_HAND) as connection:
        audit.append(connection, 1.0, "node_started")
    folder.database.migrate()
    with folder.database.read() as connection:
        assert len(connection.execute(select(audit_table)).all()) == 1


def test_a_database_of_a_newer_version_is_refused_by_name(folder: DataFolder) -> None:
    with folder.database.write(Step.BY_HAND) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseTooNew, match="9999"):
        folder.database.migrate()
    with pytest.raises(DatabaseTooNew, match="newer version"):
        DataFolder.existing(folder.folder)


def test_commits_are_durable_and_readers_go_on_beside_a_writer(folder: DataFolder) -> None:
    with folder.database.read() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2  # FULL
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar_one() == 1


def test_an_error_inside_a_write_leaves_nothing_behind(folder: DataFolder) -> None:
    with pytest.raises(RuntimeError), folder.database.write(Step.BY_HAND) as connection:
        audit.append(connection, 1.0, "node_started")
        raise RuntimeError
    with folder.database.read() as connection:
        assert connection.execute(select(audit_table)).all() == []


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite"
    path.write_bytes(b"no database at all, and longer than a header" * 100)
    database = Database(path)
    with pytest.raises(StorageUnavailable, match=r"node\.sqlite"):
        database.migrate()
    database.close()


def test_commands_say_when_no_node_has_run_yet(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="no node has run"):
        DataFolder.existing(tmp_path)


def test_a_violated_constraint_is_no_trouble_of_the_disk(folder: DataFolder) -> None:
    with (
        pytest.raises(Exception, match="NOT NULL") as caught,
        folder.database.write(Step.BY_HAND) as connection,
    ):
        connection.execute(insert(audit_table).values(at=1.0))
    assert not isinstance(caught.value, StorageUnavailable)


def test_nothing_is_written_once_damage_was_found_under_a_running_node(folder: DataFolder) -> None:
    with folder.database.write(Step.BY_HAND) as connection:
        audit.append(connection, 1.0, "node_started")
    folder.require_whole()
    with closing(sqlite3.connect(folder.database.path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with folder.database.path.open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(4096)
        file.write(b"\xaa" * (size - 4096))
    with pytest.raises(DatabaseDamaged, match="restore a backup"):
        folder.require_whole()
    with pytest.raises(DatabaseDamaged), folder.database.write(Step.BY_HAND):
        pass


def test_writers_stand_in_line_no_longer_than_a_sender_waits(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.1)
    with (
        folder.database.write(Step.BY_HAND),
        ThreadPoolExecutor() as pool,
        pytest.raises(StorageUnavailable, match="too many writers"),
    ):
        pool.submit(folder.database.migrate).result()


def test_a_copy_of_a_copy_can_be_made(folder: DataFolder, tmp_path: Path) -> None:
    """A backup is one, and restoring it makes another."""
    folder.database.copy_to(tmp_path / "copy")
    copy = Database(tmp_path / "copy", is_copy=True)
    copy.copy_to(tmp_path / "again")
    copy.close()
    assert (tmp_path / "again").stat().st_size > 0
