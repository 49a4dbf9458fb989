"""What a compressed frame says of itself, compared with what the header says.

GDCM 3.2.6 aborts the whole process on a JPEG-LS frame that is larger or smaller than its header tells, and fills up a
frame that was cut off with grey, without a word. So frames are looked at first; it is also how a small file is kept
from asking for gigabytes.
"""

import struct
from dataclasses import dataclass
from typing import Final

_START_OF_IMAGE: Final = b"\xff\xd8"
_END_OF_IMAGE: Final = b"\xff\xd9"  # of JPEG 2000 too
_FILLING: Final = b"\0\xff"  # what encoders bring a frame to an even length with
_J2K_START: Final = b"\xff\x4f\xff\x51"
_J2K_HEADERS: Final = 4096  # bytes within which a JP2 wrapper ends, if there is one
# Start of frame: of JPEG (ITU-T T.81 table B.1, without DHT, JPG and DAC) and of JPEG-LS (T.87).
_START_OF_FRAME: Final = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
# Markers that stand alone, and start of scan: none comes before the frame header, and decoders differ in what they make
# of one that does, so that they might see another frame than is read here.
_NEVER_BEFORE_IT: Final = frozenset({0x00, 0x01, *range(0xD0, 0xDB)})


@dataclass(frozen=True, slots=True)
class Frame:
    """Size, channels and bits of a compressed frame; `coding` is the marker of a JPEG frame, 0 of JPEG 2000."""

    rows: int
    columns: int
    samples: int
    bits: int
    coding: int = 0


def read_frame(stream: bytes) -> Frame:
    """Read the frame header of JPEG, JPEG-LS or JPEG 2000.

    Raises
    ------
    ValueError
        The stream is none of these, or was cut off.
    """
    if not stream.rstrip(_FILLING).endswith(_END_OF_IMAGE):
        raise ValueError("the stream was cut off")
    try:
        return _jpeg(stream) if stream.startswith(_START_OF_IMAGE) else _jpeg_2000(stream)
    except (IndexError, struct.error) as error:
        raise ValueError("the stream ends before its frame header") from error


def _jpeg(stream: bytes) -> Frame:
    at = len(_START_OF_IMAGE)
    while True:
        if stream[at] != 0xFF:
            raise ValueError("no marker where one must be")
        while stream[at] == 0xFF:  # markers may be preceded by fill bytes
            at += 1
        marker, (length,) = stream[at], struct.unpack_from(">H", stream, at + 1)
        if marker in _START_OF_FRAME:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", stream, at + 3)
            return Frame(rows, columns, samples, bits, marker)
        if marker in _NEVER_BEFORE_IT:
            raise ValueError("a marker that does not come before a frame header")
        at += 1 + length


def _jpeg_2000(stream: bytes) -> Frame:
    at = stream.find(_J2K_START, 0, _J2K_HEADERS)
    if at < 0:
        raise ValueError("neither JPEG nor JPEG 2000")
    # SIZ (ITU-T T.800 A.5.1): length, capabilities, extent and offset of the image, four values of tiles, channels.
    right, bottom, left, top = struct.unpack_from(">4I", stream, at + 8)
    samples, depth = struct.unpack_from(">HB", stream, at + 40)
    return Frame(bottom - top, right - left, samples, (depth & 0x7F) + 1)
