"""The Storage SCU: takes results from the outbox to one destination, over an association that is kept open.

Sending again is always safe: a result is the same bytes under the same UID however often it is sent, and an archive
that has it already changes nothing. So whatever is not a clear answer is tried again, for days.
"""

import io
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from pynetdicom.association import Association

from config.settings import Destination, Settings
from dicom_node.associations import open_association
from dicom_node.errors import (
    AssociationRefused,
    DeliveryFault,
    PeerUnreachable,
    ResultRefused,
    TransferFailed,
)
from dicom_node.results import as_comprehensive_sr
from dicom_node.retry import GiveUp, Policy, decide
from storage import audit, queue
from storage.errors import LeaseLost, ObjectMissing
from storage.folder import DataFolder
from storage.records import Delivery
from storage.schema import deliveries

POLL_SECONDS = 1.0
LEASE_SECONDS = 300.0  # longer than connecting, negotiating and storing one object may take together
DAY = 86400.0

# PS3.4 table B.2-1 and PS3.7 annex C
SUCCESS = 0x0000
DUPLICATE_SOP_INSTANCE = 0x0111
SOP_CLASS_NOT_SUPPORTED = 0x0122

_SYNTAXES = [str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)]
CONTEXTS = {
    str(Comprehensive3DSRStorage): _SYNTAXES,
    str(ComprehensiveSRStorage): _SYNTAXES,
    str(SecondaryCaptureImageStorage): _SYNTAXES,
}

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Delivered:
    """The destination has the object: its status (0x0000, or a warning), and the UID it was sent under."""

    status: int
    sop_instance_uid: str


