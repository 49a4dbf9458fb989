"""The sockets under pynetdicom, held to a time and a size.

pynetdicom 3.0.4 reads a PDU of whatever length its header announces into memory, and waits for its last byte without
a time-out: a peer that stops in the middle would hold a connection and two threads for ever, and so would a modality
that is switched off, or one that sends a message in tiny pieces. It gathers a message without an end in memory, all but
the data set of a C-STORE, starts a thread for each N-EVENT-REPORT, and queues every other request while the first is
answered, opens a file for each command of a C-STORE that has several, and dies of a message that comes out of order.
All this is mended where a connection opens (EVT_CONN_OPEN), on either side. And its time-outs go by the clock that can
be set: by the one that cannot, from where this is imported.
"""

import errno
import socket
import threading
import time
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import cast

import structlog
from pynetdicom import evt, timer
from pynetdicom.association import Association
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AssociationSocket

from dicom_node.logs import where_raised

LONGEST_PDU = 1024 * 1024
"""Bytes; peers send up to the 128 KiB that we announce."""
LONGEST_REQUEST = 256 * 1024
"""Bytes of what asks for an association: anybody may, and a megabyte of empty items costs seconds. The longest that can
be meant, 128 contexts with forty transfer syntaxes each, has 112 KB.
"""
LONGEST_MESSAGE = 1024 * 1024
"""Bytes of what is kept in memory: a command, a question, an answer, a report about a hundred objects."""
MOST_UNANSWERED = 16
"""Requests at once; only one may be where nothing else was negotiated (PS3.7 D.3.3.3), and nothing else is."""
CANCEL_REQUEST, RESPONSES = 0x0FFF, 0x8000
"""The command that has no answer, and the bit of those that are one (PS3.7 E.1)."""
SLOWEST = 2000
"""Bytes a second of a message as a whole, however many PDUs it comes in, after the time that one PDU may take."""
CLOSE_SECONDS = 5.0
_INCOMING = "incoming"  # what pynetdicom's association gets as an attribute

_log = structlog.get_logger()

# set forward, every open association would end; set back by hours, a silent one would stay for hours
timer.time = SimpleNamespace(time=time.monotonic)  # type: ignore[attr-defined, assignment]


class Incoming:
    """What comes over one connection: in time, and not too much of it.

    `connected` is its socket.

    Parameters
    ----------
    seconds
        For a PDU, from its first byte to its last; a message may take those and what the slowest line needs for as
        many bytes.
    """

    def __init__(self, association: Association, connection: AssociationSocket, seconds: float) -> None:
        self._association = association
        self._connection = connection
        self.connected = cast(socket.socket, connection.socket)
        self._seconds = seconds
        self._is_cut = False
        self._expected = 0
        self._limits: list[tuple[int, Callable[[], None]]] = []
        self._message: DIMSEMessage | C_STORE | None = None
        self._since = 0.0
        self._arrived = 0
        self.connected.settimeout(seconds)
        self.connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.read_by(self.read)

    def read_by(self, read: Callable[[int], bytearray]) -> None:
        """Have pynetdicom read by this, which promises what `read` does."""
        self._connection.recv = read  # type: ignore[method-assign,assignment]

    def cut(self) -> None:
        """End the connection; what has arrived is not read any more."""
        self._is_cut = True
        _shut(self.connected)

    def read(self, nr_bytes: int) -> bytearray:
        """Return so many bytes, or fewer where the peer closes. Raises OSError where it is slow, or they are many."""
        self.expect(nr_bytes)
        received = bytearray(nr_bytes)
        read = self.read_into(memoryview(received), self.deadline())
        del received[read:]
        return received

    def read_into(self, view: memoryview, deadline: float) -> int:
        """Fill the view and return its length, or less where the peer closes. Raises OSError where it is slow."""
        read = 0
        while read < len(view):
            part = self.read_some(view[read:], deadline)
            if not part:
                break
            read += part
        return read

    def read_some(self, view: memoryview, deadline: float) -> int:
        """Read what is there, at least a byte and at most the view, and return how much; 0 where the peer closes.

        Raises OSError where it is slow.
        """
        # a time-out of the socket alone starts anew with every byte
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("PDU is too slow")
        self.connected.settimeout(left)
        try:
            return self.connected.recv_into(view)
        finally:
            self.connected.settimeout(self._seconds)

    def limit(self, most_bytes: int, exceeded: Callable[[], None]) -> None:
        """Read no more than so much altogether; `exceeded` is called where the peer sends more."""
        self._limits.append((most_bytes, exceeded))

    def expect(self, nr_bytes: int) -> None:
        """Raise OSError where that is more than a PDU or the connection may have, or nothing is read any more."""
        longest = LONGEST_PDU if self._has_asked else LONGEST_REQUEST
        if nr_bytes > longest or self._is_cut:
            raise OSError(errno.EMSGSIZE, "PDU or message is too long")
        self._expected += nr_bytes
        over = [exceeded for most_bytes, exceeded in self._limits if self._expected > most_bytes]
        for exceeded in over:
            exceeded()
        if over:
            raise OSError(errno.EMSGSIZE, "too much data")

    def deadline(self) -> float:
        """Return until when what begins to come now has to be there."""
        # what asks for an association is a single small PDU
        seconds = self._seconds if self._has_asked else self._association.acse_timeout or self._seconds
        return time.monotonic() + seconds

    def note(self, message: DIMSEMessage | C_STORE | None, nr_bytes: int) -> None:
        """Count bytes of the message that is under way. Raises TimeoutError where they come too slowly."""
        now = time.monotonic()
        if message is not self._message:
            self._message, self._since, self._arrived = message, now, 0
        self._arrived += nr_bytes
        allowed = self._seconds + self._arrived / SLOWEST
        if self._message is not None and now - self._since > allowed:
            _log.warning("message_too_slow")
            raise TimeoutError("message is too slow")

    @property
    def _has_asked(self) -> bool:
        return self._association.requestor.primitive is not None


