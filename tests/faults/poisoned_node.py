"""`dicom-node` whose decoder is taken over by marked pictures: one hangs, one eats memory, one crashes, one forks.

    python -m tests.faults.poisoned_node run --config FILE

The mark is the Series Description. The analysing processes are started by this module as well, with the settings
file in their command line, so that a test finds them and what they have left behind.
"""

import ctypes
import os
import sys
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from pydicom.dataset import Dataset

from dicom_node import child, child_main, cli
from inference import radiograph

MEMORY_BYTES = 300 * 1024**2  # instead of the node's own gigabytes, which a machine of tests needs itself

_decode = radiograph.decode


def hang() -> None:
    """Never come back, and hold the interpreter's lock as a decoder in C may."""
    while True:
        ctypes.PyDLL(None).pause()


def eat() -> None:
    """Take memory without end, and use it."""
    taken = []
    while True:
        taken.append(bytearray(os.urandom(1) * 2**20))


def crash() -> None:
    """End as a decoder does that reads where it must not."""
    ctypes.string_at(0)


def fork() -> None:
    """Start another process, and hang in both."""
    os.fork()
    hang()


POISONS: MappingProxyType[str, Callable[[], None]] = MappingProxyType(
    {"HANG": hang, "EAT": eat, "CRASH": crash, "FORK": fork}
)


def poisoned_decode(dataset: Dataset, *limits: Any) -> Any:
    poison = POISONS.get(dataset.SeriesDescription)
    if poison is not None:
        poison()
    return _decode(dataset, *limits)


if __name__ == "__main__":
    if sys.argv[1] == "analyse":
        radiograph.decode = poisoned_decode
        child_main.MEMORY_BYTES = MEMORY_BYTES
        child_main.main()
    else:
        child.COMMAND = (sys.executable, "-m", "tests.faults.poisoned_node", "analyse", sys.argv[-1])
        sys.exit(cli.main())
