"""What goes wrong with a chest film before it reaches the node, drawn from good films; and what never was a film.

A hospital has thousands of good films and few of each mishap, but a mishap is easily made from a good film. How bright,
how hard and how tightly framed a film is, on the other hand, is no mishap: `another_exposure` makes more good films.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inference.prediction import Reason

Picture = NDArray[np.float32]

_FRAME: Final = 0.06  # of a side: how much tighter, or how broad a border
_GAMMA: Final = (0.6, 1.6)
_BLACK: Final = (0.0, 0.12)  # grey that a harder film shows as black
_WHITE: Final = (0.85, 1.0)
_WHITE_BORDERS: Final = 0.3  # the share of them; the others are black
# Lungs fill a film from about 8 % to 92 % of its width and from 10 % to 85 % of its height. So much must be cut off a
# side before a third of a lung is missing, and up to a quarter of the film more.
_CUT: Final = {"left": 0.28, "right": 0.28, "top": 0.36, "bottom": 0.42}
_CUT_MORE: Final = 0.25
_CANVAS: Final = 256  # pixels a side of a picture that never was a film


def another_exposure(pixels: Picture, random: np.random.Generator) -> Picture:
    """The same film, brighter or darker, harder or softer, framed more tightly or with borders."""
    rows, columns = pixels.shape
    top, bottom = (int(rows * random.uniform(0.0, _FRAME)) for _ in range(2))
    left, right = (int(columns * random.uniform(0.0, _FRAME)) for _ in range(2))
    inside = (slice(top, rows - bottom), slice(left, columns - right))
    if random.random() < 0.5:
        framed = pixels[inside]
    else:
        framed = np.full_like(pixels, random.random() < _WHITE_BORDERS)
        framed[inside] = pixels[inside]
    curved = framed ** np.exp(random.uniform(*np.log(_GAMMA)))
    black, white = random.uniform(*_BLACK), random.uniform(*_WHITE)
    exposed: Picture = np.clip((curved - black) / (white - black), 0.0, 1.0).astype(np.float32)
    return exposed


def inverted(pixels: Picture, _: np.random.Generator) -> Picture:
    """Black for white: MONOCHROME1 taken for MONOCHROME2."""
    return np.float32(1.0) - pixels


def turned(pixels: Picture, random: np.random.Generator) -> Picture:
    """On its left or right side, or on its head, the last mirrored or not."""
    quarters = int(random.integers(4))
    return np.flipud(pixels) if quarters == 0 else np.rot90(pixels, quarters)


def cropped(pixels: Picture, random: np.random.Generator) -> Picture:
    """A third of a lung cut off, or more."""
    rows, columns = pixels.shape
    side = random.choice(tuple(_CUT))
    share = _CUT[side] + random.uniform(0.0, _CUT_MORE)
    high, wide = int(rows * share), int(columns * share)
    parts = {
        "left": pixels[:, wide:],
        "right": pixels[:, : columns - wide],
        "top": pixels[high:],
        "bottom": pixels[: rows - high],
    }
    return parts[side]


MISHAPS: Final[dict[Reason, Callable[[Picture, np.random.Generator], Picture]]] = {
    Reason.INVERTED: inverted,
    Reason.TURNED: turned,
    Reason.CROPPED: cropped,
}


def no_film(random: np.random.Generator) -> Picture:
    """Noise, a ramp, stripes or a disc: test patterns, and detectors read out without an exposure."""
    down, across = np.mgrid[0:_CANVAS, 0:_CANVAS] / _CANVAS
    patterns = (
        lambda: random.normal(0.0, 1.0, (_CANVAS, _CANVAS)),
        lambda: np.kron(random.normal(0.0, 1.0, (16, 16)), np.ones((_CANVAS // 16, _CANVAS // 16))),
        lambda: random.uniform(-1.0, 1.0) * down + random.uniform(-1.0, 1.0) * across,
        lambda: np.sin(random.uniform(5.0, 80.0) * down + random.uniform(0.0, 80.0) * across),
        lambda: np.hypot(down - 0.5, across - 0.5) < random.uniform(0.1, 0.4),
    )
    pattern = patterns[random.integers(len(patterns))]().astype(np.float64)
    flat = (pattern - pattern.min()) / np.ptp(pattern)
    grainy: Picture = np.clip(flat + random.normal(0.0, 0.05, flat.shape), 0.0, 1.0).astype(np.float32)
    return grainy
