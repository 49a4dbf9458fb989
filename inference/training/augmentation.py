"""Pictures changed as another day, machine or radiographer would have changed them.

Turned, scaled, shifted, brighter, harder, blurred, sharpened, noisier: all of these happen to chests. Flips do not: a
mirrored chest has its heart on the wrong side, and a network that never sees one may use the heart's outline.
"""

import math
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

_TURN: Final = 10.0  # degrees, each way
_SCALE: Final = (0.8, 1.15)  # of the part of the picture that is seen
_STRETCH: Final = 0.1  # of the aspect ratio
_SHIFT: Final = 0.12  # of half the side
_BRIGHTNESS: Final = 0.15
_CONTRAST: Final = (0.6, 1.5)
_GAMMA: Final = (0.6, 1.6)
_SHARPNESS: Final = 1.0  # -1 is blurred, +1 twice as sharp
_BLUR_SIGMA: Final = 1.3  # pixels
_NOISE: Final = 0.03


def augment(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Change each picture of a batch in its own way.

    Parameters
    ----------
    pictures
        (N, 1, side, side), 0..1.
    random
        Where all chance comes from: the same state, the same pictures.
    """
    count = pictures.shape[0]

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(count, generator=random).mul_(high - low).add_(low)[:, None, None, None]

    moved = _move(pictures, uniform)
    sharpened = moved + uniform(-_SHARPNESS, _SHARPNESS) * (moved - _blur(moved))
    gamma = torch.exp(uniform(math.log(_GAMMA[0]), math.log(_GAMMA[1])))
    curved = sharpened.clamp(0.0, 1.0) ** gamma
    contrast = torch.exp(uniform(math.log(_CONTRAST[0]), math.log(_CONTRAST[1])))
    lit = (curved - 0.5) * contrast + 0.5 + uniform(-_BRIGHTNESS, _BRIGHTNESS)
    grain = torch.randn(lit.shape, generator=random) * uniform(0.0, _NOISE)
    return (lit + grain).clamp(0.0, 1.0)


def _move(pictures: Tensor, uniform: Callable[[float, float], Tensor]) -> Tensor:
    """Turn, scale, stretch and shift; what comes in from outside is black, as a collimator's blades are."""
    angle = uniform(-_TURN, _TURN).flatten() * (math.pi / 180.0)
    scale = uniform(*_SCALE).flatten()
    stretch = torch.exp(uniform(-_STRETCH, _STRETCH).flatten())
    wide, high = scale * stretch, scale / stretch
    matrix = torch.stack(
        [
            torch.stack(
                [wide * torch.cos(angle), -high * torch.sin(angle), uniform(-_SHIFT, _SHIFT).flatten()], 1
            ),
            torch.stack(
                [wide * torch.sin(angle), high * torch.cos(angle), uniform(-_SHIFT, _SHIFT).flatten()], 1
            ),
        ],
        1,
    )
    grid = functional.affine_grid(matrix, list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _blur(pictures: Tensor) -> Tensor:
    """A Gaussian of fixed width; how much of it shows is chosen by the caller."""
    offsets = torch.arange(-4, 5, dtype=torch.float32)
    weights = torch.exp(-0.5 * (offsets / _BLUR_SIGMA) ** 2)
    weights = (weights / weights.sum())[None, None, :, None]
    padded = functional.pad(pictures, (4, 4, 4, 4), mode="replicate")
    rows: Tensor = functional.conv2d(padded, weights)
    return functional.conv2d(rows, weights.transpose(2, 3))
