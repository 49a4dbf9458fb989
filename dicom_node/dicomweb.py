"""Requests to a DICOMweb service (PS3.18), answered or refused with a reason that an administrator can act on.

By `dicom_node.https` and no DICOMweb library: dicomweb-client 0.61 encodes an object anew before it sends it, tries
again by itself, follows redirects, reads answers of any length, and drops the failure reason of a 409.
"""

import base64
import os
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from config.peers import WebDestination
from dicom_node.errors import AccessRefused, DeliveryFault, PeerUnreachable
from dicom_node.https import Answer, request
from dicom_node.tls import NO_CERTIFICATES, Tls

DICOM_JSON = "application/dicom+json"
FILES = ("token_file", "password_file", "ca_file")

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


def unreadable_files(destination: WebDestination) -> list[tuple[str, Path]]:
    """Return the files that the destination's settings name and this user cannot read, by setting."""
    named = ((setting, getattr(destination, setting)) for setting in FILES)
    return [(setting, path) for setting, path in named if path is not None and not os.access(path, os.R_OK)]


def ask(
    destination: WebDestination,
    method: str,
    path: str,
    headers: Mapping[str, str],
    content: bytes | None = None,
    *,
    tls: Tls = NO_CERTIFICATES,
    seconds: float | None = None,
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
    sent = {**headers, **_authorization(destination)}
    answer = request(
        method, destination.url + path, sent, content, ca_file=destination.ca_file, tls=tls, seconds=seconds
    )
    fault = _fault_of(answer.status)
    if fault is not None:
        raise fault
    return answer


def _authorization(destination: WebDestination) -> dict[str, str]:
    """The header of RFC 6750 or RFC 7617; none where the settings name no file."""
    if destination.token_file is not None:
        return {"Authorization": f"Bearer {read_secret(destination.token_file, 'token_file')}"}
    if destination.password_file is not None:
        words = f"{destination.user}:{read_secret(destination.password_file, 'password_file')}"
        return {"Authorization": f"Basic {base64.b64encode(words.encode()).decode('ascii')}"}
    return {}


def read_secret(path: Path, setting: str) -> str:
    """Read a file of one line. Raises AccessRefused."""
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
