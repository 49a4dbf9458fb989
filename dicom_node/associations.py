"""Associations that the node requests: opened, or refused with a reason that an administrator can act on."""

from collections.abc import Callable, Collection
from itertools import product

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association

from config.peers import Destination
from dicom_node.bounds import limit
from dicom_node.errors import AccessRefused, CertificatesUnusable, DeliveryFault, PeerUnreachable
from dicom_node.handshake import secure
from dicom_node.tls import NO_CERTIFICATES, Tls
from dicom_node.transport import take
from inference.decoding import decodable_transfer_syntaxes

VERIFICATION = "1.2.840.10008.1.1"
"""The Verification SOP class, C-ECHO (PS3.4 annex A)."""
UNCOMPRESSED = [str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)]
"""The transfer syntaxes of whatever the node itself writes: results, requests, questions."""

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
SLOWEST_LINE = 100_000
"""Bytes a second: pynetdicom 3.0.4 counts the time for an answer from when it begins to send what is to be answered."""
IDLE_SECONDS = 60.0
MOST_BYTES = 64_000_000
"""That come over one association; half a million answers to C-STORE, or all that is ever read of a query's."""
LEAST_PDU = 1024  # bytes; a heatmap in smaller pieces than that would be millions of them in memory


class KeptAssociation:
    """An association that is opened when it is needed, and again where it has ended; used by one thread."""

    def __init__(
        self,
        ae_title: str,
        destination: Destination,
        contexts: dict[str, list[str]],
        tls: Tls = NO_CERTIFICATES,
    ) -> None:
        self._ae_title = ae_title
        self._destination = destination
        self._contexts = contexts
        self._tls = tls
        self._association: Association | None = None

    def opened(self, sending_bytes: int = 0) -> Association:
        """The open association, or a new one, with the time to send so much. Raises PeerUnreachable, AccessRefused."""
        if self._association is None or not self._association.is_established:
            self._association = open_association(
                self._ae_title, self._destination, self._contexts, tls=self._tls
            )
        self._association.dimse_timeout = ANSWER_SECONDS + sending_bytes / SLOWEST_LINE
        return self._association

    def close(self) -> None:
        """Release it."""
        if self._association is not None and self._association.is_established:
            self._association.release()
        self._association = None


def open_association(
    calling_ae_title: str,
    destination: Destination,
    contexts: dict[str, list[str]],
    handlers: Collection[evt.EventHandlerType] = (),
    taken: Collection[str] = (),
    most_bytes: int | None = None,
    tls: Tls = NO_CERTIFICATES,
    answer_seconds: float = ANSWER_SECONDS,
) -> Association:
    """Open an association with `destination`, proposing each SOP class in `contexts` with its transfer syntaxes.

    `handlers` are for what the peer asks over it, `taken` the SOP classes that it may store here: each is proposed
    with one transfer syntax at a time, so that it sends an image as it has it. The connection ends after
    `most_bytes`, or MOST_BYTES.

    Raises
    ------
    PeerUnreachable
        Nobody listens there, or the peer does not speak DICOM, or not in time.
    AccessRefused
        The peer rejects the association, or none of the presentation contexts is acceptable to it, or there is no TLS
        with it.
    """
    told: list[DeliveryFault] = []
    opening: list[evt.EventHandlerType] = []
    if destination.tls:
        try:
            opening.append(
                (evt.EVT_CONN_OPEN, secure, [tls.client(), destination.host, CONNECT_SECONDS, told.append])
            )
        except CertificatesUnusable as fault:
            raise AccessRefused(str(fault)) from fault
    entity = AE(calling_ae_title)
    entity.connection_timeout = CONNECT_SECONDS
    entity.acse_timeout = answer_seconds
    entity.dimse_timeout = answer_seconds
    entity.network_timeout = IDLE_SECONDS
    for sop_class, syntaxes in contexts.items():
        entity.add_requested_context(sop_class, syntaxes)
    for sop_class, syntax in product(taken, decodable_transfer_syntaxes()):
        entity.add_requested_context(sop_class, syntax)
    try:
        association = entity.associate(
            destination.host,
            destination.port,
            ae_title=destination.ae_title,
            ext_neg=[build_role(sop_class, scp_role=True) for sop_class in taken],
            evt_handlers=[
                *opening,
                (evt.EVT_CONN_OPEN, take, [ANSWER_SECONDS]),
                (evt.EVT_CONN_OPEN, limit, [most_bytes or MOST_BYTES]),
                (evt.EVT_CONN_OPEN, _note_silent_end, [destination, told.append]),
                *handlers,
            ],
        )
    except OSError as error:  # before a connection is tried: the name service does not know the host
        raise PeerUnreachable("host name is not known") from error
    answer = association.acceptor.primitive
    if association.is_established:
        longest = association.acceptor.maximum_length or 0
        if 0 < longest < LEAST_PDU:
            association.abort()
            raise AccessRefused(f"peer takes PDUs of {longest} bytes only")
        association.network_timeout_response = "A-RELEASE"  # an idle association ends politely
        return association
    if association.is_rejected and answer is not None:
        raise AccessRefused(f"association rejected: {answer.reason_str.lower()}")
    if answer is not None:
        raise AccessRefused("association accepted, but none of its presentation contexts")
    if told:
        raise told[0]
    raise PeerUnreachable("no DICOM answer at this host and port")


def _note_silent_end(
    event: evt.Event, destination: Destination, told: Callable[[DeliveryFault], None]
) -> None:
    """Call `told` where the peer ends the connection without a word, as one does that waits for TLS."""
    connection = event.assoc.dul.socket
    if connection is None:  # closed again already
        return
    receive = connection.recv
    has_spoken = False

    def receive_noting(nr_bytes: int) -> bytearray:
        nonlocal has_spoken
        try:
            received = receive(nr_bytes)
        except ConnectionError:
            received = bytearray()
        if not received and not has_spoken:
            why = "it may not take this node's certificate" if destination.tls else "it may speak TLS alone"
            told(PeerUnreachable(f"connection closed without a DICOM answer: {why}"))
        has_spoken = True
        return received

    connection.recv = receive_noting  # type: ignore[method-assign]
