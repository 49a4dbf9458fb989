"""Pictures changed as another day, machine or radiographer would have changed them.

Turned, scaled, shifted, brighter, harder, blurred, sharpened, noisier, processed by another maker's software, cut by a
collimator: all of these happen to chests. Flips do not: a mirrored chest has its heart on the wrong side, and a network
that never sees one may use the heart's outline.
"""

import math
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

_TURN: Final = 12.0  # degrees, each way
_SCALE: Final = (0.75, 1.15)  # of the part of the picture that is seen
_STRETCH: Final = 0.12  # of each side
_SHIFT: Final = 0.12  # of half the side
_BRIGHTNESS: Final = 0.15
_CONTRAST: Final = (0.65, 1.4)
_GAMMA: Final = (0.6, 1.6)
_SHARPNESS: Final = 1.0  # -1 is blurred, +1 twice as sharp
_FINE: Final = 1.3  # pixels: what blurring and sharpening work on
_LOCAL_CONTRAST: Final = (-0.3, 0.7)  # how much makers' processing lifts structures of half a rib's distance
_COARSE: Final = 9.0  # pixels
_NOISE: Final = 0.03
_BORDER: Final = 0.1  # of the side: as far as a collimator's blade comes in
_BORDERED: Final = 0.3  # of the sides of pictures

_Uniform = Callable[[float, float], Tensor]


def augment(pictures: Tensor, masks: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Change each picture of a batch in its own way, and move its mask with it.

    Parameters
    ----------
    pictures, masks
        (N, 1, side, side), 0..1.
    random
        Where all chance comes from: the same state, the same pictures.
    """
    count = pictures.shape[0]

    def uniform(low: float, high: float) -> Tensor:
        chance = torch.rand(count, generator=random).mul_(high - low).add_(low)
        return chance[:, None, None, None].to(pictures.device)

    moved = _move(torch.cat([pictures, masks], dim=1), uniform)
    seen = moved[:, :1]
    seen = seen + uniform(-_SHARPNESS, _SHARPNESS) * (seen - _blur(seen, _FINE))
    seen = seen + uniform(*_LOCAL_CONTRAST) * (seen - _wide_blur(seen))
    gamma = torch.exp(uniform(math.log(_GAMMA[0]), math.log(_GAMMA[1])))
    curved = seen.clamp(0.0, 1.0) ** gamma
    contrast = torch.exp(uniform(math.log(_CONTRAST[0]), math.log(_CONTRAST[1])))
    lit = (curved - 0.5) * contrast + 0.5 + uniform(-_BRIGHTNESS, _BRIGHTNESS)
    grain = torch.randn(lit.shape, generator=random).to(pictures.device) * uniform(0.0, _NOISE)
    finished = ((lit + grain).clamp(0.0, 1.0)) * _collimator(pictures.shape[-1], uniform)
    return finished, moved[:, 1:]


def _move(pictures: Tensor, uniform: _Uniform) -> Tensor:
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


def _collimator(side: int, uniform: _Uniform) -> Tensor:
    """(N, 1, side, side): 0 under the blades that come in from some of the four sides, 1 elsewhere."""
    place = (torch.arange(side) + 0.5) / side
    open_ = uniform(1.0, 1.0)
    for across in (place[None, None, None, :], place[None, None, :, None]):
        for distance in (across, 1.0 - across):
            blade = uniform(0.0, _BORDER) * (uniform(0.0, 1.0) < _BORDERED)
            open_ = open_ * (distance.to(blade.device) >= blade)
    return open_


def _blur(pictures: Tensor, sigma: float) -> Tensor:
    """A Gaussian; how much of it shows is chosen by the caller."""
    reach = math.ceil(3 * sigma)
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float32, device=pictures.device)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    weights = (weights / weights.sum())[None, None, :, None]
    padded = functional.pad(pictures, (reach, reach, reach, reach), mode="replicate")
    rows: Tensor = functional.conv2d(padded, weights)
    return functional.conv2d(rows, weights.transpose(2, 3))


def _wide_blur(pictures: Tensor) -> Tensor:
    """A wide Gaussian, made on a picture of a quarter of the side, where it costs a sixteenth."""
    small = functional.avg_pool2d(pictures, 4, ceil_mode=True)
    return functional.interpolate(
        _blur(small, _COARSE / 4), size=pictures.shape[-2:], mode="bilinear", align_corners=False
    )
