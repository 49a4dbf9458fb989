"""The films of the demonstration: the real ones of PyPI's `pydicom-data`, and ones made from them.

RG1 is a chest radiograph of an adult (PA, CR, MONOCHROME1, 15 bits) with several round opacities, RG3 one of a lower
leg. Each film becomes a study of its own; UIDs are fresh, so that the demonstration can be sent to the same archive
twice.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

from dicom_node.demo.phantom import chest_phantom
from dicom_node.errors import NodeError


class FilmsMissing(NodeError):
    """The package with the real radiographs is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "the demonstration's radiographs are missing: pip install 'dicom-node[demo]' brings them"
        )


@dataclass(frozen=True, slots=True)
class DemoFilm:
    """A film and what to call it in the table."""

    name: str
    dataset: Dataset


def demo_films(images: Path | None) -> Iterator[DemoFilm]:
    """Yield the films in the order in which they are sent, then the DICOM files below `images`.

    Raises
    ------
    FilmsMissing
        `pydicom-data` is not installed.
    """
    chest = _real("RG1_UNCR.dcm")
    yield DemoFilm("real chest, explicit VR", _own_study(chest))
    for name, syntax in (
        ("real chest, implicit VR", ImplicitVRLittleEndian),
        ("real chest, deflated", DeflatedExplicitVRLittleEndian),
    ):
        yield DemoFilm(name, _in_syntax(_own_study(chest), syntax))
    film = _own_study(chest)
    film.compress(RLELossless, generate_instance_uid=False)
    yield DemoFilm("real chest, RLE", film)
    yield DemoFilm("real chest, JPEG 2000 lossless", _own_study(_real("RG1_J2KR.dcm")))
    yield DemoFilm("real chest, JPEG 2000", _own_study(_real("RG1_J2KI.dcm")))
    yield DemoFilm("made: likely", _with_consolidation(chest))
    yield DemoFilm("made: normal", _drawn(chest))
    lateral = _own_study(chest)
    lateral.ViewPosition, lateral.PatientOrientation = "LL", ["A", "F"]
    yield DemoFilm("made: lateral", lateral)
    hip = _own_study(_real("RG3_UNCR.dcm"))
    hip.BodyPartExamined, hip.StudyDescription = "HIP", "HIP"
    yield DemoFilm("made: a hip", hip)
    broken = _own_study(chest)
    broken.PixelData = encapsulate([b"\xff\x4f\xff\x51" + bytes(range(256)) * 8])
    broken["PixelData"].VR = "OB"
    broken.file_meta.TransferSyntaxUID = JPEG2000
    yield DemoFilm("made: broken pixels", broken)
    if images is not None:
        yield from _found(images)


def _found(images: Path) -> Iterator[DemoFilm]:
    for path in sorted(each for each in images.rglob("*") if each.is_file()):
        try:
            yield DemoFilm(path.name, dcmread(path))
        except InvalidDicomError:
            continue


def _real(name: str) -> Dataset:
    package = find_spec("data_store")
    if package is None or package.origin is None:
        raise FilmsMissing
    return dcmread(next(Path(package.origin).parent.rglob(name)))


def _own_study(film: Dataset) -> Dataset:
    """Return a copy as the only film of a study of its own, without what follows its pixels."""
    made = copy.deepcopy(film)
    made.StudyInstanceUID, made.SeriesInstanceUID = generate_uid(), generate_uid()
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    made.pop("DataSetTrailingPadding", None)
    made.pop("PixelSpacing", None)  # RG1's is 0, with which OHIF draws a black film
    return made


def _in_syntax(film: Dataset, syntax: UID) -> Dataset:
    """Return an uncompressed film written in another transfer syntax and read back."""
    film.file_meta.TransferSyntaxUID = syntax
    file = BytesIO()
    dcmwrite(file, film, enforce_file_format=True)
    file.seek(0)
    return dcmread(file)


def _with_consolidation(chest: Dataset) -> Dataset:
    """Return RG1 with a further, dense opacity in the lower zone of the right lung (left in the picture)."""
    made = _own_study(chest)
    pixels = chest.pixel_array.astype(np.float32)
    down = np.linspace(0, 1, chest.Rows, dtype=np.float32)[:, None]
    across = np.linspace(0, 1, chest.Columns, dtype=np.float32)[None, :]
    opacity = np.exp(-(((across - 0.26) / 0.10) ** 2) - ((down - 0.58) / 0.12) ** 2)
    # MONOCHROME1: the lower the value, the whiter
    made.PixelData = np.clip(pixels * (1 - 0.75 * opacity), 0, None).astype(np.uint16).tobytes()
    return made


def _drawn(chest: Dataset) -> Dataset:
    """Return RG1's header over a drawn chest without any opacity."""
    made = _own_study(chest)
    made.PixelData = chest_phantom(chest.Rows, chest.Columns).tobytes()
    made.PhotometricInterpretation, made.BitsStored, made.HighBit = "MONOCHROME2", 12, 11
    made.WindowCenter, made.WindowWidth = "2048", "4096"
    return made
