"""Radiographs as PNG and JPEG files, which carry grey values alone: no window, no view, no patient."""

from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from inference.decoding import SMALLEST_SIDE
from inference.errors import ImageRejected
from inference.prediction import Reason
from inference.radiograph import Radiograph, luminance

_BEGINNINGS: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_FORMATS: Final = ("PNG", "JPEG")


def is_picture(path: Path) -> bool:
    """Tell whether a file begins as a PNG or JPEG file does."""
    with path.open("rb") as file:
        return file.read(8).startswith(_BEGINNINGS)


def read_picture(path: Path, largest: int) -> Radiograph:
    """Read a picture of at most `largest` pixels as a radiograph: its lightest grey is white, its darkest black.

    Raises
    ------
    ImageRejected
        It is too small or too large, coloured, or cannot be decoded.
    """
    try:
        with Image.open(path, formats=_FORMATS) as picture:
            _require_size(picture.width, picture.height, largest)
            return _radiograph(picture)
    except (ImageRejected, MemoryError):
        raise
    except Image.DecompressionBombError as error:  # Pillow's own limit
        raise ImageRejected(Reason.TOO_LARGE) from error
    except Exception as error:
        # Pillow meets broken files with whatever exception its parser runs into
        raise ImageRejected(Reason.UNDECODABLE_PIXELS) from error


def _require_size(columns: int, rows: int, largest: int) -> None:
    """Look at the size that the file tells, before it is decoded."""
    if columns * rows > largest:
        raise ImageRejected(Reason.TOO_LARGE)
    if min(columns, rows) < SMALLEST_SIDE:
        raise ImageRejected(Reason.TOO_SMALL)


def _radiograph(picture: Image.Image) -> Radiograph:
    if picture.mode.startswith("I"):  # 16 bits, which Pillow would clip to 8
        return Radiograph(np.asarray(picture, np.float32) / np.float32(65535))
    if picture.mode in ("L", "1"):
        return Radiograph(np.asarray(picture.convert("L"), np.float32) / np.float32(255))
    return Radiograph(luminance(np.asarray(picture.convert("RGB"))))
