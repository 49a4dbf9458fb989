"""Requests by HTTP and TLS to services that the settings name, or a reason in words why there is no answer.

The standard library's client: the bytes that were made go once, to the host in the settings. No redirect is followed,
nothing is tried again, and what comes back is bounded in time and size.

Each request has a connection of its own: that an idle one was closed by the service, or by a proxy on the way, shows
only when a request is lost on it.
"""

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from dicom_node.errors import AccessRefused, CertificatesUnusable, PeerUnreachable, TransferFailed
from dicom_node.handshake import reason_of, refusal_in
from dicom_node.tls import Tls

CONNECT_SECONDS = 10.0
REQUEST_SECONDS = 120.0
"""From the first byte sent to the last one received, however slowly they come."""
LONGEST_ANSWER = 1024 * 1024
"""Bytes; what is answered to one object is a few hundred, a provider's keys a few thousand."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status and its body; None where the body is too long to be one."""

    status: int
    content: bytes | None


def request(
    method: str,
    url: str,
    headers: Mapping[str, str],
    content: bytes | None = None,
    *,
    ca_file: Path | None,
    tls: Tls,
    seconds: float | None = None,
) -> Answer:
    """Send one request, and return what is answered to it, within `seconds` (None: REQUEST_SECONDS).

    Raises
    ------
    PeerUnreachable
        There is no connection.
    AccessRefused
        The service is not to be trusted.
    TransferFailed
        No answer: what became of the request is not known.
    """
    parts = urlsplit(url)
    connection = _connection(url, ca_file, tls)
    try:
        _connect(connection)
        with _ended_in_time(connection, seconds or REQUEST_SECONDS):
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, content, dict(headers))
            answer = connection.getresponse()
            body = answer.read(LONGEST_ANSWER + 1)
        if answer.length and len(body) <= LONGEST_ANSWER:  # read() of so many bytes does not miss the others
            raise http.client.IncompleteRead(body, answer.length)
    except (OSError, http.client.HTTPException) as error:
        refusal = refusal_in(error) if isinstance(error, OSError) else None
        if refusal is not None:
            raise AccessRefused(refusal) from error
        raise TransferFailed(f"no answer to {method}: whether it arrived is not known") from error
    finally:
        connection.close()
    return Answer(answer.status, body if len(body) <= LONGEST_ANSWER else None)


def _connection(url: str, ca_file: Path | None, tls: Tls) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port, timeout=CONNECT_SECONDS)
    try:
        context = tls.web(ca_file)
    except CertificatesUnusable as fault:
        raise AccessRefused(str(fault)) from fault
    return http.client.HTTPSConnection(host, parts.port, timeout=CONNECT_SECONDS, context=context)


def _connect(connection: http.client.HTTPConnection) -> None:
    try:
        connection.connect()
    except ssl.SSLError as error:
        raise AccessRefused(f"TLS: {reason_of(error)}") from error
    except socket.gaierror as error:
        raise PeerUnreachable("host name is not known") from error
    except OSError as error:
        raise PeerUnreachable("no connection to this host and port") from error


@contextmanager
def _ended_in_time(connection: http.client.HTTPConnection, seconds: float) -> Iterator[None]:
    """End the connection when the request takes too long: a time-out of the socket starts anew with every byte."""
    connected: socket.socket = connection.sock
    connected.settimeout(seconds)

    def end() -> None:
        try:
            connected.shutdown(socket.SHUT_RDWR)
        except OSError:  # its peer was faster
            return

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
