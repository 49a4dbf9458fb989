"""Where the classifier looked: its activation as a map for the heatmap picture, as boxes and as a side for the report.

Only what lies in the lungs is shown, where both were found: a white lung may be the one that was not. A classifier's
cells are coarse, a fourteenth of the film's side, and pneumonia is not in the spine; how often the unrestricted peak
lies outside is measured by `dicom-node evaluate --full`.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.lungs import Lungs
from inference.prediction import Attention, Region, Side

_CELLS: Final = 28  # a side of the kept map: lungs keep their outline, a prediction stays a few kB
_FINENESS: Final = 4  # cells that boxes are drawn on to a cell of the map, a side
_LEVEL: Final = 0.5  # of the peak: what lies above belongs to a region
_MOST_REGIONS: Final = 3
_SMALLEST: Final = 0.002  # of the film: what is smaller than a thumbnail is the edge of another region
_ONE_SIDED: Final = 0.9  # of the regions' attention in one lung: that side alone is named


def attention_from(activation: NDArray[np.float32], lungs: Lungs) -> Attention:
    """Scale an activation so that its peak in the lungs is 1; what speaks against the finding is 0.

    A film may be likely or uncertain although no part of it speaks for the finding by itself; then the scale is from
    the part that speaks against it most to the one that does so least. Where not both lungs were found the whole film
    counts.
    """
    fine = _resampled(activation.astype(np.float64))
    inside = _softened(lungs)
    seen = fine[inside > 0]
    lowest, peak = float(seen.min()), float(seen.max())
    floor = 0.0 if peak > 0 else lowest
    scale = peak - floor
    grid = (np.clip((fine - floor) / scale, 0.0, 1.0) if scale > 0 else np.ones_like(fine)) * inside
    grid /= grid.max()
    return Attention(_CELLS, _CELLS, tuple(round(float(value), 3) for value in grid.ravel()))


def regions_from(attention: Attention, rows: int, columns: int) -> tuple[Region, ...]:
    """Boxes around the connected parts of the map above half of its peak, in pixels of an image of that size.

    Returns
    -------
    One to three regions, the one with the highest peak first.
    """
    grid = _grid(attention)
    fine = ndimage.zoom(grid, _FINENESS, order=1, mode="nearest", grid_mode=True)
    parts, count = ndimage.label(fine >= _LEVEL * fine.max())
    numbers = range(1, count + 1)
    peaks = ndimage.maximum(fine, parts, numbers)
    sizes = ndimage.sum_labels(parts > 0, parts, numbers)
    boxes = ndimage.find_objects(parts)
    strongest = sorted(range(count), key=lambda part: -peaks[part])
    kept = [part for part in strongest if sizes[part] >= _SMALLEST * fine.size] or strongest[:1]
    return tuple(_in_pixels(boxes[part], fine.shape, rows, columns) for part in kept[:_MOST_REGIONS])


def side_of(attention: Attention, lungs: Lungs, rows_run_to: str) -> Side | None:
    """Name the patient's lung that holds the attention, or both.

    Parameters
    ----------
    rows_run_to
        Where the picture's rows run to, the first value of Patient Orientation (PS3.3 C.7.6.1.1.1): L in a film that
        hangs as usual, and taken for that where it is empty; R in one that was stored mirrored.

    Returns
    -------
    None where the lungs were not both found, where neither holds any attention, and where rows run to neither side.
    """
    if not lungs.found or rows_run_to[:1] not in ("", "L", "R"):
        return None
    grid = _grid(attention)
    grid[grid < _LEVEL * grid.max()] = 0.0  # no region is made of it, and words and boxes must agree
    right, left = (
        float((grid * _shrunk(lung.astype(np.float64))).sum()) for lung in (lungs.right, lungs.left)
    )
    if rows_run_to.startswith("R"):
        right, left = left, right
    if not right + left:
        return None
    if right >= _ONE_SIDED * (right + left):
        return Side.RIGHT
    return Side.LEFT if left >= _ONE_SIDED * (right + left) else Side.BILATERAL


def _grid(attention: Attention) -> NDArray[np.float64]:
    return np.array(attention.values).reshape(attention.rows, attention.columns)


def _softened(lungs: Lungs) -> NDArray[np.float64]:
    """The lungs with a cell around them, as far as their outline can be trusted; everything where one is missing."""
    both = lungs.both
    seen = ndimage.binary_dilation(both) if lungs.found else np.ones_like(both)
    return _shrunk(seen.astype(np.float64))


def _shrunk(mask: NDArray[np.float64]) -> NDArray[np.float64]:
    """A mask at the size of the map: the share of each cell that it covers."""
    cell = mask.shape[0] // _CELLS
    covered: NDArray[np.float64] = mask.reshape(_CELLS, cell, _CELLS, cell).mean(axis=(1, 3))
    return covered


def _resampled(activation: NDArray[np.float64]) -> NDArray[np.float64]:
    """An activation at the size of the map, between its cells in straight lines."""
    rows, columns = activation.shape
    fine: NDArray[np.float64] = ndimage.zoom(
        activation, (_CELLS / rows, _CELLS / columns), order=1, mode="nearest", grid_mode=True
    )
    return fine


def _in_pixels(box: tuple[slice, slice], shape: tuple[int, ...], rows: int, columns: int) -> Region:
    down, across = box
    return Region(
        left=across.start * columns // shape[1],
        top=down.start * rows // shape[0],
        right=-(-across.stop * columns // shape[1]),
        bottom=-(-down.stop * rows // shape[0]),
    )
