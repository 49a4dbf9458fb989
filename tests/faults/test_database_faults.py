"""The database locked, read-only, damaged, gone or of a newer version: nothing is acknowledged, and it is said why."""

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.builders import chest_film, write
from tests.faults.disk import Disk
from tests.faults.test_everyday import store
from tests.peers import NodeProcess, Pacs, wait_for


def database(node: NodeProcess) -> Path:
    return node.folder / "data" / "node.sqlite"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """What a careless program does to the database."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.rollback()


def damage(path: Path) -> None:
    """Write over every page but the first."""
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(4096)
        file.write(b"\xaa" * (size - 4096))


def refused(node: NodeProcess) -> str:
    """Start a node that shall not start, and return what it says."""
    ran = node.command("run")
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    return ran.stderr.splitlines()[-1]


@pytest.fixture
def stopped(own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path) -> NodeProcess:
    """A node that has taken one film, with a backup beside it."""
    own_node.start("receive")
    assert own_node.send(write(chest_film(study="before"), tmp_path / "before.dcm")) == 0
    assert own_node.stop() == 0
    assert own_node.command("backup", str(tmp_path / "backup")).returncode == 0
    return own_node


def test_while_it_is_locked_senders_hear_it_and_when_it_is_free_all_goes_on(
    own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path
) -> None:
    own_pacs.start()
    own_node.start()
    film = chest_film(study="locked")
    with locked(database(own_node)):
        assert store(own_node, film).Status == 0xA700
        assert own_node.json("status")["instances_received"] == 0
    assert own_node.send(write(chest_film(study="locked"), tmp_path / "film.dcm")) == 0
    wait_for(lambda: own_pacs.results(film.StudyInstanceUID)[0])
    wait_for(lambda: own_node.settled(1))
    assert own_pacs.count() == 2
    assert own_node.json("verify")["findings"] == []


def test_on_a_disk_that_turned_read_only_nothing_is_acknowledged_and_later_all_goes_on(
    own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path
) -> None:
    with Disk(tmp_path / "disk") as disk:
        (own_node.folder / "data").symlink_to(disk.folder)
        with own_node:
            disk.fail(errno.EROFS)
            assert store(own_node, chest_film(study="read-only")).get("Status") != 0x0000
            disk.fail(None)
            assert store(own_node, chest_film(study="read-only")).Status == 0x0000
            disk.fail(errno.EROFS)
            own_node.kill()
            assert "Read-only file system" in refused(own_node)
            disk.fail(None)
            own_node.start("receive")
            assert own_node.json("status")["instances_received"] == 1


def test_a_node_does_not_start_on_a_locked_database_and_says_why(stopped: NodeProcess) -> None:
    with locked(database(stopped)):
        assert "database is locked; another process holds it" in refused(stopped)


def test_a_damaged_database_stops_the_node_at_its_start_and_a_backup_mends_it(
    stopped: NodeProcess, own_pacs: Pacs, tmp_path: Path
) -> None:
    damage(database(stopped))
    said = refused(stopped)
    assert str(database(stopped)) in said
    assert "restore a backup" in said
    assert stopped.command("verify").returncode == 1
    # a backup that is made now must not take the place of the good one
    assert stopped.command("backup", str(tmp_path / "backup")).returncode == 1
    (stopped.folder / "data").rename(tmp_path / "aside")
    assert stopped.command("restore", str(tmp_path / "backup")).returncode == 0
    own_pacs.start()
    stopped.start()
    wait_for(lambda: stopped.settled(1))
    assert own_pacs.count() == 2


def test_a_file_that_is_no_database_is_named(stopped: NodeProcess) -> None:
    database(stopped).write_bytes(b"what the disk made of it" * 1000)
    assert "file is not a database" in refused(stopped)


def test_a_database_that_is_gone_does_not_make_orphans_of_its_objects(
    stopped: NodeProcess, tmp_path: Path
) -> None:
    database(stopped).unlink()
    assert "restore a backup" in refused(stopped)
    assert "restore a backup" in refused(stopped)
    # here the objects are still where they were
    assert stopped.command("restore", str(tmp_path / "backup")).returncode == 0
    assert stopped.json("status")["instances_received"] == 1


def test_a_database_of_a_newer_version_is_left_as_it_is(stopped: NodeProcess, tmp_path: Path) -> None:
    with closing(sqlite3.connect(database(stopped))) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    assert "newer version (migration 9999); install that version" in refused(stopped)
    for command in (["status"], ["verify"], ["backup", str(tmp_path / "backup")]):
        ran = stopped.command(*command)
        assert (ran.returncode, "newer version" in ran.stderr) == (1, True)
    shutil.rmtree(tmp_path / "backup")
