"""The port for final reports: MLLP (HL7 v2.5.1 appendix C), each message acknowledged when what it says is durable.

Who may connect stands in the settings, and nothing that comes is trusted: a message has a longest length and a longest
time, a connection that says nothing has an end, and there are only so many of them. What cannot be kept now is answered
so that it is sent again.
"""

import socket
import threading
import time
from dataclasses import dataclass, field
from ipaddress import ip_address

import structlog

from config.settings import Settings
from dicom_node.channels.mllp import END, START
from dicom_node.errors import CertificatesUnusable, HandshakeFailed, PortUnavailable
from dicom_node.final_reports.keeping import Origin, keep
from dicom_node.final_reports.message import (
    ACCEPTED,
    IN_ERROR,
    INTERNAL_ERROR,
    REJECTED,
    Header,
    MessageRefused,
    acknowledgement,
    findings,
)
from dicom_node.handshake import shake_hands
from dicom_node.loop import Loop
from dicom_node.refusals import Refusals
from dicom_node.tls import Tls
from storage.errors import StorageError
from storage.folder import DataFolder

MOST_CONNECTIONS = 16
LONGEST_MESSAGE = 5_000_000
"""Bytes; some reports have a document in them."""
MESSAGE_SECONDS = 30.0
"""From a message's first byte to its last, and for its acknowledgement to be taken."""
IDLE_SECONDS = 3600.0
"""Between two messages: interfaces keep their connection, and open it again."""
HANDSHAKE_SECONDS = 10.0
STOP_SECONDS = 5.0
_BETWEEN = b"\r\n"
"""What some senders put after a frame."""

_log = structlog.get_logger()


class _Ended(Exception):
    """The connection is over: closed, silent for too long, or nothing that could be a message."""


@dataclass(slots=True)
class _Connection:
    """A connection and what has come over it that was not read yet."""

    socket: socket.socket
    received: bytearray = field(default_factory=bytearray)

    def message(self) -> tuple[bytes, bool]:
        """Return the next message and whether it is whole; the beginning of one that is too long. Raises _Ended."""
        deadline = time.monotonic() + (MESSAGE_SECONDS if self.received else IDLE_SECONDS)
        looked = 0
        while True:
            self._skip_between()
            if self.received and not self.received.startswith(START):
                raise _Ended
            end = self.received.find(END, looked)
            if end >= 0:
                content = bytes(self.received[len(START) : end])
                del self.received[: end + len(END)]
                return content, True
            if len(self.received) > LONGEST_MESSAGE:
                return bytes(self.received[len(START) :]), False
            looked = max(0, len(self.received) - 1)
            was_empty = not self.received
            self.received += self._more(deadline)
            if was_empty:
                deadline = time.monotonic() + MESSAGE_SECONDS

    def _skip_between(self) -> None:
        while self.received and self.received[0] in _BETWEEN:
            del self.received[0]

    def _more(self, deadline: float) -> bytes:
        left = deadline - time.monotonic()
        if left <= 0:
            raise _Ended
        self.socket.settimeout(left)
        part = self.socket.recv(65536)
        if not part:
            raise _Ended
        return part


