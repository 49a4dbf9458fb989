"""The one place that imports torchvision and timm, whose classifiers are all that a bundle can be made of.

PyPI's torchvision 0.28.0 is built for CUDA. Beside a CPU torch 2.13.0 its compiled part does not load, and importing
it fails with "operator torchvision::nms does not exist", because it attaches shape functions to operators that were
never declared. Declaring them is enough: networks and transforms are plain Python. The operators themselves (`nms`,
image decoding) stay unusable, and nothing here calls them.
"""

import importlib
import warnings
from types import ModuleType
from typing import Final

import torch
from torch import Tensor, nn

from inference.errors import ArchitectureUnusable

_DETECTION_SCHEMA: Final = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_PROBE_SIDE: Final = 224
_STOCHASTIC_DEPTH: Final = 0.15
_declarations: torch.library.Library | None = (
    None  # a Library takes its declarations back when it is collected
)


def _torchvision() -> ModuleType:
    """Import torchvision, declaring its compiled operators where they are missing."""
    global _declarations  # noqa: PLW0603 - one registration a process, as long as the process lives
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _declarations = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for operator in ("nms", "qnms"):
            _declarations.define(operator + _DETECTION_SCHEMA)  # type: ignore[no-untyped-call]
        return importlib.import_module("torchvision")


def create_backbone(architecture: str) -> nn.Module:
    """Make the part of a classifier that gives a map of a sixteenth of the picture's side, the weights at random.

    Classifiers go on to a thirty-second. There each cell has seen half of the film and more, so that a map of such
    cells tells little of where the disease is.

    Parameters
    ----------
    architecture
        torchvision's name where it has one (``resnet18``), else timm's (``tf_efficientnet_lite0``).

    Returns
    -------
    A module from normalised pictures (N, 3, side, side) to a feature map (N, channels, rows, columns).

    Raises
    ------
    ArchitectureUnusable
        Neither library knows the name, or the network makes no such map (a transformer).
    """
    network = _classifier(architecture)
    maps: list[str] = []
    hooks = [
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: maps.append(name) if _is_map(output) else None
        )
        for name, module in network.named_modules()
        if name
    ]
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 3, _PROBE_SIDE, _PROBE_SIDE))
    for hook in hooks:
        hook.remove()
    if not maps or any("Attention" in type(module).__name__ for module in network.modules()):
        raise ArchitectureUnusable(architecture, "makes no feature map that a heatmap could be drawn from")
    layers = importlib.import_module("timm.layers")  # whose tracer knows the modules of both libraries
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that layers for training alone are cut off, which is what is wanted
        return _Cut(layers.create_feature_extractor(network.train(), {maps[-1]: "map"}))


def channels(backbone: nn.Module) -> int:
    """How many channels a backbone's feature map has."""
    was_training = backbone.training
    with torch.inference_mode():
        features = backbone.eval()(torch.zeros(1, 3, _PROBE_SIDE, _PROBE_SIDE))
    backbone.train(was_training)
    return int(features.shape[1])


def _classifier(architecture: str) -> nn.Module:
    """The whole network."""
    models = _torchvision().models
    if architecture in models.list_models(module=models):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # on how GoogLeNet will draw its weights one day
            network: nn.Module = models.get_model(architecture, weights=None)
        return network
    timm = importlib.import_module("timm")
    if not timm.is_model(architecture):
        raise ArchitectureUnusable(architecture, "neither torchvision nor timm has a classifier of that name")
    try:
        network = timm.create_model(architecture, drop_path_rate=_STOCHASTIC_DEPTH)
    except TypeError:  # not every network of timm's can leave out layers at random
        network = timm.create_model(architecture)
    return network


def _is_map(value: object) -> bool:
    """Whether it is a square map of about a sixteenth: networks that do not pad give a little less."""
    if not isinstance(value, Tensor) or value.dim() != 4:
        return False
    rows, columns = value.shape[2:]
    return rows == columns and _PROBE_SIDE // 20 < rows < _PROBE_SIDE // 12


class _Cut(nn.Module):
    """The first part of a network, without the dictionary that its answer comes in."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        answer: Tensor = self.network(pictures)["map"]
        return answer


def imagenet_weights(architecture: str) -> dict[str, Tensor]:
    """Fetch the weights that an architecture learnt on ImageNet: torchvision's own, or timm's from its model hub.

    Raises
    ------
    ArchitectureUnusable
        There are none, or they cannot be fetched (no internet).
    """
    models = _torchvision().models
    try:
        if architecture in models.list_models(module=models):
            url = models.get_model_weights(architecture)["IMAGENET1K_V1"].url
            # torchvision publishes pickles; torch's reader for weights alone makes tensors of them and nothing else.
            return dict(torch.hub.load_state_dict_from_url(url, check_hash=True, weights_only=True))
        timm = importlib.import_module("timm")
        return dict(timm.create_model(architecture, pretrained=True, num_classes=0).state_dict())
    except (OSError, RuntimeError, KeyError) as error:
        raise ArchitectureUnusable(
            architecture, "its ImageNet weights cannot be fetched; without internet, name a file"
        ) from error
