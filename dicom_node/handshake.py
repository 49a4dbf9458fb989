"""TLS handshakes, and what becomes of one that fails, in words: on connections of any protocol, at either end.

pynetdicom 3.0.4 shakes hands as a server in the thread that accepts connections, where one silent peer keeps all others
out, and as a client without saying why it failed. So it is given plain sockets, and each is secured where its
connection opens (EVT_CONN_OPEN), in the connection's own thread.
"""

import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, cast

from pynetdicom import evt
from pynetdicom.transport import AssociationSocket

from dicom_node.errors import AccessRefused, DeliveryFault, HandshakeFailed, PeerUnreachable

LAST_WORD_SECONDS = 2.0
"""For the peer to read why it is refused: closed at once, the connection would be reset before it could."""

_OF_NO_TRUSTED = "its certificate is of no authority that this node trusts"
_VERIFICATION = {  # X509_V_ERR_... of OpenSSL's x509_vfy.h
    3: "revoked_file has no list of the authority of its certificate",
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    11: "the list of its authority in revoked_file is not valid yet",
    12: "the list of its authority in revoked_file is out of date",
    18: "its certificate is signed by itself",
    19: _OF_NO_TRUSTED,
    20: _OF_NO_TRUSTED,
    21: _OF_NO_TRUSTED,
    23: "its certificate is revoked",
    26: "its certificate is for another purpose",
    62: "its certificate is for another host",
    64: "its certificate is for another address",
}
_ALERTS = {  # RFC 8446 section 6.2, as OpenSSL calls those that a peer has sent
    "SSLV3_ALERT_BAD_CERTIFICATE": "bad certificate",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "unsupported certificate",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "revoked",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "expired",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "no reason given",
    "TLSV1_ALERT_UNKNOWN_CA": "of no authority that it trusts",
    "TLSV1_ALERT_ACCESS_DENIED": "access denied",
    "TLSV1_ALERT_DECRYPT_ERROR": "its signature is wrong",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it has seen none",
}
_FAULTS = {  # as OpenSSL's sslerr.h calls them
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it has shown no certificate",
    "HTTP_REQUEST": "it speaks no TLS",
    "WRONG_VERSION_NUMBER": "it speaks no TLS",
    "UNSUPPORTED_PROTOCOL": "it speaks neither TLS 1.2 nor 1.3",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it speaks neither TLS 1.2 nor 1.3",
    "NO_SHARED_CIPHER": "it offers no cipher suite of RFC 9325",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it takes no cipher suite of RFC 9325, or not this node's certificate",
}


