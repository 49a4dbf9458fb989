"""The object store: files that are durable before anyone is told, named by the SHA-256 of their bytes.

    objects/ab/abcdef....dcm     what was received and what was made
    incoming/                    files that are still being written; what lies there after a crash is nobody's

A name tells nothing of a patient, the same bytes are kept once, and an altered file is found by its name.
"""

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from storage.errors import ObjectMissing, StorageUnavailable
from storage.writeback import begin_writing


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that is safe: its key (SHA-256, hexadecimal) and its size in bytes."""

    key: str
    size: int


class ObjectStore:
    """The objects below one folder. Safe to share between threads and processes.

    Parameters
    ----------
    is_made
        The folder was made before, and nothing is to be kept in it now: nobody needs to wait for the disk.
    """

    def __init__(self, folder: Path, *, is_made: bool = False) -> None:
        self._objects = folder / "objects"
        self.incoming = folder / "incoming"
        if is_made:
            return
        # made and synced once, so that keeping an object never depends on a folder that is not durable yet
        shards = [self._objects / f"{number:02x}" for number in range(256)]
        for needed in (self._objects, self.incoming, *shards):
            needed.mkdir(parents=True, exist_ok=True, mode=0o700)
        for parent in (self._objects, folder, folder.parent):
            sync_folder(parent)

    def put(self, content: bytes) -> StoredObject:
        """Keep these bytes. They survive a power loss when this returns.

        Raises
        ------
        StorageUnavailable
            The disk is full or answers with an error; nothing was kept.
        """
        path = self.incoming / secrets.token_hex(16)
        try:
            self._write(path, content)
        except OSError as error:
            discard(path)
            raise StorageUnavailable(f"{self.incoming}: {error.strerror}") from error
        return self.adopt(path, known_key=hashlib.sha256(content).hexdigest())

    def copy(self, source: Self, key: str) -> None:
        """Keep a copy of another store's object. It survives a power loss when this returns.

        Raises
        ------
        ObjectMissing
            There is no such file, its bytes cannot be read, or they are not those of the key.
        StorageUnavailable
            One of the disks is full or answers with an error; nothing was kept.
        """
        path = self.incoming / secrets.token_hex(16)
        try:
            shutil.copyfile(source.path(key), path)
        except FileNotFoundError:
            raise ObjectMissing(key) from None
        except OSError as error:
            discard(path)
            source.require(key)  # is it this disk's trouble, or that one's?
            raise StorageUnavailable(f"{source.path(key)} to {self.incoming}: {error.strerror}") from error
        self.adopt(path, key)

    def adopt(
        self, path: Path, expected_key: str | None = None, *, known_key: str | None = None
    ) -> StoredObject:
        """Move a complete file from `incoming` to its place. It survives a power loss when this returns.

        With `known_key`, the SHA-256 of what was written to it, it is not read again.

        Raises
        ------
        ObjectMissing
            Another key is expected: the file is not what it was, and is not kept.
        StorageUnavailable
            The disk is full or answers with an error; nothing counts on the file.
        """
        try:
            stored = self._sync(path, known_key)
            if expected_key not in (None, stored.key):
                path.unlink()
                raise ObjectMissing(expected_key)
            target = self.path(stored.key)
            self._move(path, target)
            sync_folder(target.parent)
        except OSError as error:
            discard(path)
            raise StorageUnavailable(f"{self._objects}: {error.strerror}") from error
        return stored

    # each of these is a step of `storage.steps`, as are `sync_folder`, `remove` and `remove_leftovers`

    def _write(self, path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            begin_writing(file.fileno(), 0, len(content))  # while it is hashed

    def _sync(self, path: Path, known_key: str | None) -> StoredObject:
        with path.open("r+b") as file:
            key = known_key or hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
            return StoredObject(key, os.fstat(file.fileno()).st_size)

    def _move(self, path: Path, target: Path) -> None:
        path.replace(target)

    def path(self, key: str) -> Path:
        """Return where the object with this key lies or would lie."""
        return self._objects / key[:2] / f"{key}.dcm"

    def read(self, key: str) -> bytes:
        """Return the object's bytes, checked against its key.

        Raises
        ------
        ObjectMissing
            There is no such file, its bytes cannot be read, or they are not the ones that were stored.
        """
        try:
            content = self.path(key).read_bytes()
        except OSError as error:
            raise self._unread(key, error) from error
        if hashlib.sha256(content).hexdigest() != key:
            raise ObjectMissing(key)
        return content

    def require(self, key: str) -> Path:
        """Return where the object lies, once its bytes were checked against its key.

        Raises
        ------
        ObjectMissing
            There is no such file, its bytes cannot be read, or they are not the ones that were stored.
        """
        path = self.path(key)
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise self._unread(key, error) from error
        if found != key:
            raise ObjectMissing(key)
        return path

    def _unread(self, key: str, error: OSError) -> ObjectMissing | StorageUnavailable:
        """Return what it means that an object cannot be read: a bad sector is no better tomorrow."""
        if error.errno in (errno.ENOENT, errno.EIO):
            return ObjectMissing(key)
        return StorageUnavailable(f"{self._objects}: {error.strerror}")

    def has_any(self) -> bool:
        """Tell whether the store holds an object."""
        return any(True for shard in self._objects.iterdir() for _ in shard.iterdir())

    def holds(self, key: str) -> bool:
        """Tell whether there is a file for this key."""
        return self.path(key).exists()

    def remove(self, key: str) -> None:
        """Delete an object; one that is gone already is no error."""
        self.path(key).unlink(missing_ok=True)

    def keys_by_shard(self, written_before: float) -> Iterator[set[str]]:
        """Yield the keys of all objects that were written before, in 256 portions."""
        for shard in sorted(self._objects.iterdir()):
            with os.scandir(shard) as files:
                yield {Path(file).stem for file in files if file.stat().st_mtime < written_before}

    def free_bytes(self) -> int:
        """Return how much the disk under the store still holds. Raises StorageUnavailable."""
        try:
            return shutil.disk_usage(self._objects).free
        except OSError as error:
            raise StorageUnavailable(f"{self._objects}: {error.strerror}") from error

    def remove_leftovers(self, older_than: float) -> int:
        """Delete files in `incoming` that nobody has written since `older_than`, and return how many."""
        removed = 0
        for path in self.incoming.iterdir():
            try:
                if path.stat().st_mtime < older_than:
                    path.unlink()
                    removed += 1
            except FileNotFoundError:  # its writer finished meanwhile
                continue
        return removed


def discard(path: Path) -> None:
    """Delete a file that nobody counts on; where the disk does not let it go now, `remove_leftovers` does later."""
    with suppress(OSError):
        path.unlink()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: a rename alone may be lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
