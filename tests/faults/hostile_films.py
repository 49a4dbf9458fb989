"""Films that were made to do harm, each with what must become of it: its exact status, or what is said of it."""

import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from tests.builders import chest_film, encoded

CANNOT_UNDERSTAND = 0xC000
ROWS = b"\x28\x00\x10\x00US"
PIXELS = b"\xe0\x7f\x10\x00"
STUDY_UID = b"\x20\x00\x0d\x00UI"
ITEM, ITEM_END, SEQUENCE_END = (
    b"\xfe\xff\x00\xe0",
    b"\xfe\xff\x0d\xe0" + bytes(4),
    b"\xfe\xff\xdd\xe0" + bytes(4),
)
UNDEFINED = b"\xff\xff\xff\xff"


@dataclass(frozen=True, slots=True)
class Hostile:
    """A data set and its transfer syntax; `status` and `comment` of the answer, or the `reason` in the study.

    `reason` None: analysed all the same.
    """

    data_set: bytes
    study: str
    sop_instance: str
    status: int = 0
    comment: str = ""
    reason: str | None = None
    syntax: UID = ExplicitVRLittleEndian


def hostile(name: str) -> Hostile:
    """Make the film of this name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, about what is written
        return FILMS[name](name)


def _hostile(name: str, change: Callable[[bytes], bytes] = bytes, **expected: object) -> Hostile:
    """A film whose encoded data set is changed."""
    attributes = expected.pop("attributes", {})
    film = chest_film(study=f"hostile {name}", **attributes)  # type: ignore[arg-type]
    study, instance = chest_film(study=f"hostile {name}").StudyInstanceUID, film.SOPInstanceUID
    return Hostile(change(data_set_of(encoded(film))), study, instance, **expected)  # type: ignore[arg-type]


def data_set_of(file: bytes) -> bytes:
    """What of a Part 10 file goes over the network."""
    return file[144 + int.from_bytes(file[140:144], "little") :]


def before(mark: bytes, piece: bytes) -> Callable[[bytes], bytes]:
    return lambda content: content.replace(mark, piece + mark, 1)


def in_place_of_pixels(piece: bytes) -> Callable[[bytes], bytes]:
    return lambda content: content[: content.index(PIXELS)] + piece


def squeezed(pieces: list[bytes]) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return b"".join(map(squeeze.compress, pieces)) + squeeze.flush()


def sequence(tag: bytes, depth: int) -> bytes:
    """Sequences in sequences without an end."""
    return (tag + b"SQ\0\0" + UNDEFINED + ITEM + UNDEFINED) * depth


def sized_sequence(tag: bytes, depth: int) -> bytes:
    """The same with lengths."""
    content = b""
    for _ in range(depth):
        item = ITEM + len(content).to_bytes(4, "little") + content
        content = tag + b"SQ\0\0" + len(item).to_bytes(4, "little") + item
    return content


def items(tag: bytes, count: int) -> bytes:
    return tag + b"SQ\0\0" + UNDEFINED + (ITEM + bytes(4)) * count + SEQUENCE_END


def element(tag: bytes, vr: bytes, content: bytes) -> bytes:
    """An element with a length of four bytes."""
    return tag + vr + b"\0\0" + len(content).to_bytes(4, "little") + content


def frames(*fragments: bytes) -> bytes:
    """Encapsulated pixel data (PS3.5 A.4)."""
    content = PIXELS + b"OB\0\0" + UNDEFINED + ITEM + bytes(4)
    for fragment in fragments:
        content += ITEM + len(fragment).to_bytes(4, "little") + fragment
    return content + SEQUENCE_END


def jpeg_2000(rows: int, columns: int) -> bytes:
    """A codestream's header that promises a picture of this size (ITU-T T.800 A.5.1), and nothing more."""
    extent = b"".join(each.to_bytes(4, "big") for each in (columns, rows, 0, 0, columns, rows, 0, 0))
    size = b"\xff\x51" + (41).to_bytes(2, "big") + b"\0\0" + extent + b"\0\1" + b"\x0b\1\1"
    return b"\xff\x4f" + size + b"\xff\xd9\0"


def _uid(keyword: str, value: str) -> Callable[[str], Hostile]:
    comment = f"{keyword} is missing or not a UID"
    return lambda name: _hostile(name, attributes={keyword: value}, status=CANNOT_UNDERSTAND, comment=comment)


def _huge_image(**attributes: object) -> Callable[[str], Hostile]:
    reason = attributes.pop("reason", "too_large")
    return lambda name: _hostile(name, attributes=attributes, reason=reason)


def _refused(change: Callable[[bytes], bytes], comment: str) -> Callable[[str], Hostile]:
    return lambda name: _hostile(name, change, status=CANNOT_UNDERSTAND, comment=comment)


def _kept(change: Callable[[bytes], bytes], reason: str | None, **more: object) -> Callable[[str], Hostile]:
    return lambda name: _hostile(name, change, reason=reason, **more)


DEEP, MANY = "sequences are nested deeper than 32", "more than 100000 elements"
EARLY, LATE = b"\x08\x00\x06\x00", b"\x20\x00\x5f\x92"
ZEROS = [bytes(10_000_000)] * 60

