"""What the benchmarks gave, in README and docs: between the marks of each stands its recorded table.

    python -m benchmarks.document README.md docs/*.md

The marks are `<!-- benchmark: NAME -->` and `<!-- end -->`; `make bench` and the one who has run a module call this.
"""

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
_MARKED = re.compile(r"(<!-- benchmark: (?P<name>[a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(document: str) -> str:
    """Return the document with every mark's table written anew."""
    return _MARKED.sub(lambda mark: f"{mark[1]}{_quoted(mark['name'])}{mark[3]}", document)


def _quoted(name: str) -> str:
    lines = (HERE / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return "".join(f"    {line.rstrip()}\n" for line in lines)


def main() -> None:
    """Write the tables into the files that are named."""
    for path in map(Path, sys.argv[1:]):
        document = path.read_text(encoding="utf-8")
        if (written := filled(document)) != document:
            path.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
