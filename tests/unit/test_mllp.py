"""Messages over MLLP, to a real receiver and to peers that answer as receivers do on their bad days."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest

from config.hl7 import Hl7Destination
from config.sections import RetrySettings
from dicom_node.channels.channel import Delivered
from dicom_node.channels.mllp import ANSWER_SECONDS, MllpChannel, control_id
from dicom_node.errors import PeerUnreachable, ResultRefused, TransferFailed
from dicom_node.results.worklist_message import build_message
from dicom_node.sender import Sender
from storage import queue
from storage.folder import DataFolder
from storage.records import Result
from storage.schema import deliveries
from storage.states import State
from storage.steps import Step
from tests.hl7_receiver import Receiver
from tests.instances import NOW, OWNER, analyse, instance, receive, report
from tests.ports import free_port
from tests.readings import film, likely, reading
from tests.unit.test_sender import Clock, rows

ELSEWHERE = Hl7Destination(name="ris", host="127.0.0.1", port=1)


def message(key: str = "1") -> bytes:
    made = build_message(reading(film(likely(), key)), ELSEWHERE, is_told=False)
    assert made is not None
    return made


CONTENT = message()
CONTROL_ID = control_id(CONTENT)


def answer(code: str = "AA", about: str = CONTROL_ID, *more: str, line: str = "\r") -> bytes:
    header = "MSH|^~\\&|RIS||DICOM_NODE||20260301||ACK^R01^ACK|1|P|2.5.1"
    return b"\x0b" + line.join((header, f"MSA|{code}|{about}", *more, "")).encode() + b"\x1c\r"


@pytest.fixture
def outbox(folder: DataFolder) -> DataFolder:
    """A data folder with one message that waits for its delivery."""
    receive(folder, instance(), quiet=0.0)
    analyse(folder)
    key = folder.objects.put(CONTENT).key
    report(folder, [Result("hl7_message", "", "2.25.77", "", key)], ("ris",), NOW)
    return folder


@contextmanager
def sender(folder: DataFolder, receiver: Receiver, clock: Clock) -> Iterator[Sender]:
    made = Sender(RetrySettings(), "ris", MllpChannel(receiver.destination()), folder, OWNER, clock=clock)
    yield made
    made.close()


@dataclass
class BadPeer:
    """Reads one message on each connection, says what it is told to, and closes, or holds the connection."""

    answers: list[bytes]
    holds: bool = False

    @contextmanager
    def listening(self) -> Iterator[MllpChannel]:
        over = threading.Event()
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def serve() -> None:
                for said in self.answers:
                    try:
                        connection, _ = listening.accept()
                    except OSError:  # the test has ended
                        return
                    with connection:
                        message = b""
                        while not message.endswith(b"\x1c\r") and (part := connection.recv(65536)):
                            message += part
                        with suppress(OSError):  # the node may have heard enough
                            connection.sendall(said)
                        if self.holds:
                            over.wait(30)

            thread = threading.Thread(target=serve)
            thread.start()
            channel = MllpChannel(ELSEWHERE.model_copy(update={"port": listening.getsockname()[1]}))
            try:
                yield channel
            finally:
                channel.close()
                over.set()
                listening.shutdown(socket.SHUT_RDWR)
                thread.join()


ERROR = "ERR||PID^1^3|204^Unknown key identifier^HL70357|E"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (answer("AE", CONTROL_ID, ERROR), "answered AE, error 204: unknown key identifier"),
        (answer("CE", CONTROL_ID, ERROR), "answered CE, error 204: unknown key identifier"),
        (answer("AE"), "answered AE"),
        # v2.3 to v2.4: a location with its code
        (
            answer("AE", CONTROL_ID, "ERR|OBR^1^3^101&Required field missing&HL70357"),
            "answered AE, error 101: required field missing",
        ),
        (answer("AE", CONTROL_ID, "ERR||OBR^1|Z17^locked^99RIS|E"), "answered AE"),
        (answer("AE", CONTROL_ID, "ERR||PID^1^3|CANARY-4711^unknown^99RIS|E"), "answered AE"),
        (answer("AE", CONTROL_ID, "ERR||OBR^1|patient Doe Jane is unknown|E"), "answered AE"),
        (
            answer("AE", CONTROL_ID, "ERR||OBR^1|207^^HL70357|E|||Doe^Jane"),
            "answered AE, error 207: application internal error",
        ),
    ],
)
def test_a_message_in_error_waits_for_a_person_with_the_code_and_no_word_of_the_patient(
    said: bytes, reason: str
) -> None:
    with BadPeer([said]).listening() as channel, pytest.raises(ResultRefused) as raised:
        channel.send(CONTENT)
    assert raised.value.reason == reason


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (answer("AR"), "answered AR"),
        (answer("CR"), "answered CR"),
        (answer("AR", CONTROL_ID, "ERR||MSH^1^12|203|E"), "answered AR, error 203: unsupported version ID"),
    ],
)
def test_a_message_that_is_rejected_for_other_reasons_is_tried_again(said: bytes, reason: str) -> None:
    with BadPeer([said]).listening() as channel, pytest.raises(TransferFailed) as raised:
        channel.send(CONTENT)
    assert raised.value.reason == reason


@pytest.mark.parametrize(
    "said",
    {
        "accept": answer("AA"),
        "commit accept": answer("CA"),
        "blank lines before it": b"\r\n\r\n" + answer("AA"),
        "line feeds": answer("AA", line="\n"),
        "carriage return and line feed": answer("AA", line="\r\n"),
        "an unknown version": answer("AA").replace(b"2.5.1", b"2.99"),
        "no version": answer("AA").replace(b"2.5.1", b""),
        "other delimiters": b"\x0bMSH#*~\\&#RIS\rMSA#AA#" + CONTROL_ID.encode() + b"\r\x1c\r",
        "in Latin-1": answer("AA", CONTROL_ID, "NTE|1||f\xfcr Sie").decode("utf-8").encode("latin-1"),
        "an error segment for information": answer("AA", CONTROL_ID, "ERR||PID^1|0^Message accepted|I"),
    }.items(),
    ids=lambda case: case[0],
)
def test_an_acknowledgement_of_any_version_is_understood(said: tuple[str, bytes]) -> None:
    with BadPeer([said[1]]).listening() as channel:
        assert channel.send(CONTENT) == Delivered()


@pytest.mark.parametrize(
    "said",
    {
        "of another message": answer("AA", "ANOTHER"),
        "of no message": answer("AA", ""),
        "an error of another message": answer("AE", "ANOTHER"),
        "without MSA": b"\x0bMSH|^~\\&|RIS\r\x1c\r",
        "MSA alone": b"\x0bMSA|AA|" + CONTROL_ID.encode() + b"\r\x1c\r",
        "a code that there is not": answer("OK"),
        "a name for a code": answer("Doe^Jane"),
        "a web page": b"\x0bHTTP/1.1 400 Bad Request\r\n\r\n\x1c\r",
        "the message itself": b"\x0b" + CONTENT + b"\x1c\r",
        "MSH alone": b"\x0bMSH\x1c\r",
        "nothing": b"\x0b\x1c\r",
        "zeros": b"\x0b" + bytes(100) + b"\x1c\r",
    }.items(),
    ids=lambda case: case[0],
)
def test_what_is_no_answer_to_the_message_leaves_it_to_be_sent_again(said: tuple[str, bytes]) -> None:
    with BadPeer([said[1], answer("AA")]).listening() as channel:
        with pytest.raises(TransferFailed) as raised:
            channel.send(CONTENT)
        assert channel.send(CONTENT) == Delivered()
    assert raised.value.reason == (
        "answer is no acknowledgement of this message: whether the message arrived is not known"
    )


@pytest.mark.parametrize(
    ("said", "holds", "reason"),
    [
        (b"", False, "connection closed without an acknowledgement"),
        (answer("AA")[:-1], False, "connection closed without an acknowledgement"),
        (b"", True, "no acknowledgement within 0.3 seconds"),
        (answer("AA")[:-1], True, "no acknowledgement within 0.3 seconds"),
        (answer("AA")[1:], True, "no acknowledgement within 0.3 seconds"),
        (b"\x0b" + b"MSH" * 100_000, True, "answer is too long"),
        (b"HTTP/1.1 " * 100_000, True, "answer is too long"),
    ],
)
def test_an_acknowledgement_that_never_comes_is_awaited_for_so_long_and_no_longer(
    said: bytes, holds: bool, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.channels.mllp.ANSWER_SECONDS", 0.3)
    with BadPeer([said], holds).listening() as channel, pytest.raises(TransferFailed) as raised:
        channel.send(CONTENT)
    assert raised.value.reason == f"{reason}: whether the message arrived is not known"


def test_nobody_at_the_port_is_told_in_words() -> None:
    destination = Hl7Destination(name="ris", host="127.0.0.1", port=free_port())
    with pytest.raises(PeerUnreachable, match="nobody listens at this host and port"):
        MllpChannel(destination).send(CONTENT)
    with pytest.raises(PeerUnreachable, match="host name is not known"):
        MllpChannel(destination.model_copy(update={"host": "no-such-host.invalid"})).send(CONTENT)


def test_messages_go_over_one_connection() -> None:
    receiver = Receiver()
    with receiver.listening():
        channel = MllpChannel(receiver.destination())
        for key in "abc":
            channel.send(message(key))
        # however long the last acknowledgement took
        assert channel._connected().gettimeout() == ANSWER_SECONDS
        channel.close()
    assert (receiver.connections, len(receiver.messages)) == (1, 3)


@pytest.mark.parametrize("unasked", [b"", answer("AA"), b"\x0b"])
def test_a_receiver_that_hangs_up_or_speaks_between_two_messages_costs_nothing(unasked: bytes) -> None:
    with BadPeer([answer("AA") + unasked, answer("AA")]).listening() as channel:
        channel.send(CONTENT)
        wait_for_input(channel)
        assert channel.send(CONTENT) == Delivered()


def wait_for_input(channel: MllpChannel) -> None:
    """Until what the peer did after its answer has arrived."""
    assert channel._socket is not None
    assert select.select([channel._socket], [], [], 10)[0]


class TestDelivery:
    """From the outbox to a real receiver."""

    def test_what_arrives_is_what_was_made(self, outbox: DataFolder) -> None:
        receiver = Receiver()
        with receiver.listening(), sender(outbox, receiver, Clock()) as one:
            one.step()
        assert [str(each).encode() for each in receiver.messages] == [CONTENT]
        assert rows(outbox)[0]["state"] == State.DONE

    def test_a_receiver_that_is_down_gets_it_when_it_is_back(self, outbox: DataFolder) -> None:
        receiver, clock = Receiver(), Clock()
        with sender(outbox, receiver, clock) as one:
            one.step()
            [row] = rows(outbox)
            assert (row["state"], row["reason"]) == (State.QUEUED, "nobody listens at this host and port")
            clock.now += 60
            with receiver.listening():
                one.step()
        assert rows(outbox)[0]["state"] == State.DONE

    def test_after_a_reject_the_same_message_comes_again_under_the_same_control_id(
        self, outbox: DataFolder
    ) -> None:
        receiver, clock = Receiver(codes=["AR", "CR"]), Clock()
        with receiver.listening(), sender(outbox, receiver, clock) as one:
            for state in (State.QUEUED, State.QUEUED, State.DONE):
                one.step()
                assert rows(outbox)[0]["state"] == state
                clock.now += 60
        assert receiver.control_ids() == [CONTROL_ID] * 3
        assert len({str(each) for each in receiver.messages}) == 1

    def test_a_message_in_error_is_not_sent_again_before_a_person_says_so(self, outbox: DataFolder) -> None:
        receiver, clock = Receiver(codes=["AE"]), Clock()
        with receiver.listening(), sender(outbox, receiver, clock) as one:
            one.step()
            [row] = rows(outbox)
            assert (row["state"], row["reason"]) == (State.REJECTED, "answered AE")
            clock.now += 86400
            one.step()
            assert len(receiver.messages) == 1
            with outbox.database.write(Step.BY_HAND) as connection:
                queue.retry_by_hand(connection, deliveries, [int(str(row["id"]))], clock.now)
            one.step()
        assert rows(outbox)[0]["state"] == State.DONE
        assert receiver.control_ids() == [CONTROL_ID] * 2

    def test_a_message_that_is_retried_after_a_later_one_has_arrived_is_not_sent(
        self, outbox: DataFolder
    ) -> None:
        receiver, clock = Receiver(codes=["AE"]), Clock()
        with receiver.listening(), sender(outbox, receiver, clock) as one:
            one.step()
            receive(outbox, instance(2), quiet=0.0)
            analyse(outbox)
            later = Result("hl7_message", "", "2.25.2", "", outbox.objects.put(message("b")).key)
            report(outbox, [later], ("ris",), NOW)
            one.step()
            with outbox.database.write(Step.BY_HAND) as connection:
                queue.retry_by_hand(connection, deliveries, [1], clock.now)
            one.step()
        first, second = rows(outbox)
        assert (first["state"], first["reason"]) == (State.REJECTED, "a later message has arrived")
        assert (second["state"], len(receiver.messages)) == (State.DONE, 2)
