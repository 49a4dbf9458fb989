"""What lungs look like: a shape model from masks that people drew, and how it is laid over a film without one.

The shape is that of Cootes et al. (1995, "Active shape models"): the mean of corresponding outline points and their
principal modes, here of both lungs together, so that a side that shows no border is held by the other. The masks are
of other people's films, which need not be here; the lungs behind the heart belong to them. The model is laid over a
film where its outline runs from dark inside to bright outside (the flux of Vasilevskiy and Siddiqi, 2002).
"""

import io
import itertools
import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from inference.errors import DataUnusable

# Outline points of one lung, going round: inner lower corner to apex, apex to outer lower corner, and the base.
_INNER: Final = 10
_OUTER: Final = 16
_BASE: Final = 8
POINTS: Final = _INNER + _OUTER + _BASE
"""Outline points of one lung; the patient's right lung comes first, the left one follows."""

_MODES: Final = 14  # 96 % of the variance of the masks
_FRAME: Final = 256  # pixels a side, to which the masks are brought
_SMALLEST: Final = 1500  # pixels of the frame: less is no pair of lungs
_EVEN: Final = 0.35  # the smaller lung's share of the larger one's area
_COMMON: Final = 0.96  # of the shapes are kept in each of three rounds: slips of the hand are the rest
_RAYS: Final = 360

# How much the parts of an outline say. At the heart and the spine lungs end without an edge, above all on the left.
_WEIGHTS: Final = (
    [0.35] * _INNER + [1.0] * _OUTER + [1.2] * _BASE,
    [0.2] * 3 + [0.35] * (_INNER - 3) + [1.0] * _OUTER + [0.8] * _BASE,
)
_COARSE: Final = 6.0  # pixels of blur at which starts are chosen
_FINER: Final = ((5.0, 60, 0.03), (3.0, 60, 0.02), (1.8, 80, 0.012))  # pixels of blur, steps, their length
_STARTS: Final = 3  # from which the shape finds its place; an answer leaves no doubt of it
_BESIDE_ANSWERS: Final = 0.4  # what a film's edges weigh where a network has answered


@dataclass(frozen=True, slots=True)
class LungShapes:
    """Mean outline (2 * POINTS, 2) in a frame of -1..1 around both lungs, and its modes with their deviations."""

    mean: Tensor
    modes: Tensor
    deviations: Tensor

    def outlines(self, poses: Tensor) -> Tensor:
        """Outlines (..., 2 * POINTS, 2), x before y, -1..1 over the film, for poses (..., 5 + modes).

        A pose is the centre (x, y), the logarithm of half the width and height, a turn, and the modes in deviations.
        """
        shape = self.mean + torch.einsum("...k,kpd->...pd", poses[..., 5:] * self.deviations, self.modes)
        shape = shape * torch.exp(poses[..., None, 2:4])
        cosine, sine = torch.cos(poses[..., 4:5]), torch.sin(poses[..., 4:5])
        x, y = shape[..., 0], shape[..., 1]
        return torch.stack([x * cosine - y * sine, x * sine + y * cosine], -1) + poses[..., None, :2]


def learn_shapes(masks: Path) -> LungShapes:
    """Learn the shape of lungs from a zip of drawn masks, one picture a film, lungs white on black.

    Raises
    ------
    DataUnusable
        The zip cannot be read or holds fewer than a hundred whole pairs of lungs.
    """
    try:
        with zipfile.ZipFile(masks) as pictures:
            names = [name for name in sorted(pictures.namelist()) if not name.endswith("/")]
            drawn = [_shape(pictures.read(name)) for name in names]
    except (OSError, zipfile.BadZipFile) as error:
        raise DataUnusable(masks, "is no zip of lung masks that can be read") from error
    shapes = np.array([shape for shape in drawn if shape is not None])
    if len(shapes) < 100:
        raise DataUnusable(masks, "holds fewer than a hundred whole pairs of lungs")
    for _ in range(3):
        away = np.sqrt(((shapes - shapes.mean(0)) ** 2).sum(-1)).max(1)
        shapes = shapes[away < np.quantile(away, _COMMON)]
    mean = shapes.mean(0)
    _, sizes, modes = np.linalg.svd((shapes - mean).reshape(len(shapes), -1), full_matrices=False)
    return LungShapes(
        torch.tensor(mean, dtype=torch.float32),
        torch.tensor(modes[:_MODES].reshape(_MODES, -1, 2), dtype=torch.float32),
        torch.tensor(sizes[:_MODES] / math.sqrt(len(shapes)), dtype=torch.float32),
    )


