"""What the benchmarks gave, in README and docs: between the marks of each stands what is recorded of it.

    python -m benchmarks.document README.md docs/*.md

The marks are `<!-- benchmark: NAME -->` and `<!-- end -->`; `make bench` and the one who has run a module call this.
NAME is a module's, whose table is quoted, or `NAME medians`, a table with a line for what was measured.
"""

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
_MARKED = re.compile(
    r"(<!-- benchmark: (?P<name>[a-z]+)(?P<short> medians)? -->\n).*?(<!-- end -->)", re.DOTALL
)


def filled(document: str) -> str:
    """Return the document with every mark's table written anew."""
    return _MARKED.sub(
        lambda mark: f"{mark[1]}{(_medians if mark['short'] else _quoted)(mark['name'])}{mark[4]}", document
    )


def _quoted(name: str) -> str:
    lines = (HERE / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return "".join(f"    {line.rstrip()}\n" for line in lines)


def _medians(name: str) -> str:
    record = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    medians = {(each["what"], each["server"]): each["median"] for each in record["figures"]}
    units = {each["what"]: each["unit"] for each in record["figures"]}
    rounds = max(each["rounds"] for each in record["figures"])
    servers = list(dict.fromkeys(server for _, server in medians))
    lines = [f"| {record['title'].lower()} | {' | '.join(servers)} |", "|---" + "|---:" * len(servers) + "|"]
    for what, unit in units.items():
        cells = [f"{medians[what, name]:.3g}" if (what, name) in medians else "" for name in servers]
        lines.append(f"| {what}, {unit} | {' | '.join(cells)} |")
    lines += ["", f"`python -m benchmarks.{name}`, {record['date']}, {rounds} rounds, {record['machine']}"]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the tables into the files that are named."""
    for path in map(Path, sys.argv[1:]):
        document = path.read_text(encoding="utf-8")
        if (written := filled(document)) != document:
            path.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
