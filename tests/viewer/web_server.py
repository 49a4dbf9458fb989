"""What a hospital's web server does for OHIF: at one address its files, a configuration and the archive's DICOMweb."""

import http.client
import mimetypes
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

CONFIGURATION = Path(__file__).with_name("app-config.js")
DICOMWEB = "/dicom-web/"
PASSED_ON = ("Accept", "Host")


class OhifServer(ThreadingHTTPServer):
    """Serves OHIF's built files on a free port of the loopback interface, with an archive behind `/dicom-web/`."""

    daemon_threads = True

    def __init__(self, files: Path, archive_url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.archive = urlsplit(archive_url).netloc
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a browser that left the page before it had everything."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: OhifServer

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith(DICOMWEB):
            self._ask_archive()
        elif path == "/app-config.js":
            self._send_file(CONFIGURATION)
        else:
            asked = self.server.files / path.lstrip("/")
            # OHIF finds its way by the address, so every other one is its page
            self._send_file(asked if asked.is_file() else self.server.files / "index.html")

    def _ask_archive(self) -> None:
        archive = http.client.HTTPConnection(self.server.archive, timeout=60)
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        archive.request("GET", self.path, headers=headers)
        answer = archive.getresponse()
        self._send(answer.status, answer.read(), answer.headers.get("Content-Type", ""))
        archive.close()

    def _send_file(self, path: Path) -> None:
        kind, _ = mimetypes.guess_type(path)
        self._send(200, path.read_bytes(), kind or "application/octet-stream")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words: object) -> None:
        """Say nothing: what fails is on the browser's console."""
