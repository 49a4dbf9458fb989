"""OpenVINO: on some CPUs a little sooner than ONNX Runtime; an extra of the installation.

It reads the bundle's graph like ONNX Runtime. It has no way to be given weights beside a graph, so they are put into a
copy of the graph in memory before.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

# openvino 2026.4.1 tells its makers that it is imported, and writes an identity of the machine into the home folder,
# where it finds this module. A node in a hospital calls nobody but its peers.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import numpy as np
import onnx
import openvino
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray
from onnx import numpy_helper

from inference.errors import ModelDamaged
from inference.onnx_engine import read_weights

_OPTIONS: Final = {
    "INFERENCE_NUM_THREADS": 1,  # a film is too little work for two threads
    "ENABLE_CPU_PINNING": False,  # else two analysing processes may share one core beside an idle one
    "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where the CPU has it: answers that no figure was measured on
}


class OpenVinoEngine:
    """A graph with its weights, on one core of the CPU.

    Parameters
    ----------
    graph, weights
        The two files. A graph that asks for data of any other file is refused.
    side
        Rows and columns of the pictures that it must be for.

    Raises
    ------
    ModelDamaged
        The graph is not for such pictures, or not to be run, or graph and weights do not belong to each other.
    """

    def __init__(self, graph: Path, weights: Path, side: int) -> None:
        content = _with_weights(graph, weights)
        core = openvino.Core()
        try:
            model = core.read_model(content)
            fits = [list(asked.shape) for asked in model.inputs] == [[1, 1, side, side]]
            self._request = core.compile_model(model, "CPU", _OPTIONS).create_infer_request()
        except RuntimeError as error:
            raise ModelDamaged(graph, "the graph cannot be run by openvino") from error
        if not fits:
            raise ModelDamaged(graph, f"the graph is not for pictures of {side} x {side} pixels")
        self.name = "openvino on cpu"

    def run(self, picture: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Run the network once; see `inference.engine.Engine`."""
        return tuple(answer[0] for answer in self._request.infer({0: picture[None, None]}).to_tuple())


def _with_weights(graph: Path, weights: Path) -> bytes:
    """Return the graph with the weights in it, and nothing in it that lies in another file."""
    tensors = read_weights(weights)
    try:
        model = onnx.load_model_from_string(graph.read_bytes())
    except (OSError, DecodeError) as error:
        raise ModelDamaged(graph, "the graph cannot be read") from error
    for tensor in model.graph.initializer:
        if tensor.name in tensors and list(tensor.dims) == list(tensors[tensor.name].shape):
            tensor.CopyFrom(numpy_helper.from_array(tensors[tensor.name], tensor.name))
    # openvino 2026.4.1 would look for it from the folder in which the node was started.
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model)):
        raise ModelDamaged(graph, "the graph asks for weights that are not in the file beside it")
    content: bytes = model.SerializeToString()
    return content


def _tensors(message: Message) -> Iterator[Any]:
    """Every tensor, wherever in a graph it stands."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for described, value in message.ListFields():
        if described.message_type is not None:
            for each in [value] if isinstance(value, Message) else value:
                yield from _tensors(each)
