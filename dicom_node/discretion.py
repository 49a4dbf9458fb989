"""What a process leaves behind: files that nobody else reads, and in a crash nothing of a patient.

An error that nobody foresaw is told by its type and where it was raised: its text may hold what a header held. No
memory is written to a disk: a limit on core dumps does not hold where the system hands them to a program (core(5)),
so the process says that it is not to be dumped, too.
"""

import ctypes
import os
import resource
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_SET_DUMPABLE: Final = 4  # prctl(2)


def be_discreet() -> None:
    """Let this process, and those that it starts, write files for their user alone, and no values when they crash."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0)
    sys.excepthook = _tell
    sys.unraisablehook = _tell_unraisable


def _tell(kind: type[BaseException], error: BaseException, _traceback: TracebackType | None) -> None:
    from dicom_node.logs import where_raised  # noqa: PLC0415 - a tenth of a second, for `--help`, too

    places = " < ".join(reversed(where_raised(error)))
    print(f"dicom-node: an error that nobody foresaw: {kind.__name__} at {places}", file=sys.stderr)


def _tell_unraisable(ended: "UnraisableHookArgs") -> None:
    if ended.exc_value is not None:
        _tell(ended.exc_type, ended.exc_value, ended.exc_traceback)
