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
    """Make a classifier without its pooling and last layers, the weights at random.

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
        Neither library knows the name, or the network ends in no feature map (a transformer), which no heatmap could
        be drawn from.
    """
    models = _torchvision().models
    if architecture in models.list_models(module=models):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # on how GoogLeNet will draw its weights one day
            network = models.get_model(architecture, weights=None)
        backbone = _cut(network, architecture)
    else:
        timm = importlib.import_module("timm")
        if not timm.is_model(architecture):
            raise ArchitectureUnusable(
                architecture, "neither torchvision nor timm has a classifier of that name"
            )
        try:
            backbone = timm.create_model(
                architecture, num_classes=0, global_pool="", drop_path_rate=_STOCHASTIC_DEPTH
            )
        except TypeError:  # not every network of timm's can leave out layers at random
            backbone = timm.create_model(architecture, num_classes=0, global_pool="")
    channels(backbone, architecture)
    return backbone


def channels(backbone: nn.Module, architecture: str) -> int:
    """How many channels a backbone's feature map has.

    Raises
    ------
    ArchitectureUnusable
        What it gives is no map of features.
    """
    was_training = backbone.training
    with torch.inference_mode():
        features = backbone.eval()(torch.zeros(1, 3, _PROBE_SIDE, _PROBE_SIDE))
    backbone.train(was_training)
    if not _is_map(features) or features.shape[2] != features.shape[3]:
        raise ArchitectureUnusable(architecture, "ends in no feature map that a heatmap could be drawn from")
    return int(features.shape[1])


def _is_map(value: object) -> bool:
    return isinstance(value, Tensor) and value.dim() == 4 and min(value.shape[2:]) > 1


def _cut(network: nn.Module, architecture: str) -> nn.Module:
    """Cut one of torchvision's classifiers behind the last module that gives a map."""
    if any(isinstance(module, nn.MultiheadAttention) for module in network.modules()):
        raise ArchitectureUnusable(architecture, "is a transformer: no feature map to draw a heatmap from")
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
    extraction = importlib.import_module("torchvision.models.feature_extraction")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that layers for training alone are cut off, which is what is wanted
        return _Cut(extraction.create_feature_extractor(network.train(), {maps[-1]: "map"}))


class _Cut(nn.Module):
    """A network cut by torchvision, without the dictionary that its answer comes in."""

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
