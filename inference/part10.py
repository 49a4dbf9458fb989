"""Files as they are stored (PS3.10 section 7), opened without trusting what is in them."""

from typing import BinaryIO, Final

from pydicom.uid import UID

from inference.elements import Element, Encoding, elements

TRANSFER_SYNTAX: Final = 0x00020010
LONGEST_VALUE: Final = 1024
"""Bytes that are read of a value; it is seen where one is too long."""

_PREAMBLE: Final = 128  # bytes of whatever its writer liked
_META_GROUP: Final = 0x0002
_MOST_META: Final = 100  # elements; the standard has 17


def read_meta(file: BinaryIO) -> dict[int, bytes]:
    """Read the file meta information, by tag, and leave the file where its data set starts.

    Raises
    ------
    ValueError
        There is none.
    """
    if file.read(_PREAMBLE + 4)[_PREAMBLE:] != b"DICM":
        raise ValueError("no Part 10 file")
    meta: dict[int, bytes] = {}
    start, last = file.tell(), 0
    for element in elements(file, Encoding(is_implicit=False), _MOST_META, 1):
        # in ascending order, each once (PS3.5 7.1): what comes again is the data set's, where it must not stand
        if element.tag >> 16 != _META_GROUP or element.tag <= last:
            break
        meta[element.tag] = read_value(file, element)
        start, last = element.value + element.length, element.tag
    file.seek(start)
    return meta


def syntax_of(meta: dict[int, bytes]) -> UID:
    """The transfer syntax that the meta information names; what it names need not be one."""
    return UID(meta.get(TRANSFER_SYNTAX, b"").decode("ascii", "replace").strip(" \0"))


def read_value(file: BinaryIO, element: Element) -> bytes:
    """The start of an element's value."""
    file.seek(element.value)
    return file.read(min(element.length, LONGEST_VALUE))
