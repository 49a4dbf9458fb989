"""Works off the jobs: claims one, has the child do it, and writes what came of it in one transaction.

There are two workers, each with a thread and a child of its own. One takes what is new and has little patience: what
takes longer is stopped, and nobody waits for it any more. The other takes what was tried before, and gives it the time
that the settings allow: an image that hangs, eats memory or kills its process there holds up others of its kind alone.
"""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import cast

import structlog

from config.peers import ResultKind
from config.settings import Settings
from dicom_node.checked_films import CheckedFilms
from dicom_node.child import START_SECONDS, AnalysisProcess
from dicom_node.errors import DEADLINE_EXCEEDED, AnalysisDied, AnalysisFailed, ModelRefused
from dicom_node.results.study import Predecessor
from dicom_node.retry import Decision, GiveUp, Retry, analysis_policy, decide
from dicom_node.stored_answers import outcome_of, prior_answer, stored_prediction
from dicom_node.tasks import AnalysedFilm, ResultObject, StudyTask
from inference.card import ModelCard
from inference.prediction import NotAnalysable
from storage import audit, ledger, queue, reception, waiting
from storage.engine import BUSY_SECONDS
from storage.errors import LeaseLost, ObjectMissing, StorageUnavailable
from storage.folder import DataFolder
from storage.records import (
    OBJECT_MISSING,
    Job,
    JobKind,
    Result,
)
from storage.schema import jobs
from storage.states import State
from storage.steps import Step

POLL_SECONDS = 1.0
"""Another process may have queued work: how often to look when nobody wakes us."""
BLOCKED_SECONDS = 0.5
"""A report that is due may wait for an image that another process analyses: how soon to look again."""
STORAGE_SECONDS = 10.0
"""How long the disk is given before a job is tried again that it had no room for."""
REFUSED_SECONDS = 30.0
"""Films wait for a person to mend the model: how soon to look whether that was done."""
NOT_STARTED_SECONDS = 10.0
"""An analysing process that dies before its model is loaded costs a second of a core each time."""
PATIENCE_SECONDS = 5.0
"""How long what is new waits for an image or a report before it: ten times what a large one takes. An earlier film
gets no more, and one try: a report that falls due must not wait for a broken one."""
NICENESS = 1
"""Receiving goes first; much more, and an answer would wait behind whatever else the machine does."""
RETRIES_NICENESS = 6
"""Then what is new, then this, and then a candidate."""
PRIORS_COMPARED = 3
"""A report tells the answers to so many earlier studies of the patient."""

_log = structlog.get_logger()


def lease_seconds(settings: Settings) -> float:
    """Return how long a job is a worker's.

    It outlives the deadline, the start of a fresh child and a busy database, so that only a dead worker loses it.
    """
    return settings.model.deadline_seconds + START_SECONDS + 2 * BUSY_SECONDS


