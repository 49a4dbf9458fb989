"""What the node says of a peer whose TLS is not as it must be, and what it does with one whose is."""

import contextlib
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from pynetdicom import AE

from config.peers import Destination
from dicom_node.associations import VERIFICATION, open_association
from dicom_node.channels.mllp import MllpChannel, connect, probe
from dicom_node.dicomweb import ask
from dicom_node.errors import AccessRefused, CertificatesUnusable, DeliveryFault, HandshakeFailed
from dicom_node.handshake import TlsSocket, connect_tls, shake_hands
from dicom_node.tls import Tls
from tests.certificates import Identity
from tests.hl7_receiver import Receiver
from tests.hospital import Hospital
from tests.peers import wait_for
from tests.web_peer import WebPeer

ECHO = {VERIFICATION: ["1.2.840.10008.1.2"]}
CONTENT = b"MSH|^~\\&|A||B||20260101||ORU^R01^ORU_R01|42|P|2.5.1\r"


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    return Hospital.made(tmp_path_factory.mktemp("hospital") / "certificates")


@contextmanager
def archive(tls: ssl.SSLContext | None) -> Iterator[Destination]:
    """A Storage SCP that keeps nothing."""
    entity = AE("PACS")
    entity.add_supported_context(VERIFICATION)
    server = entity.start_server(("127.0.0.1", 0), block=False, ssl_context=tls)
    try:
        yield to(server.server_address[1])
    finally:
        server.shutdown()


def to(port: int, tls: bool = True) -> Destination:
    return Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=port, tls=tls)


@contextmanager
def shaking_hands(
    context: ssl.SSLContext, answer: Callable[[TlsSocket], object] = TlsSocket.close
) -> Iterator[int]:
    """A server that shakes hands once, gives its peer the time to read why not, and then does as it is told."""
    port = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with (
            contextlib.suppress(HandshakeFailed),
            shake_hands(port.accept()[0], context, None, 30) as accepted,
        ):
            answer(accepted)

    thread = threading.Thread(target=serve)
    thread.start()
    with port:
        yield port.getsockname()[1]
        thread.join()


def said(destination: Destination, tls: Tls) -> str:
    """Echo, and return what a person reads of it."""
    try:
        association = open_association("CXR_NODE", destination, ECHO, tls=tls)
    except DeliveryFault as fault:
        return f"{type(fault).__name__}: {fault.reason}"
    status = association.send_c_echo().Status
    association.release()
    return f"0x{status:04X}"


def test_an_archive_with_a_certificate_of_the_hospital_is_spoken_to(hospital: Hospital) -> None:
    with archive(hospital.server()) as destination:
        assert said(destination, hospital.tls()) == "0x0000"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("expired", "its certificate has expired"),
        ("of another host", "its certificate is for another address"),
        ("of another address", "its certificate is for another address"),
        ("self-signed", "its certificate is signed by itself"),
        ("of another authority", "its certificate is of no authority that this node trusts"),
        ("revoked", "its certificate is revoked"),
    ],
)
def test_an_archive_with_a_bad_certificate_gets_nothing_and_the_reason_says_why(
    hospital: Hospital, kind: str, reason: str
) -> None:
    with archive(hospital.server(hospital.bad(kind))) as destination:
        refused = said(destination, hospital.tls())
    assert refused == f"AccessRefused: TLS: {reason}"


def test_a_list_of_revoked_certificates_that_is_missing_or_old_opens_nothing(hospital: Hospital) -> None:
    with archive(hospital.server()) as destination:
        hospital.revoked_file.write_bytes(hospital.stranger.revoked())
        tls = hospital.tls()
        assert "revoked_file has no list of the authority" in said(destination, tls)
        hospital.revoked_file.write_bytes(hospital.authority.revoked(expired=True))
        assert "in revoked_file is out of date" in said(destination, tls)
        hospital.revoke(hospital.revoked)
        assert said(destination, tls) == "0x0000"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_an_archive_or_a_ris_that_does_not_take_the_nodes_certificate_is_quoted(
    hospital: Hospital, version: ssl.TLSVersion
) -> None:
    strict = hospital.server(authority=hospital.stranger)
    strict.minimum_version = strict.maximum_version = version
    reason = "TLS: it refuses this node's certificate: of no authority that it trusts"
    with shaking_hands(strict) as port:
        assert said(to(port), hospital.tls()) == f"AccessRefused: {reason}"
    with shaking_hands(strict) as port, pytest.raises(AccessRefused) as raised:
        probe(Receiver(port).destination(tls=True), hospital.tls())
    assert raised.value.reason == reason
    with (
        shaking_hands(strict) as port,
        closing(MllpChannel(Receiver(port).destination(tls=True), hospital.tls())) as channel,
        pytest.raises(AccessRefused) as raised,
    ):
        channel.send(CONTENT)
    assert raised.value.reason == reason


def test_a_peer_that_speaks_no_tls_and_one_that_speaks_nothing_else_are_told_apart(
    hospital: Hospital,
) -> None:
    with archive(None) as destination:
        assert said(destination, hospital.tls()) == "AccessRefused: TLS: it speaks no TLS"
    with archive(hospital.server()) as destination:
        plain = destination.model_copy(update={"tls": False})
        assert said(plain, hospital.tls()) == (
            "PeerUnreachable: connection closed without a DICOM answer: it may speak TLS alone"
        )