def _shape(encoded: bytes) -> NDArray[np.float64] | None:
    """The outline of a mask, both lungs' frame brought to -1..1; None where it is no whole pair of lungs."""
    with Image.open(io.BytesIO(encoded)) as picture:
        mask = np.asarray(picture.convert("L").resize((_FRAME, _FRAME))) > 127
    parts, count = ndimage.label(ndimage.binary_opening(mask, iterations=2))
    if mask.sum() < _SMALLEST or count < 2:
        return None
    sizes = ndimage.sum_labels(parts > 0, parts, range(1, count + 1))
    largest = np.argsort(-sizes)[:2] + 1
    if sizes[largest[1] - 1] < _EVEN * sizes[largest[0] - 1]:
        return None
    by_side = sorted(largest, key=lambda part: float(ndimage.center_of_mass(parts == part)[1]))
    right, left = (ndimage.binary_fill_holes(parts == part) for part in by_side)
    both = right | left
    if both[0].any() or both[-1].any() or both[:, 0].any() or both[:, -1].any():
        return None  # cut off: its lower corner would be the film's
    outline = np.concatenate([_outline(right, outwards=-1), _outline(left, outwards=1)])
    low, high = outline.min(0), outline.max(0)
    framed: NDArray[np.float64] = (outline - (low + high) / 2) / ((high - low) / 2)
    return framed


def _outline(lung: NDArray[np.bool_], outwards: int) -> NDArray[np.float64]:
    """Corresponding points of one lung; `outwards` is the direction of x that leads away from the spine."""
    y, x = ndimage.center_of_mass(lung)
    angles = np.arange(_RAYS) * 2 * np.pi / _RAYS
    radii = np.arange(0, 1.2 * _FRAME, 0.5)
    rays = [y + np.sin(angles)[:, None] * radii, x + np.cos(angles)[:, None] * radii]
    inside = ndimage.map_coordinates(lung.astype(np.float32), rays, order=1) > 0.5
    reach = radii[inside.shape[1] - 1 - np.argmax(inside[:, ::-1], axis=1)]
    around = np.stack([x + np.cos(angles) * reach, y + np.sin(angles) * reach], 1)
    scaled = (around - around.min(0)) / (around.max(0) - around.min(0))
    out = scaled[:, 0] if outwards > 0 else 1 - scaled[:, 0]
    down = scaled[:, 1]
    apex, outer, inner = np.argmin(down), np.argmax(0.8 * out + 1.2 * down), np.argmax(1.2 * (1 - out) + down)
    stretches = [
        _evenly(around[_walk(int(start), int(end), outwards)], count)
        for start, end, count in ((inner, apex, _INNER), (apex, outer, _OUTER), (outer, inner, _BASE))
    ]
    return np.concatenate(stretches)


def _walk(start: int, end: int, step: int) -> list[int]:
    return [(start + step * index) % _RAYS for index in range((end - start) * step % _RAYS + 1)]


