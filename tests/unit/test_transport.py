"""The fast way of a data set from the socket to its file: byte for byte, in whatever pieces, or not at all."""

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress

import pynetdicom
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dsutils import encode
from structlog.testing import capture_logs

from config.peers import Source
from config.settings import Settings
from dicom_node import transport
from dicom_node.associations import VERIFICATION
from dicom_node.receiver import Receiver
from storage.folder import DataFolder
from tests.builders import chest_film
from tests.load import another
from tests.peers import wait_for

COMMAND, LAST = 0x01, 0x02
DATA, ABORT = 0x04, 0x07
SOP_CLASS = DigitalXRayImageStorageForPresentation


@pytest.fixture(params=["fast", "as pynetdicom comes"])
def receiving(request: pytest.FixtureRequest, folder: DataFolder) -> Iterator[tuple[str, int]]:
    source = Source(name="pacs", ae_title="PACS", hosts=("127.0.0.1",))  # type: ignore[arg-type]
    receiver = Receiver(Settings(sources=(source,), receiver={"port": 0}), folder, lambda: None)  # type: ignore[arg-type]
    transport.switch(on=request.param == "fast")
    yield receiver.start()
    receiver.stop()


def associated(receiving: tuple[str, int], syntax: str = ExplicitVRLittleEndian) -> Association:
    entity = AE("PACS")
    entity.add_requested_context(SOP_CLASS, syntax)
    entity.add_requested_context(VERIFICATION)
    association = entity.associate(*receiving, ae_title="CXR_NODE")
    assert association.is_established
    return association


class Wire:
    """A peer that cuts what it says into pieces as it likes."""

    def __init__(self, receiving: tuple[str, int]) -> None:
        self.association = associated(receiving, ImplicitVRLittleEndian)
        [self._context] = [
            each.context_id
            for each in self.association.accepted_contexts
            if each.abstract_syntax == SOP_CLASS
        ]
        self._socket: socket.socket = self.association.dul.socket.socket
        # or pynetdicom's own thread would take the answers
        self.association._reactor_checkpoint.clear()
        wait_for(lambda: self.association._is_paused)

    def value(self, flags: int, content: bytes) -> bytes:
        return struct.pack(">LBB", len(content) + 2, self._context, flags) + content

    def pdu(self, *values: bytes, kind: int = DATA) -> bytes:
        content = b"".join(values)
        return struct.pack(">BBL", kind, 0, len(content)) + content

    def command(self, film: Dataset) -> bytes:
        command = Dataset()
        command.CommandGroupLength = 0
        command.AffectedSOPClassUID = SOP_CLASS
        command.CommandField = 0x0001
        command.MessageID = 1
        command.Priority = 0
        command.CommandDataSetType = 1
        command.AffectedSOPInstanceUID = film.SOPInstanceUID
        command.CommandGroupLength = len(encode(command, True, True)) - 12
        return self.value(COMMAND | LAST, encode(command, True, True))

    def send(self, said: bytes) -> None:
        with suppress(ConnectionError):
            self._socket.sendall(said)

    def status(self) -> int | None:
        """The status of the answer; None where the connection ended without one."""
        context, answer = self.association.dimse.get_msg(block=True)
        return None if context is None else int(answer.Status)


def whole(content: bytes) -> list[bytes]:
    return [content]


