"""A result as the bytes of a file (PS3.10): the same object gives the same bytes, in any process."""

import struct
import warnings
from contextlib import AbstractContextManager
from io import BytesIO

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.results.uids import derived_uid
from dicom_node.version import package_version
from inference.elements import PIXEL_DATA

IMPLEMENTATION_CLASS_UID = derived_uid("implementation", "dicom-node")
_SHORT_STRING = 16


def implementation_version_name() -> str:
    """What files call the program that wrote them (PS3.7 D.3.3.2.3)."""
    return f"DCMNODE {package_version()}"[:_SHORT_STRING].strip()


def encode(result: Dataset) -> bytes:
    """Encode in Explicit VR Little Endian, which every archive accepts."""
    file = Dataset(dict(result.items()))
    implicit_vr, little_endian = result.original_encoding
    file.set_original_encoding(implicit_vr, little_endian, result.original_character_set)
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    file.file_meta.ImplementationVersionName = implementation_version_name()
    # the last element of an image and nearly all of it, which pydicom would copy three times
    pixels = file.pop(PIXEL_DATA).value if PIXEL_DATA in file else None
    content = BytesIO()
    with quiet():
        dcmwrite(content, file, enforce_file_format=True)
    if pixels is None:
        return content.getvalue()
    head = struct.pack("<HH2sxxL", PIXEL_DATA >> 16, PIXEL_DATA & 0xFFFF, b"OB", len(pixels))
    return b"".join((content.getbuffer(), head, pixels))


def quiet() -> AbstractContextManager[object]:
    """A context in which pydicom and highdicom keep their warnings, which quote values, to themselves.

    Names of patients must not reach a log. Python's filter of warnings is the process's, not the thread's: results
    are built in the analysing process, which has one thread.
    """
    return warnings.catch_warnings(action="ignore")
