"""Where the lungs are in a frontal chest radiograph: a tiny network of its own, whichever classifier is in service.

It answers for the whole of both lungs, with what lies behind the heart and in an opacity. In a picture that is no
upright frontal chest it finds none. Made by `inference.training.lungs`; what it was made from stands in its card.
"""

import hashlib
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from inference.card import CARD_NAME, WEIGHTS_NAME
from inference.errors import ModelDamaged

SHIPPED: Final = Path(__file__).parent / "models" / "lungs"
"""The bundle inside the package: card and weights."""

INPUT_SIDE: Final = 112
"""Pixels a side of what the network sees: half of what the classifier does."""
CELLS: Final = 56
"""Cells a side of what it answers."""

_FEWEST: Final = 0.01  # of the film: a lung that takes less of it is none (a whole one takes 5 % and more)


@dataclass(frozen=True, slots=True)
class Lungs:
    """The lungs of one film, the patient's right one on the left of the picture.

    Attributes
    ----------
    right, left
        (CELLS, CELLS) over the whole film, True inside that lung; a lung that was not found is False everywhere.
    certainty
        0..1: how clearly the network told the found lungs from what is around them; 0 where none was found.
    """

    right: NDArray[np.bool_]
    left: NDArray[np.bool_]
    certainty: float

    @property
    def both(self) -> NDArray[np.bool_]:
        """(CELLS, CELLS), True inside either lung."""
        return self.right | self.left

    @property
    def found(self) -> bool:
        """Whether both lungs are there, as in every frontal chest."""
        return bool(self.right.any() and self.left.any())

    def cut_off(self) -> bool:
        """Whether the film ends where a lung goes on: more than a tenth of the outer cells of a side are lung."""
        both = self.both
        return any(edge.mean() > 0.1 for edge in (both[0], both[-1], both[:, 0], both[:, -1]))


class LungFinder:
    """Loads a bundle once; then about 2 ms a film on one core.

    Raises
    ------
    ModelDamaged
        The bundle's weights are not those of its card, or do not fit the network.
    """

    def __init__(self, bundle: Path = SHIPPED) -> None:
        self._network = _load(bundle)

    def find(self, picture: NDArray[np.float32]) -> Lungs:
        """Find the lungs in one picture.

        Parameters
        ----------
        picture
            (side, side), 0..1, as `inference.preprocessing.network_input` makes it; 224 is what it was trained on.
        """
        with torch.inference_mode():
            answer = torch.sigmoid(self._network(seen(torch.from_numpy(picture)[None, None])))[0].numpy()
        right, left = (_largest(lung > 0.5) for lung in answer)
        clear = np.abs(2 * answer - 1)[np.stack([right, left])]
        return Lungs(right, left, float(clear.mean()) if clear.size else 0.0)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected part, with its holes filled; empty where that is too small for a lung."""
    parts, count = ndimage.label(mask)
    sizes = ndimage.sum_labels(mask, parts, range(1, count + 1))
    if not count or sizes.max() < _FEWEST * mask.size:
        return np.zeros_like(mask)
    whole: NDArray[np.bool_] = ndimage.binary_fill_holes(parts == 1 + int(sizes.argmax()))
    return whole


def seen(pictures: Tensor) -> Tensor:
    """Pictures (N, 1, side, side), 0..1, as the network sees them: (N, 1, INPUT_SIDE, INPUT_SIDE)."""
    return functional.interpolate(pictures, size=(INPUT_SIDE, INPUT_SIDE), mode="area")


def _load(bundle: Path) -> "LungNetwork":
    try:
        promised = json.loads((bundle / CARD_NAME).read_text(encoding="utf-8"))["sha256"]
        digest = hashlib.sha256((bundle / WEIGHTS_NAME).read_bytes()).hexdigest()
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelDamaged(bundle, "the lung finder's card or weights are missing or unreadable") from error
    if digest != promised:
        raise ModelDamaged(bundle / WEIGHTS_NAME, "the weights' SHA-256 is not the one in the card")
    network = LungNetwork()
    try:
        network.load_state_dict(load_file(bundle / WEIGHTS_NAME))
    except (RuntimeError, SafetensorError) as error:
        raise ModelDamaged(bundle / WEIGHTS_NAME, "these are not the lung finder's weights") from error
    return network.eval()


class LungNetwork(nn.Module):
    """A small U-Net (Ronneberger et al., MICCAI 2015): (N, 1, INPUT_SIDE, INPUT_SIDE) to logits (N, 2, CELLS, CELLS).

    Its deepest cells see the whole film: a lung that is white is known by where the other one, the spine and the ribs
    are.
    """

    def __init__(self) -> None:
        super().__init__()
        widths = (12, 16, 32, 48, 64)
        self.stem = _convolution(1, widths[0], stride=2)
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(before, after, stride=2), _convolution(after, after))
            for before, after in itertools.pairwise(widths)
        )
        self.up = nn.ModuleList(
            _convolution(before + after, after)
            for before, after in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.answer = nn.Conv2d(widths[0], 2, kernel_size=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits of the patient's right lung and of the left one."""
        levels = [self.stem(pictures - 0.5)]
        for down in self.down:
            levels.append(down(levels[-1]))
        value = levels.pop()
        for up in self.up:
            level = levels.pop()
            grown = functional.interpolate(value, size=level.shape[-2:], mode="bilinear", align_corners=False)
            value = up(torch.cat([grown, level], 1))
        logits: Tensor = self.answer(value)
        return logits


def _convolution(before: int, after: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )
