"""A trained network as a graph for ONNX Runtime: what is computed, without the weights it is computed with."""

import copy
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

from inference.network import stored_name


def write_graph(network: nn.Module, path: Path, side: int) -> None:
    """Write the graph that `inference.onnx_engine` puts the weights into.

    The graph is the same whatever the weights are, and the network is left as it is.

    Parameters
    ----------
    network
        Takes pictures (1, 1, side, side).
    path
        The file to write; a few hundred kilobytes.
    side
        Rows and columns of a picture.
    """
    _trace(network, path, side)
    model = onnx.load_model(path)
    names = {tensor.name: stored_name(tensor.name) for tensor in model.graph.initializer}
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    for tensor in model.graph.initializer:
        tensor.name = names[tensor.name]
        tensor.ClearField("raw_data")
        # ONNX has no other word for a tensor whose values come later.
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="given by the program")
    path.write_bytes(model.SerializeToString(deterministic=True))


def _trace(network: nn.Module, path: Path, side: int) -> None:
    """Write the network as an ONNX model with weights, each by its name in `state_dict`.

    torch 2.13.0 has two exporters. The newer one needs onnxscript and onnx-ir too. It folds batch normalisation into
    weights that no file holds; told to leave that, it writes it so that ONNX Runtime cannot fold it either, and a film
    takes more than twice as long.
    """
    network = copy.deepcopy(network).cpu().eval()
    # The exporter makes one of weights that are equal, as those of a young network are.
    for number, tensor in enumerate(network.state_dict().values()):
        tensor.fill_(number)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript", DeprecationWarning)
        warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)
        torch.onnx.export(
            network,
            (torch.zeros(1, 1, side, side),),
            path,
            dynamo=False,
            opset_version=17,
            # Else convolutions are fused here already, and their weights have neither name nor value of their own.
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
        )
