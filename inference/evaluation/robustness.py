"""What may differ between two films of the same chest without changing what is said of them.

Window and brightness are those of a workstation or a modality; borders, size and proportions those of a digitiser or
a converter.
"""

import io
from typing import Final

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from scipy import ndimage

from inference.evaluation.changes import Change, Pixels
from inference.radiograph import read_radiograph

_LEVELS: Final = 65535  # the largest value of 16 bits


def _window(width: float, shift: float = 0.0) -> Change:
    """Show a window of this width, 1 being all grey values; what is shifted up looks brighter."""
    return lambda pixels: np.clip(
        (pixels - np.float32(0.5)) / np.float32(width) + np.float32(0.5 + shift), 0, 1
    )


def as_monochrome1(pixels: Pixels) -> Pixels:
    """Store a film with its values inverted, as MONOCHROME1, and read it as the node does: nothing may change."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 0
    # A LINEAR window over all values (PS3.3 C.11.2.1.2.1): without one the node would make its own.
    dataset.WindowCenter, dataset.WindowWidth = 2**15, 2**16
    stored = _LEVELS - np.rint(pixels * _LEVELS).astype("<u2")
    dataset.add_new("PixelData", "OW", stored.tobytes())
    return read_radiograph(dataset).pixels


def _bordered(share: float, grey: float) -> Change:
    """Put a border around the film, this share of its sides wide."""

    def change(pixels: Pixels) -> Pixels:
        rows, columns = (round(side * share) for side in pixels.shape)
        return np.pad(pixels, ((rows, rows), (columns, columns)), constant_values=grey)

    return change


def _resampled(down: float, across: float) -> Change:
    """Make the film so many times as high and as wide."""

    def change(pixels: Pixels) -> Pixels:
        rows, columns = pixels.shape
        size = round(columns * across), round(rows * down)
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))

    return change


def _as_jpeg(pixels: Pixels) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(file, "JPEG", quality=50)
    return np.asarray(Image.open(file), np.float32) / np.float32(255)


def _turned(degrees: float) -> Change:
    def change(pixels: Pixels) -> Pixels:
        turned: Pixels = ndimage.rotate(pixels, degrees, reshape=False, order=1, mode="nearest")
        return turned

    return change


CHANGES: Final[dict[str, Change]] = {
    "window a quarter narrower": _window(0.75),
    "window a quarter wider": _window(1.25),
    "a tenth brighter": _window(1, 0.1),
    "a tenth darker": _window(1, -0.1),
    "MONOCHROME1": as_monochrome1,
    "black border of 5 %": _bordered(0.05, 0),
    "black border of 10 %": _bordered(0.1, 0),
    "white border of 5 %": _bordered(0.05, 1),
    "white border of 10 %": _bordered(0.1, 1),
    "a tenth wider": _resampled(1, 1.1),
    "a tenth narrower": _resampled(1, 0.9),
    "half the size": _resampled(0.5, 0.5),
    "double the size": _resampled(2, 2),
    "8-bit JPEG, quality 50": _as_jpeg,
    "turned left by 5 degrees": _turned(5),
    "turned right by 5 degrees": _turned(-5),
}
"""By name; scores should hold under each."""
