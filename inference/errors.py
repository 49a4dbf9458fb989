"""What can go wrong in this room.

InferenceError
├── ImageRejected         reject: the image cannot be analysed, for a coded reason
├── ModelDamaged          stop: the model is not what its card says
├── EngineUnusable        stop: what is to run the network is not installed, or answers otherwise than the reference
├── DataUnusable          stop: films cannot be trained or measured on
├── ArchitectureUnusable  stop: no classifier can be made of that name
└── PackagesMissing       stop: the installation is one that only serves
"""

from importlib.util import find_spec
from pathlib import Path

from inference.prediction import Reason


class InferenceError(Exception):
    """The room's root."""


class ImageRejected(InferenceError):
    """The image is not analysable; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.sentence)
        self.reason = reason


class ModelDamaged(InferenceError):
    """The model at `path` must not be used; `fault` says why."""

    def __init__(self, path: Path, fault: str) -> None:
        super().__init__(
            f"{path}: {fault}; install the package or the bundle again, or name another one in [model]"
        )
        self.path = path
        self.fault = fault


class EngineUnusable(InferenceError):
    """`engine` must not run the network here; `fault` says why."""

    def __init__(self, engine: str, fault: str) -> None:
        super().__init__(f"{engine}: {fault}")
        self.engine = engine
        self.fault = fault


class DataUnusable(InferenceError):
    """The training data at `path` cannot be used; `fault` says why."""

    def __init__(self, path: Path, fault: str) -> None:
        super().__init__(f"{path}: {fault}")
        self.path = path
        self.fault = fault


class ArchitectureUnusable(InferenceError):
    """No classifier can be made of `architecture`; `fault` says why."""

    def __init__(self, architecture: str, fault: str) -> None:
        super().__init__(f"{architecture}: {fault}")
        self.architecture = architecture
        self.fault = fault


class PackagesMissing(InferenceError):
    """Training and plots need packages that the node does without."""


def require_training_packages() -> None:
    """Stop before the work and not after it where its packages are not installed.

    Raises
    ------
    PackagesMissing
        They are not.
    """
    if any(find_spec(name) is None for name in ("matplotlib", "onnx")):
        raise PackagesMissing('training and plots need more packages: python install.py ".[training]"')
