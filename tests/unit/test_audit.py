"""The audit trail: append-only in the database, and whatever is done to it all the same is found."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from storage import audit
from storage.engine import MIGRATIONS, Database
from storage.folder import DATABASE_NAME, DataFolder
from storage.steps import Step


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / DATABASE_NAME)
    made.migrate()
    yield made
    made.close()


def write_five(database: Database) -> None:
    with database.write(Step.BY_HAND) as connection:
        for number in range(1, 6):
            audit.append(connection, float(number), "instance_stored", sop_instance_uid=f"1.2.{number}")


def tamper(database: Database, statements: str) -> None:
    """What somebody does who may write the file: the triggers are no obstacle."""
    attacker = sqlite3.connect(database.path)
    attacker.executescript(f"DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete; {statements}")
    attacker.close()


def found(database: Database) -> list[int]:
    with database.read() as connection:
        return [each.id for each in audit.breaks(connection)]


def test_the_trail_is_whole_as_long_as_nobody_touches_it(database: Database) -> None:
    assert found(database) == []
    write_five(database)
    assert found(database) == []
    with database.read() as connection:
        assert [record.id for record in audit.records(connection, after_id=2, most=2)] == [3, 4]
        assert audit.end(connection).last_id == 5


@pytest.mark.parametrize("change", ["UPDATE audit SET event = 'nothing' WHERE id = 3", "DELETE FROM audit"])
def test_the_database_refuses_to_change_or_delete_a_record(database: Database, change: str) -> None:
    write_five(database)
    with (
        pytest.raises(IntegrityError, match="append-only"),
        database.write(Step.BY_HAND) as connection,
    ):
        connection.execute(text(change))
    assert found(database) == []


COPY = "INSERT INTO audit (id, at, event, detail, digest)"
OTHERS = "SELECT id, at, event, detail, digest FROM audit"


@pytest.mark.parametrize(
    ("statements", "broken"),
    [
        ("UPDATE audit SET event = 'nothing' WHERE id = 3", [3]),
        ("UPDATE audit SET detail = '{}' WHERE id = 3", [3]),
        ("UPDATE audit SET at = 7 WHERE id = 3", [3]),
        ("UPDATE audit SET digest = printf('%064d', 7) WHERE id = 3", [3, 4]),
        ("UPDATE audit SET detail = '{}' WHERE id = 5", [5]),
        ("UPDATE audit SET id = 9 WHERE id = 3", [4, 9, 9]),
        ("UPDATE audit SET id = 9 WHERE id = 5", [9]),
        ("UPDATE audit SET event = 'nothing' WHERE id IN (2, 4)", [2, 4]),
        ("DELETE FROM audit WHERE id = 1", [2]),
        ("DELETE FROM audit WHERE id = 3", [4]),
        ("DELETE FROM audit WHERE id = 5", [4]),
        ("DELETE FROM audit WHERE id > 2", [2]),
        ("DELETE FROM audit", [0]),
        ("UPDATE audit SET id = id + 10; UPDATE audit SET id = 30 - id", [15, 16, 17, 18, 19, 19]),
        (f"{COPY} SELECT 6, at, event, detail, digest FROM audit WHERE id = 5", [6, 6]),
        ("UPDATE audit SET id = id + 9 WHERE id > 2;"
         f"{COPY} SELECT 3, at, event, detail, digest FROM audit WHERE id = 2", [3, 14]),
        ("UPDATE audit_end SET last_id = 4", [5]),
        ("UPDATE audit_end SET digest = printf('%064d', 7)", [5]),
    ],
)  # fmt: skip
def test_whatever_is_changed_taken_away_put_in_or_moved_is_found(
    database: Database, statements: str, broken: list[int]
) -> None:
    write_five(database)
    tamper(database, statements)
    assert found(database) == broken


def test_a_tail_that_was_cut_with_its_end_is_found_where_it_has_been_sent(database: Database) -> None:
    write_five(database)
    with database.write(Step.AUDIT_SENT) as connection:
        audit.sent(connection, 5)
    tamper(
        database,
        "DELETE FROM audit WHERE id > 3;"
        "UPDATE audit_end SET last_id = 3, digest = (SELECT digest FROM audit WHERE id = 3)",
    )
    with database.read() as connection:
        [only] = audit.breaks(connection)
    assert only.id == 3
    assert "record 5 has been sent" in only.sentence


def test_a_trail_of_an_earlier_version_goes_on_where_it_was(database: Database, tmp_path: Path) -> None:
    write_five(database)
    old = Database(tmp_path / "old.sqlite")
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS))
    with database.read() as connection:
        kept = list(audit.records(connection))
    with old.write(Step.BY_HAND) as connection:
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "0005")
        for each in kept:
            connection.execute(
                text("INSERT INTO audit VALUES (:id, :at, :event, json_object('sop_instance_uid', :uid), :digest)"),
                {"id": each.id, "at": each.at, "event": each.event, "uid": each.detail["sop_instance_uid"],
                 "digest": each.digest},
            )  # fmt: skip
    old.migrate()
    with old.write(Step.BY_HAND) as connection:
        audit.append(connection, 6.0, "node_started")
        assert list(audit.breaks(connection)) == []
        assert audit.end(connection).last_id == 6
    old.close()


def test_an_administrator_verifies_and_reads_the_trail(
    folder: DataFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dicom_node.cli import main

    write_five(folder.database)
    config = tmp_path / "node.toml"
    config.write_text(f'[node]\ndata_dir = "{folder.folder}"\n', encoding="utf-8")
    assert main(["audit", "verify", "--config", str(config)]) == 0
    assert capsys.readouterr().out.startswith("whole: 5 records; the last one's digest is ")
    assert main(["audit", "list", "--after", "3", "--config", str(config)]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["4", "5", "6"]
    tamper(folder.database, "DELETE FROM audit WHERE id = 3")
    assert main(["audit", "verify", "--config", str(config)]) == 1
    assert capsys.readouterr().out.startswith("record 4 ")
    assert main(["audit", "verify", "--json", "--config", str(config)]) == 1
    assert '"breaks": [{"id": 4,' in capsys.readouterr().out
