"""The fast way through pynetdicom 3.0.4, which is made of places of it that are replaced for one connection.

Four things cost most of its time: each PDU of a data set is copied several times on its way through socket, decoder,
queue, state machine and BytesIO; command sets go through pydicom; two threads an association hand each message to each
other, and look a thousand times a second whether there is something to do; and small messages wait for the last one's
acknowledgement (Nagle's algorithm, RFC 896, against delayed acknowledgements, RFC 1122 4.2.3.2). The seams:

    DULServiceProvider._read_pdu_data     a C-STORE is read, handled and answered where it comes in (`_Storing`)
    DIMSEServiceProvider.send_msg         one that is sent goes to the socket as a whole, without TLS (`_Sending`)
    time.sleep of dul and association     their threads wait until there is something to do (`_Turns`)
    Queue.put of their three queues       and are told when there is
    the socket                            TCP_NODELAY and, on Linux, TCP_QUICKACK

Everything else is pynetdicom's own: association, release and abort, every other message, and a C-STORE that comes in
another form than everybody's. With another version than the one that this was written against it all is left as it
comes.
"""

import queue
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pynetdicom
import structlog
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import _config, dimse_messages, evt
from pynetdicom import association as association_module
from pynetdicom import dul as dul_module
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.dul import DULServiceProvider
from pynetdicom.presentation import PresentationContext
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class
from pynetdicom.transport import AssociationSocket

from dicom_node.bounds import Incoming, bound
from dicom_node.logs import where_raised
from dicom_node.store_command import file_start, read_request, response
from storage.objects import discard

WRITTEN_FOR = "3.0.4"
BUFFER_BYTES = 256 * 1024
P_DATA_TF, DATA_TRANSFER = 0x04, "Sta6"
COMMAND, LAST = 0x01, 0x02  # the bits of a message control header (PS3.8 E.2)
LONGEST_WAIT_SECONDS = 0.25
"""pynetdicom looks at its timers and at whether it is to end after each wait."""
VALUE_HEADER_BYTES = 6
LONGEST_COMMAND = 1024
"""Bytes; that of a C-STORE has less than 400."""
HANDLER_FAILED = 0xC211  # as pynetdicom answers
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
    turns = _Turns(event.assoc)
    _Storing(event.assoc, incoming)
    if not isinstance(incoming.connected, ssl.SSLSocket):  # which is not for two threads at once
        _Sending(event.assoc, incoming, turns)


