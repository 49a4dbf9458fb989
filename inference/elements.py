"""The elements of a data set one after another, none of them held: how a stranger's bytes are looked at first.

pydicom 3.0.2 makes an object of a thousand bytes of every empty item, which takes eight in a file, reads a value of
any length into memory and follows nested sequences by recursion. Here a value is never read, only passed over, nested
sequences cost an entry in a list, and both the number of elements and the depth have a limit.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, NamedTuple

from pydicom.datadict import dictionary_VR

UNDEFINED: Final = 0xFFFFFFFF
"""The length of what ends with a delimiter (PS3.5 7.1.1)."""
PIXEL_DATA: Final = 0x7FE00010

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG: Final = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
"""Value representations with two reserved bytes and a length of four (PS3.5 table 7.1-1)."""


class BeyondLimits(ValueError):
    """The data set has more elements, or sequences nested deeper, than is read."""


class Element(NamedTuple):
    """Where an element of the data set lies: `start` is its first byte, `value` that of its value.

    `vr` is empty where the data set does not say it, `depth` is 0 outside of all sequences, and `within` the tag of the
    sequence around it, or 0.
    """

    tag: int
    vr: str
    depth: int
    within: int
    start: int
    value: int
    length: int


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a data set is written."""

    is_implicit: bool
    is_little_endian: bool = True


@dataclass(slots=True)
class _Level:
    """What is being read: the items of a sequence, or the elements of an item or of the data set itself."""

    end: int | None  # None: it ends with a delimiter
    is_items: bool
    is_implicit: bool
    within: int = 0
    is_bytes: bool = False  # items of encapsulated data are no data sets


def elements(file: BinaryIO, encoding: Encoding, most: int, deepest: int) -> Iterator[Element]:
    """Give the elements from the file's position on, those in sequences too, in the order of the file.

    Between two elements the caller may read from the file. What is cut off at its end just ends.

    Raises
    ------
    BeyondLimits
        There are more than `most` elements and items, or a sequence lies deeper than `deepest`.
    ValueError
        Something else stands where an item or an element must.
    """
    order = "<" if encoding.is_little_endian else ">"
    at = file.tell()
    levels = [_Level(None, is_items=False, is_implicit=_is_implicit(file, at, encoding.is_implicit))]
    for _ in range(most):
        while levels[-1].end is not None and at >= levels[-1].end:
            levels.pop()
        level = levels[-1]
        file.seek(at)
        head = file.read(12)
        if len(head) < 8:
            return
        tag = _tag(head, order)
        if level.is_items or tag in (_ITEM_END, _SEQUENCE_END):
            (length,) = struct.unpack_from(order + "L", head, 4)
            at += 8
            at = _follow_item(levels, file, tag, at, length)
            continue
        vr, head_length, length = _representation(head, order, is_implicit=level.is_implicit)
        yield Element(tag, vr, len(levels) // 2, level.within, at, at + head_length, length)
        at += head_length
        is_sequence = vr == "SQ" or length == UNDEFINED or (not vr and _is_sequence(tag))
        if not is_sequence:
            at += length
            continue
        if len(levels) > 2 * deepest:  # a level for the sequence, and one for its item
            raise BeyondLimits(f"sequences are nested deeper than {deepest}")
        end = None if length == UNDEFINED else at + length
        levels.append(
            _Level(end, True, level.is_implicit, tag, is_bytes=vr in ("OB", "OW") or tag == PIXEL_DATA)
        )
    raise BeyondLimits(f"more than {most} elements")


def _follow_item(levels: list[_Level], file: BinaryIO, tag: int, at: int, length: int) -> int:
    """Enter or leave an item or a sequence, and return where to go on."""
    level = levels[-1]
    if tag == _ITEM and level.is_items:
        if level.is_bytes:
            return at + length
        is_implicit = _is_implicit(file, at, level.is_implicit) or level.is_implicit
        end = None if length == UNDEFINED else at + length
        levels.append(_Level(end, is_items=False, is_implicit=is_implicit, within=level.within))
        return at
    if len(levels) > 1 and tag == (_SEQUENCE_END if level.is_items else _ITEM_END):
        levels.pop()
        return at
    raise ValueError("no item or element where one must be")


def _representation(head: bytes, order: str, *, is_implicit: bool) -> tuple[str, int, int]:
    """Return an element's VR, the length of what stands before its value, and that of its value."""
    vr = head[4:6]
    if is_implicit or not (b"AA" <= vr <= b"ZZ"):  # some writers change to Implicit VR in the middle
        return "", 8, struct.unpack_from(order + "L", head, 4)[0]
    if vr not in _LONG:
        return vr.decode("latin-1"), 8, struct.unpack_from(order + "H", head, 6)[0]
    if len(head) < 12:
        raise ValueError("no item or element where one must be")
    return vr.decode("latin-1"), 12, struct.unpack_from(order + "L", head, 8)[0]


def _is_implicit(file: BinaryIO, at: int, announced: bool) -> bool:
    """Whether a data set or item has no VRs, whatever its transfer syntax says; pydicom looks at the same bytes."""
    file.seek(at)
    head = file.read(6)
    if len(head) < 6:
        return announced
    return not all(0x40 < byte < 0x5B for byte in head[4:6])


def _is_sequence(tag: int) -> bool:
    try:
        return dictionary_VR(tag) == "SQ"
    except KeyError:
        return False


def _tag(head: bytes, order: str) -> int:
    group, element = struct.unpack_from(order + "HH", head)
    return int(group) << 16 | int(element)
