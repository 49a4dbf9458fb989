"""DICOM files from anywhere: broken in any way, and full of what must not be told."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom import Dataset, dcmread

from inference.errors import ImageRejected
from inference.prediction import Reason


def open_dicom(path: Path, *, header_only: bool = False) -> Dataset:
    """Open a DICOM file, with or without its pixels.

    Raises
    ------
    ImageRejected
        It is none that can be read. What is wrong with the machine (the disk, its memory) is raised as it is.
    """
    try:
        return dcmread(path, stop_before_pixels=header_only)
    except (OSError, MemoryError):
        raise  # says nothing of the file's content
    except Exception as error:
        # pydicom meets broken files with whatever exception its parser runs into.
        raise ImageRejected(Reason.UNREADABLE_FILE) from error


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
