"""Where the pages listen: on this machine alone until there is somebody who may look at them."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address

import structlog
import uvicorn

from config.settings import Settings
from dicom_node.errors import PortUnavailable
from dicom_node.live_settings import LiveSettings
from dicom_node.tls import Tls
from dicom_node.web.application import application
from dicom_node.web.connections import Connection, Listening
from dicom_node.web.context import Context
from dicom_node.web.films import Films
from dicom_node.web.links import BACK, EVERYWHERE, INVITATION_SECONDS, LOOPBACK, host_of, invitation, url_of
from dicom_node.web.oidc import Provider
from dicom_node.web.proxy import is_proxy
from dicom_node.web.uploads import Uploads
from storage import people
from storage.folder import DataFolder
from storage.people import Role
from storage.steps import Step

WAITING_CONNECTIONS = 128
LONGEST_HEADERS = 32 * 1024
"""Bytes, of a request's first line and headers together."""
STOP_SECONDS = 5

_log = structlog.get_logger()


class WebServer:
    """Serves the pages from a thread of its own. `wake` tells worker and senders that there is work."""

    def __init__(self, live: LiveSettings, folder: DataFolder, tls: Tls, wake: Callable[[], None]) -> None:
        self._settings = live.current
        self._folder = folder
        self._tls = tls
        self._uploads = Uploads(live, folder)
        films = Films(live, folder, self._uploads)
        provider = _provider(self._settings, tls)
        self._application = application(
            Context(live, folder, tls, wake, self._open, self._uploads, films, provider)
        )
        self._thread = threading.Thread(target=self._run, name="pages", daemon=True)
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._stopping = False
        self.address = "", 0
        self.invitation: str | None = None
        """Where the first administrator comes in, for whoever starts the node to see; None: there is one."""

    def start(self) -> None:
        """Open the port.

        Raises
        ------
        PortUnavailable
            The address is in use, not this machine's, or not for this user.
        """
        with self._folder.database.read() as connection:
            has_administrator = people.has_administrator(connection)
        web = self._settings.web
        self._listen(host_of(web, has_administrator=has_administrator), web.port)
        if not (has_administrator or web.has_single_sign_on):
            with self._folder.database.write(Step.BY_HAND) as connection:
                secret = people.invite(connection, Role.ADMINISTRATOR, None, time.time(), INVITATION_SECONDS)
            self.invitation = invitation(self.url, secret)
        if not (web.tls or ip_address(self.address[0]).is_loopback):
            _log.warning("pages_without_tls", address=self.address[0])
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the pages are."""
        return url_of(self._settings.web, *self.address)

    def stop(self) -> None:
        """Answer what is being asked, and close the port."""
        self._stopping = True
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(2 * STOP_SECONDS)
        self._uploads.close()

    def _listen(self, host: str, port: int) -> None:
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            bound = socket.create_server((host, port), family=family, backlog=WAITING_CONNECTIONS)
        except OSError as error:
            raise PortUnavailable("[web]", host, port, error.strerror or "unknown error") from error
        self._socket = Listening(bound, lambda address: is_proxy(address, self._settings.web))
        self.address = self._socket.getsockname()[:2]

    def _open(self) -> str:
        """Listen where the settings say, once what is asked now is answered: there is somebody who may look."""
        host, port = self._settings.web.host, self.address[1]
        if self.address[0] == host or self._server is None:
            return ""
        self._server.should_exit = True
        return "" if host in EVERYWHERE else url_of(self._settings.web, host, port)

    def _context(self, *_uvicorns: object) -> ssl.SSLContext:
        return self._tls.pages()

    def _run(self) -> None:
        while not self._stopping and self._socket is not None:
            self._server = uvicorn.Server(
                uvicorn.Config(
                    self._application,
                    log_config=None,
                    access_log=False,
                    server_header=False,
                    proxy_headers=False,  # `dicom_node.web.proxy` does, and knows from whom
                    lifespan="off",
                    loop="asyncio",
                    http=Connection,
                    ws="none",
                    h11_max_incomplete_event_size=LONGEST_HEADERS,
                    timeout_graceful_shutdown=STOP_SECONDS,
                    ssl_context_factory=self._context if self._settings.web.tls else None,
                )
            )
            self._server.run(sockets=[self._socket])
            if self._stopping:
                return
            try:
                self._listen(self._settings.web.host, self.address[1])
            except PortUnavailable as error:
                _log.error("pages_not_opened", reason=str(error))
                self._listen(LOOPBACK, self.address[1])
            _log.info("pages_opened", address=self.address[0])


def _provider(settings: Settings, tls: Tls) -> Provider | None:
    oidc = settings.web.oidc
    return Provider(oidc, settings.web.url + BACK, tls) if oidc.issuer else None
