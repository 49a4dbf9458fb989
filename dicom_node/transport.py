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

import structlog
from pynetdicom import evt, timer
from pynetdicom.association import Association
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.pdu_primitives import P_DATA

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

_log = structlog.get_logger()

# set forward, every open association would end; set back by hours, a silent one would stay for hours
timer.time = SimpleNamespace(time=time.monotonic)  # type: ignore[attr-defined, assignment]


def bound(
    event: evt.Event, seconds: float, refused: Callable[[evt.Event, str], None] = lambda _event, _reason: None
) -> None:
    """End a connection whose peer takes longer than `seconds` for a PDU, or sends too much or what cannot be read.

    A message may take those and what the slowest line needs for as many bytes. `refused` is called where there is no
    association yet: anybody may send that.
    """
    connection = event.assoc.dul.socket
    if connection is None or connection.socket is None:  # closed again already
        return
    connected: socket.socket = connection.socket
    connected.settimeout(seconds)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    ended = threading.Event()

    def cut() -> None:
        ended.set()  # what has arrived could still be read
        _shut(connected)

    def receive(nr_bytes: int) -> bytearray:
        # what asks for an association is a single small PDU
        has_asked = event.assoc.requestor.primitive is not None
        if nr_bytes > (LONGEST_PDU if has_asked else LONGEST_REQUEST) or ended.is_set():
            raise OSError(errno.EMSGSIZE, "PDU or message is too long")
        deadline = time.monotonic() + (seconds if has_asked else event.assoc.acse_timeout or seconds)
        received = bytearray()
        try:
            while len(received) < nr_bytes:
                # a time-out of the socket alone starts anew with every byte
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError("PDU is too slow")
                connected.settimeout(left)
                part = connected.recv(nr_bytes - len(received))
                if not part:
                    break
                received += part
        finally:
            connected.settimeout(seconds)
        return received

    connection.recv = receive  # type: ignore[method-assign]
    _bound_messages(event.assoc, seconds, cut)
    _bound_order(event.assoc, lambda: refused(event, "what it sends cannot be read"))


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


def _bound_messages(association: Association, seconds: float, cut: Callable[[], None]) -> None:
    """Call `cut` where a message is too long, too slow or cannot be read, or the peer does not wait for its answers."""
    receive = association.dimse.receive_primitive
    counting = threading.Lock()
    unanswered = 0
    coming: DIMSEMessage | None = None
    since, arrived = 0.0, 0

    def is_too_slow(primitive: P_DATA) -> bool:
        nonlocal coming, since, arrived
        now = time.monotonic()
        if association.dimse.message is not coming:
            coming, since, arrived = association.dimse.message, now, 0
        arrived += sum(len(value) for _, value in primitive.presentation_data_value_list)
        return coming is not None and now - since > seconds + arrived / SLOWEST

    def receive_bounded(primitive: P_DATA) -> None:
        try:
            _require_one_command(association.dimse.message, primitive)
            receive(primitive)
        except Exception as error:  # noqa: BLE001 - else it ends pynetdicom's thread, and nobody closes what is open
            _log.warning("message_unreadable", error_type=type(error).__name__, where=where_raised(error))
            cut()
            return
        if is_too_slow(primitive):
            _log.warning("message_too_slow")
            cut()
            return
        message = association.dimse.message
        if message is None or message.data_set is None:
            return
        if message.encoded_command_set.tell() + message.data_set.tell() > LONGEST_MESSAGE:
            _log.warning("message_too_long", bytes=LONGEST_MESSAGE)
            cut()

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
            cut()

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
    """End a connection over which more than `most_bytes` came altogether, and call `exceeded`."""
    connection = event.assoc.dul.socket
    if connection is None:  # closed again already
        return
    receive = connection.recv
    received = 0

    def receive_limited(nr_bytes: int) -> bytearray:
        nonlocal received
        received += nr_bytes
        if received > most_bytes:
            exceeded()
            raise OSError(errno.EMSGSIZE, "too much data")
        return receive(nr_bytes)

    connection.recv = receive_limited  # type: ignore[method-assign]


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
