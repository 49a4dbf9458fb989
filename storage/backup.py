"""Backup and restore: one consistent picture of the database, and every object that its rows need.

    backup.sqlite    as the database was at one moment
    objects/         as in the data folder: named by content, so that only new ones are copied the next time

A backup is brought up to date in place: objects first, then the database takes the old one's place by a rename, then
what it does not need goes. Wherever that is cut short, a complete backup is there, or none. Restoring goes the same
way: as long as the database is not in its place, nothing was restored.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from storage import audit
from storage.engine import Database
from storage.errors import DatabaseDamaged, FolderInUse, ObjectMissing, StorageUnavailable
from storage.folder import DATABASE_NAME, DataFolder
from storage.needed import NeededObject, needed_objects
from storage.objects import ObjectStore, sync_folder
from storage.schema import audit as audit_table
from storage.steps import Step
from storage.verification import Finding, check_object, check_pages, fault_of

BACKUP_NAME = "backup.sqlite"
_UNFINISHED = ".unfinished"

Track = Callable[[Sequence[NeededObject]], Iterable[NeededObject]]
"""Goes through objects and shows how far it is."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a backup or a restored folder holds: so many objects, of which so many are new; and what is not whole."""

    objects: int
    new: int
    lost: list[Finding]


class Backup:
    """A complete backup. It is only read."""

    def __init__(self, folder: Path) -> None:
        """Open a backup. Raises StorageUnavailable where there is none."""
        if not (folder / BACKUP_NAME).is_file():
            raise StorageUnavailable(f"{folder}: there is no complete backup (dicom-node backup makes one)")
        self.folder = folder
        self.objects = _store(folder)
        self.database = Database(folder / BACKUP_NAME, is_copy=True)

    def made_at(self) -> float:
        """Return when it was made, in seconds since 1970."""
        with self.database.read() as connection:
            latest = select(audit_table.c.at).order_by(audit_table.c.id.desc()).limit(1)
            return float(connection.execute(latest).scalar_one())


def make_backup(source: DataFolder, target: Path, aside_since: float, now: float, track: Track) -> Copied:
    """Bring the backup in `target` up to date, or make it; a node may run on `source` meanwhile.

    Raises
    ------
    StorageUnavailable
        The target cannot be written, is full, or is itself a data folder.
    DatabaseDamaged
        There is nothing to be copied that would help; an earlier backup is left as it was.
    FolderInUse
        Another backup is being made there.
    """
    if (target / DATABASE_NAME).exists() or target.resolve().is_relative_to(source.folder.resolve()):
        raise StorageUnavailable(f"{target}: is a node's data folder; name a folder on another disk")
    store = _store(target)
    with _alone(target):
        with source.database.write(Step.BY_HAND) as connection:
            audit.append(connection, now, "backup_made")
        taken = target / (BACKUP_NAME + _UNFINISHED)
        while True:
            needed = _take(source.database, taken, aside_since)
            missing = [each for each in needed if not store.path(each.key).exists()]
            lost = _copy(source.objects, store, track(missing))
            findings = [check_object(source.database, source.objects, each, aside_since) for each in lost]
            if all(findings):  # else retention has removed some meanwhile, and the next picture knows it
                break
        _put_in_place(taken, target / BACKUP_NAME)
        _remove_others(store, {each.key for each in needed}, now)
    return Copied(len(needed) - len(lost), len(missing) - len(lost), [each for each in findings if each])


def restore(source: Backup, folder: DataFolder, aside_since: float, now: float, track: Track) -> Copied:
    """Put a backup into an empty data folder, on which no node may run: the caller has all its roles.

    Raises
    ------
    StorageUnavailable
        The folder holds a node's data, or cannot be written.
    DatabaseDamaged, DatabaseTooNew
        The backup is of no use to this version.
    """
    place = folder.folder / DATABASE_NAME
    if folder.database.revision() is not None:
        raise StorageUnavailable(f"{folder.folder}: holds a node's data; move it aside first")
    folder.database.close()
    taken = folder.folder / (DATABASE_NAME + _UNFINISHED)
    _require_sound(source.database)
    taken.unlink(missing_ok=True)
    source.database.copy_to(taken)
    database = Database(taken)
    try:
        database.migrate()
        with database.write(Step.BY_HAND) as connection:
            needed = needed_objects(connection, aside_since)
            audit.append(connection, now, "backup_restored")
    finally:
        database.close()  # its journal goes with the last connection
    missing = [each for each in needed if not folder.objects.path(each.key).exists()]
    lost = _copy(source.objects, folder.objects, track(missing))
    for journal in ("-wal", "-shm"):  # SQLite would apply what is left of another database's to this one
        place.with_name(place.name + journal).unlink(missing_ok=True)
    _put_in_place(taken, place)
    return Copied(
        len(needed) - len(lost), len(missing) - len(lost), [fault_of(source.objects, each) for each in lost]
    )


def _store(folder: Path) -> ObjectStore:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return ObjectStore(folder)
    except OSError as error:
        raise StorageUnavailable(f"{folder}: {error.strerror}") from error


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    descriptor = os.open(target / "backup.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise FolderInUse(target, "backup") from None
    finally:
        os.close(descriptor)


def _take(database: Database, taken: Path, aside_since: float) -> list[NeededObject]:
    """Copy the database, and return what its rows need."""
    taken.unlink(missing_ok=True)
    database.copy_to(taken)
    copy = Database(taken, is_copy=True)
    try:
        _require_sound(copy)
        with copy.read() as connection:
            return needed_objects(connection, aside_since)
    finally:
        copy.close()


def _require_sound(database: Database) -> None:
    for finding in check_pages(database):
        raise DatabaseDamaged(database.path, finding.fault)


def _copy(source: ObjectStore, target: ObjectStore, objects: Iterable[NeededObject]) -> list[NeededObject]:
    """Copy objects durably and return those that are missing or altered where they come from."""
    lost = []
    for each in objects:
        try:
            target.copy(source, each.key)
        except ObjectMissing:
            lost.append(each)
    return lost


def _put_in_place(taken: Path, place: Path) -> None:
    try:
        taken.replace(place)
        sync_folder(place.parent)
    except OSError as error:
        raise StorageUnavailable(f"{place}: {error.strerror}") from error


def _remove_others(store: ObjectStore, needed: set[str], now: float) -> None:
    store.remove_leftovers(now)
    for keys in store.keys_by_shard(now):
        for key in keys - needed:
            store.remove(key)
