"""What the analysing process runs: it answers questions until the parent is gone.

Its end of the pipe is its standard input. A picture may do here what it likes with a decoder: the process has
its memory limited, is the first that the system kills where there is too little of it, leaves no picture behind in a
core dump, and does not outlive the parent, not even where it hangs and the parent was killed.
"""

import ctypes
import gc
import os
import re
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter

from config.settings import Settings
from dicom_node import logs
from dicom_node.discretion import be_discreet
from dicom_node.pipe import Pipe
from dicom_node.tasks import (
    FAILURE,
    LOADED,
    LOOK,
    OUTCOME,
    REPORT,
    START,
    TASK,
    VIEW,
    Failure,
    FilmTask,
    Loaded,
    LookTask,
    Refusal,
    Report,
    Start,
    ViewTask,
)
from inference.card import identity
from inference.errors import EngineUnusable, ModelDamaged

if TYPE_CHECKING:
    from dicom_node.analysis import Analyst

MEMORY_BYTES = 4 * 1024**3
"""What a data set that inflates to gigabytes may take before it gets a MemoryError, and the machine none."""
LONGEST_QUESTION = 1024**3  # a study may have any number of films, and the parent is trusted

_SET_PARENT_DEATH_SIGNAL: Final = 1  # prctl(2)
_TRIM_THRESHOLD: Final = -1  # mallopt(3)
_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 256 * 1024**2
_LARGEST_KEPT: Final = 32 * 1024**2  # the most that glibc takes; what is larger goes back to the system


def main() -> None:
    """Answer questions."""
    _stand_back()
    _keep_memory()
    be_discreet()  # from then on the process's own files under /proc are root's
    pipe = Pipe(socket.socket(fileno=os.dup(sys.stdin.fileno())), LONGEST_QUESTION)
    with Path(os.devnull).open(encoding="ascii") as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())  # a library that reads from it reads nothing
    try:
        _serve(pipe)
    except (EOFError, OSError):  # the parent has gone
        return


def _serve(pipe: Pipe) -> None:
    start = pipe.receive(START, None)
    settings = Settings.model_validate(start.settings)
    os.nice(start.niceness)
    logs.configure(settings.logging)
    from dicom_node.analysis import Analyst  # noqa: PLC0415 - what runs a network: seconds, at that niceness

    try:
        analyst = Analyst(settings)
    except (EngineUnusable, ModelDamaged) as error:
        pipe.send(LOADED, Refusal(str(error)), None)
        return
    analyst.warm_up()
    _limit_memory()
    gc.collect()
    gc.freeze()  # what is loaded stays, and need not be looked through while a report is made
    loaded = Loaded(identity(analyst.card), analyst.engine)
    pipe.send(LOADED, loaded, None)
    while True:
        _answer(pipe, analyst, loaded)


def _answer(pipe: Pipe, analyst: "Analyst", loaded: Loaded) -> None:
    task = pipe.receive(TASK, None)
    if isinstance(task, Start):
        analyst.take(Settings.model_validate(task.settings))
        pipe.send(LOADED, loaded, None)
        return
    kind: TypeAdapter[Any]
    answer: Any  # of that kind
    try:
        if isinstance(task, FilmTask):
            kind, answer = OUTCOME, analyst.analyse(task.path)
        elif isinstance(task, LookTask):
            kind, answer = LOOK, analyst.look(task)
        elif isinstance(task, ViewTask):
            kind, answer = VIEW, analyst.view(task)
        else:
            kind, answer = REPORT, Report(analyst.report(task))
    except Exception as error:  # noqa: BLE001 - the child's one broad except: the parent decides what it means
        kind, answer = FAILURE, Failure(type(error).__name__, logs.where_raised(error))
    pipe.send(kind, answer, None)


def _stand_back() -> None:
    """Let the system end this process before others and with its parent."""
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def _keep_memory() -> None:
    """Use memory again that was freed: a third of a large heatmap's time went into clearing new pages for it."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's alone
    if set_option is not None:
        set_option(_MMAP_THRESHOLD, _LARGEST_KEPT)
        set_option(_TRIM_THRESHOLD, _KEPT_BYTES)


def _limit_memory() -> None:
    """Let this process take MEMORY_BYTES more than it has now, with its libraries and the model loaded."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    [kilobytes] = re.findall(r"^VmData:\s+(\d+) kB$", status, re.MULTILINE)
    limit = int(kilobytes) * 1024 + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


if __name__ == "__main__":
    main()
