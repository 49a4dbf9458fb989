"""Takes results from the outbox to one destination: claims, sends, and writes down how it ended.

How a destination is spoken to is its channel's business (`dicom_node.channels`).
"""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

from config.sections import RetrySettings
from dicom_node.channels.channel import Channel, Delivered
from dicom_node.errors import (
    AccessRefused,
    DeliveryFault,
    PeerUnreachable,
    ResultRefused,
    TransferFailed,
)
from dicom_node.retry import GiveUp, decide, delivery_policy
from storage import audit, ledger, queue, waiting
from storage.errors import LeaseLost, ObjectMissing
from storage.folder import DataFolder
from storage.records import OBJECT_MISSING, Delivery
from storage.schema import deliveries
from storage.steps import Step

POLL_SECONDS = 1.0
PRECEDED_SECONDS = 0.5
"""What is due may wait for an earlier result of its study: how soon to look again."""
LEASE_SECONDS = 900.0  # longer than connecting, negotiating and storing one object may take together

_log = structlog.get_logger()


class Sender:
    """Delivers to one destination; a slow or dead one keeps nobody else waiting.

    Parameters
    ----------
    destination
        Its name in the settings.
    """

    def __init__(
        self,
        retry: RetrySettings,
        destination: str,
        channel: Channel,
        folder: DataFolder,
        owner: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._destination = destination
        self._channel = channel
        self._folder = folder
        self._owner = owner
        self._clock = clock
        self._policy = delivery_policy(retry)
        self._held: Delivery | None = None  # until its row says what came of it
        self._connect_failures = 0
        self._connect_not_before = 0.0

    def step(self) -> float:
        """Send the delivery that has been due for longest; return after how many seconds to come back.

        While the destination cannot be reached only the next attempt to reach it is timed: the deliveries stay due
        and all go out when it is back.
        """
        if self._held is not None:
            self._put_back(self._held, "storage_unavailable")
        now = self._clock()
        # no attempt is put off for longer: if it seems so, the clock has been set back
        if 0 < self._connect_not_before - now <= self._policy.longest_seconds:
            return min(POLL_SECONDS, self._connect_not_before - now)
        name = self._destination
        with self._folder.database.read() as connection:
            due = waiting.next_delivery(connection, name)
        if due is None or due > now:
            return POLL_SECONDS if due is None else min(POLL_SECONDS, due - now)
        with self._folder.database.write(Step.DELIVERY_CLAIMED) as connection:
            delivery = queue.claim_delivery(connection, name, self._owner, now, LEASE_SECONDS)
        if delivery is None:
            return PRECEDED_SECONDS
        self._held = delivery
        try:
            self._deliver(delivery)
        except LeaseLost:
            _log.warning("lease_lost", delivery=delivery.id)
        except Exception as error:
            # what nobody foresaw is tried again like what was, and then told by the loop
            self._put_back(delivery, type(error).__name__)
            raise
        self._held = None
        return 0.0

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def _put_back(self, delivery: Delivery, reason: str) -> None:
        with suppress(LeaseLost):
            self._try_later(delivery, TransferFailed(reason), delivery.attempts)
        self._held = None

    def _deliver(self, delivery: Delivery) -> None:
        started = time.perf_counter()
        if delivery.is_overtaken:
            self._end(delivery, queue.reject, "delivery_rejected", "a later message has arrived", None)
            return
        try:
            content = self._folder.objects.read(delivery.result.object_key)
            sent = self._channel.send(content)
        except (PeerUnreachable, AccessRefused) as fault:
            self._connect_failures += 1
            self._connect_not_before = self._try_later(delivery, fault, self._connect_failures)
        except TransferFailed as fault:
            self._connect_failures = 0
            self._try_later(delivery, fault, delivery.attempts)
        except ResultRefused as fault:
            self._connect_failures = 0
            self._end(delivery, queue.reject, "delivery_rejected", fault.reason, fault.status)
        except ObjectMissing:
            self._end(delivery, ledger.lost, "delivery_failed", OBJECT_MISSING, None)
        else:
            self._connect_failures = 0
            self._note_delivered(delivery, sent)
            _log.info(
                "result_delivered",
                delivery=delivery.id,
                destination=delivery.destination,
                kind=delivery.result.kind,
                status=sent.status,
                milliseconds=round((time.perf_counter() - started) * 1000, 1),
            )

    def _note_delivered(self, delivery: Delivery, sent: Delivered) -> None:
        now = self._clock()
        with self._folder.database.write(Step.RESULT_DELIVERED) as connection:
            queue.arrived(
                connection,
                delivery.id,
                self._owner,
                now,
                awaits_commitment=sent.awaits_commitment,
                status=sent.status,
                sent_sop_instance_uid=sent.sent_sop_instance_uid,
            )
            audit.append(
                connection,
                now,
                "result_delivered",
                **_told(delivery, sent.sent_sop_instance_uid),
                status=sent.status,
            )

    def _try_later(self, delivery: Delivery, fault: DeliveryFault, attempts: int) -> float:
        now = self._clock()
        decision = decide(self._policy, attempts, delivery.queued_at, now, random.random)
        if isinstance(decision, GiveUp):
            self._end(delivery, queue.give_up, "delivery_failed", fault.reason, fault.status)
            return now
        with self._folder.database.write(Step.DELIVERY_PUT_OFF) as connection:
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
        with self._folder.database.write(Step.DELIVERY_ENDED) as connection:
            transition(connection, deliveries, delivery.id, self._owner, now, reason, status=status)
            audit.append(connection, now, event, **_told(delivery, None), reason=reason, status=status)
        _log.error(
            event, delivery=delivery.id, destination=delivery.destination, reason=reason, status=status
        )


def _told(delivery: Delivery, other_form: str | None) -> dict[str, Any]:
    """Return what the audit trail tells of a delivery; the class of another form that was sent is its channel's."""
    result = delivery.result
    return {
        "destination": delivery.destination,
        "study_instance_uid": delivery.study_instance_uid,
        "sop_class_uid": None if other_form else result.sop_class_uid,
        "sop_instance_uid": other_form or result.sop_instance_uid,
    }
