"""Storage commitment (PS3.4 annex J): asks an archive to promise that it keeps what was sent, and takes its answer.

The answer, an N-EVENT-REPORT, comes over the association of the request or, later, over one that the archive opens to
the receiver. What is promised is committed; what the archive says it has not got is sent again; what it says nothing
of is asked again, until a person has to look.
"""

import random
import threading
import time
from collections.abc import Callable

import structlog
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ComprehensiveSRStorage,
    generate_uid,
)
from pynetdicom import evt
from pynetdicom.pdu import P_DATA_TF

from config.peers import Destination
from config.sections import RetrySettings
from config.settings import Settings
from dicom_node.associations import UNCOMPRESSED, open_association
from dicom_node.errors import DeliveryFault, TransferFailed
from dicom_node.logs import where_raised
from dicom_node.retry import GiveUp, decide, delivery_policy, wait_seconds
from dicom_node.tls import Tls
from storage import audit, commitment
from storage.commitment import Awaited
from storage.folder import DataFolder
from storage.steps import Step

STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
"""The Storage Commitment Push Model SOP class."""
STORAGE_COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
REQUEST_STORAGE_COMMITMENT = 1  # Action Type ID

SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
INVALID_ARGUMENT = 0x0115

POLL_SECONDS = 1.0
"""Also how long what is delivered together may gather for one request."""
AT_ONCE = 100
"""Objects in one request."""
SAME_ASSOCIATION_SECONDS = 3.0
"""How long the association of the request is kept open for an answer; others come over a new one."""
ASK_AGAIN_SECONDS = 3600.0
"""Some archives answer when their tape is written; asking sooner would not help."""

_log = structlog.get_logger()


