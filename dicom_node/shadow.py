"""A candidate in shadow: looks at every radiograph after the model in service has answered, and is never reported.

It is asked when the film's own answer is already in the database, so whatever the candidate does (refuse, raise, hang,
take the analysing process with it) the film has its answer; it costs the time of one more analysis.
"""

from pathlib import Path
from typing import cast

import structlog

from dicom_node.child import AnalysisProcess
from dicom_node.errors import AnalysisDied, AnalysisFailed
from inference.card import ModelCard
from inference.prediction import NotAnalysable, Outcome
from storage import ledger
from storage.errors import StorageUnavailable
from storage.folder import DataFolder
from storage.records import Job, ShadowAnswer

_log = structlog.get_logger()


class Shadow:
    """The candidate of this card, asked in the process of the model in service."""

    def __init__(
        self, card: ModelCard, process: AnalysisProcess, folder: DataFolder, deadline_seconds: float
    ) -> None:
        self._card = card
        self._process = process
        self._folder = folder
        self._deadline_seconds = deadline_seconds

    def look(self, job: Job, path: Path, now: float) -> None:
        """Keep what the candidate says of the film of a job that is done, or why it says nothing."""
        answer = self._answer(path)
        try:
            with self._folder.database.write() as connection:
                ledger.shadowed(connection, job, answer, now)
        except StorageUnavailable:
            # the film's own way is not held up for it: the comparison has one film less
            _log.warning("shadow_lost", job=job.id, reason="storage_unavailable")
        else:
            _log.info("image_shadowed", job=job.id, answer=answer.answer, reason=answer.reason)

    def _answer(self, path: Path) -> ShadowAnswer:
        try:
            outcome = cast(Outcome, self._process.ask("analyse_in_shadow", path, self._deadline_seconds))
        except AnalysisDied as error:
            return self._said(reason=error.reason)
        except AnalysisFailed as error:
            return self._said(reason=error.error_type)
        if isinstance(outcome, NotAnalysable):
            return self._said(reason=outcome.reason)
        return self._said(score=outcome.score, answer=outcome.answer)

    def _said(
        self, score: float | None = None, answer: str | None = None, reason: str | None = None
    ) -> ShadowAnswer:
        card = self._card
        return ShadowAnswer(card.name, card.version, card.sha256, score, answer, reason)
