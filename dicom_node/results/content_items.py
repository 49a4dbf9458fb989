"""Items of a report's content tree (PS3.3 C.17.3), each as the bytes that it has in Explicit VR Little Endian.

A report has a hundred items, of five hundred elements and more. As data sets they take 40 ms to make and to write, as
bytes one: so they are written once, here, and a report holds its whole tree as one undecoded element, which pydicom
decodes where somebody looks into it. Text is ASCII (`wording.plain_text`), fit for any character set.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.tag import Tag
from pydicom.valuerep import format_number_as_ds

from dicom_node.results.codes import code_item

Relationship: TypeAlias = Literal[
    "CONTAINS", "HAS ACQ CONTEXT", "HAS CONCEPT MOD", "HAS OBS CONTEXT", "INFERRED FROM", "SELECTED FROM"
]

_CODE_VALUE = 0x0008, 0x0100
_CODING_SCHEME = 0x0008, 0x0102
_CODE_MEANING = 0x0008, 0x0104
_MAPPING_RESOURCE = 0x0008, 0x0105
_REFERENCED_CLASS = 0x0008, 0x1150
_REFERENCED_INSTANCE = 0x0008, 0x1155
_REFERENCED_OBJECT = 0x0008, 0x1199
_UNITS = 0x0040, 0x08EA
_RELATIONSHIP = 0x0040, 0xA010
_VALUE_TYPE = 0x0040, 0xA040
_CONCEPT_NAME = 0x0040, 0xA043
_CONTINUITY = 0x0040, 0xA050
_UID = 0x0040, 0xA124
_TEXT = 0x0040, 0xA160
_FLOATING_POINT = 0x0040, 0xA161
_CONCEPT = 0x0040, 0xA168
_MEASURED_VALUE = 0x0040, 0xA300
_NUMERIC = 0x0040, 0xA30A
_TEMPLATE = 0x0040, 0xA504
_TEMPLATE_IDENTIFIER = 0x0040, 0xDB00
_CONTENT = 0x0040, 0xA730
_GRAPHIC_DATA = 0x0070, 0x0022
_GRAPHIC_TYPE = 0x0070, 0x0023

_LONG = frozenset((b"SQ", b"UT"))
"""With two reserved bytes and a length of four (PS3.5 table 7.1-1)."""
_PADDING = {b"UI": b"\0"}
_ITEM = 0xFFFE, 0xE000


@dataclass(frozen=True, slots=True)
class Item:
    """A content item with all below it: its bytes, and the SOP Instance UIDs of the images that these point to."""

    content: bytes
    images: frozenset[str] = frozenset()


def text(relationship: Relationship, name: Code, value: str) -> Item:
    """A TEXT item."""
    return _item(relationship, "TEXT", name, _element(_TEXT, b"UT", value.encode("ascii")))


def uid(relationship: Relationship, name: Code, value: str) -> Item:
    """A UIDREF item."""
    return _item(relationship, "UIDREF", name, _element(_UID, b"UI", value.encode("ascii")))


def code(relationship: Relationship, name: Code, value: Code, below: Iterable[Item] = ()) -> Item:
    """A CODE item."""
    return _item(relationship, "CODE", name, _coded(_CONCEPT, value), below=below)


def number(
    relationship: Relationship, name: Code, value: float, unit: Code, below: Iterable[Item] = ()
) -> Item:
    """A NUM item; what is no whole number by its type is told in full precision too (PS3.3 C.18.1)."""
    measured = _coded(_UNITS, unit)
    if isinstance(value, float):
        measured += _element(_FLOATING_POINT, b"FD", struct.pack("<d", value))
    measured += _element(_NUMERIC, b"DS", format_number_as_ds(float(value)).encode("ascii"))
    return _item(relationship, "NUM", name, _sequence(_MEASURED_VALUE, [measured]), below=below)


def polyline(
    relationship: Relationship, name: Code, points: Iterable[tuple[float, float]], below: Iterable[Item]
) -> Item:
    """A SCOORD item: a line through these (column, row) of an image."""
    places = [place for point in points for place in point]
    graphic = _element(_GRAPHIC_DATA, b"FL", struct.pack(f"<{len(places)}f", *places))
    graphic += _element(_GRAPHIC_TYPE, b"CS", b"POLYLINE")
    return _item(relationship, "SCOORD", name, below=below, after=graphic)


def image(
    relationship: Relationship,
    name: Code,
    sop_class_uid: str,
    sop_instance_uid: str,
    below: Iterable[Item] = (),
) -> Item:
    """An IMAGE item."""
    reference = _element(_REFERENCED_CLASS, b"UI", sop_class_uid.encode("ascii"))
    reference += _element(_REFERENCED_INSTANCE, b"UI", sop_instance_uid.encode("ascii"))
    before = _sequence(_REFERENCED_OBJECT, [reference])
    made = _item(relationship, "IMAGE", name, before=before, below=below)
    return Item(made.content, made.images | {sop_instance_uid})


def container(
    relationship: Relationship, name: Code, below: Iterable[Item], template: str | None = None
) -> Item:
    """A CONTAINER item, by a template of PS3.16 where one is named.

    Its items are separate (PS3.3 C.18.8): of continuous ones a viewer prints the values without their names.
    """
    value = _element(_CONTINUITY, b"CS", b"SEPARATE")
    if template is not None:
        identified = _element(_MAPPING_RESOURCE, b"CS", b"DCMR")
        identified += _element(_TEMPLATE_IDENTIFIER, b"CS", template.encode("ascii"))
        value += _sequence(_TEMPLATE, [identified])
    return _item(relationship, "CONTAINER", name, value, below=below)


def write_root(document: Dataset, name: Code, template: str, below: Iterable[Item]) -> frozenset[str]:
    """Make a document the root of a content tree (PS3.3 C.17.3), and return what images it points to."""
    below = list(below)
    document.ValueType = "CONTAINER"
    document.ConceptNameCodeSequence = [code_item(name)]
    document.ContinuityOfContent = "SEPARATE"
    by = Dataset()
    by.MappingResource, by.TemplateIdentifier = "DCMR", template
    document.ContentTemplateSequence = [by]
    tag = Tag(_CONTENT)
    content = _items(item.content for item in below)
    document[tag] = RawDataElement(tag, "SQ", len(content), content, 0, False, True)
    return _images(below)


def _item(
    relationship: Relationship,
    value_type: str,
    name: Code,
    value: bytes = b"",
    *,
    below: Iterable[Item] = (),
    before: bytes = b"",
    after: bytes = b"",
) -> Item:
    """An item's elements in the order of their tags: `value` is what comes between its name and what is below it."""
    below = list(below)
    content = _sequence(_CONTENT, (item.content for item in below)) if below else b""
    head = _head(relationship, value_type, name)
    return Item(b"".join((before, head, value, content, after)), _images(below))


