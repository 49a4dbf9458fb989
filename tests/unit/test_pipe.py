"""What a process may say that a hostile picture has taken over: it is late, gone or nonsense, and no more."""

import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from config.peers import ResultKind
from dicom_node.pipe import LONGEST_CONTENTS, MOST_CONTENTS, Pipe
from dicom_node.tasks import OUTCOME, REPORT, Failure, Report, ResultObject
from inference.prediction import Attention, Prediction, Region, Side

LONGEST = 10_000
SEEN = Prediction(0.1 + 0.2, (0.4, 0.6), Attention(1, 2, (1 / 3, 1.0)), (Region(1, 2, 3, 4),), Side.LEFT)
BLANK = b'{"reason":"blank"}'


@pytest.fixture
def ends() -> Iterator[tuple[Pipe, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield Pipe(ours, LONGEST), theirs
    ours.close()
    theirs.close()


def soon() -> float:
    return time.monotonic() + 0.3


def frame(text: bytes, *contents: bytes) -> bytes:
    lengths = b"".join(struct.pack("!Q", len(content)) for content in contents)
    return struct.pack("!II", len(text), len(contents)) + lengths + text + b"".join(contents)


def test_what_is_sent_arrives_as_it_was_with_large_contents(ends: tuple[Pipe, socket.socket]) -> None:
    pipe, theirs = ends
    results = tuple(
        ResultObject(ResultKind.HEATMAP, "1.2", f"1.{size}", "1.4", bytes([size % 256]) * size, ("pacs",))
        for size in (0, 1, 5_000_000)
    )
    other = Pipe(theirs, LONGEST)
    sender = threading.Thread(target=other.send, args=(REPORT, Report(results), None))
    sender.start()
    assert pipe.receive(REPORT, time.monotonic() + 60) == Report(results)
    sender.join()
    for said in (SEEN, Failure("ValueError", ("a:1",))):
        other.send(OUTCOME, said, None)
        assert pipe.receive(OUTCOME, time.monotonic() + 60) == said


@pytest.mark.parametrize(
    "said",
    [
        frame(b"nonsense"),
        frame(b"[" * 9000),
        frame(b'{"reason":"CANARY"}'),
        frame(b'{"reason":"blank","more":1}'),
        frame(BLANK.replace(b"blank", b"blank\xff")),
        frame(b'{"results":[]}'),
        frame(
            b'{"score":7,"uncertain":[0,1],"attention":{"rows":1,"columns":1,"values":[1]},"regions":[],"side":null}'
        ),
        frame(
            b'{"score":NaN,"uncertain":[0,1],"attention":{"rows":1,"columns":1,"values":[1]},"regions":[],"side":null}'
        ),
        struct.pack("!II", LONGEST + 1, 0),
        struct.pack("!II", 10, MOST_CONTENTS + 1),
        struct.pack("!IIQ", 10, 1, LONGEST_CONTENTS + 1),
        struct.pack("!IIQQ", 10, 2, LONGEST_CONTENTS, 1),
    ],
)
def test_an_answer_that_is_none_is_refused_before_it_is_read_to_its_end(
    ends: tuple[Pipe, socket.socket], said: bytes
) -> None:
    pipe, theirs = ends
    theirs.sendall(said)
    with pytest.raises(ValueError):
        pipe.receive(OUTCOME, time.monotonic() + 60)


@pytest.mark.parametrize("number", [-1, 1, 10**30, '"0"', "true", "null"])
def test_a_content_that_was_not_sent_is_refused(ends: tuple[Pipe, socket.socket], number: object) -> None:
    pipe, theirs = ends
    uids = '"sop_class_uid":"1","sop_instance_uid":"2","series_instance_uid":"3"'
    text = f'{{"results":[{{"kind":"heatmap",{uids},"content":{number},"destinations":[]}}]}}'
    theirs.sendall(frame(text.encode(), b"content"))
    with pytest.raises(ValueError):
        pipe.receive(REPORT, time.monotonic() + 60)


@pytest.mark.parametrize("said", [b"", b"\0", frame(BLANK)[:-1], frame(BLANK, b"12")[:-1]])
def test_half_a_frame_is_late_and_then_gone(ends: tuple[Pipe, socket.socket], said: bytes) -> None:
    pipe, theirs = ends
    theirs.sendall(said)
    with pytest.raises(TimeoutError):
        pipe.receive(OUTCOME, soon())
    theirs.close()
    with pytest.raises((EOFError, OSError)):
        pipe.receive(OUTCOME, time.monotonic() + 60)


def test_a_deadline_is_for_all_of_an_answer_that_comes_byte_by_byte(ends: tuple[Pipe, socket.socket]) -> None:
    pipe, theirs = ends
    ended = threading.Event()

    def dribble() -> None:
        for byte in frame(BLANK):
            theirs.sendall(bytes([byte]))
            ended.wait(0.1)

    dribbling = threading.Thread(target=dribble)
    dribbling.start()
    with pytest.raises(TimeoutError):
        pipe.receive(OUTCOME, soon())
    ended.set()
    dribbling.join()


def test_a_question_that_is_not_read_is_late(ends: tuple[Pipe, socket.socket]) -> None:
    pipe, _ = ends
    result = ResultObject(ResultKind.HEATMAP, "1", "2", "3", bytes(10**7), ())
    with pytest.raises(TimeoutError):
        pipe.send(REPORT, Report((result,)), soon())