class Committer:
    """Asks one destination about what was delivered to it."""

    def __init__(
        self,
        settings: Settings,
        destination: Destination,
        folder: DataFolder,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ae_title = settings.node.ae_title
        self._tls = Tls(settings.tls)
        self._retry = settings.retry
        self._destination = destination
        self._folder = folder
        self._clock = clock
        self._failures = 0

    def step(self) -> float:
        """Ask about what is due, if anything is; return after how many seconds to come back."""
        now = self._clock()
        name = self._destination.name
        with self._folder.database.read() as connection:
            awaited = commitment.due(connection, name, now, AT_ONCE)
        overdue = self._end_overdue(awaited, now)
        awaited = [each for each in awaited if each not in overdue]
        if not awaited:
            return POLL_SECONDS
        transaction_uid = generate_uid(prefix=None)
        with self._folder.database.write(Step.COMMITMENT_ASKED) as connection:
            commitment.asked(connection, name, transaction_uid, awaited, now + ASK_AGAIN_SECONDS, now)
        try:
            self._ask(transaction_uid, awaited)
        except DeliveryFault as fault:
            self._failures += 1
            self._put_off(awaited, fault)
        else:
            self._failures = 0
            _log.info("commitment_requested", destination=name, count=len(awaited))
        return POLL_SECONDS

    def _ask(self, transaction_uid: str, awaited: list[Awaited]) -> None:
        is_taken, is_answered = threading.Event(), threading.Event()

        def take(event: evt.Event) -> tuple[int, None]:
            is_taken.set()
            return take_answer(event, self._folder, self._retry, self._clock())

        def sent(event: evt.Event) -> None:
            # pynetdicom 3.0.4 answers in a thread of its own: a release must not overtake it
            if is_taken.is_set() and isinstance(event.pdu, P_DATA_TF):
                is_answered.set()

        request = Dataset()
        request.TransactionUID = transaction_uid
        request.ReferencedSOPSequence = [_reference(each) for each in awaited]
        association = open_association(
            self._ae_title,
            self._destination,
            {STORAGE_COMMITMENT: UNCOMPRESSED},
            [(evt.EVT_N_EVENT_REPORT, take), (evt.EVT_PDU_SENT, sent)],
            tls=self._tls,
        )
        try:
            answer, _ = association.send_n_action(
                request, REQUEST_STORAGE_COMMITMENT, UID(STORAGE_COMMITMENT), UID(STORAGE_COMMITMENT_INSTANCE)
            )
            if "Status" not in answer:
                raise TransferFailed("no answer to the request for storage commitment")
            if answer.Status != SUCCESS:
                raise TransferFailed(f"storage commitment answered 0x{answer.Status:04X}", answer.Status)
            is_answered.wait(SAME_ASSOCIATION_SECONDS)
        except RuntimeError as error:  # pynetdicom 3.0.4: the association ended just before
            raise TransferFailed("association ended before the request for storage commitment") from error
        finally:
            if association.is_established:
                association.release()

    def _put_off(self, awaited: list[Awaited], fault: DeliveryFault) -> None:
        now = self._clock()
        at = now + wait_seconds(delivery_policy(self._retry), self._failures, random.random)
        with self._folder.database.write(Step.COMMITMENT_PUT_OFF) as connection:
            commitment.put_off(connection, awaited, at, f"not committed yet: {fault.reason}")
        _log.warning(
            "commitment_request_failed",
            destination=self._destination.name,
            count=len(awaited),
            reason=fault.reason,
            status=fault.status,
            retry_in_seconds=round(at - now, 1),
        )

    def _end_overdue(self, awaited: list[Awaited], now: float) -> list[Awaited]:
        """Leave to a person what the archive has promised nothing about for as long as deliveries are tried."""
        give_up_after = self._retry.deliver_give_up_seconds
        overdue = [each for each in awaited if now - each.since >= give_up_after]
        if overdue:
            with self._folder.database.write(Step.COMMITMENT_OVERDUE) as connection:
                for each in overdue:
                    commitment.give_up(connection, each, now, "delivered, and never committed")
            _log.error("commitment_failed", destination=self._destination.name, count=len(overdue))
        return overdue


def take_answer(event: evt.Event, folder: DataFolder, retry: RetrySettings, now: float) -> tuple[int, None]:
    """Take an archive's N-EVENT-REPORT and return its status and no reply (PS3.4 J.3.3).

    0x0110 where it cannot be written down now, so that it is sent again; 0x0115 where it answers nothing that was
    asked.
    """
    try:
        report = event.event_information
        transaction_uid = str(report.TransactionUID)
        committed = [str(item.ReferencedSOPInstanceUID) for item in report.get("ReferencedSOPSequence") or ()]
        failed = {
            str(item.ReferencedSOPInstanceUID): int(item.FailureReason)
            for item in report.get("FailedSOPSequence") or ()
        }
        if len(committed) + len(failed) > AT_ONCE:
            raise ValueError("more objects than were ever asked about at once")  # noqa: TRY301 - as unreadable
    except Exception as error:  # noqa: BLE001 - whatever a peer's bytes hold, it is not an answer
        _log.warning("commitment_answer_unreadable", error_type=type(error).__name__)
        return INVALID_ARGUMENT, None
    try:
        return _write_down(folder, retry, now, transaction_uid, committed, failed), None
    except Exception as error:  # noqa: BLE001 - never Success for what was not written down
        _log.error("commitment_answer_not_stored", error_type=type(error).__name__, where=where_raised(error))
        return PROCESSING_FAILURE, None


def _write_down(
    folder: DataFolder,
    retry: RetrySettings,
    now: float,
    transaction_uid: str,
    committed: list[str],
    failed: dict[str, int],
) -> int:
    with folder.database.write(Step.COMMITMENT_ANSWERED) as connection:
        request = commitment.answered(connection, transaction_uid, now)
        if request is None:
            _log.warning("commitment_answer_unknown", count=len(committed) + len(failed))
            return INVALID_ARGUMENT
        kept = commitment.find(connection, request, committed)
        for each in kept:
            commitment.commit(connection, each, now)
        missed = commitment.find(connection, request, failed)
        for each in missed:
            reason = f"not committed: 0x{failed[each.sent_sop_instance_uid or each.sop_instance_uid]:04X}"
            decision = decide(delivery_policy(retry), each.attempts, each.since, now, random.random)
            if isinstance(decision, GiveUp):
                commitment.give_up(connection, each, now, reason)
            else:
                commitment.send_again(connection, each, decision.at, reason)
        audit.append(
            connection,
            now,
            "commitment_answered",
            destination=request.destination,
            committed=[each.sent_sop_instance_uid or each.sop_instance_uid for each in kept],
            not_committed=[each.sent_sop_instance_uid or each.sop_instance_uid for each in missed],
        )
    log = _log.warning if missed else _log.info
    log(
        "commitment_answered",
        destination=request.destination,
        committed=len(kept),
        not_committed=len(missed),
    )
    return SUCCESS


def _reference(awaited: Awaited) -> Dataset:
    item = Dataset()
    # the only other form that is ever sent
    twin = awaited.sent_sop_instance_uid
    item.ReferencedSOPClassUID = ComprehensiveSRStorage if twin else awaited.sop_class_uid
    item.ReferencedSOPInstanceUID = twin or awaited.sop_instance_uid
    return item
