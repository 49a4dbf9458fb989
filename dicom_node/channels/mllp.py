"""HL7 messages over MLLP (HL7 v2.5.1 appendix C), each answered before the next is sent (section 2.9.2).

Sending again is always safe: a message is the same bytes under the same control ID however often it is sent, by which
a receiver knows it again. So whatever is not a clear answer to this very message is tried again, for days.
"""

import re
import select
import socket
import time
from dataclasses import dataclass

from config.hl7 import Hl7Destination
from dicom_node.channels.channel import Delivered
from dicom_node.errors import (
    AccessRefused,
    CertificatesUnusable,
    DeliveryFault,
    PeerUnreachable,
    ResultRefused,
    TransferFailed,
)
from dicom_node.handshake import TlsSocket, connect_tls, refusal_in
from dicom_node.tls import NO_CERTIFICATES, Tls

START, END = b"\x0b", b"\x1c\r"
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
PROBE_SECONDS = 1.0
LONGEST_ANSWER = 64 * 1024  # bytes; an acknowledgement has a few hundred
ACCEPTED, IN_ERROR, REJECTED = ("AA", "CA"), ("AE", "CE"), ("AR", "CR")  # table 0008
UNKNOWN = "whether the message arrived is not known"

_ERROR_CODES = {  # table 0357
    "100": "segment sequence error",
    "101": "required field missing",
    "102": "data type error",
    "103": "table value not found",
    "200": "unsupported message type",
    "201": "unsupported event code",
    "202": "unsupported processing ID",
    "203": "unsupported version ID",
    "204": "unknown key identifier",
    "205": "duplicate key identifier",
    "206": "application record locked",
    "207": "application internal error",
}


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What a receiver says to a message: MSA-1, MSA-2, and the code of ERR-3, or of its older place ERR-1."""

    code: str
    control_id: str
    error_code: str


class MllpChannel:
    """Messages to one destination."""

    def __init__(self, destination: Hl7Destination, tls: Tls = NO_CERTIFICATES) -> None:
        self._destination = destination
        self._tls = tls
        self._socket: socket.socket | None = None

    def send(self, content: bytes) -> Delivered:
        """Send one message and wait for its acknowledgement."""
        connection = self._connected()
        try:
            connection.sendall(START + content + END)
            answer = _read_answer(connection)
        except OSError as error:
            self.close()
            refusal = refusal_in(error)
            if refusal is not None:
                raise AccessRefused(refusal) from error
            raise TransferFailed(f"connection lost: {UNKNOWN}") from error
        except DeliveryFault:
            self.close()
            raise
        acknowledgement = read_acknowledgement(answer)
        if acknowledgement is None or acknowledgement.control_id != control_id(content):
            self.close()  # what else it says is no answer to anything
            raise TransferFailed(f"answer is no acknowledgement of this message: {UNKNOWN}")
        if acknowledgement.code not in ACCEPTED:
            raise _fault_of(acknowledgement)
        return Delivered()

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _connected(self) -> socket.socket:
        """The open connection, or a new one where the peer has closed it or said something unasked."""
        if self._socket is not None and _has_spoken(self._socket):
            self.close()
        if self._socket is None:
            self._socket = connect(self._destination, self._tls)
        self._socket.settimeout(ANSWER_SECONDS)  # waiting for the last answer has used some of it
        return self._socket


def connect(destination: Hl7Destination, tls: Tls = NO_CERTIFICATES) -> socket.socket:
    """Open a connection. Raises PeerUnreachable, and AccessRefused where there is no TLS with the peer."""
    try:
        connection = socket.create_connection((destination.host, destination.port), CONNECT_SECONDS)
    except socket.gaierror as error:
        raise PeerUnreachable("host name is not known") from error
    except TimeoutError as error:
        raise PeerUnreachable("no answer from this host and port") from error
    except ConnectionRefusedError as error:
        raise PeerUnreachable("nobody listens at this host and port") from error
    except OSError as error:
        raise PeerUnreachable("host cannot be reached") from error
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if not destination.tls:
        return connection
    try:
        return connect_tls(connection, tls.client(), destination.host, CONNECT_SECONDS)
    except CertificatesUnusable as fault:
        connection.close()
        raise AccessRefused(str(fault)) from fault


def probe(destination: Hl7Destination, tls: Tls) -> None:
    """Open a connection and close it, once the peer has had the time to refuse the node's certificate: under TLS 1.3 it
    does so after the handshake. Raises PeerUnreachable, AccessRefused.
    """
    with connect(destination, tls) as connection:
        if isinstance(connection, TlsSocket) and select.select([connection], [], [], PROBE_SECONDS)[0]:
            try:
                connection.has_data()
            except OSError as error:
                raise AccessRefused(
                    refusal_in(error) or "connection closed after the TLS handshake"
                ) from error


def _has_spoken(connection: socket.socket) -> bool:
    """Whether the peer has said or closed something that nobody waits for."""
    if not isinstance(connection, TlsSocket):
        return bool(select.select([connection], [], [], 0)[0])
    try:
        return connection.has_data()
    except OSError:
        return True


def control_id(message: bytes) -> str:
    """MSH-10 of one of the node's own messages."""
    return message.split(b"|", 10)[9].decode("ascii")


