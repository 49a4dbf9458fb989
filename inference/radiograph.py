"""A radiograph as a radiologist sees it on a screen: from a DICOM data set to grey values.

Everything after this looks at the same picture, whatever the detector, its bits, its polarity or its window.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from inference.decoding import LARGEST_IMAGE, StoredValues, decodable_transfer_syntaxes, decode
from inference.errors import ImageRejected
from inference.header import number, text, whole
from inference.lookup import Values, modality_values, shown_by_header
from inference.prediction import Reason

__all__ = ["Radiograph", "decodable_transfer_syntaxes", "luminance", "read_grey_scale", "read_radiograph"]

# A window of our own shows all but the darkest and lightest half percent, where collimator and lead letters lie.
_PERCENTILES: Final = (0.5, 99.5)
# A header's window under which the middle 98 % of the pixels share less than this part of the grey scale is not in use.
_LEAST_SPREAD: Final = 0.2
# Grey pictures sent as colour differ between their channels by what JPEG does; a coloured marker is more than that.
_GREY_TOLERANCE: Final = 0.06
_GREY_SHARE: Final = 99.5  # percent of the pixels
_PORTION_PIXELS: Final = 128 * 1024


@dataclass(frozen=True, slots=True)
class Radiograph:
    """A film in its display orientation, as stored.

    `pixels` is (rows, columns), float32, 0 = black to 1 = white, as a viewer would show it: bone white, air black.
    """

    pixels: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class GreyScale:
    """What stands for each stored value from `lowest` on.

    `values` are those that a window is laid over (after the modality LUT), `shown` their grey as a viewer shows it
    first, 0..1 with the film's polarity, and `padding` tells which of them fill the picture up and are black.
    """

    lowest: int
    values: Values
    shown: Values
    padding: NDArray[np.bool_]


def read_radiograph(dataset: Dataset, largest: int = LARGEST_IMAGE) -> Radiograph:
    """Make the picture that a viewer would show first (PS3.4 N.2: modality LUT, VOI LUT, presentation LUT).

    Raises
    ------
    ImageRejected
        There is no picture of one grey frame of at most `largest` pixels, or it cannot be decoded.
    """
    stored = decode(dataset, largest)
    if stored.ndim == 3:
        return Radiograph(luminance(stored))
    scale = read_grey_scale(dataset, stored)
    table = scale.shown.astype(np.float32)
    pixels = np.empty(stored.shape, dtype=np.float32)
    for rows in _portions(stored):
        # "clip" writes straight to `out`; no offset is beyond the table
        np.take(table, _offsets(stored[rows], scale.lowest), out=pixels[rows], mode="clip")
    return Radiograph(pixels)


def read_grey_scale(dataset: Dataset, stored: StoredValues) -> GreyScale:
    """Tell what the stored values of a grey picture mean, and how a viewer would show each first."""
    lowest, highest = int(stored.min()), int(stored.max())
    levels = np.arange(lowest, highest + 1, dtype=np.float64)
    counts = np.zeros(levels.size, dtype=np.int64)
    for rows in _portions(stored):
        counts += np.bincount(_offsets(stored[rows], lowest).ravel(), minlength=levels.size)
    padding = _padding(dataset, levels)
    counts[padding] = 0
    grey = _display(dataset, levels, counts)
    grey[padding] = 0.0
    return GreyScale(lowest, modality_values(dataset, levels), grey, padding)


def _portions(stored: StoredValues) -> Iterator[slice]:
    """Rows that fit into a processor's cache together, which is faster than all at once."""
    step = max(1, _PORTION_PIXELS // stored.shape[1])
    return (slice(row, row + step) for row in range(0, stored.shape[0], step))


def _offsets(stored: StoredValues, lowest: int) -> NDArray[np.intp]:
    offsets = stored.astype(np.intp)
    offsets -= lowest  # converting while subtracting takes longer than one after the other
    return offsets


def _display(dataset: Dataset, levels: Values, counts: NDArray[np.int64]) -> Values:
    """The grey value, 0..1, of each stored value; `counts` tells how many pixels have it."""
    inputs = modality_values(dataset, levels)
    if text(dataset, "PresentationIntentType") == "FOR PROCESSING":
        return _processed(dataset, inputs, counts)
    grey = shown_by_header(dataset, inputs)
    if grey is None or _spread(grey, counts, (1.0, 99.0)) < _LEAST_SPREAD:
        grey = _percentile_window(inputs, counts)
    return 1.0 - grey if text(dataset, "PhotometricInterpretation") == "MONOCHROME1" else grey


def _processed(dataset: Dataset, inputs: Values, counts: NDArray[np.int64]) -> Values:
    """Make a raw detector image fit to look at (DX For Processing, PS3.3 C.8.11.3.1.2).

    Its values stand for the intensity of the X-rays, in a line or a logarithm; which way is told by Pixel Intensity
    Relationship Sign, and by the photometric interpretation where that is missing.
    """
    sign = whole(dataset, "PixelIntensityRelationshipSign")
    if sign not in (1, -1):
        sign = 1 if text(dataset, "PhotometricInterpretation") == "MONOCHROME1" else -1
    intensity = sign * inputs
    if text(dataset, "PixelIntensityRelationship") == "LIN":
        intensity = np.log1p(intensity - intensity.min())
    return _percentile_window(-intensity, counts)  # where fewer X-rays arrive is bone, and white


def _percentile_window(inputs: Values, counts: NDArray[np.int64]) -> Values:
    """Stretch what most pixels hold over the whole grey scale."""
    low, high = _percentiles(inputs, counts, _PERCENTILES)
    if high <= low:
        return np.zeros_like(inputs)
    return np.clip((inputs - low) / (high - low), 0.0, 1.0)


def _spread(inputs: Values, counts: NDArray[np.int64], percents: tuple[float, float]) -> float:
    low, high = _percentiles(inputs, counts, percents)
    return high - low


def _percentiles(
    inputs: Values, counts: NDArray[np.int64], percents: tuple[float, float]
) -> tuple[float, float]:
    """Percentiles of a picture whose value `inputs[i]` occurs `counts[i]` times."""
    total = counts.sum()
    if not total:  # nothing but padding
        return 0.0, 0.0
    order = np.argsort(inputs, kind="stable")
    shares = np.cumsum(counts[order]) / total * 100.0
    low, high = (float(inputs[order[np.searchsorted(shares, percent)]]) for percent in percents)
    return low, high


def _padding(dataset: Dataset, levels: Values) -> NDArray[np.bool_]:
    """Which stored values fill the picture up (Pixel Padding Value and Range Limit, PS3.3 C.7.5.1.1.2)."""
    ends = [
        _as_stored(dataset, value)
        for value in (number(dataset, "PixelPaddingValue"), number(dataset, "PixelPaddingRangeLimit"))
        if value is not None
    ]
    if not ends or number(dataset, "PixelPaddingValue") is None:
        return np.zeros(levels.shape, dtype=np.bool_)
    return (levels >= min(ends)) & (levels <= max(ends))


def _as_stored(dataset: Dataset, value: float) -> float:
    """Undo that a header without explicit VRs cannot tell a signed value from an unsigned one."""
    bits = whole(dataset, "BitsAllocated") or 16
    signed = whole(dataset, "PixelRepresentation") == 1
    return value - 2**bits if signed and value >= 2 ** (bits - 1) else value


def luminance(colours: StoredValues) -> NDArray[np.float32]:
    """Return the grey, 0..1, of a grey picture that was sent in colour, (rows, columns, 3), as film digitisers do.

    Raises
    ------
    ImageRejected
        It has colours.
    """
    scaled = colours.astype(np.float32) / np.float32(np.iinfo(colours.dtype).max)
    differences = scaled.max(axis=2) - scaled.min(axis=2)
    if float(np.percentile(differences, _GREY_SHARE)) > _GREY_TOLERANCE:
        raise ImageRejected(Reason.COLOUR)
    grey: NDArray[np.float32] = scaled @ np.array([0.299, 0.587, 0.114], np.float32)
    return grey
