"""Requests to a DICOMweb service (PS3.18), answered or refused with a reason that an administrator can act on.

The standard library's client and no DICOMweb library: dicomweb-client 0.61 encodes an object anew before it sends it,
tries again by itself, follows redirects, reads answers of any length, and drops the failure reason of a 409. Here
the bytes that were made go once, to the host in the settings, and what comes back is bounded in time and size.

Each request has a connection of its own: that an idle one was closed by the service, or by a proxy on the way, shows
only when a request is lost on it.
"""

import base64
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from config.peers import WebDestination
from dicom_node.errors import (
    AccessRefused,
    CertificatesUnusable,
    DeliveryFault,
    PeerUnreachable,
    TransferFailed,
)
from dicom_node.handshake import reason_of, refusal_in
from dicom_node.tls import NO_CERTIFICATES, Tls

DICOM_JSON = "application/dicom+json"

CONNECT_SECONDS = 10.0
REQUEST_SECONDS = 120.0
"""From the first byte sent to the last one received, however slowly they come."""
LONGEST_ANSWER = 1024 * 1024
"""Bytes; what is answered to one object is a few hundred."""
LONGEST_SECRET = 16 * 1024
"""Characters; services refuse headers longer than this."""

_REFUSALS = {
    HTTPStatus.UNAUTHORIZED: "it wants to be logged in to, or refuses the token or password",
    HTTPStatus.FORBIDDEN: "it does not allow this user to do so",
    HTTPStatus.NOT_FOUND: "there is no DICOMweb service at this URL, or not this part of it",
    HTTPStatus.METHOD_NOT_ALLOWED: "there is no DICOMweb service at this URL, or not this part of it",
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: "a proxy before it wants to be logged in to",
}
"""What a person has to mend before anything is taken."""
_BUSY = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
"""Nothing else is taken now either."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status and its body; None where the body is too long to be one."""

    status: int
    content: bytes | None


def ask(
    destination: WebDestination,
    method: str,
    path: str,
    headers: Mapping[str, str],
    content: bytes | None = None,
    *,
    tls: Tls = NO_CERTIFICATES,
    seconds: float = REQUEST_SECONDS,
) -> Answer:
    """Send one request to `path` below the destination's URL, and return what the service itself answers to it.

    Raises
    ------
    PeerUnreachable
        There is no connection, or the service takes nothing now.
    AccessRefused
        The service is not to be trusted, or wants another URL, token or password.
    TransferFailed
        No answer: what became of the request is not known.
    """
    parts = urlsplit(destination.url)
    authorization = _authorization(destination)
    connection = _connection(destination, tls)
    try:
        _connect(connection)
        with _ended_in_time(connection, seconds):
            connection.request(method, parts.path + path, content, {**headers, **authorization})
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
    fault = _fault_of(answer.status)
    if fault is not None:
        raise fault
    return Answer(answer.status, body if len(body) <= LONGEST_ANSWER else None)


def _connection(destination: WebDestination, tls: Tls) -> http.client.HTTPConnection:
    parts = urlsplit(destination.url)
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port, timeout=CONNECT_SECONDS)
    try:
        context = tls.web(destination.ca_file)
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


def _authorization(destination: WebDestination) -> dict[str, str]:
    """The header of RFC 6750 or RFC 7617; none where the settings name no file."""
    if destination.token_file is not None:
        return {"Authorization": f"Bearer {_secret(destination.token_file, 'token_file')}"}
    if destination.password_file is not None:
        words = f"{destination.user}:{_secret(destination.password_file, 'password_file')}"
        return {"Authorization": f"Basic {base64.b64encode(words.encode()).decode('ascii')}"}
    return {}


def _secret(path: Path, setting: str) -> str:
    """Read a file of one line."""
    try:
        with path.open(encoding="utf-8") as file:
            secret = file.read(LONGEST_SECRET + 1).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AccessRefused(f"{setting} cannot be read") from error
    if not secret or len(secret) > LONGEST_SECRET or not secret.isprintable():
        raise AccessRefused(f"{setting} must hold one line of text and nothing else")
    if setting == "token_file" and not secret.isascii():
        raise AccessRefused(f"{setting} must hold ASCII characters alone")
    return secret


def _fault_of(status: int) -> DeliveryFault | None:
    """What an HTTP status (RFC 9110) that is no answer to the request itself means; None for the others."""
    if status in _BUSY:
        return PeerUnreachable(f"HTTP {status}: it takes nothing now")
    if status in _REFUSALS:
        return AccessRefused(f"HTTP {status}: {_REFUSALS[HTTPStatus(status)]}")
    if 300 <= status < 400:
        return AccessRefused(f"HTTP {status}: it redirects to another URL; write that in the settings")
    return None
