"""A picture as the network sees it: one function for training and for the node.

What differs between two films of the same chest (window, exposure, borders, size) is taken out here, and nothing is
done twice elsewhere: a model is only as good as the likeness of its training pictures to the hospital's.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Pixels at the very ends are collimator, padding, lead letters and clipped air: they say nothing of the exposure.
_BLACKEST: Final = 0.004
_WHITEST: Final = 0.996
_PERCENTILES: Final = (1.0, 99.0)
_SAMPLE: Final = 512  # rows and columns that percentiles are taken from: 0.1 % off, a hundred times faster
_FEWEST: Final = 0.05  # a picture with less than this share between the ends is measured whole


def network_input(pixels: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Stretch a picture's contrast to 0..1 and resample it to a square.

    The aspect ratio is not kept: the training films are squashed to squares too. Where Pillow shrinks a picture, its
    bilinear filter is as wide as the source pixels that make one of the result, so nothing is skipped.

    Parameters
    ----------
    pixels
        (rows, columns), 0 = black to 1 = white, as a viewer shows it.
    side
        The network's input size in pixels.

    Returns
    -------
    (side, side), 0..1.
    """
    low, high = _contrast(pixels)
    small = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR))
    # Resampling first is the same for all but clipped pixels, and stretches 50,000 pixels instead of 5 million.
    stretched: NDArray[np.float32] = np.clip((small - low) / (high - low), 0.0, 1.0).astype(np.float32)
    return stretched


def _contrast(pixels: NDArray[np.float32]) -> tuple[float, float]:
    """The grey values that become black and white."""
    rows, columns = pixels.shape
    sample = pixels[:: max(1, rows // _SAMPLE), :: max(1, columns // _SAMPLE)]
    inside = sample[(sample > _BLACKEST) & (sample < _WHITEST)]
    if inside.size < _FEWEST * sample.size:
        inside = sample.ravel()
    low, high = np.percentile(inside, _PERCENTILES)
    return float(low), float(max(high, low + 1e-3))
