"""Peers that would fill the memory, start threads or hold a connection for ever: cut off, and the next is served."""

import socket
import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ComputedRadiographyImageStorage
from pynetdicom import AE, build_role
from pynetdicom.association import Association
from pynetdicom.dsutils import encode
from pynetdicom.timer import Timer
from structlog.testing import capture_logs

from config.peers import Source
from config.settings import Settings
from dicom_node import transport
from dicom_node.associations import VERIFICATION
from dicom_node.bounds import LONGEST_MESSAGE, MOST_UNANSWERED
from dicom_node.commitment import STORAGE_COMMITMENT
from dicom_node.receiver import Receiver
from storage import views
from storage.folder import DataFolder
from tests.load import association_request
from tests.peers import wait_for

COMMAND, LAST = 0x01, 0x02  # the bits of a message control header (PS3.8 E.2)
MOST_SENT = 64 * LONGEST_MESSAGE
REPORT = {
    "AffectedSOPClassUID": STORAGE_COMMITMENT,
    "CommandField": 0x0100,
    "AffectedSOPInstanceUID": f"{STORAGE_COMMITMENT}.1",
    "EventTypeID": 1,
}
ECHO = {"AffectedSOPClassUID": VERIFICATION, "CommandField": 0x0030}
STORE = {
    "AffectedSOPClassUID": ComputedRadiographyImageStorage,
    "CommandField": 0x0001,
    "AffectedSOPInstanceUID": "1.2.3",
    "Priority": 0,
}


class Peer:
    """A known source that says what it likes, over an association that was accepted."""

    def __init__(self, host: str, port: int) -> None:
        entity = AE("PACS")
        for each in (VERIFICATION, STORAGE_COMMITMENT, ComputedRadiographyImageStorage):
            entity.add_requested_context(each)
        role = build_role(STORAGE_COMMITMENT, scp_role=True)
        self.association: Association = entity.associate(host, port, ae_title="CXR_NODE", ext_neg=[role])
        assert self.association.is_established
        self._contexts = {cx.abstract_syntax: cx.context_id for cx in self.association.accepted_contexts}

    def say(
        self, sop_class: str, flags: int, content: bytes, context: int | None = None, times: int = 1
    ) -> None:
        """Send one piece of a message, or several such in one PDU."""
        number = self._contexts[sop_class] if context is None else context
        value = (struct.pack(">LBB", len(content) + 2, number, flags) + content) * times
        connected = self.association.dul.socket.socket
        if connected is None:
            raise ConnectionError("pynetdicom has seen the end of the connection")
        connected.sendall(struct.pack(">BBL", 0x04, 0, len(value)) + value)

    def command(self, context: int | None = None, times: int = 1, **elements: object) -> None:
        """Send a whole command that announces a data set, or several such in one PDU."""
        made = Dataset()
        made.CommandGroupLength = 0
        made.MessageID = 1
        made.CommandDataSetType = 1
        for keyword, value in elements.items():
            setattr(made, keyword, value)
        made.CommandGroupLength = len(encode(made, True, True)) - 12
        content = encode(made, True, True)
        self.say(str(elements["AffectedSOPClassUID"]), COMMAND | LAST, content, context, times)

    def is_cut_off(self, seconds: float = 30) -> bool:
        self.association.join(seconds)
        return not self.association.is_alive()


@pytest.fixture(params=["fast", "as pynetdicom comes"])
def receiving(request: pytest.FixtureRequest, folder: DataFolder) -> Iterator[tuple[str, int]]:
    source = Source(name="pacs", ae_title="PACS", hosts=("127.0.0.1",))  # type: ignore[arg-type]
    settings = Settings(sources=(source,), receiver={"port": 0, "network_timeout_seconds": 1.0})  # type: ignore[arg-type]
    receiver = Receiver(settings, folder, lambda: None)
    transport.switch(on=request.param == "fast")
    yield receiver.start()
    receiver.stop()


def is_served(receiving: tuple[str, int]) -> bool:
    association = Peer(*receiving).association
    answer = association.send_c_echo()
    association.release()
    return bool(answer.Status == 0x0000)


def is_refused(said: Callable[[], None], times: int) -> bool:
    """Say the same until the connection ends."""
    try:
        for _ in range(times):
            said()
    except OSError:
        return True
    return False


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def endless_command(peer: Peer) -> None:
    peer.say(VERIFICATION, COMMAND, bytes(100_000))


def endless_data(peer: Peer) -> None:
    peer.say(VERIFICATION, 0, bytes(100_000))


