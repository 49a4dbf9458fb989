"""What this machine does not let the node keep of its promises, each in a sentence that names the thing and the mend.

Nothing here stops a node but an SQLite that cannot run it: what it has on a bad disk must still be reached, read and
delivered, and whether a server syncs what it says is not to be seen from here. So it says so, at every start.

Facts. tmpfs and ramfs are memory; a container's overlay goes with the container. WAL needs memory that all processes
share, so it does not work over a network file system (sqlite.org/wal.html). fsync of macOS leaves data in the drive's
cache (fsync(2) there: F_FULLFSYNC). Before SQLite 3.51.3 (and 3.50.7, 3.44.6) two processes that write and checkpoint
at the same moment may lose a transaction (sqlite.org/wal.html, "the WAL-reset bug"); the writers of one process stand
in line here, and do so while they checkpoint.
"""

import os
import re
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from storage.errors import StorageUnavailable

MEMORY = frozenset({"tmpfs", "ramfs"})
OF_A_CONTAINER = frozenset({"overlay", "aufs"})
OF_ANOTHER_MACHINE = re.compile(
    r"(fuse\.)?(nfs4?|cifs|smb3?|smbfs|sshfs|9p|afs|ceph|lustre|glusterfs|vboxsf|davfs)$"
)
WITHOUT_BARRIERS = frozenset({"nobarrier", "barrier=0"})
RETURNING = (3, 35, 0)
"""The first SQLite with UPDATE ... RETURNING, which claims are made of."""


def _mounts() -> str:
    try:
        return Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:  # not Linux
        return ""


@dataclass(frozen=True, slots=True)
class Machine:
    """What is looked at, as this machine has it."""

    platform: str = sys.platform
    user: int = field(default_factory=os.geteuid)
    mounts: str = field(default_factory=_mounts)
    sqlite: tuple[int, ...] = sqlite3.sqlite_version_info


def require(machine: Machine) -> None:
    """Raise StorageUnavailable where SQLite is too old for the node."""
    if machine.sqlite < RETURNING:
        raise StorageUnavailable(
            f"SQLite {_dotted(machine.sqlite)} is too old: use a Python whose sqlite3 has {_dotted(RETURNING)} or later"
        )


def not_kept(folder: Path, machine: Machine, *, shares_database: bool) -> Iterator[str]:
    """Yield what cannot be promised for a node whose data folder this is.

    Parameters
    ----------
    shares_database
        Several processes write the database: roles that run each by itself.
    """
    yield from _of_disk(folder, machine)
    if machine.platform == "darwin":
        yield "macOS leaves what is synced in the drive's cache: a power cut may lose it; run the node on Linux"
    if machine.platform != "linux":
        yield "only on Linux is the memory of the analysing process limited: a hostile image may take all of it"
    if machine.user == 0:
        yield "the node runs as root: whoever breaks into it has the machine; run it as a user of its own"
    if shares_database and not _resets_safely(machine.sqlite):
        yield (
            f"with SQLite {_dotted(machine.sqlite)} roles in processes of their own may, very rarely, damage the "
            "database: run all roles in one process, or use a Python whose sqlite3 has 3.51.3 or later"
        )


def of_database(pragmas: tuple[str, int]) -> Iterator[str]:
    """Yield what the database's journal mode and its level of syncing, as SQLite has set them, cannot promise."""
    journal_mode, synchronous = pragmas
    if journal_mode != "wal":
        yield (
            f'the database\'s disk allows no write-ahead log (journal mode "{journal_mode}"): readers and writers wait '
            "for each other; put data_dir on a local disk"
        )
    if synchronous < 2:
        yield "SQLite does not sync what it commits: a power cut may lose it; use a Python with an unaltered sqlite3"


def _of_disk(folder: Path, machine: Machine) -> Iterator[str]:
    found = _mount_of(folder, machine.mounts)
    if found is None:
        return
    kind, options = found
    name = f"data_dir {folder} is on {kind}"
    if kind in MEMORY:
        yield f"{name}, which is memory: everything is lost with the power; put it on a disk"
    elif kind in OF_A_CONTAINER:
        yield f"{name}, a container's own layer: everything is lost with the container; mount a volume there"
    elif OF_ANOTHER_MACHINE.match(kind):
        yield (
            f"{name}, another machine's disk: the database's locks and its log are not reliable there, and a second "
            "node is not kept out; put it on a local disk"
        )
    if WITHOUT_BARRIERS & set(options):
        yield f"{name} without barriers: a power cut may lose what was synced; mount it with barriers"


def _mount_of(folder: Path, mounts: str) -> tuple[str, list[str]] | None:
    """Return the kind and options of the file system that a folder, there or not yet, lies on (proc(5))."""
    resolved = folder.resolve()
    found, longest = None, -1
    for line in mounts.splitlines():
        _, point, kind, options, *_ = [*line.split(" "), "", "", ""]
        where = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point))
        # of two at the same place the later one is seen
        if resolved.is_relative_to(where) and len(where.parts) >= longest:
            found, longest = (kind, options.split(",")), len(where.parts)
    return found


def _resets_safely(version: tuple[int, ...]) -> bool:
    series = version[:2]
    return (
        version >= (3, 51, 3)
        or (series == (3, 50) and version >= (3, 50, 7))
        or (series == (3, 44) and version >= (3, 44, 6))
    )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version[:3]))