class _Storing:
    """Takes C-STORE requests in the thread that reads: the data set from the socket to its file, the handler
    (EVT_C_STORE), the response, with no other thread and no state machine between them.

    What comes instead of one is left to pynetdicom, to the byte. The handler must not speak over its association.
    """

    def __init__(self, association: Association, incoming: Incoming) -> None:
        self._association = association
        self._incoming = incoming
        self._read_pdu = association.dul._read_pdu_data
        self._ahead = bytearray()
        """What was read, and is for pynetdicom."""
        self._buffer = memoryview(bytearray())
        """Of the data set that is under way; thousands of associations may be open."""
        self._start = self._end = 0
        """What is left in the buffer."""
        incoming.read_by(self._read)
        association.dul._read_pdu_data = self._read_pdu_or_instance  # type: ignore[method-assign]

    def _read(self, nr_bytes: int) -> bytearray:
        """What pynetdicom asks for, with what was read already."""
        read, self._ahead = self._ahead[:nr_bytes], self._ahead[nr_bytes:]
        if len(read) < nr_bytes:
            read += self._incoming.read(nr_bytes - len(read))
        self._acknowledge()
        return read

    def _acknowledge(self) -> None:
        """Have the system acknowledge at once what has come; it forgets that it was asked."""
        if _quick_acknowledgement is not None:
            try:
                self._incoming.connected.setsockopt(socket.IPPROTO_TCP, _quick_acknowledgement, 1)
            except OSError:  # closed meanwhile: reading says so
                return

    def _read_pdu_or_instance(self) -> None:
        try:
            found = self._request() if self._may_come else None
            if found is None:
                self._read_pdu()
            else:
                self._store(*found)
        except OSError:
            self._association.dul.event_queue.put("Evt17")  # as pynetdicom: the connection has ended
        except Exception as error:  # noqa: BLE001 - else it ends pynetdicom's thread, and nobody closes what is open
            _log.warning("message_unreadable", error_type=type(error).__name__, where=where_raised(error))
            self._incoming.cut()

    @property
    def _may_come(self) -> bool:
        """Whether the next message may be a request: one is not under way, and the peer can hear the answer."""
        association = self._association
        return (
            association.is_acceptor
            and association.is_established
            and association.dul.state_machine.current_state == DATA_TRANSFER
            and association.dimse.message is None
            and association.dimse.msg_queue.empty()
            and _config.STORE_RECV_CHUNKED_DATASET
            and not 0 < (association.requestor.maximum_length or 0) < LONGEST_COMMAND
        )

    def _request(self) -> tuple[C_STORE, PresentationContext, int] | None:
        """Read a request, its presentation context, and how much of its PDU is still to come; None: something else."""
        deadline = self._incoming.deadline()
        if not self._look(6, deadline) or self._ahead[0] != P_DATA_TF or not self._look(12, deadline):
            return None
        in_pdu, in_value, context_id, flags = struct.unpack(">xxLLBB", self._ahead)
        if flags & 3 != COMMAND | LAST or not 2 < in_value <= min(LONGEST_COMMAND, in_pdu - 4):
            return None
        if not self._look(10 + in_value, deadline):
            return None
        request = read_request(self._ahead[12:])
        context = self._association._accepted_cx.get(context_id)
        if request is None or context is None:
            return None
        if uid_to_service_class(cast(UID, request.AffectedSOPClassUID)) is not StorageServiceClass:
            return None
        self._ahead.clear()
        request._context_id = context_id
        left = in_pdu - in_value - 4
        self._incoming.expect(left)
        return request, context, left

    def _look(self, count: int, deadline: float) -> bool:
        """Read so many bytes of what comes next, and keep them; false: the peer has closed before."""
        missing = count - len(self._ahead)
        self._incoming.expect(missing)
        came = bytearray(missing)
        read = self._incoming.read_into(memoryview(came), deadline)
        self._ahead += came[:read]
        return read == missing

    def _store(self, request: C_STORE, context: PresentationContext, left: int) -> None:
        file = cast(Any, vars(dimse_messages)["NamedTemporaryFile"](delete=False, mode="wb", suffix=".dcm"))
        path = Path(file.name)
        try:
            file.write(file_start(request, context.transfer_syntax[0]))
            self._receive(file, request, left)
            file.flush()
            request._dataset_file, request._dataset_path = file, path
            self._answer(request, *self._handled(request, context))
        finally:
            self._buffer = memoryview(bytearray())
            file.close()
            discard(path)  # gone already where it was stored

    def _receive(self, file: Any, request: C_STORE, left: int) -> None:  # noqa: ANN401 - a file, whoever's
        """Read the data set, of which `left` bytes are in the PDU that is under way, into its file (PS3.8 9.3.5)."""
        deadline = self._incoming.deadline()
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._start = self._end = 0
        is_last = False
        while not is_last:
            if not left:
                self._acknowledge()
                kind, left = struct.unpack(">BxL", self._take(6, deadline))
                if kind != P_DATA_TF:
                    raise ConnectionError("the peer says something else in the middle of a data set")
                self._association.dul._idle_timer.restart()
                self._incoming.expect(left)
                deadline = self._incoming.deadline()
            length, flags = struct.unpack(">LxB", self._take(6, deadline))
            if not 2 <= length <= left - 4 or flags & COMMAND:
                raise ValueError("no piece of a data set")
            left -= length + 4
            is_last = bool(flags & LAST)
            # a value may be empty, and there may be such without an end
            self._incoming.note(request, VALUE_HEADER_BYTES)
            # after this one another value comes for sure, in this PDU or in the next: its headers are read with it
            self._copy(file, request, length - 2, 0 if is_last else 6 if left else 12, deadline)
        if left:
            raise ValueError("another message in the last PDU of a data set")
        self._acknowledge()

    def _copy(self, file: Any, request: C_STORE, missing: int, beyond: int, deadline: float) -> None:  # noqa: ANN401
        while missing:
            if self._start == self._end:
                self._start = self._end = 0
                self._fill(missing + beyond, deadline)
            piece = self._buffer[self._start : min(self._end, self._start + missing)]
            file.write(piece)
            self._incoming.note(request, len(piece))
            self._start += len(piece)
            missing -= len(piece)

    def _take(self, count: int, deadline: float) -> memoryview:
        """The next bytes, which are headers: nothing is read beyond them."""
        have = self._end - self._start
        if have < count:
            self._buffer[:have] = bytes(self._buffer[self._start : self._end])
            self._start, self._end = 0, have
            while self._end < count:
                self._fill(count - self._end, deadline)
        self._start += count
        return self._buffer[self._start - count : self._start]

    def _fill(self, most: int, deadline: float) -> None:
        read = self._incoming.read_some(self._buffer[self._end : self._end + most], deadline)
        if not read:
            raise ConnectionError("the peer closed in the middle of a data set")
        self._end += read

    def _handled(self, request: C_STORE, context: PresentationContext) -> tuple[int, str]:
        """The status that the handler answers with, and its comment."""
        idle = self._association.dul._idle_timer
        idle.stop()  # it is not the peer who is silent
        try:
            answer = evt.trigger(
                self._association, evt.EVT_C_STORE, {"request": request, "context": context.as_tuple}
            )
        except Exception as error:  # noqa: BLE001 - as pynetdicom: whatever it is, the peer gets its answer
            _log.error("handler_failed", error_type=type(error).__name__, where=where_raised(error))
            return HANDLER_FAILED, ""
        finally:
            idle.start()
        if isinstance(answer, Dataset):
            return answer.Status, answer.get("ErrorComment", "")
        return cast(int, answer), ""

    def _answer(self, request: C_STORE, status: int, comment: str) -> None:
        content = response(request, status, comment)
        length = len(content) + 2
        head = struct.pack(">BBLLBB", P_DATA_TF, 0, length + 4, length, request._context_id, COMMAND | LAST)
        cast(AssociationSocket, self._association.dul.socket).send(head + content)


