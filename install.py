"""Installs the node into the Python that runs this file, with the PyTorch build that is wanted.

    python install.py [--torch cpu|cuda] WHAT PIP INSTALLS...        e.g.  --editable ".[demo]"

Every file that is installed is one whose SHA-256 stands in locks/: pip takes no other, wherever it comes from.

On Linux, PyPI's torch brings gigabytes of CUDA. The builds for the CPU lie on PyTorch's own index, so torch
and torchvision are tried there first: those two alone, with a short time-out and no second try. Where that
index cannot be reached, or for ``--torch cuda``, plain pip decides with the indexes it is configured for.

Needs nothing but Python 3.11 and pip.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LOCKS = Path(__file__).with_name("locks")
HASHED = ("install", "--no-deps", "--require-hashes")

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

    extras = set(re.findall(r"\w+", "".join(re.findall(r"\[(.*?)\]", " ".join(what)))))
    if arguments.torch == "cuda":
        if installed("torch").endswith("+cpu"):
            pip("uninstall", "--yes", *CPU_BUILDS)  # it satisfies the same pin
    else:
        install_cpu_builds()
    failed = pip(*HASHED, "--requirement", str(LOCKS / lock_of(extras)))
    if not failed and "openvino" in extras:
        failed = pip(*HASHED, "--requirement", str(LOCKS / "openvino.txt"))
    if not failed and not installed("torch").endswith("+cpu"):
        failed = pip(*HASHED, "--requirement", str(LOCKS / "cuda.txt"))
    # all that it needs is there by now, what builds it included
    return failed or pip("install", "--no-deps", "--no-build-isolation", *what)


def lock_of(extras: set[str]) -> str:
    """Name the list of files for what is to be installed with these extras; OpenVINO has one of its own besides."""
    if "test" in extras:
        return "test.txt"
    return "demo.txt" if extras - {"openvino"} else "node.txt"


def install_cpu_builds() -> None:
    """Try PyTorch's CPU index for what is not installed yet."""
    lock = (LOCKS / "cpu.txt").read_text(encoding="utf-8")
    pins = dict(re.findall(r"(?m)^(\w+)==([\w.]+)\+cpu", lock))
    missing = [name for name in CPU_BUILDS if installed(name).partition("+")[0] != pins[name]]
    if not missing:
        return
    print(f"Trying PyTorch's CPU index for {' and '.join(missing)}", flush=True)
    with tempfile.TemporaryDirectory() as nothing:
        wanted = Path(nothing) / "wanted.txt"
        entries = re.split(r"(?m)^(?=\w)", lock)
        wanted.write_text(
            "".join(each for each in entries if each.partition("==")[0] in missing), encoding="utf-8"
        )
        # Indexes from the environment or a pip.conf must not answer here. Their list cannot be emptied, only
        # replaced; certificate and proxy stay as they are configured.
        others = {"PIP_EXTRA_INDEX_URL": Path(nothing).as_uri(), "PIP_FIND_LINKS": nothing}
        failed = pip(
            *HASHED,
            "--index-url",
            CPU_INDEX,
            "--timeout",
            str(TIMEOUT_SECONDS),
            "--retries",
            "0",
            "--requirement",
            str(wanted),
            environment=others,
        )
    if failed:
        print(
            "PyTorch's CPU index did not give them; pip installs the build that its own indexes offer, "
            "which on Linux may be the one for GPUs (several gigabytes).",
            flush=True,
        )


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
