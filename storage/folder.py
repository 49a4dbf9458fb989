"""The data folder: database, objects, and the promise that each role runs once on it.

A role's lock is the kernel's (flock): it goes with the process, however that ends, so a node that was killed can
be started again at once and may take its own unfinished work back without waiting for leases.
"""

import fcntl
import os
from pathlib import Path
from typing import Self

from storage.engine import Database
from storage.errors import FolderInUse, StorageUnavailable
from storage.objects import ObjectStore

DATABASE_NAME = "node.sqlite"


class DataFolder:
    """The node's state on one machine: `database`, `objects`, and locks for roles."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.objects = ObjectStore(folder)
        except OSError as error:
            raise StorageUnavailable(f"{folder}: {error.strerror}") from error
        self.folder = folder
        # SQLite would make it readable by everyone; its -wal and -shm files take their rights from it
        os.close(os.open(folder / DATABASE_NAME, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
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
        if not (folder / DATABASE_NAME).exists():
            raise StorageUnavailable(f"{folder}: no node has run on this data folder yet (dicom-node run)")
        found = cls(folder)
        found.database.require_known()
        return found

    def lock_role(self, role: str) -> None:
        """Take the role for this process until it ends or closes the folder. Raises FolderInUse."""
        descriptor = os.open(self.folder / f"{role}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise FolderInUse(self.folder, role) from None
        self._locks.append(descriptor)

    def close(self) -> None:
        """Close the database and give the roles back."""
        self.database.close()
        while self._locks:
            os.close(self._locks.pop())
