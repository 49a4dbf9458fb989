"""ONNX Runtime: on one core more than twice as fast as torch, and there in a tenth of a second.

A bundle's graph (network.onnx) says what is computed and names the weights that it needs; the weights themselves are
in one place only, weights.safetensors, and are put in here. `inference.training.export` writes the graph.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

# onnxruntime 1.31 tells its makers of the machine while it is imported, unless it finds this; what it offers for later
# comes too late. A node in a hospital calls nobody but its peers.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from inference.errors import ModelDamaged

_ONLY_FATAL: Final = 4  # onnxruntime's severities go from 0, verbose; what it cannot do, it raises
_CPU: Final = "CPUExecutionProvider"
_GPU: Final = "CUDAExecutionProvider"

Provider = str | tuple[str, dict[str, str]]


def gpu_providers() -> list[Provider]:
    """What `OnnxEngine` is to be given for a GPU; empty where this onnxruntime was built for none."""
    # With TF32 convolutions keep ten bits of a number.
    return [(_GPU, {"use_tf32": "0"}), _CPU] if _GPU in onnxruntime.get_available_providers() else []


class OnnxEngine:
    """A graph with its weights, on one core of the CPU, or on a GPU.

    Parameters
    ----------
    graph, weights
        The two files. A graph that asks for data of any other file is refused.
    side
        Rows and columns of the pictures that it must be for.
    providers
        The CPU's, or `gpu_providers`: what of them is not there is left out.

    Raises
    ------
    ModelDamaged
        The graph is not for such pictures, or not to be run, or graph and weights do not belong to each other.
    """

    def __init__(
        self, graph: Path, weights: Path, side: int, providers: Sequence[Provider] = (_CPU,)
    ) -> None:
        options = onnxruntime.SessionOptions()
        # A film is too little work for two threads. More films at once are for more processes.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _ONLY_FATAL
        # onnxruntime 1.31.1 lets the weights be put in where the graph says that they are in another file. Such a file
        # it may look for in this folder alone, and nothing can be inside of what is no folder.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
        options.add_session_config_entry("session.load_model_format", "ONNX")
        tensors = read_weights(weights)
        options.add_external_initializers(
            list(tensors), [onnxruntime.OrtValue.ortvalue_from_numpy(tensor) for tensor in tensors.values()]
        )
        try:
            content = graph.read_bytes()
        except OSError as error:
            raise ModelDamaged(graph, "the graph cannot be read") from error
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=list(providers))
        except Exception as error:
            # onnxruntime's errors have no class in common, and all mean the same here.
            raise ModelDamaged(graph, "the graph cannot be run with these weights") from error
        [asked, *others] = self._session.get_inputs()
        if others or asked.shape != [1, 1, side, side]:
            raise ModelDamaged(graph, f"the graph is not for pictures of {side} x {side} pixels")
        self._input = asked.name
        try:
            self.run(np.zeros((side, side), np.float32))
        except Exception as error:
            raise ModelDamaged(graph, "the graph cannot be run to its end") from error
        self.name = "onnxruntime on cuda" if _GPU in self._session.get_providers() else "onnxruntime on cpu"

    def run(self, picture: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Run the network once; see `inference.engine.Engine`."""
        return tuple(answer[0] for answer in self._session.run(None, {self._input: picture[None, None]}))


def read_weights(weights: Path) -> dict[str, NDArray[np.float32]]:
    """Read the weights in single precision; counters of batches, which only training needs, are left out.

    Raises
    ------
    ModelDamaged
        The file cannot be read.
    """
    try:
        tensors = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise ModelDamaged(weights, "the weights cannot be read") from error
    return {
        name: tensor.astype(np.float32)
        for name, tensor in tensors.items()
        if np.issubdtype(tensor.dtype, np.floating)
    }
