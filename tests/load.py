"""Many peers that cost little: associations as bytes over a socket, and what a process has taken up."""

import socket
import struct
from pathlib import Path
from typing import NamedTuple

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.dsutils import encode
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)

from dicom_node.associations import VERIFICATION
from tests.builders import made_uid
from tests.peers import NODE_AE_TITLE, NodeProcess

OUT_OF_RESOURCES = 0xA7
"""The exit status of dcmtk's storescu where the answer was 0xA7xx."""
ACCEPTED, REJECTED, DATA, RELEASE, RELEASED = 0x02, 0x03, 0x04, 0x05, 0x06

SETTLED_THREADS = 10
"""How many more there may be later: the scheduler of the sweeps takes up to ten, as it happens."""


class Taken(NamedTuple):
    """What a process has of the machine."""

    megabytes: float
    threads: int
    files: int


def taken(process: int) -> Taken:
    """Read it from /proc."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    values = dict(line.split(":", 1) for line in lines)
    files = len(list(Path(f"/proc/{process}/fd").iterdir()))
    return Taken(int(values["VmRSS"].split()[0]) / 1000, int(values["Threads"]), files)


def association_request(calling: str = "PACS", called: str = NODE_AE_TITLE) -> bytes:
    """Return an A-ASSOCIATE-RQ that proposes C-ECHO."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = calling, called
    context = build_context(VERIFICATION)
    context.context_id = 1
    primitive.presentation_context_definition_list = [context]
    longest, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    longest.maximum_length_received = 16384
    implementation.implementation_class_uid = "1.2.3"
    primitive.user_information = [longest, implementation]
    request = A_ASSOCIATE_RQ()
    request.from_primitive(primitive)
    return request.encode()


def echo_request() -> bytes:
    """Return a P-DATA-TF with a C-ECHO request (PS3.7 9.3.5.1)."""
    command = Dataset()
    command.CommandGroupLength = 0
    command.AffectedSOPClassUID = VERIFICATION
    command.CommandField = 0x0030
    command.MessageID = 1
    command.CommandDataSetType = 0x0101
    command.CommandGroupLength = len(encode(command, True, True)) - 12
    content = encode(command, True, True)
    value = struct.pack(">LBB", len(content) + 2, 1, 0x03) + content
    return struct.pack(">BBL", DATA, 0, len(value)) + value


def connect(port: int, address: str = "127.0.0.1") -> socket.socket:
    """Connect to the node from this address of this machine."""
    return socket.create_connection(("127.0.0.1", port), 60, (address, 0))


def read_pdu(connection: socket.socket) -> tuple[int, bytes]:
    """Read a PDU and return its type and its content. Raises ConnectionError where the node closes instead."""
    kind, _, length = struct.unpack(">BBL", _read(connection, 6))
    return kind, _read(connection, length)


def echo(port: int, request: bytes, question: bytes) -> None:
    """Associate, ask, and release, as any peer does."""
    with connect(port) as peer:
        for sent, expected in (
            (request, ACCEPTED),
            (question, DATA),
            (struct.pack(">BBLL", RELEASE, 0, 4, 0), RELEASED),
        ):
            peer.sendall(sent)
            kind, _ = read_pdu(peer)
            assert kind == expected, f"PDU of type {kind} and not {expected}"


def another(film: Dataset, study: str, key: str = "1") -> Dataset:
    """Return the same film as an image of another study: drawing one takes longer than sending it."""
    made = Dataset(film)
    made.StudyInstanceUID = made_uid("study", study)
    made.SeriesInstanceUID = made_uid("series", study)
    made.SOPInstanceUID = made_uid("image", study, key)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def sent_until_taken(node: NodeProcess, *films: Path) -> int:
    """Send as a modality does: again, where the node answers that it is out of resources; return how often.

    With all in one line for a slow disk, some have to hear that.
    """
    for again in range(10):
        status = node.send(*films)
        if status == 0:
            return again
        assert status == OUT_OF_RESOURCES, f"storescu ended with {status}"
    raise AssertionError("out of resources for too long")


def refusal(port: int, request: bytes, address: str = "127.0.0.1") -> tuple[int, int, int]:
    """Ask for an association, and return result, source and reason of its rejection."""
    with connect(port, address) as peer:
        peer.sendall(request)
        kind, content = read_pdu(peer)
    assert kind == REJECTED, f"PDU of type {kind}"
    return content[1], content[2], content[3]


def _read(connection: socket.socket, count: int) -> bytes:
    content = b""
    while len(content) < count:
        part = connection.recv(count - len(content))
        if not part:
            raise ConnectionError("closed")
        content += part
    return content
