"""Requests to a DICOMweb service: what reaches it, and the sentence for every way in which it does not."""

import base64
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicom_node.dicomweb import ask
from dicom_node.errors import DeliveryFault
from tests.peers import tool
from tests.web_peer import WebPeer

SECRET = "s3cret-t0ken"


def asked(peer: WebPeer, **settings: object) -> str:
    """Ask the peer, and return the kind of fault with its reason; empty where there was an answer."""
    try:
        ask(peer.destination(**settings), "GET", "/studies", {})  # type: ignore[arg-type]
    except DeliveryFault as fault:
        return f"{type(fault).__name__}: {fault.reason}"
    return ""


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (301, "AccessRefused: HTTP 301: it redirects to another URL"),
        (307, "AccessRefused: HTTP 307: it redirects to another URL"),
        (401, "AccessRefused: HTTP 401: it wants to be logged in to, or refuses the token"),
        (403, "AccessRefused: HTTP 403: it does not allow this user"),
        (404, "AccessRefused: HTTP 404: there is no DICOMweb service at this URL"),
        (405, "AccessRefused: HTTP 405: there is no DICOMweb service at this URL"),
        (407, "AccessRefused: HTTP 407: a proxy before it"),
        (408, "PeerUnreachable: HTTP 408: it takes nothing now"),
        (429, "PeerUnreachable: HTTP 429: it takes nothing now"),
        (502, "PeerUnreachable: HTTP 502: it takes nothing now"),
        (503, "PeerUnreachable: HTTP 503: it takes nothing now"),
        (504, "PeerUnreachable: HTTP 504: it takes nothing now"),
    ],
)
def test_what_is_no_answer_to_the_request_says_who_has_to_mend_what(status: int, said: str) -> None:
    peer = WebPeer([(status, b"")])
    with peer.listening():
        assert asked(peer).startswith(said)


def test_a_redirect_is_not_followed() -> None:
    other = WebPeer([(200, b"")])
    peer = WebPeer([(307, b"")], {"Location": f"http://127.0.0.1:{other.port}/"})
    with peer.listening(), other.listening():
        asked(peer)
    assert (len(peer.requests), other.requests) == (1, [])


def test_a_token_is_sent_and_may_be_renewed(tmp_path: Path) -> None:
    token = tmp_path / "token"
    peer = WebPeer([(200, b"")])
    with peer.listening():
        for word in ("first", "second"):
            token.write_text(f"{word}\n")
            assert asked(peer, token_file=token) == ""
    assert [each.headers["Authorization"] for each in peer.requests] == ["Bearer first", "Bearer second"]


def test_a_user_and_a_password_are_sent(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("pässword\n", encoding="utf-8")
    peer = WebPeer([(200, b"")])
    with peer.listening():
        assert asked(peer, user="node", password_file=tmp_path / "password") == ""
    words = base64.b64encode("node:pässword".encode()).decode()
    assert peer.requests[0].headers["Authorization"] == f"Basic {words}"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "token_file cannot be read"),
        (b"", "token_file must hold one line of text"),
        (f"{SECRET}\nX-Evil: 1".encode(), "token_file must hold one line of text"),
        (SECRET.encode() * 2000, "token_file must hold one line of text"),
        (b"\xff\xfe", "token_file cannot be read"),
        (f"{SECRET}é".encode(), "token_file must hold ASCII"),
    ],
)
def test_a_token_file_that_holds_no_token_is_named_and_nothing_is_sent(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)
    peer = WebPeer([(200, b"")])
    with peer.listening():
        answer = asked(peer, token_file=token)
    assert answer.startswith(f"AccessRefused: {said}")
    assert SECRET not in answer
    assert peer.requests == []


def test_nobody_at_the_port_and_no_such_host_are_two_sentences() -> None:
    peer = WebPeer([(200, b"")])
    assert asked(peer) == "PeerUnreachable: no connection to this host and port"
    assert asked(peer, url="http://no-such-host.invalid/") == "PeerUnreachable: host name is not known"


@contextmanager
def speaking(script: Callable[[socket.socket], None]) -> Iterator[WebPeer]:
    """A peer on a bare socket that does what the script does with its first connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                script(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield WebPeer([], port=listening.getsockname()[1])
        thread.join()


def hang_up(connection: socket.socket) -> None:
    connection.recv(10)


def break_off_in_the_body(connection: socket.socket) -> None:
    connection.recv(100_000)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")


def speak_something_else(connection: socket.socket) -> None:
    connection.recv(100_000)
    connection.sendall(b"220 mail.example.org ESMTP\r\n")


def say_nothing(connection: socket.socket) -> None:
    while connection.recv(100_000):
        pass


def drip(connection: socket.socket) -> None:
    """A byte again and again, so that no single wait is long."""
    pause = threading.Event()
    connection.recv(100_000)
    try:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        while not pause.wait(0.02):
            connection.sendall(b"x")
    except OSError:
        return


@pytest.mark.parametrize("script", [hang_up, break_off_in_the_body, speak_something_else, say_nothing, drip])
def test_without_a_whole_answer_in_time_the_outcome_is_not_known(
    script: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.https.REQUEST_SECONDS", 0.5)
    with speaking(script) as peer:
        assert asked(peer) == "TransferFailed: no answer to GET: whether it arrived is not known"


def test_an_answer_is_read_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_node.https.LONGEST_ANSWER", 100)
    peer = WebPeer([(200, b"x" * 100), (200, b"x" * 101)])
    with peer.listening():
        assert ask(peer.destination(), "GET", "/studies", {}).content == b"x" * 100
        assert ask(peer.destination(), "GET", "/studies", {}).content is None


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of a hospital's own authority for `localhost`, with its key in one file."""
    made = tmp_path_factory.mktemp("tls") / "localhost.pem"
    key = made.with_suffix(".key")
    options = (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run(
        [tool("openssl"), *options.split(), "-keyout", str(key), "-out", str(made)],
        check=True,
        capture_output=True,
    )
    made.write_bytes(made.read_bytes() + key.read_bytes())
    return made


def test_a_service_with_a_certificate_of_the_hospitals_authority_is_trusted_by_its_ca_file(
    certificate: Path,
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    peer = WebPeer([(200, b"")])
    with peer.listening(tls):
        said = asked(peer, scheme="https")
        assert said.startswith("AccessRefused: TLS: its certificate is signed by itself")
        assert peer.requests == []
        assert asked(peer, scheme="https", ca_file=certificate) == ""
        elsewhere = f"https://127.0.0.1:{peer.port}/"
        assert "its certificate is for another address" in asked(peer, url=elsewhere, ca_file=certificate)


def test_a_service_that_speaks_no_tls_gets_nothing() -> None:
    peer = WebPeer([(200, b"")])
    with peer.listening():
        assert asked(peer, scheme="https") == "AccessRefused: TLS: it speaks no TLS"
    assert peer.requests == []


def test_a_ca_file_that_holds_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    peer = WebPeer([(200, b"")])
    for name, fault in (("ca.pem", "holds no certificate in PEM"), ("missing.pem", "cannot be read")):
        assert f"ca_file {fault}" in asked(peer, scheme="https", ca_file=tmp_path / name)
