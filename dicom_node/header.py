"""Reading headers: the few attributes that are needed before an instance is answered, and all of them later.

The identity is read no further than the UIDs of group 0020 and nothing is decoded: a deflated data set is inflated
only so far. The bytes come from the network; whatever they hold ends as identity or as a refusal.
"""

import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from config.sections import LimitsSettings
from dicom_node.character_set import shown
from dicom_node.errors import DataSetRefused
from inference.dicom_file import DEFAULT_LIMITS, open_dicom
from inference.elements import UNDEFINED, BeyondLimits, Element, Encoding, elements
from inference.part10 import read_meta, read_value, syntax_of

CANNOT_UNDERSTAND = 0xC000
DOES_NOT_MATCH = 0xA900
INFLATED_AT_MOST = 4 * 1024 * 1024
LAST_TAG = int(Tag("SeriesInstanceUID"))
Values = dict[int, bytes]
"""By tag: the bytes of a value."""

PRIORITY = int(Tag("RequestedProcedurePriority"))
REQUESTS = int(Tag("RequestAttributesSequence"))
URGENT = frozenset({"STAT", "HIGH"})

CHARACTER_SET = int(Tag("SpecificCharacterSet"))
_META_GROUP = 0x0002
_LONGEST_KEPT = 64 * 1024  # bytes of a value; a name has at most 324
_TAGS = {
    keyword: int(Tag(keyword))
    for keyword in (
        "SOPClassUID",
        "SOPInstanceUID",
        "AccessionNumber",
        "Manufacturer",
        "ManufacturerModelName",
        "StudyDate",
        "PatientID",
        "IssuerOfPatientID",
        "PatientBirthDate",
        "PatientName",
        "SpecificCharacterSet",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "TransferSyntaxUID",
        "ViewPosition",
        "MediaStorageSOPClassUID",
        "MediaStorageSOPInstanceUID",
    )
}
_NEEDED = frozenset(_TAGS.values())
_IDENTIFIER_LENGTH = 64
LONGEST_NAME = 3 * 64 + 2
"""Characters: a name in three ways of writing, with = between them (PS3.5 6.2)."""
_DEVICE = ("Manufacturer", "ManufacturerModelName")
_DATE = re.compile(r"[0-9]{4}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])", re.ASCII)
# Archives hold UIDs with leading zeros in a component; they are illegal and harmless.
_UID = re.compile(r"(?=.{1,64}\Z)[0-9]+(\.[0-9]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a data set says it is. UIDs hold digits and dots only; `accession_number` has at most 64 characters.

    What tells whose it is, and of when, is empty where it is longer than the standard allows, or no date: shortened,
    two patients might be one. `patient_name`, `view_position` and `device` (its manufacturer and model) are for people
    to see: what cannot be shown of them is left out.

    `is_ordered_urgently`: the order behind the image asks for haste, by its Requested Procedure Priority (0040,1003),
    PS3.3 C.4.11; where that cannot be read it asks for none, and the image has its identity all the same.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    accession_number: str
    manufacturer: str
    patient_id: str
    issuer_of_patient_id: str
    patient_birth_date: str
    patient_name: str
    study_date: str
    view_position: str
    device: str
    transfer_syntax_uid: str
    is_ordered_urgently: bool


def is_uid(text: str) -> bool:
    """Tell whether a text from the network may stand where a UID is needed."""
    return _UID.fullmatch(text) is not None


def is_date(text: str) -> bool:
    """Tell whether a text from a header is a DICOM date (YYYYMMDD, PS3.5 section 6.2)."""
    return _DATE.fullmatch(text) is not None


def read_identity(path: Path, limits: LimitsSettings = DEFAULT_LIMITS) -> Identity:
    """Read the identity of the data set in the Part 10 file at `path`.

    Raises
    ------
    DataSetRefused
        With 0xC000 where the data set cannot be read within the limits or has no valid UID where one is needed,
        with 0xA900 where it is not of the SOP class or instance that the C-STORE request named (PS3.4 B.2.3).
    """
    try:
        with _opened(path, limits) as (meta, file, following):
            header, rest = _start(file, following)
            is_ordered_urgently = _is_ordered_urgently(file, rest)
    except BeyondLimits as error:
        raise DataSetRefused(CANNOT_UNDERSTAND, str(error)) from error
    except (ValueError, zlib.error) as error:
        raise DataSetRefused(CANNOT_UNDERSTAND, "data set cannot be read") from error
    identity = Identity(
        sop_class_uid=_uid(header, "SOPClassUID"),
        sop_instance_uid=_uid(header, "SOPInstanceUID"),
        study_instance_uid=_uid(header, "StudyInstanceUID"),
        series_instance_uid=_uid(header, "SeriesInstanceUID"),
        accession_number=_text(header, "AccessionNumber")[:64],
        manufacturer=_text(header, "Manufacturer"),
        patient_id=_identifier(header, "PatientID"),
        issuer_of_patient_id=_identifier(header, "IssuerOfPatientID"),
        patient_birth_date=_date(header, "PatientBirthDate"),
        patient_name=_shown(header, "PatientName")[:LONGEST_NAME],
        study_date=_date(header, "StudyDate"),
        view_position=_shown(header, "ViewPosition")[:16],
        device=" ".join(filter(None, (_shown(header, word)[:64] for word in _DEVICE))),
        transfer_syntax_uid=_uid(meta, "TransferSyntaxUID"),
        is_ordered_urgently=is_ordered_urgently,
    )
    announced = _text(meta, "MediaStorageSOPClassUID"), _text(meta, "MediaStorageSOPInstanceUID")
    if (identity.sop_class_uid, identity.sop_instance_uid) != announced:
        raise DataSetRefused(DOES_NOT_MATCH, "SOP Class or Instance UID differs from the request's")
    return identity


@contextmanager
def _opened(path: Path, limits: LimitsSettings) -> Iterator[tuple[Values, BinaryIO, Iterator[Element]]]:
    """Open a Part 10 file: its meta information, and its data set with the elements in it.

    A deflated data set is its start, inflated.
    """
    with path.open("rb") as file:
        meta = read_meta(file)
        syntax = UID(_uid(meta, "TransferSyntaxUID"))
        content: BinaryIO = file
        if syntax.is_deflated:
            inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            content = io.BytesIO(inflate.decompress(file.read(INFLATED_AT_MOST), INFLATED_AT_MOST))
        encoding = Encoding(syntax.is_implicit_VR, syntax.is_little_endian)
        yield meta, content, elements(content, encoding, limits.header_elements, limits.sequence_depth)


def _start(file: BinaryIO, following: Iterator[Element]) -> tuple[Values, Iterator[Element]]:
    """Return what is needed of a data set's start, and the other elements."""
    values: Values = {}
    for element in following:
        if element.depth:
            continue
        if element.tag >> 16 <= _META_GROUP:
            raise ValueError("a command or file meta information in the data set")
        if element.tag > LAST_TAG:
            return values, chain([element], following)
        if element.tag in _NEEDED and element.length != UNDEFINED:
            values[element.tag] = read_value(file, element)
    return values, iter(())


def _is_ordered_urgently(file: BinaryIO, following: Iterator[Element]) -> bool:
    try:
        for element in following:
            if not element.depth and element.tag > PRIORITY:
                return False
            is_of_order = element.depth == 0 or (element.depth == 1 and element.within == REQUESTS)
            if is_of_order and element.tag == PRIORITY and _is_urgent(file, element):
                return True
    except ValueError:
        return False
    return False


def _is_urgent(file: BinaryIO, element: Element) -> bool:
    return _text_of(read_value(file, element)).upper() in URGENT


def read_header(path: Path, limits: LimitsSettings = DEFAULT_LIMITS) -> Dataset:
    """Return the data set at `path` up to its pixel data; where it is broken or beyond the limits, its start.

    The receiver has read the start of every stored file, so this finds at least the study that it belongs to.
    """
    try:
        return open_dicom(path, header_only=True, limits=limits)
    except Exception:  # noqa: BLE001 - as above: a broken file still gets its report, from what can be read
        return _read_start(path, limits)


def _read_start(path: Path, limits: LimitsSettings) -> Dataset:
    """The elements up to the UIDs as they are, without the sequences: pydicom fails on a character set that is none."""
    start = Dataset()
    with _opened(path, limits) as (meta, file, header):
        syntax = syntax_of(meta)
        for element in header:
            if not element.depth and element.tag > LAST_TAG:
                break
            if element.depth or element.vr == "SQ" or element.length > _LONGEST_KEPT:
                continue
            file.seek(element.value)
            start[element.tag] = RawDataElement(
                BaseTag(element.tag),
                element.vr or None,
                element.length,
                file.read(element.length),
                element.value,
                syntax.is_implicit_VR,
                syntax.is_little_endian,
            )
    try:
        start.get("SOPInstanceUID")  # whatever is asked for, pydicom looks at the character set first
    except Exception:  # noqa: BLE001 - as above
        del start[CHARACTER_SET]
    return start


def _uid(header: Values, keyword: str) -> str:
    value = _text(header, keyword)
    if not is_uid(value):
        raise DataSetRefused(CANNOT_UNDERSTAND, f"{keyword} is missing or not a UID")
    return value


def _text(header: Values, keyword: str, encoding: str = "ascii") -> str:
    """Return an element's raw value as text; bytes outside ASCII do not matter for most of what is read here."""
    return _text_of(header.get(_TAGS[keyword], b""), encoding)


def _text_of(value: bytes, encoding: str = "ascii") -> str:
    return value.decode(encoding, "replace").strip(" \0")


def _shown(header: Values, keyword: str) -> str:
    return shown(header.get(_TAGS[keyword], b""), _text(header, "SpecificCharacterSet"))


def _identifier(header: Values, keyword: str) -> str:
    # Latin-1 has a character for each byte: two identifiers are the same only where all their bytes are
    text = _text(header, keyword, "latin-1")
    return text if len(text) <= _IDENTIFIER_LENGTH else ""


def _date(header: Values, keyword: str) -> str:
    text = _text(header, keyword)
    return text if is_date(text) else ""
