"""Archives on their bad days: a line to a real one that misbehaves, and one that answers what it is told to answer."""

import contextlib
import socket
import threading
from enum import Enum, auto

from pynetdicom import AE, StoragePresentationContexts, evt
from pynetdicom.association import Association

from tests.ports import free_port

AE_TITLE = "ARCHIVE"


class Line(Enum):
    """What happens to the bytes between the node and the archive behind the line."""

    GOOD = auto()
    DOWN = auto()
    """Nobody listens."""
    MUTE = auto()
    """The connection is taken, and nothing is ever said."""
    CUT = auto()
    """It ends in the middle of an object."""
    SLOW = auto()
    """A few kilobytes at a time."""
    DEAF = auto()
    """Objects arrive; the answers to them do not."""


class ArchiveLine:
    """A port that leads to the archive at `target`, as its `line` is at the moment."""

    def __init__(self, target: int, line: Line) -> None:
        self.port = free_port()
        self.line = line
        self.pieces = 0
        self._target = target
        self._pace = threading.Event()
        self._listening: socket.socket | None = None
        self._open: list[socket.socket] = []
        if line is not Line.DOWN:
            self._listen()

    def mend(self) -> None:
        """Let everything through from now on; what is open ends."""
        self.line = Line.GOOD
        self.hang_up()
        if self._listening is None:
            self._listen()

    def hang_up(self) -> None:
        """End what is open."""
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Listen no more."""
        self.hang_up()
        if self._listening is not None:
            self._listening.close()

    def _listen(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):  # closed: the test is over
            while True:
                near, _ = listening.accept()
                self._open.append(near)
                if self.line is Line.MUTE:
                    continue
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open.append(far)
                threading.Thread(target=self._to_archive, args=(near, far), daemon=True).start()
                threading.Thread(target=self._to_node, args=(far, near), daemon=True).start()

    def _to_archive(self, near: socket.socket, far: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while part := near.recv(4096):
                passed += len(part)
                self.pieces += 1
                # the request for the association is shorter than this, and every object longer
                if self.line is Line.CUT and passed > 8192:
                    break
                if self.line is Line.SLOW:
                    self._pace.wait(0.02)
                far.sendall(part)
        for connection in (near, far):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _to_node(self, far: socket.socket, near: socket.socket) -> None:
        is_first = True  # the answer to the request for the association
        with contextlib.suppress(OSError):
            while part := far.recv(4096):
                if is_first or self.line is not Line.DEAF:
                    near.sendall(part)
                is_first = False
        with contextlib.suppress(OSError):
            near.shutdown(socket.SHUT_RDWR)


class AnsweringArchive:
    """A Storage SCP that answers every object with `status`, and takes `associations` of them at a time."""

    def __init__(self, status: int = 0x0000, *, takes_objects: bool = True, associations: int = 10) -> None:
        self.port = free_port()
        self.status = status
        self.stored: list[str] = []
        self._somebody: Association | None = None
        self._entity = AE(AE_TITLE)
        self._entity.maximum_associations = associations
        if takes_objects:
            self._entity.supported_contexts = StoragePresentationContexts
        self._entity.add_supported_context("1.2.840.10008.1.1")
        self._server = self._entity.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )

    def be_busy(self) -> None:
        """Have an association of somebody else's open."""
        entity = AE("SOMEBODY")
        # whoever says nothing for a minute would be sent away
        entity.network_timeout = self._entity.network_timeout = None
        entity.add_requested_context("1.2.840.10008.1.1")
        self._somebody = entity.associate("127.0.0.1", self.port, ae_title=AE_TITLE)
        assert self._somebody.is_established

    def mend(self) -> None:
        """Take everything from now on."""
        if self._somebody is not None:
            self._somebody.release()
        self.status = 0x0000
        self._entity.supported_contexts = StoragePresentationContexts
        self._server.contexts = self._entity.supported_contexts

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()

    def _store(self, event: evt.Event) -> int:
        if self.status == 0x0000 or self.status & 0xF000 == 0xB000:
            self.stored.append(str(event.request.AffectedSOPInstanceUID))
        return self.status
