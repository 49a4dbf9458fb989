"""Values of a header that may be wrong in any way: what cannot be read is as good as not there.

pydicom converts a value when it is asked for, and raises whatever the conversion raises. Films with such headers are
analysed all the same: radiology's archives are full of them.
"""

import struct
from typing import Any, Final

from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

# What pydicom 3.0.2 raises on values of the wrong length, type, representation or character set.
_MALFORMED: Final = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    NotImplementedError,
    struct.error,
)


def values(dataset: Dataset, keyword: str) -> tuple[Any, ...]:
    """All values of an attribute; none where it is absent, empty or malformed."""
    try:
        value = dataset.get(keyword)
    except _MALFORMED:
        return ()
    if value is None or value == "":
        return ()
    if isinstance(value, MultiValue | Sequence | list | tuple):
        return tuple(value)
    return (value,)


def text(dataset: Dataset, keyword: str) -> str:
    """The first value as text, without blanks around it and in capitals; else empty."""
    for value in values(dataset, keyword)[:1]:
        return str(value).strip(" \0").upper()
    return ""


def number(dataset: Dataset, keyword: str) -> float | None:
    """The first value as a finite number; else None."""
    for value in values(dataset, keyword)[:1]:
        try:
            read = float(value)
        except _MALFORMED:
            return None
        # NaN and infinity can be written in DS by careless software, and equal nothing or too much.
        return read if abs(read) < float("inf") else None
    return None


def whole(dataset: Dataset, keyword: str) -> int | None:
    """The first value as a whole number; else None."""
    read = number(dataset, keyword)
    return None if read is None else int(read)


def items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """The items of a sequence; none where it is absent or malformed."""
    return tuple(item for item in values(dataset, keyword) if isinstance(item, Dataset))
