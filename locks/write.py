"""Writes which file of which version of each dependency is installed, by SHA-256: `make lock`.

    node.txt      what the node needs
    demo.txt      that, and what `make install` adds: the demo's radiographs and what trains the model
    test.txt      all of it
    openvino.txt  what OpenVINO needs beside node.txt
    cuda.txt      what PyTorch's build for NVIDIA GPUs needs beside any of them
    cpu.txt       PyTorch's builds for the CPU; kept by hand, since its index lists them for no resolver by default

pyproject.toml pins what we chose; here stands what that brings with it, for every platform (uv's universal resolution).
"""

import re
import subprocess
import sys
from pathlib import Path

LOCKS = Path(__file__).parent
EXTRAS = {"node.txt": (), "demo.txt": ("demo", "training"), "test.txt": ("test",)}
CUDA = re.compile(r"(nvidia|cuda|triton)\b")
HEADER = "# Written by `make lock` from pyproject.toml; installed by install.py, which takes no other file.\n"


def main() -> None:
    """Resolve anew and write all but cpu.txt."""
    cuda: dict[str, str] = {}
    for name, extras in EXTRAS.items():
        entries = resolved(extras)
        cuda |= {package: entry for package, entry in entries.items() if CUDA.match(package)}
        kept = {package: entry for package, entry in entries.items() if package not in cuda}
        write(LOCKS / name, [with_cpu_builds(package, entry) for package, entry in kept.items()])
    write(LOCKS / "cuda.txt", list(cuda.values()))
    known = resolved(())
    write(
        LOCKS / "openvino.txt",
        [entry for name, entry in resolved(("openvino",)).items() if name not in known],
    )


def resolved(extras: tuple[str, ...]) -> dict[str, str]:
    """Return the entry of every distribution that these extras need, by its name (two where platforms differ)."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--quiet", "--universal"]
    command += ["--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate"]
    command += [word for extra in extras for word in ("--extra", extra)]
    text = subprocess.run(command, cwd=LOCKS.parent, capture_output=True, text=True, check=True).stdout  # noqa: S603 - a list, no shell
    entries: dict[str, str] = {}
    for entry in re.split(r"(?m)^(?=\S)", text):
        package = entry.partition("==")[0]
        if package:
            entries[package] = entries.get(package, "") + entry
    return entries


def with_cpu_builds(package: str, entry: str) -> str:
    """Let an index of one's own hold PyTorch's builds for the CPU: they satisfy the same pin."""
    found = re.search(
        rf"(?ms)^{package}==[^\n]*\+cpu \\\n(.*?)(?=^\S|\Z)", (LOCKS / "cpu.txt").read_text("utf-8")
    )
    return f"{entry.rstrip()} \\\n{found[1].rstrip()}\n" if found else entry


def write(path: Path, entries: list[str]) -> None:
    """Write a requirements file as pip reads it."""
    path.write_text(HEADER + "".join(entries), encoding="utf-8")


if __name__ == "__main__":
    main()
