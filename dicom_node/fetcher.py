"""Fetches a patient's earlier radiographs from an archive, by C-GET or C-MOVE (PS3.4 annex C), when a new study comes.

It has a queue and a loop of its own, and nothing waits for it: a report compares with what has come in time. So what
cannot be fetched within minutes is given up, with its reason, and nobody has to look. Nothing that the archive says is
trusted: only what was asked for is taken, of the same patient and earlier, and only so much of it, and for so long.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.association import Association

from config.settings import Settings
from dicom_node.associations import UNCOMPRESSED, open_association
from dicom_node.bounds import end, limit
from dicom_node.earlier_films import IMAGE_CLASSES, FilmInArchive, earlier_films, unaskable
from dicom_node.errors import DeliveryFault, TransferFailed
from dicom_node.find import STUDY_ROOT_FIND
from dicom_node.intake import SUCCESS, Intake, Origin, remove_partial
from dicom_node.retry import GiveUp, Policy, decide
from dicom_node.tls import Tls
from storage import fetches, queue, waiting
from storage.errors import LeaseLost
from storage.folder import DataFolder
from storage.records import Fetch
from storage.schema import fetches as fetches_table
from storage.steps import Step

STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
RETRIEVE = {"get": STUDY_ROOT_GET, "move": STUDY_ROOT_MOVE}
"""By the method that is set."""

POLL_SECONDS = 1.0
LONGEST_SECONDS = 60.0
"""One fetch, from its first question to its last image."""
MOST_BYTES = 1_000_000_000
"""That come over one association; a radiograph has some thirty million."""
USEFUL_SECONDS = 300.0
"""Nothing is fetched for a study that came longer ago: its report is out."""
LEASE_SECONDS = 300.0  # longer than connecting, negotiating and one fetch may take together
POLICY = Policy(first_seconds=2.0, longest_seconds=10.0, most_attempts=3)

_log = structlog.get_logger()


class Fetcher:
    """Fetches from the archive that `[priors]` names. `fetched` is called after each image that came by C-GET."""

    def __init__(
        self,
        settings: Settings,
        folder: DataFolder,
        owner: str,
        fetched: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ae_title = settings.node.ae_title
        self._limits = settings.priors
        [self._archive] = [each for each in settings.destinations if each.name == settings.priors.archive]
        self._is_move = settings.priors.method == "move"
        self._service = "C-MOVE" if self._is_move else "C-GET"
        self._tls = Tls(settings.tls)
        self._folder = folder
        self._owner = owner
        self._clock = clock
        self._intake = Intake(settings, folder, fetched)
        self._association: Association | None = None

    def take(self, settings: Settings) -> None:
        """Find the archive where these settings say that it is, from the next fetch on."""
        found = [each for each in settings.destinations if each.name == self._archive.name]
        self._archive = found[0] if found else self._archive  # another one is fetched from after a new start
        self._intake.take(settings)

    def step(self) -> float:
        """Do the fetch that has been due for longest, if one is; return after how many seconds to come back."""
        now = self._clock()
        with self._folder.database.read() as connection:
            due = waiting.next_fetch(connection)
        if due is None or due > now:
            return POLL_SECONDS if due is None else min(POLL_SECONDS, due - now)
        with self._folder.database.write(Step.FETCH_CLAIMED) as connection:
            fetch = queue.claim_fetch(connection, self._owner, now, LEASE_SECONDS)
        if fetch is None:
            return POLL_SECONDS
        try:
            self._do(fetch, now)
        except LeaseLost:
            _log.warning("lease_lost", fetch=fetch.id)
        except Exception as error:
            # what nobody foresaw is tried again like what was, and then told by the loop
            self._try_later(fetch, type(error).__name__)
            raise
        return 0.0

    def close(self) -> None:
        """End the fetch that is under way; it is done again after the next start."""
        self._intake.stop()
        if self._association is not None:
            end([self._association])

    def _do(self, fetch: Fetch, now: float) -> None:
        too_late = now - fetch.queued_at > USEFUL_SECONDS
        reason = "waited too long: the report is out" if too_late else unaskable(fetch)
        if reason:
            self._reject(fetch, reason)
            return
        try:
            count = self._fetch(fetch)
        except DeliveryFault as fault:
            self._try_later(fetch, fault.reason)
            return
        with self._folder.database.write(Step.FETCH_ENDED) as connection:
            queue.succeed(connection, fetches_table, fetch.id, self._owner, self._clock(), fetched=count)
        _log.info("priors_fetched", fetch=fetch.id, study_instance_uid=fetch.study_instance_uid, count=count)

    def _fetch(self, fetch: Fetch) -> int:
        """Get what the node has never received, and return how many images came. Raises DeliveryFault."""
        with self._association_within_limits() as association:
            missing = self._not_received(earlier_films(association, fetch, self._limits))
            asked = fetch.asked | {film.sop_instance_uid: film.study_instance_uid for film in missing}
            with self._folder.database.write(Step.FETCH_ASKED) as connection:
                fetches.ask(connection, fetch, asked)
            statuses = [self._retrieve(association, film) for film in missing]
        absent = self._not_received(missing)
        if absent:
            status = next((each for each in statuses if each != SUCCESS), SUCCESS)
            raise TransferFailed(
                f"{self._service} answered 0x{status:04X}, and {len(absent)} of {len(asked)} images did not come",
                status,
            )
        return len(asked)

    @contextmanager
    def _association_within_limits(self) -> Iterator[Association]:
        exceeded: list[str] = []

        def stop(reason: str) -> None:
            exceeded.append(reason)
            end([association])

        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_CONN_OPEN, limit, [MOST_BYTES, lambda: exceeded.append("more data than is fetched")]),
            (evt.EVT_CONN_CLOSE, remove_partial),
            (evt.EVT_C_STORE, self._store),
        ]
        association = open_association(
            self._ae_title,
            self._archive,
            dict.fromkeys((STUDY_ROOT_FIND, RETRIEVE[self._limits.method]), UNCOMPRESSED),
            handlers,
            taken=() if self._is_move else IMAGE_CLASSES,
            most_bytes=MOST_BYTES,
            tls=self._tls,
        )
        timer = threading.Timer(LONGEST_SECONDS, stop, [f"not finished within {LONGEST_SECONDS:g} seconds"])
        timer.daemon = True
        timer.start()
        self._association = association
        try:
            yield association
        except DeliveryFault as fault:
            if exceeded:
                raise TransferFailed(exceeded[0]) from fault
            raise
        finally:
            if association.is_established:
                association.release()
            timer.cancel()
            self._association = None

    def _retrieve(self, association: Association, film: FilmInArchive) -> int:
        """Have one image sent and return the archive's last word. Raises TransferFailed where there is none."""
        wanted = Dataset()
        wanted.QueryRetrieveLevel = "IMAGE"
        wanted.StudyInstanceUID = film.study_instance_uid
        wanted.SeriesInstanceUID = film.series_instance_uid
        wanted.SOPInstanceUID = film.sop_instance_uid
        last = Dataset()
        try:
            if self._is_move:
                answers = association.send_c_move(wanted, self._ae_title, STUDY_ROOT_MOVE)
            else:
                answers = association.send_c_get(wanted, STUDY_ROOT_GET)
            for status, _ in answers:
                last = status
        except RuntimeError as error:  # pynetdicom 3.0.4: the association ended just before
            raise TransferFailed(f"association ended before {self._service}") from error
        except ValueError as error:  # pynetdicom 3.0.4: the peer has not accepted it
            raise TransferFailed(f"presentation context refused: Study Root {self._service}") from error
        if "Status" not in last:
            raise TransferFailed(f"no answer to {self._service}")
        return int(last.Status)

    def _store(self, event: evt.Event) -> int | Dataset:
        archive = self._archive
        origin = Origin(archive.name, archive.ae_title, archive.host, 0.0, is_prior=True, from_archive=True)
        return self._intake.store(event, origin)

    def _not_received(self, films: list[FilmInArchive]) -> list[FilmInArchive]:
        with self._folder.database.read() as connection:
            missing = fetches.not_received(connection, [film.sop_instance_uid for film in films])
        return [film for film in films if film.sop_instance_uid in missing]

    def _try_later(self, fetch: Fetch, reason: str) -> None:
        now = self._clock()
        decision = decide(POLICY, fetch.attempts, fetch.queued_at, now, random.random)
        if isinstance(decision, GiveUp):
            self._reject(fetch, reason)
            return
        with self._folder.database.write(Step.FETCH_PUT_OFF) as connection:
            queue.retry_later(connection, fetches_table, fetch.id, self._owner, decision.at, reason)
        _log.warning(
            "fetch_retried",
            fetch=fetch.id,
            attempts=fetch.attempts,
            reason=reason,
            retry_in_seconds=round(decision.at - now, 1),
        )

    def _reject(self, fetch: Fetch, reason: str) -> None:
        with self._folder.database.write(Step.FETCH_REJECTED) as connection:
            queue.reject(connection, fetches_table, fetch.id, self._owner, self._clock(), reason)
        _log.warning(
            "fetch_given_up", fetch=fetch.id, study_instance_uid=fetch.study_instance_uid, reason=reason
        )