def halves(content: bytes) -> list[bytes]:
    return [content[: len(content) // 2], content[len(content) // 2 :]]


def crumbs(content: bytes) -> list[bytes]:
    sizes = [1, 2, 3, 5, 1001]
    pieces = []
    while content:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(content[:size])
        content = content[size:]
    return pieces


def with_an_empty_end(content: bytes) -> list[bytes]:
    return [content, b""]


@pytest.mark.parametrize("cut", [whole, halves, crumbs, with_an_empty_end])
@pytest.mark.parametrize("values_in_pdu", [1, 7])
def test_a_data_set_arrives_byte_for_byte_in_whatever_pieces(
    receiving: tuple[str, int],
    folder: DataFolder,
    cut: Callable[[bytes], list[bytes]],
    values_in_pdu: int,
) -> None:
    film = chest_film(rows=200, columns=160)
    content = encode(film, True, True)
    wire = Wire(receiving)
    pieces = cut(content)
    values = [wire.value(0, piece) for piece in pieces[:-1]] + [wire.value(LAST, pieces[-1])]
    wire.send(wire.pdu(wire.command(film)))
    wire.send(
        b"".join(
            wire.pdu(*values[start : start + values_in_pdu]) for start in range(0, len(values), values_in_pdu)
        )
    )
    assert wire.status() == 0x0000
    [stored] = folder.folder.glob("objects/*/*.dcm")
    assert stored.read_bytes().endswith(content)
    assert dcmread(stored).file_meta.TransferSyntaxUID == ImplicitVRLittleEndian


def test_the_command_and_the_whole_data_set_may_come_in_one_pdu(
    receiving: tuple[str, int], folder: DataFolder
) -> None:
    film = chest_film()
    wire = Wire(receiving)
    wire.send(wire.pdu(wire.command(film), wire.value(LAST, encode(film, True, True))))
    assert wire.status() == 0x0000
    assert len(list(folder.folder.glob("objects/*/*.dcm"))) == 1


def test_what_follows_at_once_on_a_data_set_is_the_next_message(
    receiving: tuple[str, int], folder: DataFolder
) -> None:
    """A peer that does not wait for its answers gets them all the same, one after the other."""
    films = [another(chest_film(rows=64, columns=64), str(number)) for number in range(3)]
    wire = Wire(receiving)
    wire.send(
        b"".join(
            wire.pdu(wire.command(film)) + wire.pdu(wire.value(LAST, encode(film, True, True)))
            for film in films
        )
    )
    assert [wire.status() for _ in films] == [0x0000] * 3
    assert len(list(folder.folder.glob("objects/*/*.dcm"))) == 3


def abort(wire: Wire) -> bytes:
    return wire.pdu(bytes(4), kind=ABORT)


def another_command(wire: Wire) -> bytes:
    return wire.pdu(wire.command(chest_film()))


def a_length_beyond_the_pdu(wire: Wire) -> bytes:
    return wire.pdu(struct.pack(">LBB", 5000, 1, 0) + bytes(100))


def a_length_of_nothing(wire: Wire) -> bytes:
    return wire.pdu(struct.pack(">LBB", 1, 1, 0))


def an_endless_pdu(wire: Wire) -> bytes:
    return b"\x04\0\xff\xff\xff\xff" + bytes(1000)


def something_else(wire: Wire) -> bytes:
    return wire.pdu(bytes(4), kind=0x99)


@pytest.mark.parametrize(
    "said",
    [abort, another_command, a_length_beyond_the_pdu, a_length_of_nothing, an_endless_pdu, something_else],
)
def test_what_has_no_place_in_a_data_set_ends_the_connection_and_leaves_nothing(
    receiving: tuple[str, int], folder: DataFolder, said: Callable[[Wire], bytes]
) -> None:
    film = chest_film()
    wire = Wire(receiving)
    wire.send(wire.pdu(wire.command(film)) + wire.pdu(wire.value(0, encode(film, True, True)[:5000])))
    wire.send(said(wire))
    assert wire.status() is None
    wait_for(lambda: not list(folder.objects.incoming.iterdir()))
    again = associated(receiving)
    assert again.send_c_store(another(chest_film(), "again")).Status == 0x0000
    again.release()


def test_a_peer_that_leaves_in_the_middle_of_a_data_set_leaves_nothing(
    receiving: tuple[str, int], folder: DataFolder
) -> None:
    film = chest_film()
    wire = Wire(receiving)
    wire.send(wire.pdu(wire.command(film)) + wire.pdu(wire.value(0, encode(film, True, True)[:5000])))
    wait_for(lambda: list(folder.objects.incoming.iterdir()))
    wire._socket.shutdown(socket.SHUT_RDWR)
    wait_for(lambda: not list(folder.objects.incoming.iterdir()))


def test_many_images_and_echoes_follow_each_other_over_one_association(
    receiving: tuple[str, int], folder: DataFolder
) -> None:
    association = associated(receiving)
    for number in range(10):
        assert association.send_c_store(another(chest_film(), str(number))).Status == 0x0000
        assert association.send_c_echo().Status == 0x0000
    association.release()
    assert len(list(folder.folder.glob("objects/*/*.dcm"))) == 10


def test_another_version_of_pynetdicom_is_used_as_it_comes(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pynetdicom, "__version__", "3.1.0")
    with capture_logs() as logs:
        transport.switch(on=True)
    assert [each["event"] for each in logs] == ["transport_is_slow"]
    assert not transport._wanted.is_set()
    monkeypatch.undo()
    transport.switch(on=True)
    assert transport._wanted.is_set()
