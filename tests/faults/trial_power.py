"""200 power cuts under a stream of films, at any write or fsync of the node, half of them with what was not synced kept
in part; at the end of every round nothing that was answered is lost, and no result is in Orthanc twice.
"""

import contextlib
import io
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.faults.power import Supply
from tests.peers import Pacs

CUTS = 200
REST_SECONDS = 1800.0
"""A node that dies before its analysing process has started leaves all its films for the end of the round."""
ROUND = 20
"""So many cuts on one disk, of which the first is at its first start; then the promises are checked."""


def run(cuts: int = CUTS) -> dict[str, object]:
    """Cut so often, and return the figures. Raises AssertionError where a promise was not kept."""
    dice = random.Random(cuts)
    count: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="power-") as folder:
        pacs = Pacs(Path(folder, "orthanc"))
        pacs.start()
        try:
            for number in range(cuts // ROUND):
                with (
                    Supply(Path(folder, str(number)), pacs) as supply,
                    contextlib.redirect_stdout(io.StringIO()),
                ):
                    _cut(supply, dice, count)
                    supply.come_to_rest(REST_SECONDS)
                    broken = supply.stage.broken_promises()
                    count["answered"] += len(supply.stage.answered)
                print(f"{ROUND * (number + 1)} of {cuts}: {broken or 'kept'}", file=sys.stderr, flush=True)
                assert not broken, broken
            results = pacs.count()
        finally:
            pacs.stop()
    return {
        "power cuts": sum(count[each] for each in ("at the start", "syncs", "writes")),
        "of them at a first start": count["at the start"],
        "at an fsync, while films come": count["syncs"],
        "at a write, while films come": count["writes"],
        "that left of what was not synced nothing": count["strict"],
        "that left a part of it, by dice": count["dice"],
        "films answered with Success": count["answered"],
        "of them lost or in an unknown state": 0,
        "results in the PACS": results,
        "of them twice, or missing": 0,
    }


def _cut(supply: Supply, dice: random.Random, count: Counter[str]) -> None:
    for number in range(ROUND):
        seed = dice.randint(1, 10**6) if number % 2 else None
        count["dice" if number % 2 else "strict"] += 1
        if number == 0:
            supply.cut_at_the_start(dice.randint(1, 100), seed)
            count["at the start"] += 1
        else:
            counted, _ = supply.cut_while_films_come(dice, seed)
            count[counted] += 1
