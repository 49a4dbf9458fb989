"""Headers that real archives hold and no standard allows: a table of cases, each a change to a good header.

`sources_own` names the attributes whose faults are copied from the source as they are, since a result must say of the
patient what the radiograph says; a validator may complain of these in the result, and of nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

Change = Callable[[Dataset], None]


@dataclass(frozen=True, slots=True)
class Case:
    change: Change
    sources_own: tuple[str, ...] = ()


def put(header: Dataset, keyword: str, value: bytes, vr: str | None = None) -> None:
    """Put an element into the header as pydicom delivers it from a file: undecoded."""
    tag = BaseTag(tag_for_keyword(keyword) or 0)
    vr = vr or dictionary_VR(tag)
    header[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)


def has(keyword: str, value: bytes, vr: str | None = None) -> Change:
    return lambda header: put(header, keyword, value, vr)


def lacks(*keywords: str) -> Change:
    def change(header: Dataset) -> None:
        for keyword in keywords:
            del header[keyword]

    return change


def both(*changes: Change) -> Change:
    def change(header: Dataset) -> None:
        for part in changes:
            part(header)

    return change


def _private(header: Dataset) -> None:
    block = header.private_block(0x0011, "SCANNER WORKS", create=True)
    block.add_new(0x01, "LO", "secret of the maker")
    group = Tag(0x00111002)
    header[group] = RawDataElement(group, "UN", 4, b"\xff\x00\xff\x00", 0, False, True)


def _two_requests(header: Dataset) -> None:
    second = Dataset()
    second.RequestedProcedureID = "RP78"
    second.ScheduledProcedureStepID = "SPS78"
    header.RequestAttributesSequence.append(second)


def _empty_item(keyword: str) -> Change:
    return lambda header: setattr(header, keyword, [Dataset()])


def _table(entries: int, bits: int, data: bytes) -> Change:
    def change(header: Dataset) -> None:
        item = Dataset()
        item.add_new("LUTDescriptor", "US", [entries, 0, bits])
        item.add_new("LUTData", "OW", data)
        header.VOILUTSequence = [item]

    return change


_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
)
_UN_ITEM = b"\xfe\xff\x00\xe0\x0e\x00\x00\x00" + b"\x10\x00\x20\x00\x06\x00\x00\x00OTHER1"

CASES = {
    **{f"no {keyword}": Case(lacks(keyword)) for keyword in _TYPE_2},
    "no type 2 attribute at all": Case(lacks(*_TYPE_2)),
    "no StudyInstanceUID": Case(lacks("StudyInstanceUID")),
    "no SeriesInstanceUID": Case(lacks("SeriesInstanceUID")),
    "no SOPInstanceUID": Case(lacks("SOPInstanceUID")),
    "no SOPClassUID": Case(lacks("SOPClassUID")),
    "no Modality": Case(lacks("Modality")),
    "no size": Case(lacks("Rows", "Columns")),
    "size as text": Case(both(has("Rows", b"320 ", "IS"), has("Columns", b"280 ", "IS"))),
    "size as senseless text": Case(has("Rows", b"tall", "IS")),
    "UIDs with leading zeros": Case(has("SeriesInstanceUID", b"1.2.840.01.007"), ("SeriesInstanceUID",)),
    "SOPInstanceUID that is no UID": Case(has("SOPInstanceUID", b"film one")),
    "sex in small letters": Case(has("PatientSex", b"m "), ("PatientSex",)),
    "sex in full": Case(has("PatientSex", b"WEIBLICH"), ("PatientSex",)),
    "birth date of zeros": Case(has("PatientBirthDate", b"00000000"), ("PatientBirthDate",)),
    "birth date with dashes": Case(has("PatientBirthDate", b"1956-07-04"), ("PatientBirthDate",)),
    "birth date as a number": Case(has("PatientBirthDate", b"\x01\x02", "US"), ("PatientBirthDate",)),
    "study date of words": Case(has("StudyDate", b"yesterday "), ("StudyDate",)),
    "study time of words": Case(has("StudyTime", b"noon"), ("StudyTime",)),
    "age without unit": Case(has("PatientAge", b"69"), ("PatientAge",)),
    "age as a number": Case(has("PatientAge", b"\x45\x00", "US"), ("PatientAge",)),
    "weight of words": Case(has("PatientWeight", b"heavy "), ("PatientWeight",)),
    "no orientation": Case(lacks("PatientOrientation")),
    "orientation of one value": Case(has("PatientOrientation", b"FP")),
    "orientation of three values": Case(has("PatientOrientation", b"L\\F\\A ")),
    "orientation of words": Case(has("PatientOrientation", b"LEFT\\FOOT ")),
    "no pixel spacing": Case(lacks("ImagerPixelSpacing")),
    "pixel spacing of words": Case(has("ImagerPixelSpacing", b"fine\\fine ")),
    "pixel spacing of zero": Case(has("ImagerPixelSpacing", b"0\\0 ")),
    "pixel spacing not a number": Case(has("ImagerPixelSpacing", b"nan\\nan ")),
    "very long name": Case(has("PatientName", b"A" * 300), ("PatientName",)),
    "name of six components": Case(has("PatientName", b"A^B^C^D^E^F^G "), ("PatientName",)),
    "name of four groups": Case(has("PatientName", b"A^B=C^D=E^F=G^H "), ("PatientName",)),
    "two patient IDs": Case(has("PatientID", b"MRN-1\\MRN-2 "), ("PatientID",)),
    "nulls in the patient ID": Case(has("PatientID", b"MRN\0-1\0\0"), ("PatientID",)),
    "patient ID of odd length": Case(has("PatientID", b"MRN-1")),
    "line feed in the patient ID": Case(has("PatientID", b"MRN-1\r\n2"), ("PatientID",)),
    "very long patient ID": Case(has("PatientID", b"1" * 100), ("PatientID",)),
    "very long accession number": Case(has("AccessionNumber", b"7" * 30), ("AccessionNumber",)),
    "very long study ID": Case(has("StudyID", b"7" * 30), ("StudyID",)),
    "very long study description": Case(has("StudyDescription", b"chest " * 50), ("StudyDescription",)),
    "a novel as comment": Case(has("PatientComments", b"coughs. " * 5000), ("PatientComments",)),
    "a description of over 64 kB": Case(has("StudyDescription", b"chest " * 12000), ("StudyDescription",)),
    "unknown character set": Case(has("SpecificCharacterSet", b"ISO_IR 999"), ("SpecificCharacterSet",)),
    "senseless character set": Case(has("SpecificCharacterSet", b"\xff\xfe\\??"), ("SpecificCharacterSet",)),
    "UTF-8 beside others": Case(
        has("SpecificCharacterSet", b"ISO_IR 192\\ISO 2022 IR 87"), ("SpecificCharacterSet",)
    ),
    "bytes that UTF-8 does not have": Case(has("PatientName", b"M\xfcller^J\xfcrgen"), ("PatientName",)),
    "no character set, but umlauts": Case(
        both(lacks("SpecificCharacterSet"), has("PatientName", b"M\xfcller^J\xfcrgen")),
        ("PatientName", "SpecificCharacterSet"),
    ),
    "character set announced as ASCII, name in Shift JIS": Case(
        both(has("SpecificCharacterSet", b"ISO_IR 6"), has("PatientName", b"\x8eR\x93c^\x91\xbe\x98Y")),
        ("PatientName", "SpecificCharacterSet"),
    ),
    "escape sequence that never ends": Case(
        both(has("SpecificCharacterSet", b"\\ISO 2022 IR 87"), has("PatientName", b"Yamada^\x1b$B;3ED")),
        ("PatientName",),
    ),
    "time zone by name": Case(has("TimezoneOffsetFromUTC", b"CET ")),
    "time zone beyond the earth": Case(has("TimezoneOffsetFromUTC", b"+2500 ")),
    "no body part": Case(lacks("BodyPartExamined")),
    "body part in small letters": Case(has("BodyPartExamined", b"chest ")),
    "study reference without items": Case(has("ReferencedStudySequence", b""), ("ReferencedStudySequence",)),
    "study reference without content": Case(
        _empty_item("ReferencedStudySequence"), ("ReferencedStudySequence",)
    ),
    "no request": Case(lacks("RequestAttributesSequence")),
    "request without items": Case(has("RequestAttributesSequence", b""), ("RequestAttributesSequence",)),
    "request without content": Case(_empty_item("RequestAttributesSequence"), ("RequestAttributesSequence",)),
    "request that is broken": Case(has("RequestAttributesSequence", b"\x08\x00\x05\x00no items")),
    "request that is text": Case(
        has("RequestAttributesSequence", b"RP77", "LO"), ("RequestAttributesSequence",)
    ),
    "several requests": Case(_two_requests),
    "procedure code without content": Case(_empty_item("ProcedureCodeSequence"), ("ProcedureCodeSequence",)),
    "patient ID that is a sequence": Case(has("PatientID", b"", "SQ"), ("PatientID",)),
    "patient ID of unknown representation": Case(has("PatientID", b"MRN-1 ", "UN")),
    "patient ID as long text": Case(has("PatientID", b"MRN-1 ", "UT")),
    "patient ID of no representation": Case(has("PatientID", b"MRN-1 ", "ZZ")),
    "other IDs of unknown representation": Case(
        has("OtherPatientIDsSequence", _UN_ITEM, "UN"), ("OtherPatientIDsSequence",)
    ),
    "private attributes": Case(_private),
    "lossy, with ratio": Case(
        both(
            has("LossyImageCompression", b"01"),
            has("LossyImageCompressionRatio", b"10"),
            has("LossyImageCompressionMethod", b"ISO_10918_1 "),
        )
    ),
    "lossy, without ratio": Case(
        has("LossyImageCompression", b"01"), ("LossyImageCompressionRatio", "LossyImageCompressionMethod")
    ),
    "no photometric interpretation": Case(lacks("PhotometricInterpretation")),
    "film in colour": Case(has("PhotometricInterpretation", b"RGB ")),
    "no window": Case(lacks("WindowCenter", "WindowWidth")),
    "window without a width": Case(lacks("WindowWidth")),
    "window of words": Case(both(has("WindowCenter", b"mid "), has("WindowWidth", b"wide"))),
    "window of no width": Case(has("WindowWidth", b"0 ")),
    "window not a number": Case(has("WindowCenter", b"nan ")),
    "windows of different number": Case(has("WindowCenter", b"2048\\1024 ")),
    "window function of another kind": Case(has("VOILUTFunction", b"MAGIC ")),
    "LUT without items": Case(has("VOILUTSequence", b"")),
    "LUT without content": Case(_empty_item("VOILUTSequence")),
    "LUT shorter than it says": Case(_table(4096, 12, b"\0\1" * 100)),
    "LUT of 12 bits": Case(_table(4096, 12, b"\xff\x0f" * 4096)),
    "LUT of 8 bits, two to a word": Case(_table(4096, 8, bytes(range(256)) * 16)),
    "LUT of 8 bits, one to a word": Case(_table(4096, 8, b"\x80\0" * 4096)),
    "LUT that shows all black": Case(_table(4096, 12, bytes(8192))),
    "LUT of 99 bits": Case(_table(4096, 99, bytes(8192))),
    "rescale of words": Case(has("RescaleSlope", b"steep ")),
    "rescale of zero": Case(has("RescaleSlope", b"0 ")),
    "rescale without intercept": Case(lacks("RescaleIntercept")),
    "modality LUT without content": Case(_empty_item("ModalityLUTSequence")),
    "pixel aspect ratio of zero": Case(both(lacks("ImagerPixelSpacing"), has("PixelAspectRatio", b"0\\1 "))),
    "lossy in words": Case(has("LossyImageCompression", b"YES ")),
}
