"""The file that a data set goes to while it comes in, held to a size and to what the disk takes.

pynetdicom 3.0.4 writes a data set to a NamedTemporaryFile of its own, without a limit, and an error of the disk ends
the connection. It gets one of these instead: so that the sender gets its answer, which is the exact status, a data set
that cannot be kept is received to its end all the same, and nothing of it stays on the disk.
"""

import hashlib
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import structlog

from dicom_node.errors import DataSetEndless, DataSetRefused
from storage.errors import StorageUnavailable
from storage.objects import discard
from storage.writeback import begin_writing

CANNOT_UNDERSTAND = 0xC000
OUT_OF_RESOURCES = 0xA700
LOOK_BYTES = 16_000_000
"""After so many the disk is looked at again: what comes over all associations at once could fill it otherwise."""

PORTION_BYTES = 1_000_000
"""The disk begins after each: less is left for the end."""

_log = structlog.get_logger()


class ArrivingFile:
    """What pynetdicom needs of a NamedTemporaryFile, in `folder`, for a data set of at most `most_bytes`.

    `refusal` is why the data set is not kept, or None. `require_room` is asked at the start, when nothing is written
    yet, and every LOOK_BYTES; it raises DataSetRefused or StorageUnavailable.
    """

    def __init__(self, folder: Path, most_bytes: int, require_room: Callable[[], None]) -> None:
        self.name = str(folder / f"{secrets.token_hex(16)}.dcm")
        self.refusal: DataSetRefused | None = None
        self._require_room = require_room
        self._most_bytes = most_bytes
        self._received = self._looked_at = self._begun = 0
        self._digest = hashlib.sha256()
        self._descriptor: int | None = None
        self._look()
        if self.refusal is None:
            try:
                self._descriptor = os.open(
                    self.name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600
                )
            except OSError as error:
                self._abandon(_refused(error))

    @property
    def file(self) -> Self:
        """What pynetdicom flushes."""
        return self

    @property
    def key(self) -> str:
        """The SHA-256 of what was kept, hexadecimal."""
        return self._digest.hexdigest()

    def write(self, content: bytes | memoryview) -> int:
        """Keep what came, or throw it away.

        Raises
        ------
        DataSetEndless
            More than twice the limit has come.
        """
        self._received += len(content)
        if self._received > 2 * self._most_bytes:
            raise DataSetEndless
        if self.refusal is None and self._received > self._most_bytes:
            megabytes = self._most_bytes // 1_000_000
            self._abandon(DataSetRefused(CANNOT_UNDERSTAND, f"data set is larger than {megabytes} MB"))
        if self._received - self._looked_at >= LOOK_BYTES:
            self._look()
        if self._descriptor is not None:
            self._digest.update(content)
            try:
                left = memoryview(content)
                while left:  # a disk that is nearly full takes a part
                    left = left[os.write(self._descriptor, left) :]
            except OSError as error:
                self._abandon(_refused(error))
            else:
                self._begin_writing(self._descriptor)
        return len(content)

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        """Close the file; it stays."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            with suppress(OSError):  # what counts is the fsync, which comes later
                os.close(descriptor)

    def _begin_writing(self, descriptor: int) -> None:
        if self._received - self._begun >= PORTION_BYTES:
            begin_writing(descriptor, self._begun, self._received - self._begun)
            self._begun = self._received

    def _look(self) -> None:
        self._looked_at = self._received
        if self.refusal is not None:
            return
        try:
            self._require_room()
        except DataSetRefused as refusal:
            self._abandon(refusal)
        except StorageUnavailable:
            self._abandon(DataSetRefused(OUT_OF_RESOURCES, "cannot be stored now"))

    def _abandon(self, refusal: DataSetRefused) -> None:
        self.refusal = refusal
        self.close()
        discard(Path(self.name))


def _refused(error: OSError) -> DataSetRefused:
    _log.error("data_set_not_written", reason=error.strerror)
    return DataSetRefused(OUT_OF_RESOURCES, "cannot be stored now")
