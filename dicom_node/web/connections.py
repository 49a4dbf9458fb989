"""Connections to the pages: one too many is closed before it costs anything, and none may be slow for ever.

The pages share their process with receiver and database: whoever opened connections without end would take their file
descriptors. And uvicorn 0.54 waits for a request that has begun, and for a peer that reads no answer, as long as that
takes.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from dicom_node.web.protection import ANSWER_HEADERS

MOST, MOST_OF_ONE = 400, 100
"""Connections, and those of one address that is no proxy: a terminal server of many people is one address, too."""
HEAD_SECONDS = 20.0
"""Until a request's headers are there, from the connection or the answer before on."""
BODY_SECONDS = 300.0
"""Until its body is."""
READING_SECONDS = 60.0
"""Until a peer goes on to read an answer that is longer than what the system keeps for it."""


class Listening(socket.socket):
    """A socket that listens; `is_proxy` tells of an address whether it may have any number of connections."""

    def __init__(self, bound: socket.socket, is_proxy: Callable[[str], bool]) -> None:
        super().__init__(fileno=bound.detach())
        self._is_proxy = is_proxy
        self._open: Counter[str] = Counter()

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection. Raises BlockingIOError where it was one too many, as if there were none."""
        connected, address = super().accept()
        host = address[0]
        is_too_many = self._open[host] >= MOST_OF_ONE and not self._is_proxy(host)
        if is_too_many or self._open.total() >= MOST:
            connected.close()
            raise BlockingIOError
        self._open[host] += 1
        return _Counted(connected, host, self._open), address


class _Counted(socket.socket):
    def __init__(self, connected: socket.socket, host: str, among: Counter[str]) -> None:
        super().__init__(fileno=connected.detach())
        self._host = host
        self._among: Counter[str] | None = among

    def close(self) -> None:
        among, self._among = self._among, None
        if among is not None:
            among[self._host] -= 1
            if not among[self._host]:
                del among[self._host]
        super().close()


class Connection(H11Protocol):
    """HTTP/1.1 with a peer who may be slow, and not for ever."""

    _waits_for: object = None
    _timer: asyncio.TimerHandle | None = None
    _reading_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        for timer in (self._timer, self._reading_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Go on with what was read."""
        super().handle_events()
        self._look()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """Wait until the peer reads."""
        super().pause_writing()
        self._reading_timer = self.loop.call_later(READING_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on to write."""
        super().resume_writing()
        if self._reading_timer is not None:
            self._reading_timer.cancel()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, with the headers that every answer has."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            headers = [*ANSWER_HEADERS.items(), ("Content-Type", "text/plain"), ("Connection", "close")]
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=f"{msg}\n".encode("ascii")),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _look(self) -> None:
        """Set the clock anew where something else is waited for than before."""
        if self.cycle is None or self.cycle.response_complete:
            waits_for, seconds = (self.cycle, "head"), HEAD_SECONDS
        elif self.cycle.more_body:
            waits_for, seconds = (self.cycle, "body"), BODY_SECONDS
        else:
            waits_for, seconds = (self.cycle, ""), 0.0
        if waits_for == self._waits_for:
            return
        self._waits_for = waits_for
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self.transport.abort) if seconds else None
