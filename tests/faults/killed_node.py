"""A command of the product in a process that kills itself (SIGKILL) right before or right after a durable step.

    python -m tests.faults.killed_node --step instance_received --moment before -- run --config node.toml

Before a write transaction means: everything is written, and nothing committed. The product knows nothing of this: here
its database and its object store are wrapped, and its own command line is run.
"""

import argparse
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dicom_node import cli
from dicom_node.sweeps import Sweeps
from storage import objects
from storage.engine import Database
from storage.objects import ObjectStore
from storage.steps import Step

FILE_STEPS = {
    Step.OBJECT_WRITTEN: (ObjectStore, "_write"),
    Step.OBJECT_SYNCED: (ObjectStore, "_sync"),
    Step.OBJECT_MOVED: (ObjectStore, "_move"),
    Step.FOLDER_SYNCED: (objects, "sync_folder"),
    Step.OBJECT_REMOVED: (ObjectStore, "remove"),
    Step.LEFTOVERS_REMOVED: (ObjectStore, "remove_leftovers"),
}
"""Where the object store does what it makes durable; every other step is a write transaction."""


def arm(step: Step, moment: str, times: int) -> None:
    """Let this process die when it comes to this moment for the so many-th time."""
    counted = itertools.count(1)

    def die(at: str) -> None:
        if at == moment and next(counted) == times:
            os.kill(os.getpid(), signal.SIGKILL)

    if step in FILE_STEPS:
        owner, name = FILE_STEPS[step]
        setattr(owner, name, _dying(getattr(owner, name), die))
        return
    write = Database.write

    @contextmanager
    def dying_write(self: Database, written: Step) -> Iterator[Any]:
        with write(self, written) as connection:
            yield connection
            if written is step:
                die("before")
        if written is step:
            die("after")

    Database.write = dying_write  # type: ignore[method-assign,assignment]


def _dying(does: Callable[..., Any], die: Callable[[str], None]) -> Callable[..., Any]:
    def dying(*arguments: Any) -> Any:
        die("before")
        made = does(*arguments)
        die("after")
        return made

    return dying


def sweep_at_start(name: str, days_ahead: float) -> None:
    """Let the node do this sweep as soon as it has started, as if it were so many days later."""
    start = Sweeps.start

    def start_and_sweep(self: Sweeps) -> None:
        start(self)
        getattr(self, name)(time.time() + days_ahead * 86400)

    Sweeps.start = start_and_sweep  # type: ignore[method-assign]


def main() -> int:
    parser = argparse.ArgumentParser(description="Run a command of the node that is killed at a step.")
    parser.add_argument("--step", type=Step, required=True)
    parser.add_argument("--moment", choices=["before", "after"], required=True)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--sweep", default="")
    parser.add_argument("--days-ahead", type=float, default=0)
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    arm(arguments.step, arguments.moment, arguments.times)
    if arguments.sweep:
        sweep_at_start(arguments.sweep, arguments.days_ahead)
    return cli.main(arguments.command)


if __name__ == "__main__":  # the analysing process imports this module, too
    sys.exit(main())
