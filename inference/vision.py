"""The one place that imports timm, and torchvision through it.

PyPI's torchvision 0.28.0 is built for CUDA. Beside a CPU torch 2.13.0 its compiled part does not load, and importing
it fails with "operator torchvision::nms does not exist", because it attaches shape functions to operators that were
never declared. Declaring them is enough: networks and transforms are plain Python. The operators themselves (`nms`,
image decoding) stay unusable, and nothing here calls them.
"""

import importlib
from typing import Final

import torch

_DETECTION_SCHEMA: Final = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declarations: torch.library.Library | None = (
    None  # a Library takes its declarations back when it is collected
)


def _import_torchvision() -> None:
    """Import torchvision, declaring its compiled operators where they are missing."""
    global _declarations  # noqa: PLW0603 - one registration a process, as long as the process lives
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _declarations = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for operator in ("nms", "qnms"):
            _declarations.define(operator + _DETECTION_SCHEMA)  # type: ignore[no-untyped-call]
        importlib.import_module("torchvision")


def create_network(architecture: str) -> torch.nn.Module:
    """Make one of timm's classifiers with a single output, its weights at random.

    Parameters
    ----------
    architecture
        timm's name, for example ``tf_efficientnet_lite0``.

    Raises
    ------
    RuntimeError
        timm does not know the name.
    """
    _import_torchvision()
    timm = importlib.import_module("timm")
    network: torch.nn.Module = timm.create_model(
        architecture, pretrained=False, num_classes=1, drop_rate=0.3, drop_path_rate=0.15
    )
    # timm draws the last layer for a thousand classes; with one output its first logits would be in the tens.
    torch.nn.init.normal_(network.get_parameter("classifier.weight"), std=0.01)
    return network
