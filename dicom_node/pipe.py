"""What the node and its analysing process say to each other, as frames of a pipe.

A frame is a message as JSON, which is validated on arrival, with large contents as they are beside it. The other end
may be a process that a hostile picture has taken over: nothing that it says is unpickled, every length is bounded,
and a deadline is for the whole frame, also where it comes byte by byte.
"""

import socket
import struct
import time
from typing import Annotated, TypeAlias, TypeVar

from pydantic import PlainSerializer, PlainValidator, SerializationInfo, TypeAdapter, ValidationInfo

MOST_CONTENTS = 1000
"""Objects and messages of a report: one of each kind, and one for each [[hl7]] destination."""
LONGEST_CONTENTS = 1024**3
"""All of them together; the heatmap picture of the largest film that is decoded has 300 MB."""

_LENGTHS = struct.Struct("!II")  # of the JSON, and how many contents there are, whose lengths follow
_LENGTH = struct.Struct("!Q")

Message = TypeVar("Message")


def _beside(content: bytes, info: SerializationInfo[list[bytes]]) -> int:
    """Put a content beside the JSON, which says only which one it is."""
    contents = info.context
    contents.append(content)
    return len(contents) - 1


def _from_beside(written: object, info: ValidationInfo[list[bytes]]) -> bytes:
    if not isinstance(written, int) or not 0 <= written < len(info.context):
        raise ValueError("must be the number of a content")
    return info.context[written]


Content: TypeAlias = Annotated[bytes, PlainSerializer(_beside), PlainValidator(_from_beside)]
"""Bytes in a message that are too many for JSON."""


class Pipe:
    """One end of a connection between two processes of this machine.

    Parameters
    ----------
    longest_json
        Bytes of a message that the other end may send, without its contents.
    """

    def __init__(self, end: socket.socket, longest_json: int) -> None:
        self._end = end
        self._longest_json = longest_json

    def close(self) -> None:
        """Let the other end read that nobody is here any more."""
        self._end.close()

    def send(self, kind: TypeAdapter[Message], message: Message, deadline: float | None) -> None:
        """Send a message until `deadline` (time.monotonic); None waits for ever for an end that does not read.

        Raises
        ------
        TimeoutError
            The other end did not take it in time.
        OSError
            Nobody is at the other end.
        """
        contents: list[bytes] = []
        text = kind.dump_json(message, context=contents)
        lengths = b"".join(_LENGTH.pack(len(content)) for content in contents)
        for part in (_LENGTHS.pack(len(text), len(contents)) + lengths + text, *contents):
            self._end.settimeout(_until(deadline))
            self._end.sendall(part)

    def receive(self, kind: TypeAdapter[Message], deadline: float | None) -> Message:
        """Wait for a message of this kind until `deadline` (time.monotonic); None: for ever.

        Raises
        ------
        TimeoutError
            It is not here as a whole in time.
        EOFError, OSError
            Nobody is at the other end.
        ValueError
            It is longer than it may be, or not of this kind.
        """
        length, count = _LENGTHS.unpack(self._read(_LENGTHS.size, deadline))
        if length > self._longest_json or count > MOST_CONTENTS:
            raise ValueError("a message is longer than it may be")
        lengths = [each for (each,) in _LENGTH.iter_unpack(self._read(count * _LENGTH.size, deadline))]
        if sum(lengths) > LONGEST_CONTENTS:
            raise ValueError("the contents of a message are longer than they may be")
        text = self._read(length, deadline)
        contents = [self._read(each, deadline) for each in lengths]
        return kind.validate_json(text, strict=True, extra="forbid", context=contents)

    def _read(self, length: int, deadline: float | None) -> bytes:
        parts = bytearray(length)
        left = memoryview(parts)
        while left:
            self._end.settimeout(_until(deadline))
            read = self._end.recv_into(left)
            if not read:
                raise EOFError
            left = left[read:]
        return bytes(parts)


def _until(deadline: float | None) -> float | None:
    """Return for how many seconds to wait. Raises TimeoutError when it is past."""
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