def read_acknowledgement(answer: bytes) -> Acknowledgement | None:
    """Read an acknowledgement of any version of HL7, with any delimiters; None where it is none.

    Leniently and by hand: a library that knows the versions refuses an answer for a version that it does not know,
    and a receiver that has said "accepted" would be asked again for days.
    """
    segments = answer.decode("utf-8", "replace").replace("\n", "\r").split("\r")
    header = segments[0].lstrip()
    if not header.startswith("MSH") or len(header) < 5:
        return None
    field, component = header[3], header[4]
    fields = {segment[:3]: segment.split(field) for segment in reversed(segments)}
    msa, err = fields.get("MSA", []), fields.get("ERR", [])
    if len(msa) < 3 or msa[1].strip() not in (*ACCEPTED, *IN_ERROR, *REJECTED):
        return None
    error_code = err[3].split(component)[0] if len(err) > 3 else ""
    if not error_code and len(err) > 1:
        # ELD-4, a coded element in the fourth component, its parts being subcomponents (section 2.A.29)
        error_code = re.split(r"[^0-9A-Za-z]", (err[1].split(component) + [""] * 4)[3])[0]
    return Acknowledgement(msa[1].strip(), msa[2].strip(), error_code.strip())


def _read_answer(connection: socket.socket) -> bytes:
    """Read one frame and return what is in it. Raises TransferFailed where none comes in time, or OSError."""
    deadline = time.monotonic() + ANSWER_SECONDS
    received = b""
    while END not in received.partition(START)[2]:
        if len(received) > LONGEST_ANSWER:
            raise TransferFailed(f"answer is too long: {UNKNOWN}")
        left = deadline - time.monotonic()
        if left <= 0:
            raise TransferFailed(f"no acknowledgement within {ANSWER_SECONDS:g} seconds: {UNKNOWN}")
        connection.settimeout(left)
        try:
            part = connection.recv(4096)
        except TimeoutError:
            continue
        if not part:
            raise TransferFailed(f"connection closed without an acknowledgement: {UNKNOWN}")
        received += part
    return received.partition(START)[2].partition(END)[0]


def _fault_of(acknowledgement: Acknowledgement) -> DeliveryFault:
    """Say what an acknowledgement other than accept means for the delivery (section 2.9.2 and table 0008).

    Errors are of the content, which stays the same; a reject has reasons outside of it, or such that the receiver's
    administrator can mend (the message type, version or processing ID that it takes).
    """
    words = f"answered {acknowledgement.code}"
    code = acknowledgement.error_code
    if code in _ERROR_CODES:  # in a code of the receiver's own there may be a name, or a patient's ID
        words += f", error {code}: {_ERROR_CODES[code]}"
    return ResultRefused(words) if acknowledgement.code in IN_ERROR else TransferFailed(words)
