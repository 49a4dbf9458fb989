"""The analysing process: decoders and network run there, where they can be killed, replaced and do no harm.

The parent asks over a pipe (`dicom_node.pipe`) and waits at most until a deadline; a process that hangs is killed with
all that it has started, one that died or answers nonsense is replaced at the next question, and one that answered
often enough is retired, so that nothing can grow in it. What runs in it is `dicom_node.child_main`.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TypeVar

import structlog
from pydantic import TypeAdapter

from config.settings import Settings
from dicom_node.errors import (
    ANSWER_UNREADABLE,
    DEADLINE_EXCEEDED,
    WORKER_DIED,
    AnalysisDied,
    AnalysisFailed,
    ModelRefused,
)
from dicom_node.pipe import Pipe
from dicom_node.tasks import (
    LOADED,
    LOOK,
    OUTCOME,
    REPORT,
    START,
    TASK,
    VIEW,
    Failure,
    FilmTask,
    FilmView,
    Look,
    LookTask,
    Refusal,
    ResultObject,
    Start,
    StudyTask,
    ViewTask,
)
from inference.card import SHIPPED, ModelCard, identity
from inference.prediction import NotAnalysable, Outcome

COMMAND = (sys.executable, "-P", "-m", "dicom_node.child_main")
"""-P: a file in the folder where the node was started is not to be taken for one of its modules."""
START_SECONDS = 120.0  # libraries and model: about a second; a cold disk and a busy machine: more
LONGEST_ANSWER = 1024**2
"""Bytes of JSON; a prediction has some thousand, and the contents of results do not count."""

_log = structlog.get_logger()

Sent = TypeVar("Sent")
Received = TypeVar("Received")


class AnalysisProcess:
    """One child process that answers questions; started by `ensure_started`, or by the first question.

    Parameters
    ----------
    card
        Of the model that shall answer: whatever else the child finds in the bundle's folder is refused.
    niceness
        How far it stands back behind the other processes of the machine (nice(2)).
    """

    def __init__(self, settings: Settings, card: ModelCard, niceness: int) -> None:
        self._settings = settings
        self._told: Settings | None = None  # what the process goes by
        self._card = card
        self._niceness = niceness
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Pipe | None = None
        self._answered = 0
        self._ended = False
        self.engine = ""
        """What runs the network, for people; empty before the process was started."""

    @property
    def pid(self) -> int | None:
        """The process's number, as long as there is one."""
        return None if self._process is None else self._process.pid

    def take(self, settings: Settings) -> None:
        """Go by these settings from the next question on."""
        self._settings = settings

    def ensure_started(self) -> None:
        """Start the process if it is not there or has answered often enough, and wait until its model is loaded:
        before an image needs it. One that is there is told of other settings.

        Raises
        ------
        AnalysisDied
            It did not come up.
        ModelRefused
            The model is damaged, or was changed since its card was read.
        """
        settings = self._settings
        fresh = self._answered < settings.model.images_per_process
        runs = fresh and self._process is not None and self._process.poll() is None
        pipe = self._pipe
        if runs and settings is self._told:
            return
        started = time.monotonic()
        if not runs or pipe is None:
            self.stop()
            pipe = self._start()
        start = Start(settings.model_dump(mode="json"), self._niceness)
        loaded = self._converse(pipe, START, start, LOADED, START_SECONDS)
        if isinstance(loaded, Refusal):
            self.stop()
            raise ModelRefused(loaded.sentence)
        if loaded.card != identity(self._card):
            self.stop()
            raise ModelRefused(
                f"{settings.model.bundle or SHIPPED}: not the model that was there when the node was started; "
                "put that one back, or start the node again with this one"
            )
        self._told = settings
        self.engine = loaded.engine
        if not runs:
            _log.info("analysis_started", milliseconds=round(1000 * (time.monotonic() - started)))

    def analyse(self, path: Path, deadline_seconds: float) -> Outcome:
        """Let the child look at a film.

        Raises
        ------
        AnalysisDied
            The child died, answered nonsense or did not answer in time; it is gone, and the next question starts
            another one.
        AnalysisFailed
            It met an error that nobody foresaw, and lives.
        ModelRefused
            A child had to be started, and found another model.
        """
        outcome = self._ask(FilmTask(path), OUTCOME, deadline_seconds)
        if isinstance(outcome, Failure):
            raise AnalysisFailed(outcome.error_type, outcome.where)
        return outcome

    def look(self, task: LookTask, deadline_seconds: float) -> Look:
        """Let the child look at a file of no study and draw it. Raises as `analyse`."""
        look = self._ask(task, LOOK, deadline_seconds)
        if isinstance(look, Failure):
            raise AnalysisFailed(look.error_type, look.where)
        return look

    def view(self, task: ViewTask, deadline_seconds: float) -> FilmView | NotAnalysable:
        """Let the child make a film ready for a screen; or the reason why it has no picture. Raises as `analyse`."""
        view = self._ask(task, VIEW, deadline_seconds)
        if isinstance(view, Failure):
            raise AnalysisFailed(view.error_type, view.where)
        return view

    def report(self, task: StudyTask, deadline_seconds: float) -> tuple[ResultObject, ...]:
        """Let the child make the objects of a study's report. Raises as `analyse`."""
        report = self._ask(task, REPORT, deadline_seconds)
        if isinstance(report, Failure):
            raise AnalysisFailed(report.error_type, report.where)
        return report.results

    def end(self) -> None:
        """Kill the process under whoever waits for its answer, for good; for another thread than that one."""
        self._ended = True
        self._kill()

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self._kill()
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            self._process.wait()
            self._process = None

    def _start(self) -> Pipe:
        ours, theirs = socket.socketpair()
        self._pipe = Pipe(ours, LONGEST_ANSWER)
        with theirs:
            # in a session of its own: ctrl-C at a terminal is for the parent to decide, and what the child has
            # started is killed with it
            self._process = subprocess.Popen(  # noqa: S603 - a constant
                COMMAND, stdin=theirs.fileno(), start_new_session=True
            )
        self._answered = 0
        if self._ended:  # while it was being started
            self._kill()
        return self._pipe

    def _ask(
        self,
        task: FilmTask | LookTask | ViewTask | StudyTask,
        answer: TypeAdapter[Received],
        deadline_seconds: float,
    ) -> Received:
        self.ensure_started()
        if self._pipe is None:
            raise AnalysisDied(WORKER_DIED)
        self._answered += 1
        return self._converse(self._pipe, TASK, task, answer, deadline_seconds)

    def _converse(
        self,
        pipe: Pipe,
        kind: TypeAdapter[Sent],
        message: Sent,
        answer: TypeAdapter[Received],
        deadline_seconds: float,
    ) -> Received:
        deadline = time.monotonic() + deadline_seconds
        try:
            pipe.send(kind, message, deadline)
            return pipe.receive(answer, deadline)
        except TimeoutError:
            reason = DEADLINE_EXCEEDED
        except (EOFError, OSError):
            reason = WORKER_DIED
        except ValueError:
            reason = ANSWER_UNREADABLE
        self.stop()
        raise AnalysisDied(reason)

    def _kill(self) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
