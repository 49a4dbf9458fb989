"""The port: connections are accepted as fast as they come, and one too many is closed before it costs anything.

pynetdicom 3.0.4 lets five connections wait to be accepted, and copies all presentation contexts deeply for each one,
20 ms that a port scan would cost, too; associations only read them. It looks a thousand times a second whether a
connection has said something. And it waits for the request of one that is closed again until the time for it is over.
"""

from collections.abc import Callable
from socketserver import TCPServer
from typing import Any

from pynetdicom import evt
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import ThreadedAssociationServer

WAITING_TO_BE_ACCEPTED = 256
LOOK_SECONDS, LOOK_SECONDS_BEFORE_REQUEST = 0.001, 0.01
"""pynetdicom's own, and what costs little while a peer says nothing."""


class Listener(ThreadedAssociationServer):
    """Accepts connections; `may_connect` is asked for each, with its address and port, and must not wait."""

    request_queue_size = WAITING_TO_BE_ACCEPTED

    def __init__(self, *arguments: Any, may_connect: Callable[[str, int], bool], **named: Any) -> None:
        self._may_connect = may_connect
        super().__init__(*arguments, **named)
        self.contexts = _Shared(self.contexts)

    def verify_request(self, _request: object, client_address: tuple[Any, ...]) -> bool:
        """Tell whether a connection goes on (see `socketserver`)."""
        host, port = client_address[:2]
        return self._may_connect(host, port)

    def shutdown(self) -> None:
        """Accept no more connections."""
        TCPServer.shutdown(self)  # pynetdicom's own looks for what only its `start_server` has put somewhere
        self.server_close()


class _Shared(list[PresentationContext]):
    def __deepcopy__(self, _copied: dict[int, object]) -> "_Shared":
        return self


def wait_for_request(event: evt.Event) -> None:
    """Look less often while nothing was asked for (EVT_CONN_OPEN)."""
    event.assoc.dul._run_loop_delay = LOOK_SECONDS_BEFORE_REQUEST


def stop_waiting(event: evt.Event) -> None:
    """Look as often as an association needs it (EVT_REQUESTED)."""
    event.assoc.dul._run_loop_delay = LOOK_SECONDS


def give_up_waiting(event: evt.Event) -> None:
    """End the association of a connection that was closed before anything was asked for (EVT_CONN_CLOSE)."""
    if event.assoc.requestor.primitive is None:
        waiting: Any = event.assoc.dul.to_user_queue
        waiting.put(None)  # what it gets when the time is over
