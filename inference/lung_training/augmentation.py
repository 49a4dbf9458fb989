"""Films with known lungs, changed: moved, ill, crossed by tubes, framed, and turned into what is no chest at all.

An opacity is painted over a lung that was clear, so that the answer to learn is still the whole lung. What is no
upright frontal chest has no lungs: the network then says so, instead of drawing lungs into anything.
"""

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

_TURN: Final = 18.0  # degrees, each way
_SCALE: Final = (0.7, 1.45)  # of the part of the picture that is seen
_STRETCH: Final = 0.2  # of each side
_SHIFT: Final = 0.25  # of half the side
_MIRRORED: Final = 0.5  # lungs are named by where they lie in the picture, so a mirrored film teaches too
_ILL: Final = 0.6
_FRAMED: Final = 0.25
_TUBES: Final = 3  # at most, of a film
_NEGATIVE: Final = 0.16
_TILES: Final = 4  # a side, of a film that is torn to pieces


class LungAugmentation:
    """Changes each film of a batch in its own way; the same generator state gives the same films."""

    def __init__(self, random: torch.Generator) -> None:
        self._random = random

    def __call__(self, pictures: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Change pictures (N, 1, side, side), 0..1, and with them the masks (N, 2, side, side), 0..1."""
        pictures, masks = self._mirrored(pictures, masks)
        pictures = self._ill(pictures, masks)
        pictures, masks = self._moved(pictures, masks)
        pictures, masks = self._framed(pictures, masks)
        pictures = self._lit(self._crossed(pictures))
        return self._negatives(pictures, masks)

    def _uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._random) * (high - low) + low

    def _each(self, count: int, low: float, high: float) -> Tensor:
        return self._uniform(low, high, count, 1, 1, 1)

    def _chance(self, count: int, share: float) -> Tensor:
        return (self._each(count, 0, 1) < share).float()

    def _clouds(self, like: Tensor, fineness: int) -> Tensor:
        """Smooth random fields of mean 0 and deviation about 1, with that many hills along a side."""
        coarse = torch.randn((*like.shape[:2], fineness, fineness), generator=self._random)
        return functional.interpolate(coarse, size=like.shape[2:], mode="bicubic", align_corners=False)

    def _mirrored(self, pictures: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        mirror = self._chance(len(pictures), _MIRRORED) > 0
        return (
            torch.where(mirror, pictures.flip(3), pictures),
            torch.where(mirror, masks.flip(3).flip(1), masks),
        )

    def _ill(self, pictures: Tensor, masks: Tensor) -> Tensor:
        """Opacities: patches, lower zones, a whole lung; never sharp at the lung's border, which would teach that."""
        count, side = len(pictures), pictures.shape[2]
        coarse = side // 4  # opacities are soft: drawn coarsely, they are cheap too
        soft = (1.3 * functional.interpolate(masks, size=(coarse, coarse), mode="area")).clamp(max=1)
        patches = torch.sigmoid(4 * (self._clouds(soft, 5) - self._uniform(-1.5, 1.5, count, 2, 1, 1)))
        depth = torch.linspace(0, 1, coarse).view(1, 1, -1, 1)
        lower = torch.sigmoid(25 * (depth - self._uniform(0.3, 0.8, count, 2, 1, 1)))
        kind = self._uniform(0, 1, count, 2, 1, 1)
        pattern = torch.where(kind < 0.5, patches, torch.where(kind < 0.75, lower, torch.ones_like(lower)))
        strength = (1 - self._uniform(0, 1, count, 2, 1, 1) ** 2) * self._chance(count, _ILL)
        tissue = torch.quantile(pictures[..., ::4, ::4].flatten(1), 0.75, dim=1).view(-1, 1, 1, 1)
        tissue = tissue * self._each(count, 0.7, 1.1)
        share = functional.interpolate(
            (soft * pattern * strength).amax(1, keepdim=True), size=side, mode="bilinear", align_corners=False
        )
        texture = 0.03 * self._clouds(pictures, 28)
        return pictures + share * (tissue + texture - pictures)

    def _moved(self, pictures: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        count = len(pictures)
        turn = self._uniform(-_TURN, _TURN, count) * (math.pi / 180)
        scale = self._uniform(*_SCALE, count)
        stretch = torch.exp(self._uniform(-_STRETCH, _STRETCH, count))
        shift = self._uniform(-_SHIFT, _SHIFT, 2, count)
        wide, high = scale * stretch, scale / stretch
        matrix = torch.stack(
            [
                torch.stack([wide * torch.cos(turn), -high * torch.sin(turn), shift[0]], 1),
                torch.stack([wide * torch.sin(turn), high * torch.cos(turn), shift[1]], 1),
            ],
            1,
        )
        whole = torch.cat([pictures, masks, torch.ones_like(pictures)], 1)
        grid = functional.affine_grid(matrix, list(whole.shape), align_corners=False)
        moved = functional.grid_sample(whole, grid, align_corners=False)
        # What comes in from outside is black, or as white as an unexposed border, or goes on as the film ends.
        beside = functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
        kind = self._each(count, 0, 1)
        outside = torch.where(kind < 0.5, 0.0, torch.where(kind < 0.6, 1.0, beside))
        return moved[:, :1] + (1 - moved[:, 3:]) * outside, moved[:, 1:3]

    def _framed(self, pictures: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Borders of a collimator or a scan; a lung under them is not seen."""
        count, side = len(pictures), pictures.shape[2]
        width = self._uniform(0, 0.15, count, 4) * self._chance(count, _FRAMED).view(-1, 1)
        at = (torch.arange(side) + 0.5) / side
        across = (at > width[:, :1]) & (at < 1 - width[:, 1:2])
        down = (at > width[:, 2:3]) & (at < 1 - width[:, 3:])
        open_part = (across[:, None, None, :] & down[:, None, :, None]).float()
        grey = torch.where(self._chance(count, 0.6) > 0, 0.0, self._each(count, 0, 1))
        return pictures * open_part + grey * (1 - open_part), masks * open_part

    def _crossed(self, pictures: Tensor) -> Tensor:
        """Bright curves, as of tubes and wires, and a bright mark near the border, as of lead letters."""
        count, side = len(pictures), pictures.shape[2]
        at = torch.linspace(-1, 1, side)
        x, y = at.view(1, 1, 1, -1), at.view(1, 1, -1, 1)
        drawn = torch.zeros_like(pictures)
        for _ in range(_TUBES):
            turn = self._each(count, 0, math.pi)
            along, beside = (
                x * torch.cos(turn) + y * torch.sin(turn),
                y * torch.cos(turn) - x * torch.sin(turn),
            )
            course = beside - self._each(count, -0.9, 0.9) - self._each(count, -0.6, 0.6) * along**2
            width = self._each(count, 0.005, 0.02)
            line = torch.exp(-((course / width) ** 2)) * (along > self._each(count, -1.5, 0.5))
            drawn = drawn + line * self._each(count, 0, 0.5) * self._chance(count, 0.25)
        left, top = self._each(count, -1, 0.9), self._each(count, -1, -0.6)
        mark = (x > left) & (x < left + self._each(count, 0, 0.2)) & (y > top)
        mark = mark & (y < top + self._each(count, 0, 0.2))
        return pictures + drawn + mark * self._chance(count, 0.3)

    def _lit(self, pictures: Tensor) -> Tensor:
        """Exposed, developed, blurred and digitised as on another day."""
        count = len(pictures)
        soft = functional.avg_pool2d(pictures, 3, stride=1, padding=1, count_include_pad=False)
        sharp = pictures + self._each(count, -1.0, 1.0) * (pictures - soft)
        curved = sharp.clamp(0, 1) ** torch.exp(self._each(count, math.log(0.5), math.log(2.0)))
        contrast = torch.exp(self._each(count, math.log(0.5), math.log(1.6)))
        uneven = 0.1 * self._clouds(pictures, 3) * self._chance(count, 0.5)
        lit = (curved - 0.5) * contrast + 0.5 + self._each(count, -0.2, 0.2) + uneven
        grain = torch.randn(lit.shape, generator=self._random) * self._each(count, 0, 0.05)
        return (lit + grain).clamp(0, 1)

    def _negatives(self, pictures: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Some films become what has no lungs to find."""
        pictures, masks = pictures.clone(), masks.clone()
        for index in self._chance(len(pictures), _NEGATIVE).flatten().nonzero().flatten().tolist():
            film = pictures[index : index + 1]
            kind = int(torch.randint(8, (1,), generator=self._random))
            if kind < 4:  # on its side, either way, or upside down
                film = torch.rot90(film, (1, 2, 2, 3)[kind], (2, 3))
            elif kind == 4:
                film = 1 - film
            elif kind == 5:
                film = self._shuffled(film)
            elif kind == 6:
                film = self._blank(film)
            else:
                film = self._bar(film)
            pictures[index] = film[0].clamp(0, 1)
            masks[index] = 0
        return pictures, masks

    def _shuffled(self, film: Tensor) -> Tensor:
        """The pieces of a film, and no film."""
        side, tile = film.shape[2], film.shape[2] // _TILES
        tiles = film.view(_TILES, tile, _TILES, tile).transpose(1, 2).reshape(-1, tile, tile)
        tiles = tiles[torch.randperm(len(tiles), generator=self._random)]
        return tiles.view(_TILES, _TILES, tile, tile).transpose(1, 2).reshape(1, 1, side, side)

    def _blank(self, film: Tensor) -> Tensor:
        """A grey area, clouds or noise, of any brightness."""
        fineness = int(torch.randint(1, 57, (1,), generator=self._random))
        level, depth = self._uniform(-0.1, 1.1, 1), self._uniform(0, 0.6, 1) * self._chance(1, 0.7)
        grain = torch.randn(film.shape, generator=self._random) * self._uniform(0, 0.3, 1)
        return level + depth * self._clouds(film, fineness) + grain * self._chance(1, 0.5)

    def _bar(self, film: Tensor) -> Tensor:
        """A bright bar on dark ground, as of a limb."""
        low, high = sorted(torch.randint(film.shape[2], (2,), generator=self._random).tolist())
        bar = self._each(1, 0, 0.2).expand_as(film).clone()
        bar[..., low:high] = self._uniform(0.3, 1, 1)
        turned = torch.rot90(bar, int(torch.randint(2, (1,), generator=self._random)), (2, 3))
        return turned + self._uniform(0, 0.2, 1) * self._clouds(film, 6)
