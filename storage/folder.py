"""The data folder: database, objects, and the promise that each role runs once on it.

A role's lock is the kernel's (flock): it goes with the process, however that ends, so a node that was killed can
be started again at once and may take its own unfinished work back without waiting for leases.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import Self

from storage.engine import Database
from storage.errors import DatabaseDamaged, FolderInUse, StorageUnavailable
from storage.objects import ObjectStore

DATABASE_NAME = "node.sqlite"
LOCK_SECONDS = 0.5
"""Who asks which roles are running holds a free one for a moment."""


class DataFolder:
    """The node's state on one machine: `database`, `objects`, and locks for roles.

    Parameters
    ----------
    is_made
        A node has run on it before, and nothing is received or made now.
    """

    def __init__(self, folder: Path, *, is_made: bool = False) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.objects = ObjectStore(folder, is_made=is_made)
            # SQLite would make it readable by everyone; its -wal and -shm files take their rights from it
            os.close(os.open(folder / DATABASE_NAME, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise _unusable(folder, error) from error
        self.folder = folder
        self.database = Database(folder / DATABASE_NAME)
        self._locks: list[int] = []

    @classmethod
    def existing(cls, folder: Path) -> Self:
        """Open the folder of a node that has run before, for commands that only look or retry.

        Raises
        ------
        StorageUnavailable
            No node has run on this folder yet.
        DatabaseTooNew
            A newer version wrote it.
        """
        try:
            has_run = (folder / DATABASE_NAME).exists()
        except PermissionError:
            raise StorageUnavailable(
                f"{folder}: belongs to another user; run this as the node's own"
            ) from None
        if not has_run:
            raise StorageUnavailable(f"{folder}: no node has run on this data folder yet (dicom-node run)")
        found = cls(folder, is_made=True)
        found.database.require_known()
        return found

    def require_whole(self) -> None:
        """Refuse a database that is damaged, or gone while its objects are there: all of them would count as unneeded.

        Raises
        ------
        DatabaseDamaged
            A backup has to be restored.
        """
        self.database.require_whole()
        if self.database.revision() is None and self.objects.has_any():
            raise DatabaseDamaged(
                self.database.path, "it is empty, and there are objects of a node that has run"
            )

    def lock_role(self, role: str) -> None:
        """Take the role for this process until it ends or closes the folder. Raises FolderInUse, StorageUnavailable."""
        try:
            descriptor = os.open(self.folder / f"{role}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(self.folder, error) from error
        try:
            is_ours = _locked_in_time(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise StorageUnavailable(
                f"{self.folder}: {error.strerror} where files are locked (flock), and a second node would not be "
                "kept out; put data_dir on a local disk"
            ) from error
        if not is_ours:
            os.close(descriptor)
            raise FolderInUse(self.folder, role)
        self._locks.append(descriptor)

    def roles_running(self) -> list[str]:
        """Return the roles that a process has taken on this folder."""
        running = []
        for path in sorted(self.folder.glob("*.lock")):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            if not _locked(descriptor, fcntl.LOCK_SH):
                running.append(path.stem)
            os.close(descriptor)
        return running

    def close(self) -> None:
        """Close the database and give the roles back."""
        self.database.close()
        while self._locks:
            os.close(self._locks.pop())


def _unusable(folder: Path, error: OSError) -> StorageUnavailable:
    return StorageUnavailable(
        f"{folder}: {error.strerror}; the node needs a folder that its user may write to"
    )


def _locked_in_time(descriptor: int) -> bool:
    deadline = time.monotonic() + LOCK_SECONDS
    while not _locked(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            return False
        time.sleep(LOCK_SECONDS / 20)
    return True


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
