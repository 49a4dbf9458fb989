"""The network and its weights on disk: a logit for each label, and the map that each logit is the mean of."""

from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from inference.errors import ArchitectureUnusable, DataUnusable, ModelDamaged
from inference.vision import channels, create_backbone

_HEAD: Final = "classifier."
_BACKBONE: Final = "backbone.network."
_DROPOUT: Final = 0.3


class FilmNetwork(nn.Module):
    """Any convolutional backbone, mean pooling, and one linear layer.

    The logit of such a network is the mean of the class activation map plus a constant (Zhou et al., CVPR 2016), so the
    map costs no second pass.

    Parameters
    ----------
    architecture
        A name that `inference.vision.create_backbone` knows.
    labels
        How many logits.

    Raises
    ------
    ArchitectureUnusable
        No such backbone can be made.
    """

    def __init__(self, architecture: str, labels: int = 1) -> None:
        super().__init__()
        self.backbone = create_backbone(architecture)
        self.dropout = nn.Dropout(_DROPOUT)
        self.classifier = nn.Linear(channels(self.backbone), labels)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the network once.

        Parameters
        ----------
        pictures
            (N, 1, side, side), normalised.

        Returns
        -------
        Logits (N, labels); maps (N, labels, rows, columns), unscaled: positive speaks for the label, negative against
        it; and the pooled features (N, channels).
        """
        features = self.backbone(pictures.expand(-1, 3, -1, -1))
        pooled = features.mean(dim=(2, 3))
        maps = torch.einsum("nkrc,lk->nlrc", features, self.classifier.weight)
        return self.classifier(self.dropout(pooled)), maps, pooled


def load_network(architecture: str, labels: int, weights: Path) -> FilmNetwork:
    """Make the network that a bundle describes, ready to be asked.

    Raises
    ------
    ModelDamaged
        There is no such architecture, or the file does not hold its weights.
    """
    try:
        network = FilmNetwork(architecture, labels)
        tensors = {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in load_file(weights).items()
        }
        _put(network, tensors)
    except (ArchitectureUnusable, OSError, RuntimeError, SafetensorError) as error:
        raise ModelDamaged(weights, "the weights do not fit the architecture in the model card") from error
    return network.eval()


def save_weights(network: FilmNetwork, path: Path) -> None:
    """Write the weights; matrices at half precision, which halves the file and moves scores by less than 0.001.

    The tensors have the backbone's own names, and the last layer's begin with ``classifier.``.
    """
    tensors = {
        stored_name(name): (tensor.half() if tensor.dim() > 1 else tensor).contiguous()
        for name, tensor in network.state_dict().items()
    }
    path.write_bytes(save(tensors))  # safetensors' own way to a file would let nobody else read it


def stored_name(name: str) -> str:
    """The name that one of a network's tensors has in its file of weights: without our own name for the backbone."""
    return name.removeprefix(_BACKBONE)


def start_from(network: FilmNetwork, weights: Path | dict[str, Tensor]) -> None:
    """Begin with weights learnt elsewhere (ImageNet); the last layer, made for other classes, begins anew.

    Raises
    ------
    DataUnusable
        The file holds something else than this architecture's weights.
    """
    try:
        tensors = load_file(weights) if isinstance(weights, Path) else weights
        backbone = network.backbone.state_dict()
        known = {f"network.{name}": value for name, value in tensors.items()}
        network.backbone.load_state_dict({name: known[name] for name in backbone.keys() & known.keys()})
    except (OSError, RuntimeError, SafetensorError) as error:
        path = weights if isinstance(weights, Path) else Path("ImageNet")
        raise DataUnusable(path, "holds no weights of this architecture") from error


def _put(network: FilmNetwork, tensors: dict[str, Tensor]) -> None:
    network.load_state_dict(
        {name if name.startswith(_HEAD) else _BACKBONE + name: tensor for name, tensor in tensors.items()}
    )