def _images(items: Iterable[Item]) -> frozenset[str]:
    return frozenset[str]().union(*(item.images for item in items))


@cache
def _head(relationship: Relationship, value_type: str, name: Code) -> bytes:
    return (
        _element(_RELATIONSHIP, b"CS", relationship.encode("ascii"))
        + _element(_VALUE_TYPE, b"CS", value_type.encode("ascii"))
        + _coded(_CONCEPT_NAME, name)
    )


@cache
def _coded(tag: tuple[int, int], code: Code) -> bytes:
    """A code as the only item of a sequence (PS3.3 section 8.8)."""
    item = _element(_CODE_VALUE, b"SH", code.value.encode("ascii"))
    item += _element(_CODING_SCHEME, b"SH", code.scheme_designator.encode("ascii"))
    return _sequence(tag, [item + _element(_CODE_MEANING, b"LO", code.meaning.encode("ascii"))])


def _sequence(tag: tuple[int, int], items: Iterable[bytes]) -> bytes:
    return _element(tag, b"SQ", _items(items))


def _items(items: Iterable[bytes]) -> bytes:
    return b"".join(struct.pack("<HHL", *_ITEM, len(item)) + item for item in items)


def _element(tag: tuple[int, int], vr: bytes, value: bytes) -> bytes:
    """An element of even length (PS3.5 sections 7.1.1 and 7.1.2)."""
    if len(value) % 2:
        value += _PADDING.get(vr, b" ")
    head = "<HH2sxxL" if vr in _LONG else "<HH2sH"
    return struct.pack(head, *tag, vr, len(value)) + value
