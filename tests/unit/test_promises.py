"""What a machine does not let the node promise is said in a sentence that names the thing and the mend."""

import errno
import fcntl
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from storage.engine import Database
from storage.errors import StorageUnavailable
from storage.folder import DataFolder
from storage.promises import Machine, not_kept, of_database, require

GOOD = Machine("linux", 1000, "/dev/sda1 / ext4 rw,relatime 0 0\n", (3, 51, 3))
FOLDER = Path("/var/lib/dicom node/data")


def said(mounts: str = GOOD.mounts, *, shares_database: bool = False, **machine: Any) -> list[str]:
    values = {"platform": "linux", "user": 1000, "sqlite": (3, 51, 3), **machine}
    return list(not_kept(FOLDER, Machine(mounts=mounts, **values), shares_database=shares_database))


def mounted(kind: str, at: str = "/var/lib/dicom\\040node", options: str = "rw") -> str:
    return f"{GOOD.mounts}thing {at} {kind} {options} 0 0\n"


def test_of_a_good_machine_nothing_is_said() -> None:
    assert said() == []
    assert said("") == []  # no list of mounts


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("tmpfs", "memory: everything is lost with the power"),
        ("ramfs", "memory: everything is lost with the power"),
        ("overlay", "lost with the container; mount a volume"),
        *(
            (kind, "another machine's disk")
            for kind in ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph")
        ),
    ],
)
def test_a_disk_that_does_not_keep_what_it_is_given(kind: str, words: str) -> None:
    (sentence,) = said(mounted(kind))
    assert f"data_dir {FOLDER} is on {kind}" in sentence
    assert words in sentence
    assert ";" in sentence  # after it, the mend


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "fuse", "virtiofs"])
def test_a_disk_that_does(kind: str) -> None:
    assert said(mounted(kind)) == []


def test_what_counts_is_the_disk_that_is_seen_there() -> None:
    assert said(mounted("tmpfs", at="/var/lib/other")) == []
    assert (
        said(mounted("tmpfs", at="/var/lib/dicom")) == []
    )  # no folder above it, only the beginning of its name
    assert said(mounted("tmpfs", at="/var/lib") + mounted("ext4")) == []
    assert said(mounted("tmpfs") + mounted("ext4")) == []  # the later of two covers the earlier
    assert len(said(mounted("ext4") + mounted("tmpfs"))) == 1


@pytest.mark.parametrize("option", ["nobarrier", "barrier=0"])
def test_a_disk_that_is_mounted_without_barriers(option: str) -> None:
    (sentence,) = said(mounted("ext4", options=f"rw,{option},relatime"))
    assert "a power cut may lose what was synced" in sentence


def test_a_real_file_system_in_memory_is_recognised() -> None:
    sentences = list(not_kept(Path("/dev/shm/not/there/yet"), Machine(), shares_database=False))
    if not any(" /dev/shm tmpfs " in line for line in Machine().mounts.splitlines()):
        pytest.skip("optional peer missing: a tmpfs at /dev/shm")
    assert any("is on tmpfs, which is memory" in each for each in sentences)


def test_root_and_other_systems_are_named() -> None:
    assert ["root" in each for each in said(user=0)] == [True]
    drive_cache, memory = said("", platform="darwin")
    assert "drive's cache" in drive_cache
    assert "memory of the analysing process" in memory


@pytest.mark.parametrize(
    ("version", "is_said"),
    [
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 0), False),
    ],
)
def test_an_sqlite_that_several_processes_may_damage_is_named_where_there_are_several(
    version: tuple[int, ...], is_said: bool
) -> None:
    assert bool(said(sqlite=version, shares_database=True)) is is_said
    assert said(sqlite=version) == []


def test_an_sqlite_that_is_too_old_stops_the_node() -> None:
    require(Machine(sqlite=(3, 35, 0)))
    with pytest.raises(StorageUnavailable, match=r"SQLite 3\.34\.1 is too old: use a Python whose"):
        require(Machine(sqlite=(3, 34, 1)))


def test_what_sqlite_has_set_is_asked_and_not_believed(tmp_path: Path) -> None:
    database = Database(tmp_path / "database")
    assert database.pragmas() == ("wal", 2)
    assert list(of_database(database.pragmas())) == []
    database.close()
    (sentence,) = of_database(("delete", 2))
    assert 'journal mode "delete"' in sentence
    (sentence,) = of_database(("wal", 1))
    assert "does not sync" in sentence


def test_sqlite_in_memory_keeps_no_write_ahead_log() -> None:
    """The pragma answers what it did, which is not what it was asked for."""
    with closing(sqlite3.connect(":memory:")) as connection:
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    assert len(list(of_database((mode, 2)))) == 1


def test_a_disk_without_locks_stops_the_node(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int, _kind: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StorageUnavailable, match=r"No locks available .*put data_dir on a local disk"):
        folder.lock_role("receive")
