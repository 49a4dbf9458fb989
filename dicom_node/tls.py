"""What `[tls]` names, as OpenSSL takes it: the node's certificate, whom it trusts, and in which versions and ciphers.

The profile is that of BCP 195 (RFC 8996, RFC 9325; PS3.15 B.12): TLS 1.2 and 1.3, and under 1.2 only suites that
authenticate what they encrypt, with ephemeral keys on elliptic curves (RFC 9325 section 4.2). No session
tickets are given. Python 3.11 cannot keep OpenSSL from resuming a session of TLS 1.2 by its ID; a file that has changed
makes a new context, which knows no sessions.

Files are looked at for each new connection, and read again when one has changed.
"""

import ssl
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from config.tls import TlsSettings
from dicom_node.errors import CertificatesUnusable
from dicom_node.handshake import TlsSocket

CIPHERS = "@SECLEVEL=2:ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2; those of 1.3 are all of this kind. Level 2 of OpenSSL wants keys of RSA of 2048 bits or more."""

_log = structlog.get_logger()

FileState = tuple[int, ...] | None


class Tls:
    """Makes the contexts of connections. Without settings there is one for web services alone."""

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._kept: dict[object, _Kept] = {}
        self._lock = threading.Lock()

    def server(self) -> ssl.SSLContext:
        """The context of a port: peers must show a certificate. Raises CertificatesUnusable."""
        return self._context("server", self._make_server)

    def pages(self) -> ssl.SSLContext:
        """The context of the pages' port: browsers need no certificate. It gives each new connection the files of that
        moment, however long it is kept. Raises CertificatesUnusable.
        """
        return self._context("pages", self._make_pages)

    def client(self) -> ssl.SSLContext:
        """The context of a connection to a peer of the hospital, whose certificate names its host.

        Raises
        ------
        CertificatesUnusable
            A file under `[tls]` cannot be used, and none that could be used was there before it.
        """
        return self._context("client", self._make_client)

    def web(self, ca_file: Path | None) -> ssl.SSLContext:
        """The context of a connection to a web service, which may also be of an authority that the system trusts, or
        of one in `ca_file`.

        Raises
        ------
        CertificatesUnusable
            As `client`, or `ca_file` cannot be used.
        """

        def make() -> ssl.SSLContext:
            context = self._make_client()
            context.load_default_certs()
            if ca_file is not None:
                _load_authorities(context, "ca_file", ca_file)
            return context

        system = ssl.get_default_verify_paths().cafile
        return self._context(ca_file, make, ca_file, Path(system) if system else None)

    def check(self) -> None:
        """Read every file, so that they are there should they be broken later. Raises CertificatesUnusable."""
        self.client()

    @property
    def is_key_exposed(self) -> bool:
        """Whether others than its owner may read the key; the group may where root has given it to the service."""
        if self._settings.key_file is None:
            return False
        found = self._settings.key_file.stat()
        return bool(stat.S_IMODE(found.st_mode) & (0o027 if found.st_uid == 0 else 0o077))

    def _context(self, key: object, make: Callable[[], ssl.SSLContext], *more: Path | None) -> ssl.SSLContext:
        files = self._settings
        named = (files.certificate_file, files.key_file, files.authorities_file, files.revoked_file, *more)
        with self._lock:
            kept = self._kept.setdefault(key, _Kept(make, [each for each in named if each is not None]))
            return kept.current()

    def _make_server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        return self._with_files(context)

    def _make_pages(self) -> ssl.SSLContext:
        context = self._with_files(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        context.set_alpn_protocols(["http/1.1"])

        def take_renewed(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            connection.context = self.pages()

        context.sni_callback = take_renewed  # called for each handshake, also where a browser names no server
        return context

    def _make_client(self) -> ssl.SSLContext:
        return self._with_files(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    def _with_files(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.sslsocket_class = TlsSocket
        files = self._settings
        if files.certificate_file is not None and files.key_file is not None:
            _load_identity(context, files.certificate_file, files.key_file)
        if files.authorities_file is not None:
            _load_authorities(context, "authorities_file", files.authorities_file)
        if files.revoked_file is not None:
            _load_revoked(context, files.revoked_file)
        return context


NO_CERTIFICATES = Tls(TlsSettings())
"""For a node that has none: what it reaches by https is of an authority that the system knows, or of a `ca_file`."""


class _Kept:
    """A context, made anew where a file that it was made of has changed."""

    def __init__(self, make: Callable[[], ssl.SSLContext], files: list[Path]) -> None:
        self._make = make
        self._files = files
        self._seen: list[FileState] = []
        self._context: ssl.SSLContext | None = None

    def current(self) -> ssl.SSLContext:
        seen = [_state(file) for file in self._files]
        if self._context is not None and seen == self._seen:
            return self._context
        try:
            made = self._make()
        except CertificatesUnusable as fault:
            if self._context is None:
                raise
            _log.error("certificates_not_renewed", reason=str(fault))
            made = self._context
        else:
            if self._context is not None:
                _log.info("certificates_renewed")
        self._context, self._seen = made, seen
        return made


def _state(file: Path) -> FileState:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _load_identity(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    def no_passphrase() -> str:
        raise CertificatesUnusable("key_file", f"must have no passphrase: {key}")

    _check_readable("certificate_file", certificate)
    _check_readable("key_file", key)
    _load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "certificate_file", certificate)
    try:
        context.load_cert_chain(certificate, key, no_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificatesUnusable(
                "key_file", f"is not the key of certificate_file, {certificate}: {key}"
            ) from error
        if error.reason in {"EE_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "CA_KEY_TOO_SMALL"}:
            raise CertificatesUnusable(
                "certificate_file", f"is too weak for RFC 9325, ask for a new one: {certificate}"
            ) from error
        raise CertificatesUnusable("key_file", f"holds no key in PEM: {key}") from error


def _load_authorities(context: ssl.SSLContext, setting: str, file: Path) -> None:
    _check_readable(setting, file)
    try:
        context.load_verify_locations(file)
    except ssl.SSLError as error:
        raise CertificatesUnusable(setting, f"holds no certificate in PEM: {file}") from error
    if not context.cert_store_stats()["x509"]:
        raise CertificatesUnusable(setting, f"holds no certificate in PEM: {file}")


def _load_revoked(context: ssl.SSLContext, file: Path) -> None:
    _check_readable("revoked_file", file)
    trusted = context.cert_store_stats()["x509"]
    try:
        context.load_verify_locations(file)
    except ssl.SSLError as error:
        raise CertificatesUnusable("revoked_file", f"holds no CRL in PEM: {file}") from error
    found = context.cert_store_stats()
    if not found["crl"] or found["x509"] != trusted:
        raise CertificatesUnusable("revoked_file", f"must hold CRLs in PEM, and no certificates: {file}")
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _check_readable(setting: str, file: Path) -> None:
    try:
        file.open("rb").close()
    except OSError as error:
        raise CertificatesUnusable(setting, f"cannot be read ({error.strerror}): {file}") from error