class TlsSocket(ssl.SSLSocket):
    """A socket that can tell whether there is anything to be read, and be shut from another thread.

    Session tickets are nothing to be read, half a record is nothing yet, and who waited for more would send nothing
    meanwhile.
    """

    _ahead = b""

    def has_data(self) -> bool:
        """Whether `recv` would return at once. Raises OSError, once, where the connection has failed."""
        if not self._ahead:
            before = self.gettimeout()
            self.settimeout(0)
            try:
                self._ahead = super().recv(1)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            finally:
                self.settimeout(before)
        return True

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Return what has been read already, else as any socket."""
        ahead, self._ahead = self._ahead, b""
        return ahead or super().recv(buflen, flags)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:  # noqa: ANN401 - any buffer
        """Read into the buffer what has been read already, else as any socket."""
        if not self._ahead:
            return super().recv_into(buffer, nbytes, flags)
        view = memoryview(buffer)
        view[:1], self._ahead = self._ahead, b""
        return 1

    def shutdown(self, how: int) -> None:
        """Shut the connection; SSLSocket's own would take the TLS away under the thread that reads, and give it bytes
        that nobody has checked. Nothing is raised where the peer was faster: pynetdicom 3.0.4 would not close it then.
        """
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self, how)

    def pending(self) -> int:
        """How many bytes are there without asking the network."""
        return len(self._ahead) + super().pending()


def shake_hands(
    connected: socket.socket, context: ssl.SSLContext, host: str | None, seconds: float
) -> TlsSocket:
    """Secure a connection, which is used up; `host` is the server that it should lead to, None at the server itself.

    Raises
    ------
    HandshakeFailed
        The peer is not to be trusted, or trusts this node not, or speaks no TLS.
    OSError
        The peer has gone, or was not ready within `seconds`.
    """
    secured = context.wrap_socket(
        connected, server_side=host is None, server_hostname=host, do_handshake_on_connect=False
    )
    try:
        secured.settimeout(seconds)  # of the handshake as a whole, however many bytes it comes in
        secured.do_handshake()
    except ssl.SSLEOFError:
        secured.close()
        raise
    except ssl.SSLError as error:
        _let_read(secured)
        raise HandshakeFailed(reason_of(error)) from error
    except OSError:
        secured.close()
        raise
    return secured  # type: ignore[return-value] # the context's sslsocket_class


def connect_tls(connected: socket.socket, context: ssl.SSLContext, host: str, seconds: float) -> TlsSocket:
    """Secure a connection to a destination. Raises AccessRefused, PeerUnreachable."""
    try:
        return shake_hands(connected, context, host, seconds)
    except HandshakeFailed as failed:
        raise AccessRefused(f"TLS: {failed.reason}") from failed
    except OSError as error:
        raise PeerUnreachable("no TLS handshake at this host and port: it may speak no TLS") from error


def refusal_in(error: OSError) -> str | None:
    """What a peer says that does not take this node's certificate, which under TLS 1.3 comes after the handshake; None
    where the error is another.
    """
    said = _ALERTS.get(str(error.reason)) if isinstance(error, ssl.SSLError) else None
    return None if said is None else f"TLS: it refuses this node's certificate: {said}"


def reason_of(error: ssl.SSLError) -> str:
    """Say why a handshake failed; nothing in it is the peer's own words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        other = f"its certificate is not to be trusted: {error.verify_message}"
        return _VERIFICATION.get(error.verify_code, other)
    reason = str(error.reason)
    if reason in _ALERTS:
        return f"it refuses this node's certificate: {_ALERTS[reason]}"
    return _FAULTS.get(reason, f"the handshake failed: {reason.lower().replace('_', ' ')}")


class _SecuredConnection(AssociationSocket):
    """pynetdicom's own, which takes bytes on the wire for data that can be read."""

    told: Callable[[DeliveryFault], None]

    @property
    def ready(self) -> bool:
        if not super().ready:
            return False
        secured = self.socket
        try:
            return not isinstance(secured, TlsSocket) or secured.has_data()
        except OSError as error:
            refusal = refusal_in(error)
            if refusal is not None:
                self.told(AccessRefused(refusal))
            return True  # and reading says that it has ended


def secure(
    event: evt.Event,
    context: ssl.SSLContext,
    host: str,
    seconds: float,
    told: Callable[[DeliveryFault], None],
) -> None:
    """Secure an association that the node requests, or end it.

    `told` is called with the reason, also where the peer gives one later, as it does under TLS 1.3.
    """
    try:
        _secure(event, lambda plain: connect_tls(plain, context, host, seconds), told)
    except DeliveryFault as fault:
        told(fault)


def secure_requested(
    event: evt.Event,
    context: Callable[[], ssl.SSLContext],
    seconds: float,
    refused: Callable[[evt.Event, str], None],
) -> None:
    """Secure an association that a peer is about to request, or end it and call `refused` with the reason.

    A peer that leaves before it has said anything, or says nothing, is not called refused: probes of ports do so.
    """
    try:
        _secure(event, lambda plain: shake_hands(plain, context(), None, seconds), lambda _fault: None)
    except HandshakeFailed as failed:
        refused(event, f"TLS: {failed.reason}")
    except OSError:
        return


def _secure(
    event: evt.Event,
    shake: Callable[[socket.socket], TlsSocket],
    told: Callable[[DeliveryFault], None],
) -> None:
    connection = event.assoc.dul.socket
    if connection is None or connection.socket is None:  # closed again already
        return
    secured = None
    try:
        secured = shake(connection.socket)
    finally:
        if secured is None:  # whatever was raised: pynetdicom would go on in the clear
            connection.close()
    connection.socket = secured
    connection.__class__ = _SecuredConnection
    cast(_SecuredConnection, connection).told = told


def _let_read(secured: ssl.SSLSocket) -> None:
    """Close a connection once its peer has read our alert, or soon."""
    deadline = time.monotonic() + LAST_WORD_SECONDS
    with secured:
        try:
            secured.shutdown(socket.SHUT_WR)
            while (left := deadline - time.monotonic()) > 0:
                secured.settimeout(left)
                if not socket.socket.recv(secured, 4096):
                    return
        except OSError:
            return