class ReportListener:
    """Takes final reports over the network, in a thread for each connection."""

    def __init__(self, settings: Settings, folder: DataFolder, tls: Tls) -> None:
        self._settings = settings.hl7_reports
        self._folder = folder
        self._tls = tls
        self._refusals = Refusals(folder, self._may_come, self._tell_refusals)
        self._telling = Loop("refusals of report senders", self._refusals.step)
        self._listening: socket.socket | None = None
        self._open: dict[threading.Thread, socket.socket] = {}
        self._counting = threading.Lock()
        self._accepting = threading.Thread(target=self._accept, name="accept reports", daemon=True)
        self._stopping = False

    def start(self) -> tuple[str, int]:
        """Open the port and return its address.

        Raises
        ------
        PortUnavailable
            The address is in use, not this machine's, or not for this user.
        CertificatesUnusable
            It shall speak TLS, and the files under `[tls]` are not to be used.
        """
        host, port = self._settings.host, self._settings.port
        if self._settings.tls:
            self._tls.server()
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            self._listening = socket.create_server((host, port), family=family)
        except OSError as error:
            raise PortUnavailable("[hl7_reports]", host, port, error.strerror or "unknown error") from error
        self._telling.start()
        self._accepting.start()
        found = self._listening.getsockname()
        return str(found[0]), int(found[1])

    def take(self, settings: Settings) -> None:
        """Go by these settings from the next connection and message on."""
        self._settings = settings.hl7_reports

    def stop(self) -> None:
        """Take no more messages; one that is not acknowledged is sent again, and kept once."""
        self._stopping = True
        if self._listening is None:
            return
        self._listening.shutdown(socket.SHUT_RDWR)
        self._accepting.join(STOP_SECONDS)
        self._listening.close()
        with self._counting:
            threads = list(self._open)
            for each in self._open.values():
                _shut(each)
        deadline = time.monotonic() + STOP_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._telling.stop(STOP_SECONDS)
        self._refusals.tell_all()

    def _tell_refusals(self) -> None:
        self._telling.wake()

    def _may_come(self, address: str) -> bool:
        peer = ip_address(address)
        mapped = getattr(peer, "ipv4_mapped", None)
        return any((mapped or peer) in network for network in self._settings.hosts)

    def _accept(self) -> None:
        while not self._stopping and self._listening is not None:
            try:
                connection, peer = self._listening.accept()
            except OSError:  # it was closed before it was accepted, or the node stops
                continue
            address = str(peer[0]).partition("%")[0]
            reason = self._reason_against(address)
            if reason:
                connection.close()
                self._refusals.note("", address, reason)
                continue
            thread = threading.Thread(
                target=self._serve, args=(connection, address), name="final reports", daemon=True
            )
            with self._counting:
                self._open[thread] = connection
            thread.start()

    def _reason_against(self, address: str) -> str:
        if not self._may_come(address):
            return "not one of [hl7_reports] hosts"
        with self._counting:
            return "too many connections with final reports" if len(self._open) >= MOST_CONNECTIONS else ""

    def _serve(self, plain: socket.socket, address: str) -> None:
        """Take messages one after the other until the connection ends."""
        connection = plain
        try:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._settings.tls:
                connection = self._secured(plain)
            with connection:
                self._talk(_Connection(connection), address)
        except HandshakeFailed as failed:
            self._refusals.note("", address, f"TLS: {failed.reason}")
        except CertificatesUnusable as fault:
            _log.error("report_port_unusable", reason=str(fault))
        except (OSError, _Ended):
            return  # what was not acknowledged is sent again
        finally:
            plain.close()
            with self._counting:
                del self._open[threading.current_thread()]

    def _secured(self, plain: socket.socket) -> socket.socket:
        secured = shake_hands(plain, self._tls.server(), None, HANDSHAKE_SECONDS)
        with self._counting:
            self._open[threading.current_thread()] = secured
        return secured

    def _talk(self, connection: _Connection, address: str) -> None:
        while not self._stopping:
            message, is_whole = connection.message()
            answer = self._answer(message, address) if is_whole else self._too_long(message, address)
            connection.socket.settimeout(MESSAGE_SECONDS)
            connection.socket.sendall(START + answer + END)
            if not is_whole:
                return

    def _answer(self, message: bytes, address: str) -> bytes:
        """Keep what a message says and return its acknowledgement."""
        header = Header(message)
        try:
            found = findings(message, header, self._settings)
            kept = keep(self._folder.database, found, Origin(address, header[10]))
        except MessageRefused as refused:
            _log.warning("report_refused", address=address, reason=refused.reason, answer=refused.code)
            return acknowledgement(header, refused.code, refused.error)
        except StorageError as error:
            _log.error("report_not_kept", address=address, error_type=type(error).__name__)
            return acknowledgement(header, REJECTED, INTERNAL_ERROR)
        _log.info("report_read", address=address, count=kept)
        return acknowledgement(header, ACCEPTED)

    def _too_long(self, message: bytes, address: str) -> bytes:
        _log.warning("report_refused", address=address, reason="it is too long", answer=IN_ERROR)
        return acknowledgement(Header(message), IN_ERROR, INTERNAL_ERROR)


def _shut(connection: socket.socket) -> None:
    """End a connection under the thread that reads from it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
