"""The same image again with other bytes: is it the same as far as anyone can see, corrected, or another image?

An archive in which a patient's data were corrected sends its images again under their UIDs. The pixels decide: only an
image with the very same ones is taken for a correction of the first.
"""

import hashlib
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import UID
from pynetdicom.dsutils import split_dataset

from config.sections import LimitsSettings
from dicom_node.results.encoding import quiet
from dicom_node.results.source import copy_elements, copy_patient_and_study
from inference.dicom_file import DEFAULT_LIMITS
from inference.elements import PIXEL_DATA, Encoding, elements
from storage.records import Difference

LONGEST_HEADER = 16_000_000
"""Bytes before the pixels, for a comparison; a lookup table has a hundred thousand."""
IMAGE_DESCRIPTION = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "TimezoneOffsetFromUTC",
    "RequestAttributesSequence",
    "RequestedProcedurePriority",
    "RequestedProcedureCodeSequence",
    "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest",
    "OrderPlacerIdentifierSequence",
    "OrderFillerIdentifierSequence",
    "InstitutionName",
    "InstitutionalDepartmentName",
    # what the analysis goes by
    "Modality",
    "PresentationIntentType",
    "BodyPartExamined",
    "AnatomicRegionSequence",
    "ViewPosition",
    "ViewCodeSequence",
    "PatientOrientation",
    "Laterality",
    "ImageLaterality",
    "PhotometricInterpretation",
    "PixelIntensityRelationship",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "RescaleIntercept",
    "RescaleSlope",
    "PixelIntensityRelationshipSign",
    "PixelRepresentation",
    "BitsStored",
    "HighBit",
    "Rows",
    "Columns",
    "ImagerPixelSpacing",
    "PixelAspectRatio",
)
"""Without what may have either of two VRs (padding values, lookup tables): encodings of it differ and mean the same."""


def difference(kept: Path, arrived: Path, limits: LimitsSettings = DEFAULT_LIMITS) -> Difference:
    """Compare two files of one SOP instance.

    Deflated data sets, headers beyond the limits, and the same picture in two transfer syntaxes, count as other pixels:
    nothing is decoded here.
    """
    try:
        kept_header, kept_pixels = _read(kept, limits)
        arrived_header, arrived_pixels = _read(arrived, limits)
    except Exception:  # noqa: BLE001 - what cannot be read cannot be called a correction
        return Difference.IMAGE
    if kept_pixels is None or kept_pixels != arrived_pixels:
        return Difference.IMAGE
    return Difference.NONE if kept_header == arrived_header else Difference.DATA


def _read(path: Path, limits: LimitsSettings) -> tuple[bytes, bytes | None]:
    """Return what is told of patient, study and image, encoded alike, and the digest of the pixels; None: no pixels."""
    meta, offset = split_dataset(path)
    syntax = UID(meta.TransferSyntaxUID)
    with path.open("rb") as file:
        file.seek(offset)
        encoding = Encoding(syntax.is_implicit_VR, syntax.is_little_endian)
        for element in elements(file, encoding, limits.header_elements, limits.sequence_depth):
            if element.start > LONGEST_HEADER:
                return b"", None
            if not element.depth and element.tag >= PIXEL_DATA:
                break
        else:
            return b"", None
        file.seek(offset)
        header = read_dataset(
            file, syntax.is_implicit_VR, syntax.is_little_endian, stop_when=lambda tag, *_: tag >= PIXEL_DATA
        )
        # tag and length, between them in Explicit VR the VR and two reserved bytes (PS3.5 7.1.2)
        start = file.read(8 if syntax.is_implicit_VR else 12)
        digest = hashlib.file_digest(file, "sha256").digest() if len(start) >= 8 else None
    told = Dataset()
    with quiet():
        copy_patient_and_study(header, told)
        copy_elements(header, told, IMAGE_DESCRIPTION)
        encoded = DicomBytesIO()
        encoded.is_implicit_VR, encoded.is_little_endian = False, True
        write_dataset(encoded, told)
    return encoded.getvalue(), digest
