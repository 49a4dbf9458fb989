"""Where the classifier looked: its activation as a map for the heatmap picture and as boxes for the report."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.prediction import Attention, Region

_FINENESS: Final = 8  # cells of the finer map to a cell of the activation, a side
_LEVEL: Final = 0.5  # of the peak: what lies above belongs to a region
_MOST_REGIONS: Final = 3


def attention_from(activation: NDArray[np.float32]) -> Attention:
    """Scale an activation so that its peak is 1; what speaks against the finding is 0.

    A film may be flagged although no part of it speaks for the finding by itself; then the scale is from the part that
    speaks against it most to the one that does so least.
    """
    lowest, peak = float(activation.min()), float(activation.max())
    floor = 0.0 if peak > 0 else lowest
    scale = peak - floor
    grid = (
        np.clip((activation.astype(np.float64) - floor) / scale, 0.0, 1.0)
        if scale > 0
        else np.ones_like(activation)
    )
    rows, columns = grid.shape
    return Attention(rows, columns, tuple(round(float(value), 4) for value in grid.ravel()))


def regions_from(attention: Attention, rows: int, columns: int) -> tuple[Region, ...]:
    """Boxes around the connected parts of the map above half of its peak, in pixels of an image of that size.

    Returns
    -------
    One to three regions, the one with the highest peak first.
    """
    grid = np.array(attention.values).reshape(attention.rows, attention.columns)
    fine = ndimage.zoom(grid, _FINENESS, order=1, mode="nearest", grid_mode=True)
    parts, count = ndimage.label(fine >= _LEVEL * fine.max())
    peaks = ndimage.maximum(fine, parts, range(1, count + 1))
    boxes = ndimage.find_objects(parts)
    strongest = sorted(range(count), key=lambda part: -peaks[part])[:_MOST_REGIONS]
    return tuple(_in_pixels(boxes[part], fine.shape, rows, columns) for part in strongest)


def _in_pixels(box: tuple[slice, slice], shape: tuple[int, ...], rows: int, columns: int) -> Region:
    down, across = box
    return Region(
        left=across.start * columns // shape[1],
        top=down.start * rows // shape[0],
        right=-(-across.stop * columns // shape[1]),
        bottom=-(-down.stop * rows // shape[0]),
    )