def bound(
    event: evt.Event, seconds: float, refused: Callable[[evt.Event, str], None] = lambda _event, _reason: None
) -> Incoming | None:
    """End a connection whose peer takes longer than `seconds` for a PDU, or sends too much or what cannot be read.

    `refused` is called where there is no association yet: anybody may send that. Returns what comes from now on; None
    where the connection is closed again already.
    """
    connection = event.assoc.dul.socket
    if connection is None or connection.socket is None:
        return None
    incoming = Incoming(event.assoc, connection, seconds)
    vars(event.assoc)[_INCOMING] = incoming
    _bound_messages(event.assoc, incoming)
    _bound_order(event.assoc, lambda: refused(event, "what it sends cannot be read"))
    return incoming


def _bound_order(association: Association, refused: Callable[[], None]) -> None:
    """End a connection whose peer says something that the upper layer cannot read or has no place for (PS3.8 9.2.3).

    pynetdicom 3.0.4's thread dies of it and leaves the socket open: for one where the peer does not wait for the answer
    to its request, or numbers a presentation context evenly.
    """
    upper_layer = association.dul
    act = upper_layer.state_machine.do_action

    def act_or_end(event: str) -> None:
        try:
            act(event)
        except Exception as error:  # noqa: BLE001 - as above: it is the last that this thread does
            if association.is_established:
                _log.warning("message_unreadable", error_type=type(error).__name__, where=where_raised(error))
            else:
                refused()
            association.is_established = False
            association._kill = upper_layer._kill_thread = True
            if upper_layer.socket is not None:
                upper_layer.socket.close()

    upper_layer.state_machine.do_action = act_or_end  # type: ignore[method-assign]


def _bound_messages(association: Association, incoming: Incoming) -> None:
    """Cut a message that is too long, too slow or cannot be read, or whose peer does not wait for its answers."""
    receive = association.dimse.receive_primitive
    counting = threading.Lock()
    unanswered = 0

    def receive_bounded(primitive: P_DATA) -> None:
        try:
            _require_one_command(association.dimse.message, primitive)
            receive(primitive)
        except Exception as error:  # noqa: BLE001 - else it ends pynetdicom's thread, and nobody closes what is open
            _log.warning("message_unreadable", error_type=type(error).__name__, where=where_raised(error))
            incoming.cut()
            return
        try:
            incoming.note(
                association.dimse.message,
                sum(len(value) for _, value in primitive.presentation_data_value_list),
            )
        except TimeoutError:
            incoming.cut()
            return
        message = association.dimse.message
        if message is None or message.data_set is None:
            return
        if message.encoded_command_set.tell() + message.data_set.tell() > LONGEST_MESSAGE:
            _log.warning("message_too_long", bytes=LONGEST_MESSAGE)
            incoming.cut()

    def count(event: evt.Event) -> None:
        nonlocal unanswered
        command = event.message.command_set.get("CommandField", 0)
        with counting:
            if event.event is evt.EVT_DIMSE_SENT:
                unanswered -= command >= RESPONSES
                return
            unanswered += command < RESPONSES and command != CANCEL_REQUEST
        if unanswered > MOST_UNANSWERED:
            _log.warning("too_many_requests", count=unanswered)
            incoming.cut()

    association.dimse.receive_primitive = receive_bounded  # type: ignore[method-assign]
    association.bind(evt.EVT_DIMSE_RECV, count)
    association.bind(evt.EVT_DIMSE_SENT, count)


def _require_one_command(message: DIMSEMessage | None, primitive: P_DATA) -> None:
    """Raise ValueError for a command in the middle of a message: pynetdicom 3.0.4 opens a file for each."""
    has_command = message is not None and type(message) is not DIMSEMessage
    for _, value in primitive.presentation_data_value_list:
        is_command, is_last = value[0] & 1, value[0] & 2
        if is_command and has_command:
            raise ValueError("a command in the middle of a message")
        has_command = has_command or bool(is_command and is_last)


def limit(event: evt.Event, most_bytes: int, exceeded: Callable[[], None] = lambda: None) -> None:
    """End a connection over which more than `most_bytes` come altogether, and call `exceeded` (after `bound`)."""
    incoming: Incoming | None = vars(event.assoc).get(_INCOMING)
    if incoming is not None:  # else it is closed again already
        incoming.limit(most_bytes, exceeded)


def end(associations: Iterable[Association]) -> None:
    """Close the connections of these associations, and wait for their threads for a few seconds."""
    ending = list(associations)
    for association in ending:
        connection = association.dul.socket
        if connection is not None and connection.socket is not None:
            _shut(connection.socket)
    deadline = time.monotonic() + CLOSE_SECONDS
    for association in ending:
        # one that has asked for nothing yet waits for its request a little longer, and holds nothing
        association.join(max(0.0, deadline - time.monotonic()))


def _shut(connected: socket.socket) -> None:
    try:
        connected.shutdown(socket.SHUT_RDWR)
    except OSError:  # its peer was faster
        return
