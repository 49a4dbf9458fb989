"""A film for a screen on which somebody lays a window over it: its own 12 to 16 bits, and what they mean.

A sample stands for a value: `value = intercept + slope * sample`. Where the film's header says that in another way than
by a line (a modality LUT), its values are put on a line of 65,535 steps.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from inference.decoding import LARGEST_IMAGE, decode
from inference.lookup import Values
from inference.radiograph import GreyScale, luminance, read_grey_scale

_MOST: Final = 65535
_DARK, _LIGHT = 0.01, 0.99
"""Between these shares of the grey scale lies a window."""

Samples = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class SampledFilm:
    """A film's samples, (rows, columns), and how to show them.

    Parameters
    ----------
    slope, intercept
        Of the line from samples to values.
    centre, width
        The window, over values, that is nearest to how a viewer shows the film first.
    is_inverted
        Higher values are darker.
    grey
        How a viewer shows each sample first, 0 to 255, from sample 0 on.
    padding
        The first and the last sample that fill the picture up and are black whatever the window is, or None.
    """

    samples: Samples
    slope: float
    intercept: float
    centre: float
    width: float
    is_inverted: bool
    grey: bytes
    padding: tuple[int, int] | None


def read_samples(dataset: Dataset, largest: int = LARGEST_IMAGE) -> SampledFilm:
    """Read a film. Raises ImageRejected as `read_radiograph`."""
    stored = decode(dataset, largest)
    if stored.ndim == 3:
        grey = np.rint(luminance(stored) * 255).astype(np.uint16)
        return SampledFilm(grey, 1.0, 0.0, 127.5, 255.0, False, bytes(range(256)), None)
    scale = read_grey_scale(dataset, stored)
    places, slope, intercept = _on_a_line(scale)
    centre, width, is_inverted = _window(scale)
    return SampledFilm(
        samples=places[stored.astype(np.intp) - scale.lowest],
        slope=slope,
        intercept=intercept,
        centre=centre,
        width=width,
        is_inverted=is_inverted,
        grey=_grey(scale, places),
        padding=_ends(places[scale.padding]),
    )


def reduced(samples: Samples, step: int) -> Samples:
    """Return the means of squares of `step` by `step` samples; what is left at the right and below is left out."""
    rows, columns = (side // step for side in samples.shape)
    squares = samples[: rows * step, : columns * step].reshape(rows, step, columns, step)
    sums = squares.sum(axis=(1, 3), dtype=np.uint64)
    means: Samples = ((sums + step * step // 2) // (step * step)).astype(np.uint16)
    return means


def _on_a_line(scale: GreyScale) -> tuple[Samples, float, float]:
    """Return the sample of each stored value, and slope and intercept of the line from samples to values."""
    steps = np.diff(scale.values)
    if steps.size == 0 or (steps[0] != 0 and np.allclose(steps, steps[0])):
        slope = float(steps[0]) if steps.size else 1.0
        return np.arange(scale.values.size, dtype=np.uint16), slope, float(scale.values[0])
    lowest, highest = float(scale.values.min()), float(scale.values.max())
    slope = max(highest - lowest, 1.0) / (_MOST - 1)
    places = 1 + np.rint((scale.values - lowest) / slope).astype(np.uint16)
    places[scale.padding] = 0  # of its own, whatever value it has
    return places, slope, lowest - slope


def _window(scale: GreyScale) -> tuple[float, float, bool]:
    values, shown = scale.values[~scale.padding], scale.shown[~scale.padding]
    if not values.size:
        return 0.5, 1.0, False
    order = np.argsort(values, kind="stable")
    values, shown = values[order], shown[order]
    is_inverted = bool(shown[-1] < shown[0])
    rising: Values = 1.0 - shown if is_inverted else shown
    inside = (rising > _DARK) & (rising < _LIGHT)
    low, high = float(values[0]), float(values[-1])
    if inside.any() and rising[inside][-1] > rising[inside][0]:
        # the line through its ends, which may lie beyond what the film holds
        first, last = rising[inside][0], rising[inside][-1]
        width = float((values[inside][-1] - values[inside][0]) / (last - first))
        low = float(values[inside][0] - first * width)
        high = low + width
    # a window of width w shows w - 1 steps (PS3.3 C.11.2.1.2)
    return (low + high) / 2 + 0.5, max(high - low, 1.0) + 1.0, is_inverted


def _grey(scale: GreyScale, places: Samples) -> bytes:
    order = np.argsort(places, kind="stable")
    every = np.interp(np.arange(int(places.max()) + 1), places[order], scale.shown[order])
    return np.rint(np.clip(every, 0.0, 1.0) * 255).astype(np.uint8).tobytes()


def _ends(padding: Samples) -> tuple[int, int] | None:
    return (int(padding.min()), int(padding.max())) if padding.size else None
