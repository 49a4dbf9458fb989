"""Telling a corrected image from another one under the same UID."""

import tracemalloc
from pathlib import Path

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_node.correction import difference
from storage.records import Difference
from tests.builders import NAMES, chest_film, encoded, write


def compare(folder: Path, other: dict[str, object], syntax: str = ExplicitVRLittleEndian) -> Difference:
    kept = write(chest_film(), folder / "kept.dcm")
    arrived = write(chest_film(**other), folder / "arrived.dcm", syntax)  # type: ignore[arg-type]
    return difference(kept, arrived)


@pytest.mark.parametrize(
    "corrected",
    [
        {"name": NAMES["latin1"]},
        {"PatientID": "MRN-000321"},
        {"PatientBirthDate": "19570704"},
        {"PatientSex": "M"},
        {"AccessionNumber": "ACC-78"},
        {"StudyInstanceUID": "1.2.3"},
        {"ViewPosition": "AP"},
        {"WindowWidth": "100"},
        {"PixelIntensityRelationshipSign": 1},
        {"ImagerPixelSpacing": [0.2, 0.2]},
        {"PlacerOrderNumberImagingServiceRequest": "ORDER-9"},
        {"RequestedProcedurePriority": "STAT"},
        {"without": ["IssuerOfPatientID"]},
    ],
    ids=str,
)
def test_other_data_with_the_same_pixels_are_a_correction(
    tmp_path: Path, corrected: dict[str, object]
) -> None:
    assert compare(tmp_path, corrected) is Difference.DATA
    assert compare(tmp_path, corrected, ImplicitVRLittleEndian) is Difference.DATA


@pytest.mark.parametrize("unimportant", [{}, {"RetrieveAETitle": "OTHER"}, {"InstanceNumber": "7"}], ids=str)
def test_how_an_image_travelled_makes_no_difference(tmp_path: Path, unimportant: dict[str, object]) -> None:
    assert compare(tmp_path, unimportant) is Difference.NONE
    assert compare(tmp_path, unimportant, ImplicitVRLittleEndian) is Difference.NONE


def test_other_pixels_are_another_image_whatever_else_is_the_same(tmp_path: Path) -> None:
    assert compare(tmp_path, {"opacity": True}) is Difference.IMAGE
    assert compare(tmp_path, {"opacity": True, "PatientID": "MRN-000321"}) is Difference.IMAGE


def test_what_cannot_be_compared_is_another_image(tmp_path: Path) -> None:
    assert compare(tmp_path, {}, DeflatedExplicitVRLittleEndian) is Difference.IMAGE
    kept = write(chest_film(), tmp_path / "kept.dcm")
    assert difference(kept, tmp_path / "removed.dcm") is Difference.IMAGE
    without_pixels = write(chest_film(without=["PixelData"]), tmp_path / "without.dcm")
    assert difference(without_pixels, without_pixels) is Difference.IMAGE
    (tmp_path / "broken.dcm").write_bytes(kept.read_bytes()[:2000])
    assert difference(kept, tmp_path / "broken.dcm") is Difference.IMAGE


def test_a_header_of_a_million_items_is_not_compared(tmp_path: Path) -> None:
    content = encoded(chest_film())
    # an undefined length sequence of empty items, each of which pydicom would make an object of
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 1_000_000 + b"\xfe\xff\xdd\xe0\0\0\0\0"
    private = b"\x21\x00\x10\x00LO\x02\x00ME\x21\x00\x01\x10SQ\0\0\xff\xff\xff\xff" + items
    at = content.index(b"\x28\x00\x02\x00US")
    bomb = tmp_path / "bomb.dcm"
    bomb.write_bytes(content[:at] + private + content[at:])
    tracemalloc.start()
    try:
        assert difference(bomb, bomb) is Difference.IMAGE
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
