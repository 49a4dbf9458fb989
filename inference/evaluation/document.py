"""Write measured figures into documents: `python -m inference.evaluation.document BUNDLE FILE...`, or `make docs`.

The prose of a document is written by hand; no figure of a model is. Each stands between two marks,

    <!-- figures: NAME --> ... <!-- end -->

and is written anew from the bundle's card.json and evaluation.json, and from the lung finder's card. The names are
those of `document_figures.BLOCKS`. evaluation.json is what `dicom-node evaluate BUNDLE DATA --full --json` prints. A
mark within a sentence must not begin a line, or Markdown ends the paragraph there.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from inference.errors import DataUnusable, InferenceError
from inference.evaluation.document_figures import BLOCKS, Measured, load_measured, markdown

_OPENING: Final = "<!-- figures:"
_CLOSING: Final = "<!-- end -->"
_MARKED: Final = re.compile(
    rf"{_OPENING}(?P<opened> (?P<name>[a-z ]+) -->)(?:(?!{_OPENING}).)*?{_CLOSING}", re.DOTALL
)


def filled(path: Path, measured: Measured) -> str:
    """Read a document and write the figures into its marks; the rest stays as it is.

    Raises
    ------
    DataUnusable
        A mark has no name of `BLOCKS`, or no end.
    """
    document = path.read_text(encoding="utf-8")
    marks = list(_MARKED.finditer(document))
    unknown = sorted({mark["name"] for mark in marks} - BLOCKS.keys())
    if unknown:
        raise DataUnusable(
            path, f"no figures are called {', '.join(unknown)}; there are {', '.join(sorted(BLOCKS))}"
        )
    if len(marks) != document.count(_OPENING):
        raise DataUnusable(path, f"write each mark as {_OPENING} NAME -->, and {_CLOSING} behind it")
    return _MARKED.sub(
        lambda mark: _OPENING + mark["opened"] + _written(mark["name"], measured) + _CLOSING, document
    )


def _written(name: str, measured: Measured) -> str:
    block = BLOCKS[name](measured)
    return block if isinstance(block, str) else f"\n\n{markdown(block)}\n\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite the documents that the command line names; 0 when all are as measured."""
    parser = argparse.ArgumentParser(description="Write a bundle's figures into documents.")
    parser.add_argument("bundle", type=Path, help="folder of a trained model, with its evaluation.json")
    parser.add_argument("documents", type=Path, nargs="+", help="Markdown with marks")
    given = parser.parse_args(arguments)
    try:
        measured = load_measured(given.bundle)
        texts = {path: filled(path, measured) for path in given.documents}
    except InferenceError as error:
        print(error, file=sys.stderr)
        return 1
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
