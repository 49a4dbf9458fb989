"""What holds on a connection holds over TLS: a peer that is slow, sends too much or stops in the middle is cut off."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE

from config.peers import Source
from config.settings import Settings
from config.tls import TlsSettings
from dicom_node.associations import VERIFICATION
from dicom_node.receiver import Receiver
from storage.folder import DataFolder
from tests.hospital import Hospital
from tests.load import association_request

CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
"""Its beginning: a handshake record of 512 bytes (RFC 8446 section 5.1)."""
APPLICATION_DATA = b"\x17\x03\x03\x40\x00"
"""The header of a record of 16 KiB."""
ASSOCIATION_ACCEPTED = b"\x02"
REQUEST_OF_A_KILOBYTE = b"\x01\x00\x00\x00\x04\x00"


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    return Hospital.made(tmp_path_factory.mktemp("hospital") / "certificates")


@pytest.fixture
def receiver(folder: DataFolder, hospital: Hospital) -> Iterator[Receiver]:
    source = Source(name="pacs", ae_title="PACS", hosts=("127.0.0.1",))  # type: ignore[arg-type]
    settings = Settings(
        sources=(source,),
        receiver={"port": 0, "tls": True, "network_timeout_seconds": 1.0},  # type: ignore[arg-type]
        tls=TlsSettings(**hospital.files()),
    )
    made = Receiver(settings, folder, lambda: None)
    yield made
    made.stop()


def is_cut_off(connection: socket.socket) -> bool:
    """Wait until the node closes the connection."""
    connection.settimeout(30)
    with connection, contextlib.suppress(ConnectionError, ssl.SSLError):
        while connection.recv(4096):
            pass
    return True


@pytest.mark.parametrize(
    "said", [b"\x01\x00\xff\xff\xff\xff" + b"\0" * 1000, REQUEST_OF_A_KILOBYTE, b"\x01", b""]
)
def test_a_pdu_without_end_half_a_one_and_none_at_all_end_the_connection(
    receiver: Receiver, hospital: Hospital, said: bytes
) -> None:
    plain = socket.create_connection(receiver.start())
    secured = hospital.client().wrap_socket(plain, server_hostname="localhost")
    secured.sendall(said)
    assert is_cut_off(secured)


def test_half_a_record_ends_the_connection(receiver: Receiver, hospital: Hospital) -> None:
    plain = socket.create_connection(receiver.start())
    secured = hospital.client().wrap_socket(plain, server_hostname="localhost")
    socket.socket.sendall(secured, APPLICATION_DATA + b"\0" * 1000)
    assert is_cut_off(secured)


def test_a_handshake_that_comes_byte_by_byte_ends_in_time(receiver: Receiver) -> None:
    connection = socket.create_connection(receiver.start())
    connection.sendall(CLIENT_HELLO)
    pause = threading.Event()
    with pytest.raises(ConnectionError):
        for _ in range(500):
            connection.sendall(b"\0")
            pause.wait(0.05)
    connection.close()


def test_a_node_stops_while_peers_are_shaking_hands(receiver: Receiver) -> None:
    silent = socket.create_connection(receiver.start())
    receiver.stop()
    assert is_cut_off(silent)


def test_associations_one_after_another_and_side_by_side_are_answered(
    receiver: Receiver, hospital: Hospital
) -> None:
    host, port = receiver.start()
    entity = AE("PACS")
    entity.add_requested_context(VERIFICATION, ExplicitVRLittleEndian)
    opened = [
        entity.associate(host, port, ae_title="CXR_NODE", tls_args=(hospital.client(), "localhost"))
        for _ in range(5)
    ]
    assert [each.send_c_echo().Status for each in opened for _ in range(3)] == [0x0000] * 15
    for each in opened:
        each.release()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_from_before_its_certificate_was_revoked_opens_nothing(
    receiver: Receiver, hospital: Hospital, version: ssl.TLSVersion
) -> None:
    address = receiver.start()
    context = hospital.client()
    context.maximum_version = version

    def answered(session: ssl.SSLSession | None) -> ssl.SSLSession | None:
        plain = socket.create_connection(address, 30)
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as secured:
            secured.sendall(association_request())
            assert secured.recv(1) == ASSOCIATION_ACCEPTED
            return secured.session

    session = answered(answered(None))
    hospital.revoke(hospital.sender)
    try:
        with pytest.raises(ssl.SSLError, match="REVOKED"):
            answered(session)
    finally:
        hospital.revoke(hospital.revoked)
