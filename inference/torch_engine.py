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
    """The network on the GPU, or where torch has none on one core of the CPU.

    Raises
    ------
    ModelDamaged
        The weights do not fit the architecture.
    """

    def __init__(self, architecture: str, labels: int, weights: Path) -> None:
        # A film is too little work for two threads, and torch's spin while they wait.
        torch.set_num_threads(1)
        torch.backends.cudnn.allow_tf32 = False  # else convolutions keep ten bits of a number
        self._device = "cuda" if gpu_works() else "cpu"
        self._network = load_network(architecture, labels, weights).to(self._device)
        self.name = f"torch on {self._device}"

    def run(self, picture: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Run the network once; see `inference.engine.Engine`."""
        with torch.inference_mode():
            answers = self._network(torch.from_numpy(picture)[None, None].to(self._device))
        return tuple(answer[0].cpu().numpy() for answer in answers)
