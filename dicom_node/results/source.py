"""What is taken from a radiograph's header into a result.

Patient and study attributes are copied as the bytes that came in, never decoded and encoded again: a name in a
character set that its header does not announce is copied as it is, and the archive files the result beside the
radiograph. What the node itself needs to know (UIDs, sizes) is read leniently and never raises.
"""

import re
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TypeAlias

from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import STR_VR, VR

from dicom_node.header import is_uid
from dicom_node.results.modules import EMPTY_WHERE_UNKNOWN, PATIENT_AND_STUDY

_Encoding: TypeAlias = str | list[str]

_DIRECTIONS = re.compile(r"[APRLHF]{1,3}")
_POSITIVE = re.compile(r"[1-9]\d{0,8}", re.ASCII)
_OFFSET = re.compile(r"([+-])(\d\d)([0-5]\d)")
_REPRESENTATIONS = frozenset(VR)
_BINARY_NUMBERS = {
    VR.AT,
    VR.FD,
    VR.FL,
    VR.OD,
    VR.OF,
    VR.OL,
    VR.OV,
    VR.OW,
    VR.SL,
    VR.SS,
    VR.SV,
    VR.UL,
    VR.US,
    VR.UV,
}


@dataclass(frozen=True, slots=True)
class ImageReference:
    """How an image is named by other objects."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str

    def item(self) -> Dataset:
        """The reference as an item of a sequence (SOP Instance Reference Macro, PS3.3 table 10-11)."""
        item = Dataset()
        item.ReferencedSOPClassUID = self.sop_class_uid
        item.ReferencedSOPInstanceUID = self.sop_instance_uid
        return item


# pydicom 3.0.2 converts an empty element when it is got, and raises on a VR that it does not know: keep_deferred.


def copy_patient_and_study(header: Dataset, result: Dataset) -> None:
    """Copy the Patient, Clinical Trial and Study modules (PS3.3 C.7.1.1, C.7.1.3, C.7.2.1 to C.7.2.3)."""
    copy_elements(header, result, ("SpecificCharacterSet", *PATIENT_AND_STUDY))
    add_empty(result, EMPTY_WHERE_UNKNOWN)


def copy_elements(header: Dataset, result: Dataset, keywords: Iterable[str]) -> None:
    """Copy the elements of these keywords, where the header has them, with their bytes as they are."""
    encoding = _encoding_of(header)
    for keyword in keywords:
        tag = tag_for_keyword(keyword)
        if tag is not None and tag in header:
            element = _copied(header.get_item(tag, keep_deferred=True), encoding)
            if element is not None:
                result[tag] = element
    _keep_bytes(result, encoding)


def add_empty(result: Dataset, keywords: Iterable[str]) -> None:
    """Write type 2 attributes, which are there even where nobody knows their value, if they are not there yet."""
    for keyword in keywords:
        if keyword not in result:
            tag = tag_for_keyword(keyword) or 0
            vr = dictionary_VR(tag)
            result.add_new(tag, vr, [] if vr == VR.SQ else "")


def new_item(header: Dataset) -> Dataset:
    """An empty item for a result's sequence, to copy elements of `header` to."""
    return Dataset(parent_encoding=_encoding_of(header))


