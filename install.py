"""Installs the node into the Python that runs this file, with the PyTorch build that is wanted.

    python install.py [--torch cpu|cuda] WHAT PIP INSTALLS...        e.g.  --editable ".[demo]"

On Linux, PyPI's torch brings gigabytes of CUDA. The builds for the CPU lie on PyTorch's own index, so torch
and torchvision are tried there first: those two alone, with a short time-out and no second try. Where that
index cannot be reached, or for ``--torch cuda``, plain pip decides with the indexes it is configured for.

Needs nothing but Python 3.11 and pip. The versions are those that pyproject.toml pins.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CPU_BUILDS = ("torch", "torchvision")
TIMEOUT_SECONDS = 10


def main() -> int:
    """Install what the command line asks for; the exit status is pip's."""
    parser = argparse.ArgumentParser(description="Installs the node and the PyTorch build that is wanted.")
    parser.add_argument("--torch", choices=["cpu", "cuda"], default="cpu", help="the build (default: cpu)")
    arguments, what = parser.parse_known_args()
    if not what:
        parser.error("say what to install, for example .")

    if arguments.torch == "cuda":
        if installed("torch").endswith("+cpu"):
            pip("uninstall", "--yes", *CPU_BUILDS)  # it satisfies the same pin
    else:
        install_cpu_builds(pinned(Path(__file__).with_name("pyproject.toml")))
    return pip("install", *what)


def install_cpu_builds(pins: dict[str, str]) -> None:
    """Try PyTorch's CPU index for what is not installed yet.

    Parameters
    ----------
    pins
        The version of each distribution.
    """
    missing = [
        f"{name}=={pins[name]}" for name in CPU_BUILDS if installed(name).partition("+")[0] != pins[name]
    ]
    if not missing:
        return
    print(f"Trying PyTorch's CPU index for {' and '.join(missing)}", flush=True)
    with tempfile.TemporaryDirectory() as nothing:
        # Indexes from the environment or a pip.conf must not answer here. Their list cannot be emptied, only
        # replaced; certificate and proxy stay as they are configured.
        others = {"PIP_EXTRA_INDEX_URL": Path(nothing).as_uri(), "PIP_FIND_LINKS": nothing}
        failed = pip(
            "install",
            "--no-deps",  # what they need comes from the usual index
            "--index-url",
            CPU_INDEX,
            "--timeout",
            str(TIMEOUT_SECONDS),
            "--retries",
            "0",
            *missing,
            environment=others,
        )
    if failed:
        print(
            "PyTorch's CPU index did not give them; pip installs the build that its own indexes offer, "
            "which on Linux may be the one for GPUs (several gigabytes).",
            flush=True,
        )


def pinned(project_file: Path) -> dict[str, str]:
    """Read the exact version of each dependency from pyproject.toml."""
    requirements = tomllib.loads(project_file.read_text(encoding="utf-8"))["project"]["dependencies"]
    matches = (re.fullmatch(r"([\w.-]+)==([\w.]+)", requirement) for requirement in requirements)
    return {match[1]: match[2] for match in matches if match}


def installed(name: str) -> str:
    """Tell the installed version of a distribution; empty where there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def pip(*arguments: str, environment: dict[str, str] | None = None) -> int:
    """Run this Python's pip and return its exit status."""
    command = [sys.executable, "-m", "pip", *arguments]
    return subprocess.run(command, env={**os.environ, **(environment or {})}, check=False).returncode  # noqa: S603 - a list, no shell


if __name__ == "__main__":
    sys.exit(main())
