"""A DICOMweb service with a script: what it answers, and what it saw. For the days on which a real one is not well."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from config.peers import WebDestination
from tests.ports import free_port


@dataclass
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    content: bytes


@dataclass
class WebPeer:
    """Gives its answers in turn, the last one again and again: an HTTP status and a body each."""

    answers: list[tuple[int, bytes]]
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    port: int = field(default_factory=free_port)

    def destination(self, scheme: str = "http", **settings: object) -> WebDestination:
        return WebDestination.model_validate(
            {"name": "web", "url": f"{scheme}://localhost:{self.port}/dicom-web", **settings}
        )

    @contextmanager
    def listening(self, tls: ssl.SSLContext | None = None) -> Iterator[None]:
        server = _Server(("127.0.0.1", self.port), _Handler)
        server.peer = self
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    peer: WebPeer

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that leaves is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        peer = self.server.peer
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        peer.requests.append(Request(self.command, self.path, dict(self.headers), content))
        status, body = peer.answers.pop(0) if len(peer.answers) > 1 else peer.answers[0]
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **peer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name is http.server's

    def log_message(self, *words: object) -> None:
        """Say nothing."""
