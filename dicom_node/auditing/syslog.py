"""Audit messages to a syslog server: RFC 5424 frames over TLS (RFC 5425) or in datagrams (RFC 5426); PS3.15 A.6, A.7.

Neither protocol answers. Over TLS the server has what the connection took before it ended in order; what a broken one
may have lost is sent again. A datagram may be lost, and nobody knows.
"""

import errno
import socket
from datetime import UTC, datetime

from dicom_node.handshake import TlsSocket, shake_hands
from dicom_node.tls import Tls

FACILITY = 10  # security and authorization messages, as PS3.15 A.6 wants
NOTICE, WARNING = 5, 4
MSGID = "DICOM+RFC3881"
BOM = b"\xef\xbb\xbf"
CONNECT_SECONDS = 10.0


def frame(message: bytes, at: float, host: str, process: int, *, is_alert: bool) -> bytes:
    """Return the message with its header (RFC 5424 section 6), `at` in seconds since 1970."""
    moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    priority = FACILITY * 8 + (WARNING if is_alert else NOTICE)
    name = "".join(each if "!" <= each <= "~" else "-" for each in host)[:255] or "-"
    return f"<{priority}>1 {moment} {name} dicom-node {process} {MSGID} - ".encode() + BOM + message


class Datagrams:
    """Each frame in a datagram of its own. Errors are OSError."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._socket: socket.socket | None = None

    def send(self, framed: bytes) -> None:
        """Send one frame, wherever the name leads by then."""
        if self._socket is None:
            family, kind, protocol, _, address = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, kind, protocol)
            self._socket.connect(address)
        self._socket.send(framed)

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Stream:
    """Frames over one TLS connection, each after its length (RFC 5425 4.3). Errors: OSError, NodeError."""

    def __init__(self, host: str, port: int, tls: Tls) -> None:
        self._address = host, port
        self._tls = tls
        self._socket: TlsSocket | None = None

    def send(self, framed: bytes) -> None:
        """Send one frame, over a new connection where there is none."""
        if self._socket is None:
            self._socket = self._connect()
        elif self._socket.has_data():  # a server says nothing: it has closed the connection
            raise ConnectionResetError(errno.ECONNRESET, "the server has closed the connection")
        self._socket.sendall(b"%d " % len(framed) + framed)

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> TlsSocket:
        context = self._tls.client()
        plain = socket.create_connection(self._address, CONNECT_SECONDS)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return shake_hands(plain, context, self._address[0], CONNECT_SECONDS)
