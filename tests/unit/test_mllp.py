"""Messages over MLLP, to a real receiver and to peers that answer as receivers do on their bad days."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from config.hl7 import Hl7Destination
from config.settings import RetrySettings
from dicom_node.channels.mllp import MllpChannel, control_id
from dicom_node.demo.archive import free_port
from dicom_node.errors import PeerUnreachable, ResultRefused, TransferFailed
from dicom_node.results.worklist_message import build_message
from dicom_node.sender import Sender
from storage.folder import DataFolder
from storage.records import Result
from storage.states import State
from tests.hl7_receiver import Receiver
from tests.instances import NOW, OWNER, analyse, instance, receive, report
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


class TestDelivery:
    """From the outbox to a real receiver."""

    def test_what_arrives_is_what_was_made(self, outbox: DataFolder) -> None:
        receiver = Receiver()
        with receiver.listening(), sender(outbox, receiver, Clock()) as one:
            one.step()
        assert [str(each).encode() for each in receiver.messages] == [CONTENT]
        assert rows(outbox)[0]["state"] == State.DONE
