"""A Storage SCU that costs nothing itself: PDUs as bytes over a socket that waits for nobody."""

import socket
import struct
from typing import Self

from pydicom.uid import DigitalXRayImageStorageForPresentation, ImplicitVRLittleEndian

from benchmarks.servers import Server

APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
LONGEST_PDU = 131072
REQUEST, ACCEPTED, DATA, RELEASE, RELEASED = 0x01, 0x02, 0x04, 0x05, 0x06
CONTEXT = 1
COMMAND, LAST = 0x01, 0x02
STORE_REQUEST, DATA_SET_FOLLOWS = 0x0001, 0x0001


class Peer:
    """One association (PS3.8 9.3), for DX images in Implicit VR Little Endian."""

    def __init__(self, to: Server) -> None:
        self._to = to
        self._socket = socket.create_connection(("127.0.0.1", to.port), 30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def associate(self) -> None:
        """Request the association, and require that it is accepted."""
        uids = str(DigitalXRayImageStorageForPresentation), str(ImplicitVRLittleEndian)
        abstract, transfer = (_item(kind, uid.encode()) for kind, uid in zip((0x30, 0x40), uids, strict=True))
        context = _item(0x20, struct.pack(">BBBB", CONTEXT, 0, 0, 0) + abstract + transfer)
        user = _item(0x50, _item(0x51, struct.pack(">L", LONGEST_PDU)) + _item(0x52, b"1.2.3"))
        titles = self._to.ae_title.ljust(16).encode() + b"SENDER".ljust(16)
        fixed = struct.pack(">HH", 1, 0) + titles + bytes(32)
        self._say(REQUEST, fixed + _item(0x10, APPLICATION_CONTEXT) + context + user)
        self._hear(ACCEPTED)

    def store(self, sop_instance_uid: str, content: bytes) -> None:
        """Send one film by C-STORE, and require Success."""
        self._say(DATA, _value(COMMAND | LAST, _store_request(sop_instance_uid)))
        longest = LONGEST_PDU - 6
        for start in range(0, len(content), longest):
            piece = content[start : start + longest]
            self._say(DATA, _value(LAST if start + longest >= len(content) else 0, piece))
        answer = self._hear(DATA)
        status = answer.index(struct.pack("<HHL", 0, 0x0900, 2)) + 8
        assert answer[status : status + 2] == b"\0\0", f"status {answer[status : status + 2].hex()}"

    def release(self) -> None:
        """Release the association."""
        self._say(RELEASE, bytes(4))
        self._hear(RELEASED)

    def _say(self, kind: int, content: bytes) -> None:
        self._socket.sendall(struct.pack(">BBL", kind, 0, len(content)) + content)

    def _hear(self, expected: int) -> bytes:
        kind, _, length = struct.unpack(">BBL", self._read(6))
        content = self._read(length)
        assert kind == expected, f"PDU of type {kind}"
        return content

    def _read(self, count: int) -> bytes:
        content = b""
        while len(content) < count:
            part = self._socket.recv(count - len(content))
            assert part, "closed"
            content += part
        return content


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(content)) + content


def _value(flags: int, content: bytes) -> bytes:
    return struct.pack(">LBB", len(content) + 2, CONTEXT, flags) + content


def _store_request(sop_instance_uid: str) -> bytes:
    """The command (PS3.7 9.3.1.1)."""

    def uid(text: str) -> bytes:
        return text.encode() + b"\0" * (len(text) % 2)

    elements = [
        (0x0002, uid(str(DigitalXRayImageStorageForPresentation))),
        (0x0100, struct.pack("<H", STORE_REQUEST)),
        (0x0110, struct.pack("<H", 1)),
        (0x0700, struct.pack("<H", 0)),
        (0x0800, struct.pack("<H", DATA_SET_FOLLOWS)),
        (0x1000, uid(sop_instance_uid)),
    ]
    content = b"".join(struct.pack("<HHL", 0, element, len(value)) + value for element, value in elements)
    return struct.pack("<HHLL", 0, 0, 4, len(content)) + content
