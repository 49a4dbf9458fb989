"""The network and its weights on disk: one logit, and the map that it is the mean of."""

from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from inference.errors import ModelDamaged
from inference.vision import create_network

_HEAD: Final = "classifier."


def class_activation(network: nn.Module, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Run the network once, for the logit and for where it comes from.

    The logit of a network that ends in mean pooling and one linear layer is the mean of the class activation map plus
    a constant (Zhou et al., CVPR 2016), so the map costs nothing.

    Parameters
    ----------
    pictures
        (N, 1, side, side), normalised.

    Returns
    -------
    Logits (N,) and maps (N, rows, columns), unscaled: positive speaks for the label, negative against it.
    """
    features = network.forward_features(pictures.expand(-1, 3, -1, -1))  # type: ignore[operator]
    head = network.get_submodule("classifier")
    assert isinstance(head, nn.Linear)  # noqa: S101 - tells the type checker what create_network made
    maps = torch.einsum("nkrc,k->nrc", features, head.weight[0])
    return maps.mean(dim=(1, 2)) + head.bias[0], maps


def load_network(architecture: str, weights: Path) -> nn.Module:
    """Make the network that a bundle describes, ready to be asked.

    Raises
    ------
    ModelDamaged
        The file does not hold the weights of this architecture.
    """
    try:
        network = create_network(architecture)
        tensors = {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in load_file(weights).items()
        }
        network.load_state_dict(tensors)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ModelDamaged(weights, "the weights do not fit the architecture in the model card") from error
    return network.eval()


def save_weights(network: nn.Module, path: Path) -> None:
    """Write the weights; matrices at half precision, which halves the file and moves scores by less than 0.001."""
    tensors = {
        name: (tensor.half() if tensor.dim() > 1 else tensor).contiguous()
        for name, tensor in network.state_dict().items()
    }
    path.write_bytes(save(tensors))  # safetensors' own way to a file would let nobody else read it


def start_from(network: nn.Module, weights: Path) -> None:
    """Begin with weights learnt elsewhere (ImageNet); the last layer, made for other classes, begins anew.

    Raises
    ------
    ModelDamaged
        The file holds something else than this architecture's weights.
    """
    try:
        tensors = {name: value for name, value in load_file(weights).items() if not name.startswith(_HEAD)}
        head = {name: value for name, value in network.state_dict().items() if name.startswith(_HEAD)}
        network.load_state_dict(tensors | head)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ModelDamaged(weights, "these are not initial weights of this architecture") from error