def items_of(header: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence as copies; none where the header's element is no readable sequence."""
    holder = new_item(header)
    copy_elements(header, holder, [keyword])
    if keyword not in holder or holder.get_item(keyword).VR != VR.SQ:
        return []
    return list(holder[keyword].value)


def text_of(header: Dataset, keyword: str) -> str:
    """An element's value as text, without leaving a trace in the header; empty where there is none.

    For attributes of the default character repertoire: other bytes come out as Latin-1.
    """
    if keyword not in header:
        return ""
    value = header.get_item(keyword, keep_deferred=True).value
    if isinstance(value, bytes):
        text = value.decode("latin-1")
    elif isinstance(value, str | int | float):
        text = str(value)
    else:
        text = "\\".join(str(part) for part in value or ())
    return text.strip(" \0")


def reference_to(header: Dataset) -> ImageReference | None:
    """The image's UIDs; None where one is missing or is no UID, since then no object can name the image."""
    uids = [
        text_of(header, keyword)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
    ]
    return ImageReference(*uids) if all(map(is_uid, uids)) else None


def size_of(header: Dataset) -> tuple[int, int] | None:
    """Rows and columns; None where the header does not say."""
    rows, columns = unsigned_short(header, "Rows"), unsigned_short(header, "Columns")
    return (rows, columns) if rows and columns else None


def orientation_of(header: Dataset) -> tuple[str, str] | None:
    """Patient Orientation: where the rows and the columns run to; None where absent or senseless."""
    directions = [part.strip() for part in text_of(header, "PatientOrientation").split("\\")]
    if len(directions) != 2 or not all(_DIRECTIONS.fullmatch(part) for part in directions):
        return None
    return directions[0], directions[1]


def unsigned_short(header: Dataset, keyword: str) -> int:
    """A number of 16 bits; 0 where absent or senseless."""
    if keyword not in header:
        return 0
    element = header.get_item(keyword, keep_deferred=True)
    if isinstance(element, RawDataElement) and element.VR in (VR.US, None) and len(element.value or b"") == 2:
        return int.from_bytes(element.value or b"", "little" if element.is_little_endian else "big")
    text = text_of(header, keyword)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 0


def spacing_of(header: Dataset) -> list[float] | None:
    """Imager Pixel Spacing (0018,1164) in millimetres, rounded to what its 16 characters hold; None where senseless."""
    try:
        values = [round(float(part), 6) for part in text_of(header, "ImagerPixelSpacing").split("\\")]
    except ValueError:
        return None
    return values if len(values) == 2 and all(0 < value < 1000 for value in values) else None


def aspect_ratio_of(header: Dataset) -> list[str] | None:
    """Pixel Aspect Ratio (0028,0034), vertical and horizontal; None where absent or senseless."""
    parts = [part.strip() for part in text_of(header, "PixelAspectRatio").split("\\")]
    return parts if len(parts) == 2 and all(_POSITIVE.fullmatch(part) for part in parts) else None


def time_zone_of(header: Dataset) -> timezone | None:
    """The zone of the header's dates and times, Timezone Offset From UTC (PS3.3 C.12.1.1.8)."""
    match = _OFFSET.fullmatch(text_of(header, "TimezoneOffsetFromUTC"))
    if match is None:
        return None
    minutes = int(match[2]) * 60 + int(match[3])
    if minutes > 14 * 60:
        return None
    return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))


def local_time(header: Dataset, moment: datetime) -> datetime:
    """`moment` on the clock that the header's own times are read from; where it names none, on this machine's."""
    return moment.astimezone(time_zone_of(header))


def _copied(
    element: DataElement | RawDataElement, encoding: _Encoding
) -> DataElement | RawDataElement | None:
    """A copy that explicit VR little endian can hold, with the same bytes; None where there is no such thing."""
    if isinstance(element, DataElement):
        if element.VR == VR.SQ:
            return _sequence(element, element.value, encoding)
        return deepcopy(element)
    vr = _representation(element)
    if vr == VR.SQ:
        return _parsed_sequence(element, encoding)
    if vr in _BINARY_NUMBERS and not element.is_little_endian:
        return convert_raw_data_element(element._replace(VR=vr))
    value = element.value or b""
    if len(value) % 2:  # every value has an even length (PS3.5 section 7.1.1)
        value += b" " if vr in STR_VR and vr != VR.UI else b"\0"
    return RawDataElement(element.tag, vr, len(value), value, 0, False, True)


def _representation(element: RawDataElement) -> str:
    """The value representation to write: the dictionary's, unless the bytes were written as another kind of thing."""
    written = element.VR if element.VR in _REPRESENTATIONS else VR.UN
    if not dictionary_has_tag(element.tag):
        return str(written)
    known = dictionary_VR(element.tag)
    if written == VR.UN or (written in STR_VR and known in STR_VR):
        return known if len(known) == 2 else str(VR.UN)
    return str(written)


def _parsed_sequence(element: RawDataElement, encoding: _Encoding) -> DataElement | None:
    try:
        parsed = convert_raw_data_element(element._replace(VR=VR.SQ), encoding=encoding)
        return _sequence(parsed, parsed.value, encoding)
    except Exception:  # noqa: BLE001 - pydicom raises anything on foreign bytes; no reader could follow them
        return None


def _sequence(element: DataElement, items: Iterable[Dataset], encoding: _Encoding) -> DataElement:
    copies = []
    for item in items:
        copy = Dataset(parent_encoding=encoding)
        own = encoding
        for tag in sorted(item.keys()):  # the character set, if an item has its own, comes before its texts
            copied = _copied(item.get_item(tag, keep_deferred=True), own)
            if copied is not None:
                copy[tag] = copied
            if tag == 0x00080005:
                own = _encoding_of(copy)
        _keep_bytes(copy, own)
        copies.append(copy)
    return DataElement(element.tag, VR.SQ, Sequence(copies))


def _encoding_of(dataset: Dataset) -> _Encoding:
    """The encoding of the data set's texts, which an item inherits; pydicom has no public name for it."""
    return dataset._character_set


def _keep_bytes(dataset: Dataset, encoding: _Encoding) -> None:
    """Have pydicom 3.0 write raw elements as they are; without this it decodes and encodes them again."""
    dataset.set_original_encoding(False, True, encoding)
