"""A candidate in shadow: looks at every radiograph that the model in service answered, and is never reported.

It has a loop and an analysing process of its own and looks only while nothing else is waiting, the latest film first.
So whatever it does (refuse, raise, hang, take its process with it), no other film waits for it and none changes its
state. What it still has to look at is asked of the database: a restart loses nothing, and a node that is never at rest
leaves out the oldest.
"""

import time
from collections.abc import Callable
from pathlib import Path

import structlog

from config.settings import Settings
from dicom_node.child import AnalysisProcess
from dicom_node.errors import AnalysisDied, AnalysisFailed, ModelRefused
from inference.card import ModelCard
from inference.prediction import NotAnalysable
from storage import ledger, waiting
from storage.folder import DataFolder
from storage.records import ShadowAnswer
from storage.steps import Step

POLL_SECONDS = 1.0
"""Nobody waits for a candidate: how often it is asked whether there is a film for it."""
MOST_FAILURES = 3
"""A candidate whose process did not start or died so often in a row is left alone until the node is started again."""
NICENESS = 10
"""Receiving and the model in service go first."""

_log = structlog.get_logger()


class Shadow:
    """The candidate of `[model] shadow`, whose card this is."""

    def __init__(
        self,
        settings: Settings,
        folder: DataFolder,
        card: ModelCard,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._card = card
        self._clock = clock
        self._deadline_seconds = settings.model.deadline_seconds
        # as if in service, with its own card's band: the site's was set for the other model
        model = settings.model.model_copy(update={"bundle": settings.model.shadow, "uncertain": None})
        self._process = AnalysisProcess(settings.model_copy(update={"model": model}), card, NICENESS)
        self._failures = 0

    def close(self) -> None:
        """End the analysing process."""
        self._process.stop()

    def step(self) -> float:
        """Look at one film, if nothing else is waiting; return after how many seconds to come back."""
        if self._failures == MOST_FAILURES:
            return POLL_SECONDS
        with self._folder.database.read() as connection:
            busy = waiting.is_busy(connection, self._clock())
            film = None if busy else ledger.next_in_shadow(connection)
        if film is None:
            return POLL_SECONDS
        try:
            self._process.ensure_started()
        except (AnalysisDied, ModelRefused) as error:
            self._failed(str(error))
            return POLL_SECONDS
        answer = self._look(self._folder.objects.path(film.object_key))
        with self._folder.database.write(Step.SHADOW_ANSWERED) as connection:
            ledger.shadowed(connection, film.id, answer, self._clock())
        _log.info(
            "image_shadowed",
            sop_instance_uid=film.sop_instance_uid,
            answer=answer.answer,
            reason=answer.reason,
        )
        return 0.0

    def _look(self, path: Path) -> ShadowAnswer:
        """Return what the candidate says of a film, or why it says nothing."""
        try:
            outcome = self._process.analyse(path, self._deadline_seconds)
        except AnalysisDied as error:
            self._failed(error.reason)
            return self._said(reason=error.reason)
        except AnalysisFailed as error:
            self._failures = 0
            return self._said(reason=error.error_type)
        self._failures = 0
        if isinstance(outcome, NotAnalysable):
            return self._said(reason=outcome.reason)
        return self._said(score=outcome.score, answer=outcome.answer)

    def _failed(self, reason: str) -> None:
        self._failures += 1
        if self._failures == MOST_FAILURES:
            _log.error("shadow_given_up", reason=reason)

    def _said(
        self, score: float | None = None, answer: str | None = None, reason: str | None = None
    ) -> ShadowAnswer:
        card = self._card
        return ShadowAnswer(card.name, card.version, card.sha256, score, answer, reason)