class Worker:
    """One analysing process and the jobs that it is given.

    Parameters
    ----------
    card
        Of the model in service.
    owner
        Whose the jobs are that it claims: no other worker's.
    reported
        Called when there is something to send.
    retries
        It takes what was tried before, and nothing else; otherwise what was not.
    """

    def __init__(
        self,
        settings: Settings,
        folder: DataFolder,
        card: ModelCard,
        owner: str,
        reported: Callable[[], None],
        clock: Callable[[], float] = time.time,
        *,
        retries: bool = False,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._card = card
        self._owner = owner
        self._held: Job | None = None  # until its row says what came of it
        self._reported = reported
        self._clock = clock
        self._retries = retries
        self._ending = False
        self._engine = ""  # that was written down
        self._films = CheckedFilms(folder.objects)
        self._checking = ThreadPoolExecutor(1)  # while the child looks at them
        self._process = AnalysisProcess(settings, card, RETRIES_NICENESS if retries else NICENESS)
        self._lease_seconds = lease_seconds(settings)
        self._policy = analysis_policy(settings.retry)

    def take(self, settings: Settings) -> None:
        """Go by these settings from the next job on."""
        self._settings = settings
        self._process.take(settings)

    def end(self) -> None:
        """Break off what is being done, for another thread than that which does it; it stays queued."""
        self._ending = True
        self._process.end()

    def close(self) -> None:
        """End the analysing process."""
        self._process.stop()
        self._checking.shutdown()

    def step(self) -> float:
        """Do the most urgent job, if one is due; return after how many seconds to come back.

        A study that only waits for its report goes before the next image that is as urgent: it is an answer that is
        nearly ready.
        """
        if self._held is not None:
            self._put_back(self._held, "storage_unavailable", STORAGE_SECONDS)
        if self._folder.objects.free_bytes() < self._settings.storage.reserve_bytes:
            _log.warning("disk_full", reason="films wait until there is room")
            return STORAGE_SECONDS
        now = self._clock()
        with self._folder.database.read() as connection:
            due = waiting.next_job(connection, retries=self._retries)
        wait = POLL_SECONDS if due is None else min(POLL_SECONDS, due - now)
        if self._retries and wait > 0:
            self._process.stop()  # seldom needed, and it holds a model in memory
            return wait
        wait = max(wait, self._start())
        if wait > 0:
            return wait
        kinds = (JobKind.REPORT, JobKind.ANALYSE)
        with self._folder.database.write(Step.JOB_CLAIMED) as connection:
            job = queue.claim_job(
                connection, kinds, self._owner, now, self._lease_seconds, retries=self._retries
            )
        if job is None:
            return BLOCKED_SECONDS
        self._do(job)
        return 0.0

    def _start(self) -> float:
        """Have the child ready; return after how many seconds to try again where it is not."""
        try:
            self._process.ensure_started()
        except ModelRefused as error:
            _log.error("model_refused", reason=str(error))
            return REFUSED_SECONDS
        except AnalysisDied as error:
            if not self._ending:
                _log.error("analysis_not_started", reason=error.reason)
            return NOT_STARTED_SECONDS
        if self._process.engine != self._engine and not self._retries:
            self._note_engine()
        return 0.0

    def _note_engine(self) -> None:
        """Write down which model answers from now on, and what runs it."""
        model = {"model": self._card.name, "version": self._card.version, "model_sha256": self._card.sha256}
        self._engine = self._process.engine
        with self._folder.database.write(Step.MODEL_LOADED) as connection:
            audit.append(connection, self._clock(), "model_loaded", **model, engine=self._engine)

    def _do(self, job: Job) -> None:
        started = time.perf_counter()
        self._held = job
        try:
            if job.kind is JobKind.ANALYSE:
                self._analyse(job, started)
            else:
                self._report(job, started)
        except AnalysisDied as error:
            if self._ending:
                self._put_back(job, "node_stopped", 0.0)
            else:
                self._retry(job, error.reason, where=None)
        except AnalysisFailed as error:
            self._retry(job, error.error_type, where=error.where)
        except ObjectMissing:
            # no further attempt brings it back; its source may, by sending it again
            self._give_up(job, OBJECT_MISSING, where=None)
        except LeaseLost:
            _log.warning("lease_lost", job=job.id)
        except StorageUnavailable:
            # a full or slow disk is not the image's fault: it is tried until there is room
            self._put_back(job, "storage_unavailable", STORAGE_SECONDS)
            raise
        except Exception as error:
            # what nobody foresaw is tried again like what was foreseen, and then told by the loop
            self._retry(job, type(error).__name__, where=None)
            self._held = None
            raise
        self._held = None

    def _analyse(self, job: Job, started: float) -> None:
        key = cast(str, job.object_key)
        checked = self._checking.submit(self._films.path, key)
        try:
            outcome = self._process.analyse(self._folder.objects.path(key), self._seconds_for(job))
        finally:
            checked.result()  # of other bytes than those that came, whatever was found does not count
        now = self._clock()
        with self._folder.database.write(Step.IMAGE_ANALYSED) as connection:
            if isinstance(outcome, NotAnalysable):
                queue.reject(connection, jobs, job.id, self._owner, now, outcome.reason)
            else:
                ledger.predicted(connection, job, self._owner, stored_prediction(outcome, self._card), now)
        if isinstance(outcome, NotAnalysable):
            _log.info("image_not_analysable", job=job.id, reason=outcome.reason, milliseconds=_since(started))
        else:
            _log.info(
                "image_analysed",
                job=job.id,
                score=round(outcome.score, 4),
                answer=outcome.answer,
                milliseconds=_since(started),
            )

    def _report(self, job: Job, started: float) -> None:
        revision = cast(int, job.revision)
        if self._analyse_again(job):
            return
        with self._folder.database.read() as connection:
            instances = ledger.study_instances(connection, job.study_instance_uid)
            is_reported_later = ledger.is_reported_later(connection, job.study_instance_uid, revision)
            previous = ledger.previous_result(
                connection, job.study_instance_uid, ResultKind.STRUCTURED_REPORT, revision
            )
            priors = ledger.priors(connection, job.study_instance_uid, PRIORS_COMPARED)
            workitem = ledger.previous_result(
                connection, job.study_instance_uid, ResultKind.REVIEW_WORKITEM, revision
            )
            told = ledger.destinations_of_earlier(
                connection, job.study_instance_uid, ResultKind.HL7_MESSAGE, revision
            )
        task = StudyTask(
            films=tuple(
                AnalysedFilm(
                    self._films.path(instance.object_key),
                    outcome_of(instance),
                    # a first report has the same names as one that `process` makes
                    instance.object_key if revision > 1 else "",
                )
                for instance in instances
                if instance.state not in (State.QUEUED, State.RUNNING)
            ),
            revision=revision,
            reported_at=job.first_claimed_at,
            priors=tuple(prior_answer(each, self._card) for each in priors),
            predecessor=None
            if previous is None
            else Predecessor(previous.sop_class_uid, previous.sop_instance_uid, previous.series_instance_uid),
            told=told,
            has_workitem=workitem is not None,
        )
        # nothing is left to report where retention has removed the study, or its images were moved to another, or a
        # later report has told all
        made: tuple[ResultObject, ...] = ()
        if task.films and not is_reported_later:
            made = self._process.report(task, self._seconds_for(job))
        stored = [
            (
                Result(
                    each.kind,
                    each.sop_class_uid,
                    each.sop_instance_uid,
                    each.series_instance_uid,
                    self._folder.objects.put(each.content).key,
                ),
                each.destinations,
            )
            for each in made
        ]
        now = self._clock()
        with self._folder.database.write(Step.STUDY_REPORTED) as connection:
            if not all(self._folder.objects.holds(each.object_key) for each, _ in stored):
                raise StorageUnavailable(
                    "what was made of the study is gone again"
                )  # swept as nobody's: rare
            ledger.reported(connection, job, self._owner, stored, now)
            audit.append(
                connection,
                now,
                "study_reported",
                study_instance_uid=job.study_instance_uid,
                revision=revision,
            )
        _log.info(
            "study_reported",
            job=job.id,
            study_instance_uid=job.study_instance_uid,
            revision=revision,
            objects=len(stored),
            milliseconds=_since(started),
        )
        self._reported()

    def _analyse_again(self, job: Job) -> bool:
        """Let the model in service look at what another one has answered: a report speaks of one model.

        Returns whether there is such an image; the report then waits for its analysis.
        """
        with self._folder.database.read() as connection:
            outdated = ledger.answered_by_others(connection, job.study_instance_uid, self._card.sha256)
        if not outdated:
            return False
        now = self._clock()
        with self._folder.database.write(Step.MODEL_CHANGED) as connection:
            queue.put_back(connection, job.id, self._owner, now, "images are analysed by a new model")
            reception.analyse_again(connection, outdated, now)
        _log.info("model_changed", job=job.id, count=len(outdated))
        return True

    def _seconds_for(self, job: Job) -> float:
        deadline = self._settings.model.deadline_seconds
        return deadline if self._retries and not job.is_prior else min(deadline, PATIENCE_SECONDS)

    def _put_back(self, job: Job, reason: str, seconds: float) -> None:
        at = self._clock() + seconds
        with suppress(LeaseLost), self._folder.database.write(Step.JOB_PUT_BACK) as connection:
            queue.put_back(connection, job.id, self._owner, at, reason)
        self._held = None

    def _decide(self, job: Job, reason: str, now: float) -> Decision:
        """Decide whether a job is tried again: an earlier film is not, and what was hurried is at once, with time."""
        if job.is_prior:
            return GiveUp()
        if reason == DEADLINE_EXCEEDED and self._seconds_for(job) < self._settings.model.deadline_seconds:
            return Retry(now)
        return decide(self._policy, job.attempts, job.first_claimed_at, now, random.random)

    def _retry(self, job: Job, reason: str, where: tuple[str, ...] | None) -> None:
        now = self._clock()
        decision = self._decide(job, reason, now)
        if isinstance(decision, GiveUp):
            self._give_up(job, reason, where)
            return
        with self._folder.database.write(Step.JOB_TRIED) as connection:
            queue.retry_later(connection, jobs, job.id, self._owner, decision.at, reason)
        _log.warning(
            "job_retried",
            job=job.id,
            kind=job.kind,
            attempts=job.attempts,
            reason=reason,
            where=where,
            retry_in_seconds=round(decision.at - now, 1),
        )

    def _give_up(self, job: Job, reason: str, where: tuple[str, ...] | None) -> None:
        with self._folder.database.write(Step.JOB_TRIED) as connection:
            queue.give_up(connection, jobs, job.id, self._owner, self._clock(), reason)
        _log.error("job_failed", job=job.id, kind=job.kind, attempts=job.attempts, reason=reason, where=where)


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
