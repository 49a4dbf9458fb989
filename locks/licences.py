"""Writes docs/licences.md: the licence of everything that the node is installed with. Part of `make lock`.

What a distribution says of itself counts: its licence expression (PEP 639), else its classifier, else its field.
"""

import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

LOCKS = Path(__file__).parent
DOCUMENT = LOCKS.parent / "docs" / "licences.md"
INTRODUCTION = """# Licences

What `pip install` brings beside the node itself, as each distribution states it; written by `make lock` from what is
installed. PyTorch's build for NVIDIA GPUs brings libraries under NVIDIA's own licences besides (`locks/cuda.txt`); the
tests' tools (`locks/test.txt`) are not installed with the node. Inside the node's own package lies htmx 2.0.11, as its
makers publish it for npm (`dicom_node/web/static/htmx.min.js`), under the Zero-Clause BSD licence.

| Distribution | Version | Licence |
|---|---|---|
"""


def main() -> None:
    """Write the document."""
    names = sorted(
        set(re.findall(r"(?m)^([a-z0-9._-]+)==", (LOCKS / "node.txt").read_text(encoding="utf-8")))
    )
    rows = []
    for name in names:
        try:
            about = metadata(name)
        except PackageNotFoundError:  # of other platforms
            continue
        rows.append(f"| {name} | {about['Version'].partition('+')[0]} | {licence(name)} |\n")
    DOCUMENT.write_text(INTRODUCTION + "".join(rows), encoding="utf-8")


def licence(name: str) -> str:
    """Return the licence that an installed distribution states; empty where it states none."""
    about = metadata(name)
    expression = about.get("License-Expression")
    if expression:
        return str(expression)
    classifiers = about.get_all("Classifier") or []
    stated = [
        each.split(" :: ")[-1] for each in classifiers if each.startswith("License :: OSI Approved :: ")
    ]
    return " or ".join(stated) or (about.get("License") or "").partition("\n")[0]


if __name__ == "__main__":
    main()
