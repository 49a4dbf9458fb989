"""The colours that attention is shown in: an outline's, and the heatmap's scale, 256 steps that look equally far apart.

In CIE LCh (D65) lightness rises and hue turns from violet over red to yellow, both in equal steps, at one chroma that
a screen can show throughout. So a step in attention is a step for the eye, in print and for colour-blind readers too;
rainbow scales draw edges where there are none.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

OUTLINE = (120, 255, 214)
"""Mint, sRGB: not on the scale, and bright on lung and bone."""

LEVELS = 256
_DARKEST, _LIGHTEST = 25.0, 92.0
_FIRST_HUE, _LAST_HUE = -50.0, 100.0  # degrees: violet, yellow
_CHROMA = 56.0
_WHITE = np.array([0.95047, 1.0, 1.08883])  # D65
_XYZ_TO_LINEAR = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)


@cache
def colour_scale() -> NDArray[np.uint8]:
    """The scale from no attention to its peak.

    Returns
    -------
    NDArray[np.uint8]
        (256, 3), sRGB, read-only.
    """
    lightness = np.linspace(_DARKEST, _LIGHTEST, LEVELS)
    hue = np.radians(np.linspace(_FIRST_HUE, _LAST_HUE, LEVELS))
    y = (lightness + 16) / 116
    relative = np.stack([y + _CHROMA * np.cos(hue) / 500, y, y - _CHROMA * np.sin(hue) / 200], axis=1)
    xyz = np.where(relative > 6 / 29, relative**3, 3 * (6 / 29) ** 2 * (relative - 4 / 29)) * _WHITE
    linear = xyz @ _XYZ_TO_LINEAR.T
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    scale: NDArray[np.uint8] = np.rint(encoded * 255).astype(np.uint8)
    scale.flags.writeable = False
    return scale