FILMS: dict[str, Callable[[str], Hostile]] = {
    "study UID is a path": _uid("StudyInstanceUID", "../../../etc/passwd"),
    "study UID is the folder above": _uid("StudyInstanceUID", ".."),
    "study UID with a NUL": _uid("StudyInstanceUID", "1.2\0.3"),
    "study UID of 66 characters": _uid("StudyInstanceUID", "1." + "2" * 64),
    "series UID is an absolute path": _uid("SeriesInstanceUID", "/etc/cron.d/x"),
    "other SOP instance than announced": lambda name: _hostile(
        name,
        lambda content: content.replace(
            b"\x08\x00\x18\x00UI", b"\x08\x00\x18\x00UI\x06\x00../../\x08\x00\x19\x00UI"
        ),
        status=CANNOT_UNDERSTAND,
        comment="SOPInstanceUID is missing or not a UID",
    ),
    "element of 4 GB before the UIDs": _refused(
        before(STUDY_UID, b"\x10\x00\x00\x40UT\0\0\xf0\xff\xff\xff"),
        "StudyInstanceUID is missing or not a UID",
    ),
    "element of 4 GB after the UIDs": _kept(
        before(ROWS, b"\x21\x00\x01\x10UN\0\0\xf0\xff\xff\xff"), "no_pixels"
    ),
    "pixels of 4 GB": _kept(
        in_place_of_pixels(PIXELS + b"OW\0\0\xf0\xff\xff\xff" + bytes(1000)), "undecodable_pixels"
    ),
    "nested 10,000 deep before the UIDs": _refused(before(STUDY_UID, sequence(EARLY, 10_000)), DEEP),
    "nested 10,000 deep with lengths before the UIDs": _refused(
        before(STUDY_UID, sized_sequence(EARLY, 10_000)), DEEP
    ),
    "nested 10,000 deep after the UIDs": _kept(before(ROWS, sequence(LATE, 10_000)), "unreadable_file"),
    "nested 10,000 deep with lengths after the UIDs": _kept(
        before(ROWS, sized_sequence(LATE, 10_000)), "unreadable_file"
    ),
    "a million items before the UIDs": _refused(before(STUDY_UID, items(EARLY, 1_000_000)), MANY),
    "a million items after the UIDs": _kept(before(ROWS, items(LATE, 1_000_000)), "unreadable_file"),
    "file meta information in the data set": _refused(
        lambda content: b"\x02\x00\x10\x00UI\x04\x001.2\0" + content, "data set cannot be read"
    ),
    "a command in the data set": _refused(
        lambda content: b"\x00\x00\x00\x00UL\x04\0" + bytes(4) + content, "data set cannot be read"
    ),
    "deflate bomb before the UIDs": lambda name: _hostile(
        name,
        lambda content: squeezed([b"\x08\x00\x01\x00UT\0\0\0\0\0\x70", *ZEROS, content]),
        status=CANNOT_UNDERSTAND,
        comment="SOPClassUID is missing or not a UID",
        syntax=DeflatedExplicitVRLittleEndian,
    ),
    "deflate bomb after the UIDs": lambda name: _hostile(
        name,
        lambda content: squeezed([content[: content.index(PIXELS)], PIXELS, b"OW\0\0\0\0\0\x70", *ZEROS]),
        reason="too_large",
        syntax=DeflatedExplicitVRLittleEndian,
    ),
    "not deflated at all": lambda name: _hostile(
        name,
        status=CANNOT_UNDERSTAND,
        comment="data set cannot be read",
        syntax=DeflatedExplicitVRLittleEndian,
    ),
    "JPEG 2000 of 100,000 x 100,000": lambda name: _hostile(
        name,
        in_place_of_pixels(frames(jpeg_2000(100_000, 100_000))),
        reason="undecodable_pixels",
        syntax=JPEG2000Lossless,
    ),
    "JPEG 2000 of the size of the header and no content": lambda name: _hostile(
        name,
        in_place_of_pixels(frames(jpeg_2000(320, 280))),
        reason="undecodable_pixels",
        syntax=JPEG2000Lossless,
    ),
    "run lengths for gigabytes": lambda name: _hostile(
        name,
        in_place_of_pixels(
            frames((2).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56) + b"\x81\0" * 2_000_000)
        ),
        reason="undecodable_pixels",
        syntax=RLELossless,
    ),
    "image of 65,535 x 65,535": _huge_image(Rows=65535, Columns=65535),
    "a million frames": _huge_image(NumberOfFrames="1000000", reason="multiple_frames"),
    "frames beyond all numbers": _huge_image(NumberOfFrames="999999999999", reason="multiple_frames"),
    "image of 100,000 x 100,000 in four bytes each": _kept(
        lambda content: content.replace(
            content[content.index(ROWS) : content.index(ROWS) + 20],
            b"\x28\x00\x10\x00UL\x04\0\xa0\x86\x01\0\x28\x00\x11\x00UL\x04\0\xa0\x86\x01\0",
        ),
        "too_large",
    ),
    "half of the pixels": _kept(lambda content: content[: -len(content) // 2], "undecodable_pixels"),
    "an odd length": _kept(before(ROWS, b"\x21\x00\x10\x00LO\x03\0ABC"), None),
    "a group length that lies": _kept(before(ROWS, b"\x28\x00\x00\x00UL\x04\0\xff\xff\xff\xff"), None),
    "private elements without a creator": _kept(
        before(
            ROWS,
            b"\x21\x00\x10\x10UN\0\0\x04\0\0\0\xff\xff\xff\xff\x21\x00\xff\xffSQ\0\0"
            + UNDEFINED
            + SEQUENCE_END,
        ),
        None,
    ),
    "a thousand character sets": _huge_image(
        SpecificCharacterSet=["ISO 2022 IR 87", "ISO 2022 IR 149"] * 500, reason=None
    ),
    "a text of escape sequences": _kept(
        before(ROWS, element(b"\x21\x00\x01\x10", b"UT", b"\x1b$B\x1b(B" * 50_000)), None
    ),
}
