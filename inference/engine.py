"""What runs the network: ONNX Runtime on a CPU, torch where a GPU is."""

import importlib.util
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.card import GRAPH_NAME, WEIGHTS_NAME, ModelCard
from inference.onnx_engine import OnnxEngine

_DEVICES: Final = Path("/dev")


class Engine(Protocol):
    """A network that is loaded and ready to be asked, by one thread at a time."""

    def run(self, picture: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Run the network once.

        Parameters
        ----------
        picture
            (side, side), normalised. One at a time: a graph for any number of pictures is 15 % slower on a CPU.

        Returns
        -------
        What the network answers for this picture, in its order.
        """
        ...


def load_engine(bundle: Path, card: ModelCard) -> Engine:
    """Load a bundle's network into the engine that is the fastest here.

    Raises
    ------
    ModelDamaged
        The weights do not fit the graph or the architecture, or the graph is not one that may be run.
    """
    if _may_use_gpu():
        from inference.torch_engine import TorchEngine, gpu_works  # noqa: PLC0415 - two seconds, and 300 MB

        if gpu_works():
            return TorchEngine(card.architecture, len(card.labels), bundle / WEIGHTS_NAME, "cuda")
    return OnnxEngine(bundle / GRAPH_NAME, bundle / WEIGHTS_NAME, card.input_size)


def _may_use_gpu() -> bool:
    """Whether it is worth importing torch to ask: it is installed, and NVIDIA's driver shows a GPU."""
    return any(_DEVICES.glob("nvidia[0-9]*")) and importlib.util.find_spec("torch") is not None