def _evenly(line: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """`count` points at equal distances along a line, without its end."""
    length = np.concatenate([[0.0], np.hypot(*np.diff(line, axis=0).T).cumsum()])
    at = np.linspace(0, length[-1], count + 1)[:-1]
    return np.stack([np.interp(at, length, line[:, 0]), np.interp(at, length, line[:, 1])], 1)


def lay_over(shapes: LungShapes, films: Tensor, answers: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Lay the shape over films, from coarse to fine, from the best of many starts.

    Parameters
    ----------
    films
        (N, 1, side, side), 0..1.
    answers
        As many pictures of what a network takes for lungs, 0..1; they are followed more than the films then.

    Returns
    -------
    Outlines (N, 2 * POINTS, 2), -1..1 over the film, and (N,) how well they lie: 0.8 is clear, below 0.4 is not.
    """
    seen = torch.tensor(_WEIGHTS).flatten()
    evidence = [(films, seen / seen.sum() * (1.0 if answers is None else _BESIDE_ANSWERS))]
    if answers is not None:
        evidence.append((1 - answers, torch.full_like(seen, 1 / len(seen))))

    def fitness(poses: Tensor, edges_of_each: list[Tensor]) -> Tensor:
        outlines = shapes.outlines(poses)
        crossed = [
            (_crossed(outlines, edges) * weights).sum(-1)
            for edges, (_, weights) in zip(edges_of_each, evidence, strict=True)
        ]
        return torch.stack(crossed).sum(0) - _unlikely(poses)

    tried = torch.tensor(list(_starts()))
    tried = torch.cat([tried, torch.zeros(len(tried), 1 + len(shapes.modes))], 1)
    everywhere = tried.expand(len(films), -1, -1)
    worth = fitness(everywhere, [_edges(pictures, _COARSE) for pictures, _ in evidence])
    starts = _STARTS if answers is None else 1
    poses = torch.stack([_apart(row, tried, starts) for row in worth]).requires_grad_(True)
    for blur, steps, rate in _FINER:
        edges = [_edges(pictures, blur) for pictures, _ in evidence]
        optimizer = torch.optim.Adam([poses], lr=rate)
        for _ in range(steps):
            optimizer.zero_grad()
            (-fitness(poses, edges).sum()).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    with torch.no_grad():
        values, best = fitness(poses, edges).max(1)
        return shapes.outlines(poses[torch.arange(len(films)), best]), values


def _starts() -> Iterator[tuple[float, ...]]:
    """Places and sizes at which lungs may lie."""
    for x, y, width, height in itertools.product(
        (-0.15, 0.0, 0.15),
        (-0.45, -0.3, -0.15, 0.0, 0.15),
        (0.45, 0.58, 0.72, 0.86),
        (0.4, 0.52, 0.66, 0.8, 0.92),
    ):
        if y - height > -1.1:
            yield x, y, math.log(width), math.log(height)


def _apart(fitness: Tensor, poses: Tensor, count: int) -> Tensor:
    """The `count` best poses that are not neighbours of each other."""
    chosen: list[int] = []
    for candidate in torch.argsort(-fitness).tolist():
        if all(float((poses[candidate, :4] - poses[other, :4]).abs().max()) > 0.2 for other in chosen):
            chosen.append(candidate)
        if len(chosen) == count:
            break
    return poses[chosen]


def _unlikely(poses: Tensor) -> Tensor:
    """What speaks against a pose before the film is seen: odd shapes, turned, wide and low, small."""
    modes, width, height, turn = poses[..., 5:], poses[..., 2], poses[..., 3], poses[..., 4]
    odd: Tensor = 0.006 * (modes**2).sum(-1) + 0.05 * ((modes.abs() - 2).relu() ** 2).sum(-1)
    framed: Tensor = 2.0 * turn**2 + 0.5 * (width - height - 0.15).relu() ** 2 - 0.12 * (width + height)
    return odd + framed


def _edges(pictures: Tensor, blur: float) -> Tensor:
    """The gradient (N, 2, side, side) of blurred pictures; a strong edge counts little more than a clear one."""
    reach = int(3 * blur + 0.5)
    bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / blur) ** 2)
    bell = bell / bell.sum()
    soft = functional.pad(pictures, (reach,) * 4, mode="replicate")
    soft = functional.conv2d(functional.conv2d(soft, bell.view(1, 1, 1, -1)), bell.view(1, 1, -1, 1))
    soft = functional.pad(soft, (1, 1, 1, 1), mode="replicate")
    across = (soft[:, :, 1:-1, 2:] - soft[:, :, 1:-1, :-2]) / 2
    down = (soft[:, :, 2:, 1:-1] - soft[:, :, :-2, 1:-1]) / 2
    steep = torch.hypot(across, down)
    clear = torch.quantile(steep.flatten(1), 0.75, dim=1).view(-1, 1, 1, 1) + 1e-4
    return torch.cat([across, down], 1) / torch.hypot(steep, clear)


def _crossed(outlines: Tensor, edges: Tensor) -> Tensor:
    """How much brighter it gets on the way out, at each point of outlines (N, M, 2 * POINTS, 2): (N, M, 2 * POINTS)."""
    at_points: Tensor = functional.grid_sample(edges, outlines, align_corners=False)
    return (at_points.movedim(1, -1) * _normals(outlines)).sum(-1)


def _normals(outlines: Tensor) -> Tensor:
    """Directions out of the lungs; the two are gone round in opposite senses."""
    normals = []
    for lung, sense in ((outlines[..., :POINTS, :], 1.0), (outlines[..., POINTS:, :], -1.0)):
        along = torch.roll(lung, -1, -2) - torch.roll(lung, 1, -2)
        normals.append(functional.normalize(torch.stack([-along[..., 1], along[..., 0]], -1), dim=-1) * sense)
    return torch.cat(normals, -2)


def draw(outlines: Tensor, side: int) -> NDArray[np.uint8]:
    """Outlines (N, 2 * POINTS, 2) as masks (N, 2, side, side), 0 or 255, the patient's right lung first."""
    masks = np.zeros((len(outlines), 2, side, side), np.uint8)
    for film, outline in enumerate((outlines.numpy() + 1) / 2 * side):
        for lung, points in enumerate((outline[:POINTS], outline[POINTS:])):
            picture = Image.new("L", (side, side))
            ImageDraw.Draw(picture).polygon([(float(x), float(y)) for x, y in points], fill=255)
            masks[film, lung] = np.asarray(picture)
    return masks
