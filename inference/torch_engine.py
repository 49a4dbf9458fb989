"""torch: for a GPU, where it is there."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from inference.network import load_network


def gpu_works() -> bool:
    """Whether this torch was built for the GPU that is here."""
    return torch.cuda.is_available()


class TorchEngine:
    """The network on a device, by torch's name for it.

    Raises
    ------
    ModelDamaged
        The weights do not fit the architecture.
    """

    def __init__(self, architecture: str, labels: int, weights: Path, device: str) -> None:
        torch.set_num_threads(1)  # what remains for the CPU is little, and torch's threads spin
        self._network = load_network(architecture, labels, weights).to(device)
        self._device = device

    def run(self, picture: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Run the network once; see `inference.engine.Engine`."""
        with torch.inference_mode():
            answers = self._network(torch.from_numpy(picture)[None, None].to(self._device))
        return tuple(answer[0].cpu().numpy() for answer in answers)
