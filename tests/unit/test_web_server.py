"""Connections to the pages: by TLS with the files of the moment, never too many, and none slow for ever."""

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config.load import check_settings
from dicom_node.live_settings import LiveSettings
from dicom_node.tls import Tls
from dicom_node.web import connections
from dicom_node.web.protection import ANSWER_HEADERS
from dicom_node.web.server import WebServer
from storage.folder import DataFolder
from tests.certificates import Authority, Identity

GET = b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., WebServer]]:
    stops: list[Callable[[], None]] = []

    def start(identity: Identity | None = None, **web: Any) -> WebServer:
        document: dict[str, Any] = {"node": {"data_dir": "data"}, "web": {"port": 0, **web}}
        if identity is not None:
            document["web"]["tls"] = True
            document["tls"] = {"certificate_file": str(identity.certificate), "key_file": str(identity.key)}
        settings = check_settings(document, tmp_path / "node.toml")
        folder = DataFolder(settings.node.data_dir)
        folder.database.migrate()
        live = LiveSettings(settings, tmp_path / "node.toml", folder, [])
        server = WebServer(live, folder, Tls(settings.tls), lambda: None)
        server.start()
        stops.extend((folder.close, server.stop))
        return server

    yield start
    for stop in reversed(stops):
        stop()


def connect(server: WebServer) -> socket.socket:
    return socket.create_connection(server.address, 30)


def read(connected: socket.socket) -> bytes:
    """All that comes until the other side ends it."""
    read = b""
    try:
        while part := connected.recv(65536):
            read += part
    except ConnectionResetError:
        pass
    return read


def test_renewed_files_are_taken_at_the_next_connection(
    serve: Callable[..., WebServer], tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    identity = authority.issue("node")
    server = serve(identity)
    context = ssl.create_default_context(cafile=str(authority.certificate))
    assert server.url.startswith("https://")

    def serial() -> str:
        with context.wrap_socket(connect(server), server_hostname="127.0.0.1") as secured:
            assert secured.version() == "TLSv1.3"
            secured.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert b"200 OK" in read(secured)
            found = secured.getpeercert()
            assert found is not None
            return str(found["serialNumber"])

    first = serial()
    assert serial() == first
    identity.replace(authority.issue("renewed"))
    assert serial() != first
    identity.certificate.write_text("nonsense")
    assert serial() != first


def test_http_is_not_spoken_where_tls_is(serve: Callable[..., WebServer], tmp_path: Path) -> None:
    server = serve(Authority(tmp_path).issue("node"))
    with connect(server) as plain:
        plain.sendall(GET)
        assert b"HTTP" not in read(plain)


def test_what_is_no_http_is_answered_with_what_protects_a_browser(serve: Callable[..., WebServer]) -> None:
    with connect(serve()) as connected:
        connected.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        said = read(connected).decode()
    assert said.startswith("HTTP/1.1 400 ")
    for name, value in ANSWER_HEADERS.items():
        assert f"{name}: {value}\r\n".lower() in said.lower()


@pytest.mark.parametrize(
    ("limit", "sent"),
    [
        ("HEAD_SECONDS", b""),
        ("HEAD_SECONDS", b"GET /login HTTP/1.1\r\nHost: 127"),
        ("HEAD_SECONDS", GET + b"GET /login HT"),
        ("BODY_SECONDS", b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nname="),
    ],
)
def test_a_request_that_never_ends_is_ended(
    serve: Callable[..., WebServer], monkeypatch: pytest.MonkeyPatch, limit: str, sent: bytes
) -> None:
    monkeypatch.setattr(connections, limit, 0.5)
    with connect(serve()) as connected:
        connected.sendall(sent)
        begun = time.monotonic()
        read(connected)
        assert time.monotonic() - begun < 25


def test_headers_have_a_limit(serve: Callable[..., WebServer]) -> None:
    with connect(serve()) as connected:
        connected.sendall(b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 40_000)
        assert b" 431 " in (said := read(connected)) or b" 400 " in said


def test_one_address_has_so_many_connections_and_no_more(
    serve: Callable[..., WebServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_OF_ONE", 3)
    server = serve()
    held = [connect(server) for _ in range(3)]
    for each in held:
        each.sendall(GET)
        assert each.recv(65536).startswith(b"HTTP/1.1 200")
    with connect(server) as one_more:
        assert read(one_more) == b""
    for each in held:
        each.close()
    deadline = time.monotonic() + 30
    said = b""
    while not said and time.monotonic() < deadline:
        with connect(server) as next_one:
            next_one.sendall(GET)
            try:
                said = next_one.recv(65536)
            except ConnectionResetError:
                said = b""
    assert said.startswith(b"HTTP/1.1 200")


def test_a_proxy_has_any_number_of_connections(
    serve: Callable[..., WebServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_OF_ONE", 1)
    server = serve(proxy_addresses=["127.0.0.1"])
    for each in [connect(server) for _ in range(3)]:
        with each:
            each.sendall(GET)
            assert each.recv(65536).startswith(b"HTTP/1.1 200")