class Sender:
    """Delivers to one destination; a slow or dead one keeps nobody else waiting."""

    def __init__(
        self,
        settings: Settings,
        destination: Destination,
        folder: DataFolder,
        owner: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ae_title = settings.node.ae_title
        self._destination = destination
        self._folder = folder
        self._owner = owner
        self._clock = clock
        self._policy = Policy(
            first_seconds=settings.retry.deliver_first_seconds,
            longest_seconds=settings.retry.deliver_longest_seconds,
            give_up_after_seconds=settings.retry.deliver_give_up_days * DAY,
        )
        self._association: Association | None = None
        self._connect_failures = 0
        self._connect_not_before = 0.0

    def step(self) -> float:
        """Send the delivery that has been due for longest; return after how many seconds to come back.

        While the destination cannot be reached only the next attempt to reach it is timed: the deliveries stay due
        and all go out when it is back.
        """
        now = self._clock()
        if now < self._connect_not_before:
            return min(POLL_SECONDS, self._connect_not_before - now)
        name = self._destination.name
        with self._folder.database.read() as connection:
            due = queue.next_due(connection, deliveries, deliveries.c.destination == name)
        if due is None or due > now:
            return POLL_SECONDS if due is None else min(POLL_SECONDS, due - now)
        with self._folder.database.write() as connection:
            delivery = queue.claim_delivery(connection, name, self._owner, now, LEASE_SECONDS)
        if delivery is not None:
            try:
                self._deliver(delivery)
            except LeaseLost:
                _log.warning("lease_lost", delivery=delivery.id)
            except Exception as error:
                # what nobody foresaw is tried again like what was, and then told by the loop
                self._try_later(delivery, TransferFailed(type(error).__name__), delivery.attempts)
                raise
        return 0.0

    def close(self) -> None:
        """Release the association."""
        if self._association is not None and self._association.is_established:
            self._association.release()
        self._association = None

    def _deliver(self, delivery: Delivery) -> None:
        started = time.perf_counter()
        try:
            sent = self._send(delivery)
        except (PeerUnreachable, AssociationRefused) as fault:
            self._connect_failures += 1
            at = self._try_later(delivery, fault, self._connect_failures)
            self._connect_not_before = at
        except TransferFailed as fault:
            self._try_later(delivery, fault, delivery.attempts)
        except ResultRefused as fault:
            self._end(delivery, queue.reject, "delivery_rejected", fault.reason, fault.status)
        except ObjectMissing:
            self._end(delivery, queue.give_up, "delivery_failed", "object_missing", None)
        else:
            now = self._clock()
            with self._folder.database.write() as connection:
                changed = (
                    sent.sop_instance_uid
                    if sent.sop_instance_uid != delivery.result.sop_instance_uid
                    else None
                )
                queue.succeed(
                    connection,
                    deliveries,
                    delivery.id,
                    self._owner,
                    now,
                    status=sent.status,
                    sent_sop_instance_uid=changed,
                )
                audit.append(
                    connection,
                    now,
                    "result_delivered",
                    destination=delivery.destination,
                    sop_instance_uid=sent.sop_instance_uid,
                    status=sent.status,
                )
            _log.info(
                "result_delivered",
                delivery=delivery.id,
                destination=delivery.destination,
                kind=delivery.result.kind,
                status=sent.status,
                milliseconds=round((time.perf_counter() - started) * 1000, 1),
            )

    def _send(self, delivery: Delivery) -> Delivered:
        dataset: Dataset = dcmread(io.BytesIO(self._folder.objects.read(delivery.result.object_key)))
        association = self._connected()
        accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
        if dataset.SOPClassUID not in accepted:
            if dataset.SOPClassUID != Comprehensive3DSRStorage or ComprehensiveSRStorage not in accepted:
                raise ResultRefused(f"presentation context refused: {dataset.SOPClassUID.name}")
            dataset = as_comprehensive_sr(dataset)
        status = _store(association, dataset)
        refused = status == SOP_CLASS_NOT_SUPPORTED and dataset.SOPClassUID == Comprehensive3DSRStorage
        if refused and ComprehensiveSRStorage in accepted:
            # some archives accept the presentation context and refuse the object
            dataset = as_comprehensive_sr(dataset)
            status = _store(association, dataset)
        if status in (SUCCESS, DUPLICATE_SOP_INSTANCE) or status & 0xF000 == 0xB000:
            return Delivered(status, str(dataset.SOPInstanceUID))
        raise _fault_of(status)

    def _connected(self) -> Association:
        if self._association is None or not self._association.is_established:
            self._association = open_association(self._ae_title, self._destination, CONTEXTS)
            self._connect_failures = 0
        return self._association

    def _try_later(self, delivery: Delivery, fault: DeliveryFault, attempts: int) -> float:
        now = self._clock()
        decision = decide(self._policy, attempts, delivery.queued_at, now, random.random)
        if isinstance(decision, GiveUp):
            self._end(delivery, queue.give_up, "delivery_failed", fault.reason, fault.status)
            return now
        with self._folder.database.write() as connection:
            queue.retry_later(
                connection,
                deliveries,
                delivery.id,
                self._owner,
                decision.at,
                fault.reason,
                status=fault.status,
            )
        _log.warning(
            "delivery_retried",
            delivery=delivery.id,
            destination=delivery.destination,
            attempts=attempts,
            reason=fault.reason,
            status=fault.status,
            retry_in_seconds=round(decision.at - now, 1),
        )
        return decision.at

    def _end(
        self, delivery: Delivery, transition: Callable[..., Any], event: str, reason: str, status: int | None
    ) -> None:
        now = self._clock()
        with self._folder.database.write() as connection:
            transition(connection, deliveries, delivery.id, self._owner, now, reason, status=status)
            audit.append(
                connection, now, event, destination=delivery.destination, reason=reason, status=status
            )
        _log.error(
            event, delivery=delivery.id, destination=delivery.destination, reason=reason, status=status
        )


def _store(association: Association, dataset: Dataset) -> int:
    """Send one object and return the peer's status. Raises TransferFailed where it gave none."""
    try:
        answer = association.send_c_store(dataset)
    except (RuntimeError, ValueError) as error:
        # pynetdicom 3.0.4: RuntimeError where the association ended just before, ValueError where its
        # transfer syntaxes do not fit the object
        raise TransferFailed("association ended before the object was sent") from error
    if "Status" not in answer:
        association.abort()
        raise TransferFailed("no answer to C-STORE: whether the object arrived is not known")
    return int(answer.Status)


def _fault_of(status: int) -> DeliveryFault:
    """Say what a C-STORE status other than success means for the delivery (PS3.4 table B.2-1, PS3.7 annex C)."""
    words = f"C-STORE answered 0x{status:04X}"
    if status == SOP_CLASS_NOT_SUPPORTED or status & 0xFF00 == 0xA900 or status & 0xF000 == 0xC000:
        return ResultRefused(words, status)
    return TransferFailed(words, status)
