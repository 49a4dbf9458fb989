"""The lung finder's network while it learns; `inference.lungs` runs what came of it."""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.lungs import INPUT_SIDE


def seen(pictures: Tensor) -> Tensor:
    """Pictures (N, 1, side, side), 0..1, as the network sees them: (N, 1, INPUT_SIDE, INPUT_SIDE)."""
    return functional.interpolate(pictures, size=(INPUT_SIDE, INPUT_SIDE), mode="area")


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
