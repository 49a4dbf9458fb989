"""Sends what is new in the audit trail to the syslog server: in order, and nothing left out, however long it was down.

How far it came stands in the database and moves only after a message was handed over, so that one may arrive twice and
none is skipped; the record's number in each message tells them apart. What went out over a connection shortly before
it broke goes out again.
"""

import os
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import structlog

from config.audit import AuditSettings
from config.settings import Settings
from dicom_node.auditing.message import audit_message, is_alert
from dicom_node.auditing.syslog import Datagrams, Stream, frame
from dicom_node.errors import NodeError
from dicom_node.tls import Tls
from storage import audit
from storage.audit import Record
from storage.engine import Database
from storage.steps import Step

POLL_SECONDS = 1.0
AT_ONCE = 100
"""Records between two notes of how far it came."""
UNSURE_SECONDS = 60.0
"""What a connection took so shortly before it broke may not have arrived."""

_log = structlog.get_logger()


def channel_to(audited: AuditSettings, tls: Tls) -> "Channel":
    """Return the way to the server that the settings name."""
    if audited.syslog_protocol == "tls":
        return Stream(audited.syslog_host, audited.syslog_port, tls)
    return Datagrams(audited.syslog_host, audited.syslog_port)


class Channel(Protocol):
    """The way to the server."""

    def send(self, framed: bytes) -> None:
        """Hand one frame over. Raises OSError, NodeError."""

    def close(self) -> None:
        """End the connection, if there is one."""


class Forwarder:
    """Sends the trail of one node to one server."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        channel: Channel,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._database = database
        self._channel = channel
        self._clock = clock
        self._host = socket.gethostname()
        self._recent: deque[tuple[int, float]] = deque(maxlen=AT_ONCE)
        self._is_failing = False

    def take(self, settings: Settings) -> None:
        """Say of destinations what these settings say."""
        self._settings = settings

    def step(self) -> float:
        """Send what is new, at most AT_ONCE records; return after how many seconds to come back."""
        with self._database.read() as connection:
            reached = begun = audit.end(connection).sent_id
            waiting = list(audit.records(connection, reached, AT_ONCE))
        if not waiting:
            return POLL_SECONDS
        fault: Exception | None = None
        for record in waiting:
            try:
                self._send(record)
            except (OSError, NodeError) as error:
                fault = error
                break
            reached = record.id
        if fault is not None:
            self._channel.close()
            reached = min(reached, self._before_what_is_unsure(reached))
        if reached != begun:
            with self._database.write(Step.AUDIT_SENT) as connection:
                audit.sent(connection, reached)
        self._tell(fault)
        return self._settings.retry.deliver_first_seconds if fault else 0.0

    def finish(self) -> None:
        """Send what is left, the node's own end, where the server is there; the next start sends it else."""
        self.step()
        self._channel.close()

    def _send(self, record: Record) -> None:
        try:
            message = audit_message(record, self._settings, self._host)
        except Exception as error:  # noqa: BLE001 - of another version, say: it must not hold up all that follow
            _log.error("audit_record_not_sent", record=record.id, error_type=type(error).__name__)
            return
        if message is None:
            return
        framed = frame(message, record.at, self._host, os.getpid(), is_alert=is_alert(record))
        self._channel.send(framed)
        self._recent.append((record.id, self._clock()))

    def _before_what_is_unsure(self, reached: int) -> int:
        """Return the record after which to begin again, and forget what went out over the broken connection."""
        now = self._clock()
        unsure = [number for number, at in self._recent if 0 <= now - at < UNSURE_SECONDS]
        self._recent.clear()
        return min(unsure) - 1 if unsure else reached

    def _tell(self, fault: Exception | None) -> None:
        """Log that the server cannot be reached, and that it can again: once each."""
        if fault is not None and not self._is_failing:
            _log.error("audit_not_sent", reason=_words(fault))
        elif fault is None and self._is_failing:
            _log.info("audit_sent_again")
        self._is_failing = fault is not None


def _words(fault: Exception) -> str:
    if isinstance(fault, OSError):
        return fault.strerror or type(fault).__name__
    return str(fault)
