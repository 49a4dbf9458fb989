"""DICOM files from anywhere: broken in any way, and full of what must not be told."""

import logging
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from pydicom import Dataset, dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from config.sections import LimitsSettings
from inference.elements import BeyondLimits, Encoding, elements
from inference.errors import ImageRejected
from inference.part10 import read_meta, syntax_of
from inference.prediction import Reason

DEFAULT_LIMITS = LimitsSettings()

_PIECE: Final = 1024 * 1024  # bytes


def open_dicom(path: Path, *, header_only: bool = False, limits: LimitsSettings = DEFAULT_LIMITS) -> Dataset:
    """Open a DICOM file, with or without its pixels.

    Raises
    ------
    ImageRejected
        It is none that can be read, or beyond the limits. What is wrong with the machine (the disk, its memory) is
        raised as it is.
    """
    try:
        _require_within(limits, path)
        return dcmread(path, stop_before_pixels=header_only)
    except (ImageRejected, OSError, MemoryError):
        raise  # says nothing of the file's content
    except Exception as error:
        # pydicom meets broken files with whatever exception its parser runs into.
        raise ImageRejected(Reason.UNREADABLE_FILE) from error


def _require_within(limits: LimitsSettings, path: Path) -> None:
    """Raise ImageRejected where pydicom would make gigabytes of the file; what is merely broken is left to it."""
    with path.open("rb") as file:
        syntax = syntax_of(read_meta(file))
        content: BinaryIO = file
        if syntax == DeflatedExplicitVRLittleEndian:
            inflated = _inflated(file, limits.data_set_bytes)
            content = BytesIO(inflated)
        encoding = Encoding(syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian)
        try:
            for _ in elements(content, encoding, limits.header_elements, limits.sequence_depth):
                continue
        except BeyondLimits as error:
            raise ImageRejected(Reason.UNREADABLE_FILE) from error
        except ValueError:
            return


def _inflated(file: BinaryIO, most: int) -> bytes:
    """Inflate the rest of a file, piece by piece, so that a bomb costs no more memory than a piece."""
    start, length = file.tell(), 0
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    while piece := inflate.unconsumed_tail or file.read(_PIECE):
        length += len(inflate.decompress(piece, _PIECE))
        if length > most:
            raise ImageRejected(Reason.TOO_LARGE)
    file.seek(start)
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read())


@contextmanager
def silenced() -> Iterator[None]:
    """Keep pydicom from writing header values, which are patient data, to warnings and logs."""
    log = logging.getLogger("pydicom")
    was_disabled, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = was_disabled
