"""Rounds of measurements: medians, spread and ratios, for people as a table and a picture, for machines as JSON."""

import json
import os
import platform
import re
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(slots=True)
class Figures:
    """What was measured: for each `what` and each server one number a round.

    `units` says what the numbers of a `what` are, and `reference` which server the ratios are to.
    """

    title: str
    reference: str
    rounds: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    units: dict[str, str] = field(default_factory=dict)

    def note(self, what: str, unit: str, server: str, value: float) -> None:
        """Keep what one round gave."""
        self.units[what] = unit
        self.rounds[what][server].append(value)

    def ratio(self, what: str, server: str) -> float | None:
        """Return the median of the rounds' ratios to the reference: each round met the same machine."""
        of_server, of_reference = self.rounds[what][server], self.rounds[what].get(self.reference, [])
        ratios = [ours / theirs for ours, theirs in zip(of_server, of_reference, strict=False) if theirs]
        return statistics.median(ratios) if ratios else None

    def as_json(self) -> dict[str, Any]:
        """Return everything, for machines."""
        return {
            "title": self.title,
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "machine": machine(),
            "reference": self.reference,
            "figures": [
                {
                    "what": what,
                    "unit": self.units[what],
                    "server": server,
                    "median": round(statistics.median(values), 4),
                    "least": round(min(values), 4),
                    "most": round(max(values), 4),
                    "rounds": len(values),
                    "ratio": None if (ratio := self.ratio(what, server)) is None else round(ratio, 3),
                }
                for what, servers in self.rounds.items()
                for server, values in servers.items()
            ],
        }

    def table(self) -> Table:
        """Return everything, for people."""
        table = Table(title=f"{self.title}\n{time.strftime('%Y-%m-%d', time.gmtime())}, {machine()}")
        names = list(dict.fromkeys(name for servers in self.rounds.values() for name in servers))
        for column in ("what", *names):
            table.add_column(column, justify="left" if column == "what" else "right")
        for what, servers in self.rounds.items():
            cells = [self._cell(what, name) if name in servers else "" for name in names]
            table.add_row(f"{what} ({self.units[what]})", *cells)
        return table

    def _cell(self, what: str, server: str) -> str:
        """A median, from the least to the most, and its ratio to the reference."""
        values = self.rounds[what][server]
        text = f"{statistics.median(values):.4g}"
        if len(values) > 1:
            text += f" ({min(values):.3g} to {max(values):.3g})"
        ratio = self.ratio(what, server)
        return text if ratio is None or server == self.reference else f"{text} = {ratio:.2f} x"

    def write(self, stem: Path) -> None:
        """Write STEM.json, STEM.txt and STEM.svg."""
        stem.with_suffix(".json").write_text(
            json.dumps(self.as_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        with stem.with_suffix(".txt").open("w", encoding="utf-8") as file:
            Console(file=file, width=120).print(self.table())
        self._draw(stem.with_suffix(".svg"))

    def _draw(self, path: Path) -> None:
        from matplotlib import pyplot  # noqa: PLC0415 - slow to load, and nothing may run beside a measurement

        figure, axes = pyplot.subplots(
            len(self.rounds), 1, figsize=(8, 1.1 * len(self.rounds) + 0.6), squeeze=False
        )
        for axis, (what, servers) in zip(axes[:, 0], self.rounds.items(), strict=True):
            names = list(servers)[::-1]
            medians = [statistics.median(servers[name]) for name in names]
            spread = [
                [median - min(servers[name]) for name, median in zip(names, medians, strict=True)],
                [max(servers[name]) - median for name, median in zip(names, medians, strict=True)],
            ]
            axis.barh(names, medians, xerr=spread, color="#4477aa", ecolor="#222222")
            axis.set_title(f"{what} ({self.units[what]})", fontsize=8, loc="left")
            axis.tick_params(labelsize=7)
        figure.tight_layout()
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)


def machine() -> str:
    """Return what this was measured on."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return f"{os.cpu_count()} cores, {model[1] if model else platform.machine()}, Python {platform.python_version()}"
