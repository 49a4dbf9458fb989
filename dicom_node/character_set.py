"""Text as it is written in a header: in the Specific Character Set that the header names (PS3.5 6.1)."""

import warnings

from pydicom.charset import default_encoding, python_encoding
from pydicom.valuerep import PersonName

_ESCAPE = 0x1B


def shown(value: bytes, character_set: str) -> str:
    """Return a name, or another short text, for people to see.

    Whatever the bytes are it returns: in a character set that nobody knows they are Latin-1, as pydicom 3.0 takes them,
    what is no character is U+FFFD, and what cannot be seen is left out.
    """
    if value.isascii() and _ESCAPE not in value:
        text = value.decode("ascii")
    else:
        text = _decoded(value, [python_encoding.get(term.strip(), "") for term in character_set.split("\\")])
    return "".join(filter(str.isprintable, text)).strip()


def _decoded(value: bytes, encodings: list[str]) -> str:
    first = encodings[0] or default_encoding
    if _ESCAPE not in value:
        return value.decode(first, "replace")
    # pydicom knows what each escape sequence begins, and warns where it does not; a running node is silent anyhow
    with warnings.catch_warnings(action="ignore"):
        return str(PersonName(value, [first, *filter(None, encodings[1:])]))
