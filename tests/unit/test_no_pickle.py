"""No code of this application can unpickle. What its libraries do: tests/faults/test_no_unpickling.py."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("config", "storage", "inference", "dicom_node")
UNPICKLING = {
    "pickle",
    "_pickle",
    "pickletools",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "shelve",
    # its pipes and queues unpickle what they bring; `subprocess` and `dicom_node.pipe` do not
    "multiprocessing",
}
"""Modules that make objects of bytes by running what the bytes say."""
WEIGHTS_ONLY = {"torch.load", "torch.hub.load_state_dict_from_url"}
"""These read tensors and plain values without the unpickler where they are told so."""
NEVER = {
    "concurrent.futures.ProcessPoolExecutor",
    "logging.config.listen",
    "numpy.load",
    "torch.hub.load",
    "torch.package.PackageImporter",
    "torch.utils.data.DataLoader",
}
"""A call of these unpickles, or is one argument away from it."""


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def dotted(node: ast.AST) -> str:
    """Return what is called as it is written: `torch.hub.load`; empty for what has no name."""
    if isinstance(node, ast.Name):
        return node.id
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


def imported(tree: ast.Module) -> dict[str, str]:
    """Return what each name that is imported stands for."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {each.asname: each.name for each in node.names if each.asname}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    return names


def unpickling(source: str) -> list[str]:
    """Return what in a source unpickles, or could."""
    tree = ast.parse(source)
    names = imported(tree)
    found = []
    for node in ast.walk(tree):
        modules = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
        found += [each for each in modules if UNPICKLING & {each.partition(".")[0], each} or each in NEVER]
        if not isinstance(node, ast.Call):
            continue
        first, _, rest = dotted(node.func).partition(".")
        called = ".".join(part for part in (names.get(first, first), rest) if part)
        keywords = {each.arg: ast.unparse(each.value) for each in node.keywords}
        if called in NEVER or "allow_pickle" in keywords or called.endswith(".read_pickle"):
            found.append(called)
        if called in WEIGHTS_ONLY and keywords.get("weights_only") != "True":
            found.append(called)
        if called in {"__import__", "importlib.import_module"} and UNPICKLING & {
            each.value for each in node.args if isinstance(each, ast.Constant)
        }:
            found.append(called)
    return found


def test_no_source_of_the_application_can_unpickle() -> None:
    assert len(sources()) > 100
    found = {str(path.relative_to(ROOT)): unpickling(path.read_text(encoding="utf-8")) for path in sources()}
    assert {path: calls for path, calls in found.items() if calls} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import numpy, _pickle as fast",
        "import multiprocessing.connection",
        "from multiprocessing import connection",
        "import joblib",
        "from concurrent.futures import ProcessPoolExecutor",
        "import torch\ntorch.load('x')",
        "import torch\ntorch.load('x', weights_only=False)",
        "from torch import load as read\nread('x')",
        "import torch\ntorch.hub.load_state_dict_from_url('x')",
        "import numpy as np\nnp.load('x')",
        "from numpy.lib import format\nformat.read_array(x, allow_pickle=True)",
        "import pandas as pd\npd.read_pickle('x')",
        "from torch.utils.data import DataLoader",
        "import importlib\nimportlib.import_module('pickle')",
    ],
)
def test_what_unpickles_is_seen(source: str) -> None:
    assert unpickling(source)


@pytest.mark.parametrize(
    "source",
    [
        "import json, subprocess",
        "import torch\ntorch.load('x', weights_only=True)",
        "from safetensors.torch import load_file\nload_file('x')",
        "from concurrent.futures import ThreadPoolExecutor",
    ],
)
def test_what_does_not_unpickle_is_left_alone(source: str) -> None:
    assert unpickling(source) == []
