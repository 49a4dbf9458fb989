"""A million inputs for everything that reads a stranger's bytes: none may crash it, hang it, or make it grow.

The work is cut into shares, each done by a process of its own, as many at a time as there are cores. What a share found
is kept in build/fuzzing/, so that a run that was interrupted goes on where it was; remove the folder for a new one.
"""

import json
import logging
import os
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import structlog

from tests.faults import fuzz_targets
from tests.faults.fuzzing import Tally, Target, fuzz, memory_megabytes

KEPT = Path(__file__).parents[2] / "build" / "fuzzing"
CASES = {
    "identity of a data set": 60_000,
    "comparison of two data sets": 5_000,
    "elements of a data set": 100_000,
    "compressed frame": 250_000,
    "answer to C-FIND": 100_000,
    "HL7 acknowledgement": 300_000,
    "HL7 final report": 200_000,
    "answer to STOW-RS": 200_000,
    "settings file": 10_000,
    "answer of storage commitment": 20_000,
    "association, DIMSE and data set": 5_000,
    "film in the analysing process": 3_000,
}
SHARES = 10
"""Of each target, with a seed each."""


@dataclass(frozen=True, slots=True)
class Share:
    target: str
    cases: int
    seed: int

    @property
    def kept(self) -> Path:
        return KEPT / f"{self.target} {self.cases} {self.seed}.json"


def run() -> dict[str, object]:
    """Do what is left of the shares and return the figures of all."""
    (KEPT / "crashes").mkdir(parents=True, exist_ok=True)
    shares = [Share(name, cases // SHARES, seed) for seed in range(SHARES) for name, cases in CASES.items()]
    left = [share for share in shares if not share.kept.exists()]
    context = get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context, max_tasks_per_child=1) as pool:
        for done, share in enumerate(pool.map(_do, left), len(shares) - len(left) + 1):
            print(f"{done} of {len(shares)}: {share.target}", file=sys.stderr, flush=True)
    return _figures([(share, json.loads(share.kept.read_text("utf-8"))) for share in shares])


def _figures(found: list[tuple[Share, dict[str, object]]]) -> dict[str, object]:
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    crashes: list[str] = []
    for share, tally in found:
        of = sums[share.target]
        of["cases"] += tally["cases"]
        of["slowest"] = max(of["slowest"], tally["slowest"])
        of["grown"] = max(of["grown"], tally["grown"])
        crashes += tally["crashes"]
    figures: dict[str, object] = {
        "cases": f"{int(sum(each['cases'] for each in sums.values())):,}",
        "crashes, threads that died, hangs": len(crashes),
    }
    for name, of in sums.items():
        figures[name] = (
            f"{int(of['cases']):,} cases, slowest {of['slowest']:.2f} s, grown by {of['grown']:.0f} MB"
        )
    assert not crashes, "\n".join(crashes)
    return figures


def _do(share: Share) -> Share:
    os.nice(10)
    quiet()
    with tempfile.TemporaryDirectory() as scratch, targets(share.target, Path(scratch)) as found:
        [target] = [each for each in found if each.name == share.target]
        # libraries take their memory with the first cases
        tally = fuzz(target, share.cases // 10, 1000 + share.seed, KEPT / "crashes")
        before = memory_megabytes()
        tally = fuzz(target, share.cases - tally.cases, share.seed, KEPT / "crashes", tally)
        grown = max(0.0, memory_megabytes() - before)
    _keep(share, tally, grown)
    return share


def _keep(share: Share, tally: Tally, grown: float) -> None:
    share.kept.write_text(json.dumps({**asdict(tally), "grown": grown}), encoding="utf-8")


@contextmanager
def targets(name: str, scratch: Path) -> Iterator[list[Target]]:
    """Make ready what a target needs, and the targets that need the same."""
    of_one = {
        "answer of storage commitment": fuzz_targets.commitment,
        "association, DIMSE and data set": fuzz_targets.receiver,
        "film in the analysing process": fuzz_targets.analysing_process,
    }
    if name in of_one:
        with of_one[name](scratch) as found:
            yield found
    else:
        yield fuzz_targets.parsers(scratch)


def quiet() -> None:
    """Say nothing of each of a million refusals."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
