"""The commands of C-STORE as bytes (PS3.7 9.3.1), and the start of the file that a data set is kept in (PS3.10 7.1).

pynetdicom reads and writes each of these by way of a pydicom data set, a millisecond that a sender waits. What is not
as everybody sends it is left to pynetdicom: this module answers None and judges nothing.
"""

import re
import struct

from pydicom.uid import UID
from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID, PYNETDICOM_IMPLEMENTATION_VERSION
from pynetdicom.dimse_primitives import C_STORE

REQUEST, RESPONSE = 0x0001, 0x8001
NO_DATA_SET = 0x0101

# the elements of group 0000 (PS3.7 E.1)
_GROUP_LENGTH, _SOP_CLASS, _COMMAND, _MESSAGE_ID, _RESPONDED_TO = 0x0000, 0x0002, 0x0100, 0x0110, 0x0120
_PRIORITY, _DATA_SET, _STATUS, _COMMENT = 0x0700, 0x0800, 0x0900, 0x0902
_SOP_INSTANCE, _MOVE_TITLE, _MOVE_ID = 0x1000, 0x1030, 0x1031
_NEEDED = frozenset((_SOP_CLASS, _COMMAND, _MESSAGE_ID, _PRIORITY, _DATA_SET, _SOP_INSTANCE))
_KNOWN = _NEEDED | {_GROUP_LENGTH, _MOVE_TITLE, _MOVE_ID}
_NUMBERS = (_COMMAND, _MESSAGE_ID, _PRIORITY, _DATA_SET)
_UID = re.compile(rb"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+\0?")
_LONGEST_UID = 64
_TITLE = re.compile(rb"[ -\[\]-~]{1,16}")


def read_request(content: bytes | bytearray) -> C_STORE | None:
    """Return the request that an encoded command set is; None: it is none, or one that pynetdicom has to look at."""
    values = _elements(content)
    if values is None or not _NEEDED <= values.keys() <= _KNOWN:
        return None
    if any(len(values[element]) != 2 for element in _NUMBERS):
        return None
    command, message_id, priority, data_set = (_number(values[element]) for element in _NUMBERS)
    uids = [values[_SOP_CLASS], values[_SOP_INSTANCE]]
    if command != REQUEST or data_set == NO_DATA_SET or priority > 2 or not all(map(_is_uid, uids)):
        return None
    request = C_STORE()
    request.MessageID = message_id
    request.Priority = priority
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = (
        uid.rstrip(b"\0").decode("ascii") for uid in uids
    )
    title, move_id = values.get(_MOVE_TITLE), values.get(_MOVE_ID)
    if title is not None:
        if not _TITLE.fullmatch(title) or not title.strip():
            return None
        request.MoveOriginatorApplicationEntityTitle = title.decode("ascii").strip()
    if move_id is not None:
        if len(move_id) != 2:
            return None
        request.MoveOriginatorMessageID = _number(move_id)
    return request


def response(request: C_STORE, status: int, comment: str = "") -> bytes:
    """Return the encoded command set that answers a request; the comment has at most 64 characters of ASCII."""
    said = comment.encode("ascii", "replace")
    elements = [
        (_SOP_CLASS, _padded(str(request.AffectedSOPClassUID).encode("ascii"))),
        (_COMMAND, struct.pack("<H", RESPONSE)),
        (_RESPONDED_TO, struct.pack("<H", request.MessageID)),
        (_DATA_SET, struct.pack("<H", NO_DATA_SET)),
        (_STATUS, struct.pack("<H", status)),
        *([(_COMMENT, said + b" " * (len(said) % 2))] if said else []),
        (_SOP_INSTANCE, _padded(str(request.AffectedSOPInstanceUID).encode("ascii"))),
    ]
    content = b"".join(struct.pack("<HHL", 0, element, len(value)) + value for element, value in elements)
    return struct.pack("<HHLL", 0, _GROUP_LENGTH, 4, len(content)) + content


def file_start(request: C_STORE, transfer_syntax: UID) -> bytes:
    """Return preamble, prefix and file meta information of the data set that a request announces: pynetdicom's own."""
    meta = b"".join(
        _meta(element, vr, value)
        for element, vr, value in (
            (0x0001, b"OB", b"\0\1"),
            (0x0002, b"UI", str(request.AffectedSOPClassUID).encode("ascii")),
            (0x0003, b"UI", str(request.AffectedSOPInstanceUID).encode("ascii")),
            (0x0010, b"UI", str(transfer_syntax).encode("ascii")),
            (0x0012, b"UI", str(PYNETDICOM_IMPLEMENTATION_UID).encode("ascii")),
            (0x0013, b"SH", PYNETDICOM_IMPLEMENTATION_VERSION.encode("ascii")),
        )
    )
    return bytes(128) + b"DICM" + _meta(0x0000, b"UL", struct.pack("<L", len(meta))) + meta


def _elements(content: bytes | bytearray) -> dict[int, bytes] | None:
    """The elements of a command set, which is always Implicit VR Little Endian (PS3.7 6.3.1)."""
    values: dict[int, bytes] = {}
    at = 0
    while at < len(content):
        if len(content) - at < 8:
            return None
        group, element, length = struct.unpack_from("<HHL", content, at)
        at += 8
        if group or element in values or length > len(content) - at:
            return None
        values[element] = bytes(content[at : at + length])
        at += length
    return values


def _number(value: bytes) -> int:
    return int.from_bytes(value, "little")


def _is_uid(value: bytes) -> bool:
    return len(value.rstrip(b"\0")) <= _LONGEST_UID and _UID.fullmatch(value) is not None


def _padded(value: bytes) -> bytes:
    return value + b"\0" * (len(value) % 2)


def _meta(element: int, vr: bytes, value: bytes) -> bytes:
    if vr == b"OB":
        return struct.pack("<HH2sHL", 2, element, vr, 0, len(value)) + value
    padded = value + (b" " if vr == b"SH" else b"\0") * (len(value) % 2)
    return struct.pack("<HH2sH", 2, element, vr, len(padded)) + padded
