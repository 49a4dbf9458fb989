"""The analysing process: decoders and network run here, where they can be killed, replaced and do no harm.

The parent asks over a pipe and waits at most until a deadline; a child that hangs is killed, one that died is
replaced at the next question, and one that answered often enough is retired, so that nothing can grow in it.
It ends by itself when its parent is gone, because its end of the pipe then reads as closed.
"""

import multiprocessing
import os
import re
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import cast

from config.settings import Settings
from dicom_node import logs
from dicom_node.errors import AnalysisDied, AnalysisFailed, ModelRefused
from inference.card import SHIPPED, ModelCard
from inference.errors import ModelDamaged

START_SECONDS = 120.0  # libraries and model: about a second; a cold disk and a busy machine: more
MEMORY_BYTES = 4 * 1024**3
"""What a data set that inflates to gigabytes may take before it gets a MemoryError, and the machine none."""


@dataclass(frozen=True, slots=True)
class _Failure:
    error_type: str
    where: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Refusal:
    sentence: str


class AnalysisProcess:
    """One child process that answers `ask`; started by `ensure_started`, or by the first question.

    Parameters
    ----------
    card
        Of the model that shall answer: whatever else the child finds in the bundle's folder is refused.
    niceness
        How far it stands back behind the other processes of the machine (nice(2)).
    """

    def __init__(self, settings: Settings, card: ModelCard, niceness: int) -> None:
        self._settings = settings
        self._card = card
        self._niceness = niceness
        self._context = multiprocessing.get_context("spawn")  # a fork would copy the parent's threads' locks
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._answered = 0

    def ensure_started(self) -> None:
        """Start the process if it is not there or has answered often enough, and wait until its model is loaded:
        before an image needs it.

        Raises
        ------
        AnalysisDied
            It did not come up.
        ModelRefused
            The model is damaged, or was changed since its card was read.
        """
        fresh = self._answered < self._settings.model.images_per_process
        if fresh and self._process is not None and self._process.is_alive():
            return
        self.stop()
        ours, theirs = self._context.Pipe()
        self._process = self._context.Process(
            target=_serve, args=(theirs, self._settings, self._niceness), name="analysis", daemon=True
        )
        self._process.start()
        theirs.close()
        self._pipe = ours
        self._answered = 0
        loaded = self._receive(START_SECONDS)
        if isinstance(loaded, _Refusal):
            self.stop()
            raise ModelRefused(loaded.sentence)
        if _identity(cast(ModelCard, loaded)) != _identity(self._card):
            self.stop()
            raise ModelRefused(
                f"{self._settings.model.bundle or SHIPPED}: not the model that was there when the node was started; "
                "put that one back, or start the node again with this one"
            )

    def ask(self, name: str, argument: object, deadline_seconds: float) -> object:
        """Let the child call the Analyst's method `name` with `argument`, and return its answer.

        Raises
        ------
        AnalysisDied
            The child died or did not answer in time; it is gone, and the next question starts another one.
        AnalysisFailed
            The method raised; the child lives.
        ModelRefused
            A child had to be started, and found another model.
        """
        self.ensure_started()
        try:
            self._connection.send((name, argument))
        except OSError:
            self.stop()
            raise AnalysisDied("worker_died") from None
        self._answered += 1
        return self._receive(deadline_seconds)

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None

    @property
    def _connection(self) -> Connection:
        if self._pipe is None:
            raise AnalysisDied("worker_died")
        return self._pipe

    def _receive(self, deadline_seconds: float) -> object:
        if not wait([self._connection], deadline_seconds):
            self.stop()
            raise AnalysisDied("deadline_exceeded")
        try:
            answer = self._connection.recv()
        except (EOFError, OSError):
            self.stop()
            raise AnalysisDied("worker_died") from None
        if isinstance(answer, _Failure):
            raise AnalysisFailed(answer.error_type, answer.where)
        return answer


def _identity(card: ModelCard) -> ModelCard:
    """Return what of a card decides on answers; what it tells people may be written anew at any time."""
    return replace(card, training={}, figures={})


def _serve(pipe: Connection, settings: Settings, niceness: int) -> None:
    """Run in the child: answer questions until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C reaches the whole group; the parent decides
    os.nice(niceness)
    logs.configure(settings.logging)
    from dicom_node.analysis import Analyst  # noqa: PLC0415 - what runs a network: only the child shall pay for it

    try:
        analyst = Analyst(settings)
    except ModelDamaged as error:
        pipe.send(_Refusal(str(error)))
        return
    _limit_memory()
    try:
        pipe.send(analyst.card)
        while True:
            name, argument = pipe.recv()
            pipe.send(_answer(getattr(analyst, name), argument))
    except (EOFError, OSError):  # the parent has gone
        return


def _limit_memory() -> None:
    """Let this process take MEMORY_BYTES more than it has now, with its libraries and the model loaded."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    [kilobytes] = re.findall(r"^VmData:\s+(\d+) kB$", status, re.MULTILINE)
    limit = int(kilobytes) * 1024 + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _answer(method: Callable[[object], object], argument: object) -> object:
    try:
        return method(argument)
    except Exception as error:  # noqa: BLE001 - the child's one broad except: the parent decides what it means
        return _Failure(type(error).__name__, logs.where_raised(error))
