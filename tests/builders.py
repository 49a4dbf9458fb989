"""Radiographs for tests: synthetic, fully attributed DX and CR films that pass `dciodvfy -new`.

`chest_film()` is a good film; keyword arguments that are DICOM keywords change it (`PatientSex="m"`),
`without` takes attributes away. The same arguments give the same bytes. Nothing here is of a real person.
"""

import hashlib
import re
from collections.abc import Iterable
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import config as pydicom_config
from pydicom import dcmwrite
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRLittleEndian,
    RLELossless,
)

from dicom_node.demo.phantom import BLACK_TO_WHITE, chest_phantom

Kind = Literal["DX", "DX_PROCESSING", "CR"]
View = Literal["PA", "AP", "LL"]
Photometric = Literal["MONOCHROME1", "MONOCHROME2"]


class Name(NamedTuple):
    """A patient's name in the character sets that it needs (PS3.3 C.12.1.1.2)."""

    character_set: str | list[str] | None
    text: str


NAMES = {
    "ascii": Name(None, "Doe^Jane"),
    "latin1": Name("ISO_IR 100", "Müller^Jürgen^^Dr."),
    "utf8": Name("ISO_IR 192", "Wang^XiaoDong=王^小东"),
    "japanese": Name(["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "korean": Name(["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "cyrillic": Name("ISO_IR 144", "Иванов^Пётр^Ильич"),
}
"""One name for each way that hospitals write them; the key reads well as a test's id."""

COMMENTS = "Canary of the comments"
PATIENT_DATA = (
    *(
        part
        for name in NAMES.values()
        for part in re.split("[=^]", name.text)
        if len(part) > 4 or not part.isascii()
    ),
    "MRN-000123",
    "NATIONAL-9",
    "19560704",
    COMMENTS,
)
"""What a film tells of its patient and no other text holds: nothing but DICOM objects and messages may have it."""

_SOP_CLASSES: dict[Kind, UID] = {
    "DX": DigitalXRayImageStorageForPresentation,
    "DX_PROCESSING": DigitalXRayImageStorageForProcessing,
    "CR": ComputedRadiographyImageStorage,
}
_VIEW_CODES: dict[View, tuple[str, str]] = {
    "PA": ("272479007", "postero-anterior"),
    "AP": ("399348003", "antero-posterior"),
    "LL": ("399173006", "left lateral"),
}
_ORIENTATIONS: dict[View, list[str]] = {"PA": ["L", "F"], "AP": ["L", "F"], "LL": ["A", "F"]}


def made_uid(*parts: str) -> UID:
    """A UID that is always the same for the same parts: `2.25.` and a UUID (PS3.5 B.2)."""
    digest = bytearray(hashlib.sha256("|".join(("test", *parts)).encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    return UID(f"2.25.{int.from_bytes(digest, 'big')}")


def chest_film(
    key: str = "1",
    *,
    study: str = "study",
    kind: Kind = "DX",
    view: View = "PA",
    photometric: Photometric = "MONOCHROME2",
    name: Name = NAMES["utf8"],
    rows: int = 320,
    columns: int = 280,
    opacity: bool = False,
    without: Iterable[str] = (),
    **attributes: Any,
) -> Dataset:
    """A chest radiograph as a modality sends it, with pixel data and file meta information.

    Parameters
    ----------
    key, study
        Name the image and its study: equal keys give equal UIDs, films of one `study` belong together.
    opacity
        Whether the phantom has a consolidation in the lower zone of its right lung (left in the picture).
    without
        Keywords of attributes to leave out.
    **attributes
        DICOM keywords and their values, set unchecked, so that a test can write what a bad modality writes.
    """
    film = Dataset()
    _describe_patient(film, name)
    _describe_study(film, study)
    _describe_equipment(film)
    _describe_acquisition(film, kind, view, photometric)
    film.SOPClassUID = _SOP_CLASSES[kind]
    film.SOPInstanceUID = made_uid("image", study, kind, view, key)
    film.SeriesInstanceUID = made_uid("series", study, kind, view)
    film.InstanceNumber = 1
    _draw(film, chest_phantom(rows, columns, opacity=opacity, seed=key), photometric)
    for keyword, value in attributes.items():
        set_unchecked(film, keyword, value)
    for keyword in without:
        del film[keyword]
    return film


def set_unchecked(dataset: Dataset, keyword: str, value: Any) -> None:
    """Set an attribute without pydicom's checks of its value."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword} is no DICOM keyword")
    vr = dictionary_VR(tag)
    dataset[tag] = DataElement(tag, vr, value, validation_mode=pydicom_config.IGNORE)


def encoded(film: Dataset, transfer_syntax: UID = ExplicitVRLittleEndian) -> bytes:
    """The film as a Part 10 file.

    Takes the transfer syntaxes that pydicom writes itself: native little endian, deflated and RLE.
    """
    copy = deepcopy(film)
    copy.file_meta = FileMetaDataset()
    copy.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    copy.file_meta.ImplementationClassUID = made_uid("implementation")
    copy.file_meta.ImplementationVersionName = "TESTFILM"
    if transfer_syntax == RLELossless:
        copy.compress(RLELossless, generate_instance_uid=False)
    copy.file_meta.TransferSyntaxUID = transfer_syntax
    file = BytesIO()
    dcmwrite(file, copy, enforce_file_format=True)
    return file.getvalue()


def write(film: Dataset, path: Path, transfer_syntax: UID = ExplicitVRLittleEndian) -> Path:
    """Write the film as a Part 10 file; gives the path back."""
    path.write_bytes(encoded(film, transfer_syntax))
    return path


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = scheme
    item.CodeMeaning = meaning
    return item


def _reference(sop_class: str, sop_instance: UID) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = sop_instance
    return item


def _issuer(number: int, local_name: str = "") -> Dataset:
    item = Dataset()
    if local_name:
        item.LocalNamespaceEntityID = local_name
    item.UniversalEntityID = f"2.25.{number}"
    item.UniversalEntityIDType = "ISO"
    return item


def _describe_patient(film: Dataset, name: Name) -> None:
    if name.character_set is not None:
        film.SpecificCharacterSet = name.character_set
    film.PatientName = name.text
    film.PatientID = "MRN-000123"
    film.IssuerOfPatientID = "HOSPITAL_A"
    film.IssuerOfPatientIDQualifiersSequence = [_issuer(7001)]
    other = Dataset()
    other.PatientID = "NATIONAL-9"
    other.IssuerOfPatientID = "NATIONAL"
    other.TypeOfPatientID = "TEXT"
    film.OtherPatientIDsSequence = [other]
    film.PatientBirthDate = "19560704"
    film.PatientSex = "F"
    film.PatientAge = "069Y"
    film.PatientSize = "1.68"
    film.PatientWeight = "72"
    film.PatientComments = COMMENTS


def _describe_study(film: Dataset, study: str) -> None:
    film.StudyInstanceUID = made_uid("study", study)
    film.StudyID = "STUDY77"
    film.StudyDescription = "XR Chest"
    film.AccessionNumber = "ACC-77"
    film.IssuerOfAccessionNumberSequence = [_issuer(7002, "RIS")]
    film.ReferringPhysicianName = "Shaw^Anna"
    film.ProcedureCodeSequence = [_code("36643-5", "LN", "XR Chest 2 Views")]
    film.ReferencedStudySequence = [_reference("1.2.840.10008.3.1.2.3.1", made_uid("order", study))]
    film.ReferencedPerformedProcedureStepSequence = [
        _reference("1.2.840.10008.3.1.2.3.3", made_uid("performed step", study))
    ]
    request = Dataset()
    request.RequestedProcedureID = "RP77"
    request.RequestedProcedureDescription = "XR Chest"
    request.RequestedProcedureCodeSequence = [_code("36643-5", "LN", "XR Chest 2 Views")]
    request.ScheduledProcedureStepID = "SPS77"
    request.ScheduledProcedureStepDescription = "Chest"
    request.AccessionNumber = "ACC-77"
    request.StudyInstanceUID = film.StudyInstanceUID
    film.RequestAttributesSequence = [request]
    for moment, date, time in (
        ("Study", "StudyDate", "101000"),
        ("Series", "SeriesDate", "101200"),
        ("Acquisition", "AcquisitionDate", "101500"),
        ("Content", "ContentDate", "101501"),
        ("InstanceCreation", "InstanceCreationDate", "101502"),
    ):
        setattr(film, date, "20260301")
        setattr(film, f"{moment}Time", time)
    film.TimezoneOffsetFromUTC = "+0100"


def _describe_equipment(film: Dataset) -> None:
    film.Manufacturer = "Synthetic Modality Works"
    film.ManufacturerModelName = "Phantom 1"
    film.StationName = "ROOM1"
    film.InstitutionName = "General Hospital"
    film.InstitutionalDepartmentName = "Radiology"
    film.DeviceSerialNumber = "SN0001"
    film.SoftwareVersions = ["1.0", "2.0"]


def _describe_acquisition(film: Dataset, kind: Kind, view: View, photometric: Photometric) -> None:
    film.ImageType = ["ORIGINAL", "PRIMARY", ""]
    film.Modality = "CR" if kind == "CR" else "DX"
    film.SeriesNumber = 1
    film.AcquisitionNumber = 1
    film.SeriesDescription = f"Chest {view}"
    film.ProtocolName = f"CHEST {view}"
    film.BodyPartExamined = "CHEST"
    film.ViewPosition = view
    film.PatientOrientation = _ORIENTATIONS[view]
    film.KVP = "120"
    film.ExposureTime = "8"
    film.DistanceSourceToDetector = "1800"
    film.DistanceSourceToPatient = "1700"
    film.BurnedInAnnotation = "NO"
    film.LossyImageCompression = "00"
    if kind == "CR":
        film.PlateID = "P1"
        return
    film.PresentationIntentType = "FOR PROCESSING" if kind == "DX_PROCESSING" else "FOR PRESENTATION"
    film.ImageLaterality = "U"
    value, meaning = _VIEW_CODES[view]
    film.ViewCodeSequence = [_code(value, "SCT", meaning)]
    film.ViewCodeSequence[0].ViewModifierCodeSequence = []
    film.AnatomicRegionSequence = [_code("51185008", "SCT", "Chest")]
    film.AcquisitionContextSequence = []
    film.DetectorType = "DIRECT"
    film.DetectorConfiguration = "AREA"
    film.PositionerType = ""
    film.PixelIntensityRelationship = "LOG"
    film.PixelIntensityRelationshipSign = -1 if photometric == "MONOCHROME2" else 1
    film.RescaleIntercept = "0"
    film.RescaleSlope = "1"
    film.RescaleType = "US"
    film.PresentationLUTShape = "IDENTITY" if photometric == "MONOCHROME2" else "INVERSE"
    film.CalibrationImage = "NO"


def _draw(film: Dataset, picture: NDArray[np.uint16], photometric: Photometric) -> None:
    stored = picture if photometric == "MONOCHROME2" else BLACK_TO_WHITE - picture
    film.Rows, film.Columns = picture.shape
    film.SamplesPerPixel = 1
    film.PhotometricInterpretation = photometric
    film.BitsAllocated = 16
    film.BitsStored = 12
    film.HighBit = 11
    film.PixelRepresentation = 0
    film.ImagerPixelSpacing = ["1.2", "1.2"]
    if film.get("PresentationIntentType") != "FOR PROCESSING":
        film.WindowCenter = "2048"
        film.WindowWidth = "4096"
    film.PixelData = stored.astype("<u2").tobytes()
    film["PixelData"].VR = "OW"
