"""How far one node goes, and how many are needed: from a clinic's hundred studies a day to a nation's million.

    python -m benchmarks.scaling                 into benchmarks/scaling.{json,txt}

A simulation, with the times that `benchmarks.receiving` and `benchmarks.answering` have measured (their JSON beside
this file). Studies of two films come as a Poisson process. On a node each passes three stations, each of which does one
thing at a time: the receiving process, the analysing process, and the sender of the one destination. There are as many
nodes as keep the busiest station below `MOST_BUSY` in the busiest hour, and studies are dealt out to them in turn. What
is simulated is that hour. docs/scaling.md says what follows.
"""

import argparse
import json
import math
import random
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

SCALES = {
    "a clinic": 100,
    "a hospital": 1_000,
    "a group of hospitals": 10_000,
    "a region": 100_000,
    "a nation": 1_000_000,
}
"""Studies a day."""
BUSIEST_HOUR = 0.11
"""Share of a day's studies: most come between eight and four."""
MOST_BUSY = 0.7
"""Share of the time; beyond it the queue of a station grows faster than its work."""
FILMS, FILM_MEGABYTES = 2, 10.24
FLAGGED = 0.3
"""Share of the studies that get a heatmap."""
HEATMAP_MEGABYTES = {"small heatmap": 2.7, "full heatmap": 16.5}
LONGEST_SIMULATED = 200_000
"""Studies: an hour of a nation."""
SEED = 1


@dataclass(frozen=True, slots=True)
class Station:
    """What does one thing at a time: how long it takes for a study, in seconds."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a scale: `busy` is each station's share of the busiest hour, times in seconds."""

    studies_a_day: int
    nodes: int
    busy: dict[str, float]
    median: float
    late: float
    gigabytes_a_day: float


def main() -> None:
    """Simulate, and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--heatmap", choices=list(HEATMAP_MEGABYTES), default="full heatmap")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(""))
    arguments = parser.parse_args()
    stations = measured(Path(__file__).parent, arguments.heatmap)
    loads = {name: simulate(stations, studies, arguments.heatmap) for name, studies in SCALES.items()}
    table = _table(stations, loads)
    arguments.output.with_suffix(".json").write_text(
        json.dumps(_as_json(stations, loads), indent=2) + "\n", encoding="utf-8"
    )
    with arguments.output.with_suffix(".txt").open("w", encoding="utf-8") as file:
        Console(file=file, width=120).print(table)
    Console().print(table)


def measured(folder: Path, heatmap: str) -> list[Station]:
    """Return what a study takes at each station, by what was measured on this project's machine."""
    receiving, answering = (
        {
            (each["what"], each["server"]): each["median"]
            for each in json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["figures"]
        }
        for name in ("receiving", "answering")
    )
    node = "this node"

    def stage(name: str) -> float:
        return float(answering[f"{heatmap}, of it {name}: median", node])

    received = FILMS * float(receiving["10 MB, processor", node])
    look = FILMS * (stage("received until looked at") + stage("look"))
    report = stage("until reported") + stage("report")
    return [
        Station("receiving", received / 1000),
        Station("analysing", (look + report) / 1000),
        Station("sending", stage("sent") / 1000),
    ]


def simulate(stations: list[Station], studies_a_day: int, heatmap: str) -> Load:
    """Let the busiest hour of such a day pass."""
    hourly = studies_a_day * BUSIEST_HOUR
    busiest = max(station.seconds for station in stations)
    nodes = max(1, math.ceil(hourly * busiest / 3600 / MOST_BUSY))
    waits = _waits(stations, hourly, nodes)
    megabytes = FILMS * FILM_MEGABYTES + FLAGGED * HEATMAP_MEGABYTES[heatmap]
    return Load(
        studies_a_day,
        nodes,
        {station.name: hourly / nodes * station.seconds / 3600 for station in stations},
        statistics.median(waits),
        statistics.quantiles(waits, n=100)[94],
        studies_a_day * megabytes / 1000,
    )


def _waits(stations: list[Station], hourly: float, nodes: int) -> list[float]:
    """How long each study of many hours like the busiest one was under way, from its last image to the archive."""
    chance = random.Random(SEED)
    free = [[0.0] * len(stations) for _ in range(nodes)]
    now, waits = 0.0, []
    for number in range(LONGEST_SIMULATED):
        now += chance.expovariate(hourly / 3600)
        at = now
        for index, station in enumerate(stations):
            at = max(at, free[number % nodes][index]) + station.seconds
            free[number % nodes][index] = at
        waits.append(at - now)
    return waits


def _as_json(stations: list[Station], loads: dict[str, Load]) -> dict[str, Any]:
    return {
        "milliseconds a study": {station.name: round(1000 * station.seconds, 1) for station in stations},
        "scales": {
            name: {
                "studies a day": load.studies_a_day,
                "nodes": load.nodes,
                "busy": {station: round(share, 4) for station, share in load.busy.items()},
                "median seconds": round(load.median, 3),
                "95th percentile seconds": round(load.late, 3),
                "gigabytes a day": round(load.gigabytes_a_day, 1),
            }
            for name, load in loads.items()
        },
    }


def _table(stations: list[Station], loads: dict[str, Load]) -> Table:
    taken = ", ".join(f"{station.name} {1000 * station.seconds:.0f} ms" for station in stations)
    table = Table(title=f"The busiest hour of a day (a study: {taken})")
    for column in ("", "studies a day", "nodes", *(f"{station.name} busy" for station in stations)):
        table.add_column(column, justify="left" if not column else "right")
    for column in ("median", "95th percentile", "a day on disk"):
        table.add_column(column, justify="right")
    for name, load in loads.items():
        table.add_row(
            name,
            f"{load.studies_a_day:,}",
            str(load.nodes),
            *(f"{100 * share:.1f} %" for share in load.busy.values()),
            f"{load.median:.2f} s",
            f"{load.late:.2f} s",
            f"{load.gigabytes_a_day:,.0f} GB",
        )
    return table


if __name__ == "__main__":
    main()
