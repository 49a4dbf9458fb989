"""Run the long trials of this folder and write what they measured into docs/reliability.md.

    python -m tests.faults.record TRIAL...     run these and keep their figures
    python -m tests.faults.record              only write the document again
    make faults                                run all of them

A trial is a module `trial_NAME.py` with a function `run()`, which shows its progress on stderr, returns its figures by
what they are called, and raises where a promise was not kept. They are kept in records/NAME.json with the date and the
machine, and stand in the document between the marks `<!-- record: NAME -->` and `<!-- end -->`.
"""

import argparse
import json
import os
import platform
import re
import sys
import time
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
RECORDS = HERE / "records"
DOCUMENT = HERE.parent.parent / "docs" / "reliability.md"
_MARKED = re.compile(r"(<!-- record: (?P<name>[a-z_]+) -->).*?(<!-- end -->)", re.DOTALL)


def trials() -> list[str]:
    """Return the names of all trials."""
    return sorted(path.stem.removeprefix("trial_") for path in HERE.glob("trial_*.py"))


def keep(name: str, figures: dict[str, object], seconds: float) -> None:
    """Keep what a trial measured, with the date and the machine."""
    record = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": f"{os.cpu_count()} cores, {_processor()}, Python {platform.python_version()}",
        "minutes": round(seconds / 60, 1),
        "figures": figures,
    }
    RECORDS.mkdir(exist_ok=True)
    text = json.dumps(record, indent=2, ensure_ascii=False)
    (RECORDS / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def filled(document: str) -> str:
    """Return the document with every mark's table written anew."""
    return _MARKED.sub(lambda mark: f"{mark[1]}\n{_table(mark['name'])}\n{mark[3]}", document)


def _table(name: str) -> str:
    path = RECORDS / f"{name}.json"
    if not path.exists():
        return f"Not run yet: `make faults TRIALS={name}`."
    record = json.loads(path.read_text(encoding="utf-8"))
    lines = ["| | |", "|---|---:|", *(f"| {what} | {figure} |" for what, figure in record["figures"].items())]
    lines += [
        "",
        f"`make faults TRIALS={name}`, {record['date']}, {record['minutes']} min, {record['machine']}",
    ]
    return "\n".join(lines)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    found = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def main() -> None:
    """Run what the command line names, and write the document."""
    parser = argparse.ArgumentParser(description="Run long trials and write docs/reliability.md.")
    parser.add_argument("trials", nargs="*", choices=[*trials(), "all", []], metavar="TRIAL")
    names = parser.parse_args().trials
    for name in trials() if "all" in names else names:
        print(f"{name} ...", file=sys.stderr)
        started = time.monotonic()
        figures = import_module(f"tests.faults.trial_{name}").run()
        keep(name, figures, time.monotonic() - started)
    DOCUMENT.write_text(filled(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