class _Sending:
    """Gives a C-STORE request to the socket as a whole, in the thread that asks for it: pynetdicom hands each of its
    PDUs, a thousand for a heatmap, to another thread by way of a queue and the state machine.
    """

    def __init__(self, association: Association, incoming: Incoming, turns: "_Turns") -> None:
        self._association = association
        self._incoming = incoming
        self._turns = turns
        self._send = association.dimse.send_msg
        association.dimse.send_msg = self._send_message  # type: ignore[method-assign]

    def _send_message(self, primitive: Any, context_id: int) -> None:  # noqa: ANN401 - any of DIMSE's
        is_request = (
            isinstance(primitive, C_STORE)
            and primitive.MessageIDBeingRespondedTo is None
            and primitive.DataSet is not None  # else it is sent from a file
        )
        if not is_request or self._association.dul.state_machine.current_state != DATA_TRANSFER:
            self._send(primitive, context_id)
            return
        message = C_STORE_RQ()
        message.primitive_to_message(primitive)
        message.context_id = context_id
        evt.trigger(self._association, evt.EVT_DIMSE_SENT, {"message": message})
        longest = self._association.dimse.maximum_pdu_size or BUFFER_BYTES
        command = cast(bytes, encode(message.command_set, True, True))
        content = cast(BytesIO, message.data_set).getbuffer()
        values = [*_values(command, context_id, COMMAND, longest), *_values(content, context_id, 0, longest)]
        left = memoryview(b"".join(values))
        try:
            while left:  # sendall would want it all within one time-out
                left = left[self._incoming.connected.send(left) :]
        except OSError:
            self._association.dul.event_queue.put("Evt17")  # as pynetdicom: the connection has ended
        self._turns.spoken()


def _values(
    content: bytes | memoryview, context_id: int, kind: int, longest: int
) -> Iterator[bytes | memoryview]:
    """Cut a command or data set into P-DATA-TF PDUs of one value each (PS3.8 9.3.5), as large as the peer takes."""
    most = longest - 6
    for start in range(0, len(content), most):
        piece = content[start : start + most]
        flags = kind | (LAST if start + most >= len(content) else 0)
        yield struct.pack(">BBLLBB", P_DATA_TF, 0, len(piece) + 6, len(piece) + 2, context_id, flags)
        yield piece


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
        self._tell(upper_layer.to_provider_queue, self.spoken)
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

    def spoken(self) -> None:
        """Say that it is the peer's turn now."""
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
