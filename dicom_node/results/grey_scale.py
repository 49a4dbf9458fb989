"""How a film's stored values become grey, taken from its header into a presentation state (PS3.3 C.11, PS3.4 N.2).

A presentation state replaces what the image itself says, so what it lacks would be lost: the modality LUT, the VOI LUT
or window and the polarity are copied. Of several windows a viewer shows the first; so does the state. What is
malformed counts as absent, as it does for `inference.lookup`.
"""

import re

import numpy as np
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from dicom_node.results.source import items_of, text_of, unsigned_short

_DECIMAL = re.compile(r"(?=.{1,16}\Z)[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)
_SHAPES = {"MONOCHROME1": "INVERSE", "MONOCHROME2": "IDENTITY"}
_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
_DESCRIPTOR, _DATA = Tag("LUTDescriptor"), Tag("LUTData")
_ENTRIES = 65536  # what 0 stands for in a LUT Descriptor (PS3.3 C.11.1.1.1)


def grey_scale_of(header: Dataset) -> Dataset | None:
    """What a presentation state says once for all its images: polarity (C.11.6) and modality LUT (C.11.1).

    None where the film is no grey image, to which no presentation state applies.
    """
    shape = _SHAPES.get(text_of(header, "PhotometricInterpretation"))
    if shape is None:
        return None
    scale = Dataset()
    scale.PresentationLUTShape = shape
    table = _table(header, "ModalityLUTSequence")
    slope, intercept = _decimal(header, "RescaleSlope"), _decimal(header, "RescaleIntercept")
    if table is not None:
        table.ModalityLUTType = "US"
        scale.ModalityLUTSequence = [table]
    elif slope is not None and intercept is not None and float(slope):
        scale.RescaleSlope, scale.RescaleIntercept = slope, intercept
        scale.RescaleType = "US"
    return scale


def window_of(header: Dataset) -> Dataset | None:
    """What a presentation state says for each image (C.11.8): its VOI LUT, else its window.

    None where the film has neither: it is then shown over the whole range of its bits.
    """
    window = Dataset()
    table = _table(header, "VOILUTSequence")
    if table is not None:
        window.VOILUTSequence = [table]
        return window
    centre, width = _decimal(header, "WindowCenter"), _decimal(header, "WindowWidth")
    function = text_of(header, "VOILUTFunction")
    if centre is None or width is None:
        return None
    if float(width) < 1 and not (float(width) > 0 and function in ("LINEAR_EXACT", "SIGMOID")):
        return None  # forbidden (C.11.2.1.2)
    window.WindowCenter, window.WindowWidth = centre, width
    if function in _FUNCTIONS:
        window.VOILUTFunction = function
    return window


def _decimal(header: Dataset, keyword: str) -> str | None:
    """The first value, as it was written, so that it is not rounded."""
    first = text_of(header, keyword).split("\\")[0].strip()
    return first if _DECIMAL.fullmatch(first) else None


def _table(header: Dataset, keyword: str) -> Dataset | None:
    """The first LUT of a sequence, its entries in 16 bits; None where descriptor and entries do not fit each other.

    Fewer bits are stretched to 16, since a presentation state's LUT has entries of 8 or 16 (C.11.8).
    """
    if header.original_encoding[1] is False:
        return None  # big endian, retired in 2006: the words of a LUT cannot be told from bytes
    for item in items_of(header, keyword)[:1]:
        descriptor, data = _words(item, _DESCRIPTOR), _words(item, _DATA)
        if len(descriptor) != 6:
            return None
        count = int.from_bytes(descriptor[:2], "little") or _ENTRIES
        bits = int.from_bytes(descriptor[4:], "little")
        packed = bits == 8 and len(data) < 2 * count  # two entries to a word (C.11.1.1.1)
        if not 8 <= bits <= 16 or len(data) < count * (1 if packed else 2):
            return None
        entries = np.frombuffer(data, np.uint8 if packed else "<u2", count).astype(np.uint32)
        if not entries.any():
            return None
        full = 2**bits - 1
        stretched = np.minimum(entries, full) * (2**16 - 1) // full
        table = Dataset()
        signed = unsigned_short(header, "PixelRepresentation") == 1
        _put(table, _DESCRIPTOR, "SS" if signed else "US", descriptor[:4] + (16).to_bytes(2, "little"))
        _put(table, _DATA, "OW", stretched.astype("<u2").tobytes())
        return table
    return None


def _words(item: Dataset, tag: BaseTag) -> bytes:
    """An element's 16-bit words, little endian, whether they were written as numbers or as bytes."""
    value = item.get_item(tag, keep_deferred=True).value if tag in item else b""
    if isinstance(value, bytes):
        return value
    try:
        return b"".join((number % 2**16).to_bytes(2, "little") for number in value or ())
    except (TypeError, AttributeError):  # no whole numbers
        return b""


def _put(table: Dataset, tag: BaseTag, vr: str, value: bytes) -> None:
    table[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