@pytest.mark.parametrize(
    ("announced", "piece"),
    [(None, endless_command), (REPORT, endless_data), (ECHO, endless_data)],
    ids=["command", "event report", "echo"],
)
def test_a_message_without_an_end_is_cut_off_before_it_fills_the_memory(
    receiving: tuple[str, int], announced: dict[str, object] | None, piece: Callable[[Peer], None]
) -> None:
    peer = Peer(*receiving)
    if announced is not None:
        peer.command(**announced)
    assert is_refused(lambda: piece(peer), MOST_SENT // 100_000)
    assert peer.is_cut_off()
    assert is_served(receiving)


@contextmanager
def locked(folder: DataFolder) -> Iterator[None]:
    with closing(sqlite3.connect(folder.database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def test_event_reports_that_do_not_wait_for_their_answers_start_no_thread_each(
    folder: DataFolder, receiving: tuple[str, int]
) -> None:
    peer = Peer(*receiving)
    before = threading.active_count()
    answer = Dataset()
    answer.TransactionUID = "2.25.4711"

    def report() -> None:
        peer.command(**REPORT)
        peer.say(STORAGE_COMMITMENT, LAST, encode(answer, True, True))

    with locked(folder):
        is_refused(report, 20 * MOST_UNANSWERED)
        assert peer.is_cut_off()
        assert threading.active_count() <= before + MOST_UNANSWERED + 1
    assert is_served(receiving)


def test_a_message_that_pynetdicom_cannot_read_leaves_no_file(
    folder: DataFolder, receiving: tuple[str, int]
) -> None:
    peer = Peer(*receiving)
    peer.command(context=77, **STORE)  # a context that was never negotiated
    assert peer.is_cut_off()
    wait_for(lambda: not list(folder.objects.incoming.iterdir()))
    assert is_served(receiving)


def heard_by_stranger(receiving: tuple[str, int], said: bytes) -> bytes:
    """Say something without waiting for an answer, and return what is said to it until the connection ends."""
    heard = b""
    with socket.create_connection(receiving, 30) as connection, suppress(ConnectionError):
        connection.sendall(said)
        while part := connection.recv(4096):
            heard += part
    return heard


def test_who_does_not_wait_for_the_answer_to_its_request_is_counted_and_fills_no_log(
    receiving: tuple[str, int], folder: DataFolder
) -> None:
    request = association_request("STRANGER")
    with capture_logs() as logs:
        for _ in range(20):
            with closing(socket.create_connection(receiving, 30)) as peer, suppress(OSError):
                peer.sendall(2 * request)
                while peer.recv(4096):
                    pass

        def counted() -> int:
            with folder.database.read() as connection:
                refused: dict[str, int] = views.status(connection, time.time())["refused_last_day"]
            return sum(refused.values())

        wait_for(lambda: counted() >= 20)
    assert not [each for each in logs if each["event"] == "message_unreadable"]
    assert is_served(receiving)


def test_a_request_for_an_association_that_no_peer_can_mean_is_not_read(receiving: tuple[str, int]) -> None:
    request = association_request()
    said = request[6:] + 5 * (
        b"\x10\0\xff\xff" + 0xFFFF * b"1"
    )  # application contexts: read, it would be aborted
    assert heard_by_stranger(receiving, request[:2] + struct.pack(">L", len(said)) + said) == b""
    assert is_served(receiving)


@pytest.mark.parametrize("at_once", [1, 20])
def test_a_message_with_several_commands_is_cut_off_and_leaves_no_file_open(
    folder: DataFolder, receiving: tuple[str, int], at_once: int
) -> None:
    assert is_served(receiving)
    before = open_files()
    peer = Peer(*receiving)
    is_refused(lambda: peer.command(times=at_once, **STORE), 20 // at_once)
    assert peer.is_cut_off()
    wait_for(lambda: not list(folder.objects.incoming.iterdir()))
    wait_for(lambda: open_files() <= before + 1)
    assert is_served(receiving)


@pytest.mark.parametrize("size", [0, 2])
def test_a_message_in_tiny_pieces_has_a_time_limit_and_not_one_for_each_piece(
    receiving: tuple[str, int], size: int
) -> None:
    never = threading.Event()
    peer = Peer(*receiving)
    peer.command(**STORE)

    def drip() -> None:
        peer.say(ComputedRadiographyImageStorage, 0, bytes(size))
        never.wait(0.05)

    assert is_refused(drip, 200)
    assert is_served(receiving)


def test_an_association_over_which_nothing_is_said_ends(receiving: tuple[str, int]) -> None:
    peer = Peer(*receiving)
    wait_for(lambda: not peer.association.is_established)
    assert peer.association.is_aborted
    assert is_served(receiving)


def test_a_message_that_is_slow_and_long_is_taken_as_long_as_it_goes_on(receiving: tuple[str, int]) -> None:
    """Twice the time that one PDU may take, for bytes that the slowest line brings in that."""
    never = threading.Event()
    peer = Peer(*receiving)
    peer.command(**STORE)
    for _ in range(20):
        peer.say(ComputedRadiographyImageStorage, 0, bytes(400))
        never.wait(0.1)
    assert peer.association.is_established
    assert not peer.is_cut_off(0.1)


def test_a_pdu_that_comes_byte_by_byte_has_one_time_limit_and_not_one_for_each_byte(
    receiving: tuple[str, int],
) -> None:
    never = threading.Event()
    with socket.create_connection(receiving) as dripping:

        def drip() -> None:
            dripping.sendall(b"\x01")
            never.wait(0.05)

        dripping.sendall(struct.pack(">BBL", 0x01, 0, 10_000))
        assert is_refused(drip, 200)
    assert is_served(receiving)


@pytest.mark.parametrize("hours", [3, -3])
def test_a_clock_that_is_set_neither_ends_nor_prolongs_an_association(
    monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    timer = Timer(60)
    timer.start()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + hours * 3600)
    assert 0 < timer.remaining <= 60
