"""The fast way through pynetdicom 3.0.4, which is made of places of it that are replaced for one connection.

Three things cost most of its time: each PDU of a data set is copied several times on
its way through socket, decoder, queue, state machine and BytesIO; two threads an association look a thousand times a
second whether there is something to do; and small messages wait for the last one's acknowledgement (Nagle's algorithm,
RFC 896, against delayed acknowledgements, RFC 1122 4.2.3.2). The seams:

    DULServiceProvider._read_pdu_data     a data set goes from the socket to its file through one buffer (`_Stream`)
    time.sleep of dul and association     their threads wait until there is something to do (`_Turns`)
    Queue.put of their three queues       and are told when there is
    the socket                            TCP_NODELAY and, on Linux, TCP_QUICKACK

Everything else is pynetdicom's own, the state machine above all: the last piece of a data set goes through it, as
every other message does. With another version than the one that this was written against it all is left as it comes.
"""

import queue
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pynetdicom
import structlog
from pynetdicom import association as association_module
from pynetdicom import dul as dul_module
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import P_DATA

from dicom_node.bounds import Incoming, bound
from dicom_node.logs import where_raised

WRITTEN_FOR = "3.0.4"
BUFFER_BYTES = 256 * 1024
P_DATA_TF, DATA_TRANSFER = 0x04, "Sta6"
COMMAND, LAST = 0x01, 0x02  # the bits of a message control header (PS3.8 E.2)
LONGEST_WAIT_SECONDS = 0.25
"""pynetdicom looks at its timers and at whether it is to end after each wait."""
FIRST_LOOK_SECONDS, LAST_LOOK_SECONDS = 0.001, 0.05
"""How often to look for a peer that speaks out of turn, at first and after a while."""
LOOK_OF_ASSOCIATION_SECONDS = 0.001
"""How pynetdicom's association names the sleep between two looks; its other sleeps are for something else."""

_log = structlog.get_logger()
_quick_acknowledgement: int | None = getattr(socket, "TCP_QUICKACK", None)


_wanted = threading.Event()


def switch(*, on: bool) -> None:
    """Let connections be fast from now on, where pynetdicom is the version that this was written for."""
    if on and pynetdicom.__version__ == WRITTEN_FOR:
        _wanted.set()
        return
    _wanted.clear()
    if on:
        _log.warning("transport_is_slow", reason=f"written for pynetdicom {WRITTEN_FOR}")


def take(
    event: evt.Event,
    seconds: float,
    refused: Callable[[evt.Event, str], None] = lambda _event, _reason: None,
) -> None:
    """Take a connection that was opened (EVT_CONN_OPEN): bounded, and fast where that is switched on.

    `seconds` and `refused` are those of `dicom_node.bounds.bound`.
    """
    incoming = bound(event, seconds, refused)
    if incoming is None or not _wanted.is_set():
        return
    _replace_sleeps()
    incoming.connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _Turns(event.assoc)
    _Stream(event.assoc, incoming)


class _Stream:
    """Reads what comes; a data set goes from the socket to its file without a detour."""

    def __init__(self, association: Association, incoming: Incoming) -> None:
        self._association = association
        self._incoming = incoming
        self._read_pdu = association.dul._read_pdu_data
        self._ahead = bytearray()
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        incoming.read_by(self._read)
        association.dul._read_pdu_data = self._read_pdu_or_data_set  # type: ignore[method-assign]

    def _read(self, nr_bytes: int) -> bytearray:
        """What pynetdicom asks for, with what was read already."""
        read, self._ahead = self._ahead, bytearray()
        read = read or self._incoming.read(nr_bytes)
        self._acknowledge()
        return read

    def _acknowledge(self) -> None:
        """Have the system acknowledge at once what has come; it forgets that it was asked."""
        if _quick_acknowledgement is not None:
            try:
                self._incoming.connected.setsockopt(socket.IPPROTO_TCP, _quick_acknowledgement, 1)
            except OSError:  # closed meanwhile: reading says so
                return

    def _read_pdu_or_data_set(self) -> None:
        message = self._association.dimse.message
        is_storing = message is not None and message._data_set_file is not None
        if not is_storing or self._association.dul.state_machine.current_state != DATA_TRANSFER:
            self._read_pdu()
            return
        try:
            self._read_data_set()
        except (OSError, TimeoutError):
            self._association.dul.event_queue.put("Evt17")  # as pynetdicom: the connection has ended
        except Exception as error:  # noqa: BLE001 - else it ends pynetdicom's thread, and nobody closes what is open
            _log.warning("message_unreadable", error_type=type(error).__name__, where=where_raised(error))
            self._incoming.cut()

    def _read_data_set(self) -> None:
        """Read until the data set is complete, or something else comes."""
        while True:
            header = self._incoming.read(6)
            if len(header) < 6 or header[0] != P_DATA_TF:
                self._ahead = header  # an abort, or the end of the connection
                self._read_pdu()
                return
            self._association.dul._idle_timer.restart()
            [left] = struct.unpack(">L", header[2:])
            self._incoming.expect(left)
            deadline = self._incoming.deadline()
            while left:
                context, is_last, value = self._read_value(left, deadline)
                left -= value
                if is_last:
                    if left:
                        raise ValueError("another message in the last PDU of a data set")
                    self._complete(context)
                    return
            self._acknowledge()

    def _read_value(self, left: int, deadline: float) -> tuple[int, bool, int]:
        """Read one presentation data value (PS3.8 9.3.5.1) into the file: its context, whether it is the last one, and
        how many bytes of the PDU it was.
        """
        message = self._association.dimse.message
        head = self._buffer[:6]
        self._fill(head, deadline)
        length, context, flags = struct.unpack(">LBB", head)
        if not 2 <= length <= left - 4 or flags & COMMAND:
            raise ValueError("no piece of a data set")
        file = cast(Any, message)._data_set_file
        missing = length - 2
        while missing:
            piece = self._buffer[: min(missing, BUFFER_BYTES)]
            self._fill(piece, deadline)
            file.write(piece)
            self._incoming.note(len(piece))
            missing -= len(piece)
        return context, bool(flags & LAST), length + 4

    def _fill(self, view: memoryview, deadline: float) -> None:
        if self._incoming.read_into(view, deadline) < len(view):
            raise ConnectionError("the peer closed in the middle of a data set")

    def _complete(self, context: int) -> None:
        """Let pynetdicom have the end of the data set, and do what it does with a message that is complete."""
        self._acknowledge()
        end = P_DATA()
        end.presentation_data_value_list = [[context, bytes([LAST])]]  # type: ignore[list-item] # it takes no tuple
        self._association.dimse.receive_primitive(end)