def test_a_peer_of_the_last_century_is_not_spoken_to(hospital: Hospital) -> None:
    old = hospital.server()
    with warnings.catch_warnings(action="ignore"):  # Python's, that it is old
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with archive(old) as destination:
        assert said(destination, hospital.tls()) == "AccessRefused: TLS: it speaks neither TLS 1.2 nor 1.3"


def test_what_changes_in_the_files_counts_at_the_next_connection_and_what_is_broken_does_not(
    hospital: Hospital, tmp_path: Path
) -> None:
    mine = Identity(tmp_path / "node.pem", tmp_path / "node.key")
    mine.replace(hospital.authority.issue("old", expired=True))
    tls = hospital.tls(certificate_file=mine.certificate, key_file=mine.key)
    with archive(hospital.server()) as destination:
        assert said(destination, tls) != "0x0000"
        mine.replace(hospital.node)
        assert said(destination, tls) == "0x0000"
        mine.key.write_text("half of a ke")
        assert said(destination, tls) == "0x0000"
        mine.key.unlink()
        assert said(destination, tls) == "0x0000"


def test_what_is_wrong_with_a_file_is_said_with_its_setting(hospital: Hospital, tmp_path: Path) -> None:
    none = tmp_path / "none.pem"
    none.write_text("none")
    locked = hospital.authority.issue("locked")
    locked.key.write_bytes(hospital.authority.locked_key())
    both = tmp_path / "both.pem"
    both.write_bytes(hospital.authority.revoked() + hospital.stranger.certificate.read_bytes())
    faults = {
        ("certificate_file", none): "certificate_file holds no certificate in PEM",
        ("certificate_file", tmp_path / "missing"): "certificate_file cannot be read (No such file",
        ("key_file", none): "key_file holds no key in PEM",
        ("key_file", hospital.archive.key): "key_file is not the key of certificate_file",
        ("key_file", locked.key): "key_file must have no passphrase",
        ("authorities_file", none): "authorities_file holds no certificate in PEM",
        ("revoked_file", none): "revoked_file holds no CRL in PEM",
        ("revoked_file", hospital.stranger.certificate): "revoked_file must hold CRLs in PEM",
        ("revoked_file", both): "revoked_file must hold CRLs in PEM, and no certificates",
    }
    for (setting, file), sentence in faults.items():
        with pytest.raises(CertificatesUnusable) as raised:
            hospital.tls(**{setting: file}).check()
        assert str(raised.value).startswith(sentence)
        assert str(raised.value).endswith(str(file))


def test_a_key_that_others_can_read_is_noticed(hospital: Hospital, tmp_path: Path) -> None:
    key = tmp_path / "node.key"
    key.write_bytes(hospital.node.key.read_bytes())
    for mode, is_exposed in ((0o600, False), (0o400, False), (0o644, True), (0o660, True)):
        key.chmod(mode)
        assert hospital.tls(key_file=key).is_key_exposed is is_exposed


def test_session_tickets_and_half_a_record_are_no_data(hospital: Hospital) -> None:
    asked = threading.Event()

    def answer(accepted: TlsSocket) -> None:
        asked.wait(30)
        accepted.sendall(b"an answer")
        accepted.recv(1)

    context = hospital.server()
    context.sslsocket_class = TlsSocket
    with shaking_hands(context, answer) as port:
        plain = socket.create_connection(("127.0.0.1", port))
        with connect_tls(plain, hospital.tls().client(), "127.0.0.1", 30) as secured:
            assert secured.version() == "TLSv1.3"
            secured.settimeout(30)
            assert socket.socket.recv(secured, 1, socket.MSG_PEEK)  # the tickets are here
            assert not secured.has_data()
            asked.set()
            wait_for(secured.has_data)
            assert secured.pending() > 0
            assert secured.recv(2) + secured.recv(100) == b"an answer"
            assert not secured.has_data()


def test_messages_reach_a_ris_over_tls_and_are_acknowledged(hospital: Hospital) -> None:
    receiver = Receiver()
    ris = receiver.destination(tls=True)
    with receiver.listening(hospital.server()):
        channel = MllpChannel(ris, hospital.tls())
        channel.send(CONTENT)
        channel.send(CONTENT)
        channel.close()
    assert receiver.control_ids() == ["42", "42"]
    assert receiver.connections == 1


@pytest.mark.parametrize("kind", ["expired", "of another host", "self-signed", "of another authority"])
def test_a_ris_with_a_bad_certificate_gets_no_message(hospital: Hospital, kind: str) -> None:
    receiver = Receiver()
    with (
        receiver.listening(hospital.server(hospital.bad(kind))),
        pytest.raises(AccessRefused, match=r"^TLS: its certificate "),
    ):
        connect(receiver.destination(tls=True), hospital.tls())


def test_a_web_service_that_asks_gets_the_nodes_certificate_and_one_of_the_hospital_is_trusted(
    hospital: Hospital,
) -> None:
    peer = WebPeer([(200, b"")])
    with peer.listening(hospital.server()):
        assert ask(peer.destination("https"), "GET", "/studies", {}, tls=hospital.tls()).status == 200
        with pytest.raises(DeliveryFault):
            ask(peer.destination("https", ca_file=hospital.authority.certificate), "GET", "/studies", {})
    assert len(peer.requests) == 1
