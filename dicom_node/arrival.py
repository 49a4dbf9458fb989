"""The file that a data set goes to while it comes in, held to a size: the rest is read and thrown away.

pynetdicom 3.0.4 writes a data set to a NamedTemporaryFile of its own, without a limit. It gets one of these instead:
so that the sender gets its answer, which is the exact status and no broken connection, a data set that cannot be kept
is received to its end all the same, and nothing of it stays on the disk.
"""

import tempfile
from pathlib import Path
from typing import Self

from dicom_node.errors import DataSetEndless, DataSetRefused

CANNOT_UNDERSTAND = 0xC000


class ArrivingFile:
    """What pynetdicom needs of a NamedTemporaryFile, in `folder`, for a data set of at most `most_bytes`.

    `refusal` is why the data set is not kept, or None.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._file = tempfile.NamedTemporaryFile(dir=folder, suffix=".dcm", delete=False)  # noqa: SIM115
        self.name = self._file.name
        self.refusal: DataSetRefused | None = None
        self._most_bytes = most_bytes
        self._received = 0

    @property
    def file(self) -> Self:
        """What pynetdicom flushes."""
        return self

    def write(self, content: bytes) -> int:
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
        if self.refusal is None:
            self._file.write(content)
        return len(content)

    def flush(self) -> None:
        """Write out what is buffered."""
        self._file.flush()

    def close(self) -> None:
        """Close the file; it stays."""
        self._file.close()

    def _abandon(self, refusal: DataSetRefused) -> None:
        self.refusal = refusal
        self._file.truncate(0)