class _Turns:
    """Lets both threads of an association wait for what is next, instead of looking for it all the time.

    Peers speak in turns: after what was handed to the association's thread it is this side's turn, and the upper layer
    waits for what is to be sent, with a look at the socket now and then; after what was sent it is the peer's, and it
    waits for the socket.
    """

    def __init__(self, association: Association) -> None:
        self._association = association
        upper_layer = association.dul
        self._for_association = threading.Event()
        self._for_upper_layer = threading.Event()
        self._is_ours = False
        self._look_seconds = FIRST_LOOK_SECONDS
        for put_to in (association.dimse.msg_queue, upper_layer.to_user_queue):
            self._tell(put_to, self._given_to_association)
        self._tell(upper_layer.to_provider_queue, self._given_to_upper_layer)
        association.bind(evt.EVT_DIMSE_RECV, lambda _event: self._given_to_association())
        vars(association)["wait_for_work"] = self._wait_in_association
        vars(upper_layer)["wait_for_work"] = self._wait_in_upper_layer

    @staticmethod
    def _tell(of: "queue.Queue[Any]", told: Callable[[], None]) -> None:
        put = of.put

        def put_and_tell(*arguments: Any, **named: Any) -> None:
            put(*arguments, **named)
            told()

        of.put = put_and_tell  # type: ignore[method-assign]

    def _given_to_association(self) -> None:
        self._look_seconds = FIRST_LOOK_SECONDS
        self._is_ours = True
        self._for_association.set()

    def _given_to_upper_layer(self) -> None:
        self._is_ours = False
        self._for_upper_layer.set()

    def _wait_in_association(self) -> None:
        association = self._association
        association._is_paused = True  # who waits touches nothing; it stops at its checkpoint when it goes on
        self._for_association.wait(LONGEST_WAIT_SECONDS)
        self._for_association.clear()

    def _wait_in_upper_layer(self) -> None:
        upper_layer = self._association.dul
        connection = upper_layer.socket
        if not upper_layer.event_queue.empty() or not upper_layer.to_provider_queue.empty():
            return
        if connection is None or connection.socket is None:  # before, or after all
            time.sleep(FIRST_LOOK_SECONDS)
            return
        if self._is_ours:
            self._for_upper_layer.wait(self._look_seconds)
            self._for_upper_layer.clear()
            self._look_seconds = min(2 * self._look_seconds, LAST_LOOK_SECONDS)
            return
        connected = connection.socket
        pending = getattr(connected, "pending", None)
        if connected.fileno() < 0 or (pending is not None and pending()):
            return
        poll = select.poll()
        poll.register(connected, select.POLLIN)
        poll.poll(1000 * LONGEST_WAIT_SECONDS)


def _sleep(seconds: float) -> None:
    """What pynetdicom's two modules call between two looks for work, and elsewhere."""
    thread = threading.current_thread()
    wait = getattr(thread, "wait_for_work", None)
    is_look = isinstance(thread, DULServiceProvider) or seconds == LOOK_OF_ASSOCIATION_SECONDS
    if wait is None or not is_look:
        time.sleep(seconds)
    else:
        wait()


_sleeping = SimpleNamespace(sleep=_sleep)


def _replace_sleeps() -> None:
    for module in (association_module, dul_module):
        if vars(module)["time"] is not _sleeping:
            vars(module)["time"] = _sleeping
