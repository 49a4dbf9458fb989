"""Which engines can be chosen here; importing this, and asking, loads none of them."""

from importlib.util import find_spec
from typing import Final

from config.values import EngineName
from inference.errors import EngineUnusable

_PACKAGES: Final[dict[EngineName, tuple[str, ...]]] = {
    "onnxruntime": ("onnxruntime",),
    "openvino": ("openvino", "onnx"),
    "torch": ("torch", "timm"),
}
_MENDS: Final[dict[EngineName, str]] = {"openvino": 'install it with: python install.py ".[openvino]"'}


def installed_engines() -> list[EngineName]:
    """Name the engines whose packages are here, the reference first."""
    return [name for name, packages in _PACKAGES.items() if all(find_spec(each) for each in packages)]


def require_installed(wanted: EngineName) -> None:
    """Refuse a setting that names what is not here.

    Raises
    ------
    EngineUnusable
        It is not installed.
    """
    if wanted != "auto" and wanted not in installed_engines():
        mend = _MENDS.get(wanted, "install the node again")
        raise EngineUnusable(wanted, f"is not installed; {mend}, or choose another in [model] engine")
