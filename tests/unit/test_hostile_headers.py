"""Whatever an archive's headers hold, a study gets its results, and they are filed beside it."""

import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from config.peers import ResultKind
from config.settings import Settings
from dicom_node.analysis import Analyst
from dicom_node.results import encode
from dicom_node.results.study import Film
from dicom_node.tasks import AnalysedFilm, StudyTask
from inference.prediction import NotAnalysable, Outcome, Reason
from tests.builders import NAMES, Name, chest_film, encoded
from tests.hostile_headers import CASES, Case, put
from tests.readings import header_of, likely, reading, results_of

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning:pydicom"
)  # reading such files back is the reader's affair
CANARY = b"CANARY^NAME"


def raw_values(dataset: Dataset) -> dict[int, bytes]:
    """The undecoded values of a data set's plain elements, without padding."""
    values = {}
    for tag in dataset.keys():  # noqa: SIM118 - iterating over a Dataset decodes it
        value = dataset.get_item(tag).value
        if isinstance(value, bytes) and not (dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ"):
            values[int(tag)] = value.rstrip(b" \0")
    return values


def received(header: Dataset, outcome: Outcome | None) -> dict[ResultKind, Dataset]:
    """What an archive reads of the results."""
    made = results_of(reading(Film(header, outcome)))
    return {kind: dcmread(BytesIO(encode(result))) for kind, result in made.items()}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_a_hostile_header_says_of_the_patient_is_in_the_results_byte_by_byte(case: Case) -> None:
    header = header_of(chest_film())
    case.change(header)
    expected = {tag: value for tag, value in raw_values(header).items() if tag >> 16 == 0x0010}
    results = received(header, likely())
    assert {ResultKind.STRUCTURED_REPORT, ResultKind.HEATMAP} <= set(results)
    for result in results.values():
        written = raw_values(result)
        assert {tag: written.get(tag) for tag in expected} == expected


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_no_header_stops_the_report_on_an_image_without_an_answer(case: Case) -> None:
    header = header_of(chest_film())
    case.change(header)
    assert list(received(header, NotAnalysable(Reason.NO_PIXELS))) == [ResultKind.STRUCTURED_REPORT]


NAMELESS = {
    f"no {keyword}" for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
}
NAMELESS |= {"SOPInstanceUID that is no UID"}
SIZELESS = {"no size", "size as senseless text"}
COLOURLESS = {"no photometric interpretation", "film in colour"}


@pytest.mark.parametrize("case", CASES)
def test_only_a_film_that_cannot_be_named_or_drawn_on_lacks_key_objects_or_regions(case: str) -> None:
    header = header_of(chest_film())
    CASES[case].change(header)
    results = received(header, likely())
    assert (ResultKind.KEY_OBJECTS in results) == (case not in NAMELESS)
    assert (ResultKind.PRESENTATION_STATE in results) == (case not in NAMELESS | SIZELESS | COLOURLESS)


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 32


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_names_in_any_character_set_come_back_as_they_went_in(name: Name) -> None:
    header = header_of(chest_film(name=name, kind="CR"))
    expected = raw_values(header_of(chest_film(name=name, kind="CR")))
    for result in received(header, likely()).values():
        assert raw_values(result)[0x00100010] == expected[0x00100010]
        assert str(result.PatientName) == name.text
        assert result.get("SpecificCharacterSet") == header.get("SpecificCharacterSet")


def test_texts_in_sequences_come_back_as_they_went_in() -> None:
    name = NAMES["japanese"]
    source = chest_film(name=name)
    source.OtherPatientIDsSequence[0].IssuerOfPatientID = "山田病院"
    source.RequestAttributesSequence[0].RequestedProcedureDescription = "胸部"
    results = received(header_of(source), likely())
    report, heatmap = results[ResultKind.STRUCTURED_REPORT], results[ResultKind.HEATMAP]
    assert report.OtherPatientIDsSequence[0].IssuerOfPatientID == "山田病院"
    assert report.ReferencedRequestSequence[0].RequestedProcedureDescription == "胸部"
    assert heatmap.RequestAttributesSequence[0].RequestedProcedureDescription == "胸部"


def test_a_value_of_odd_length_is_padded() -> None:
    header = header_of(chest_film())
    put(header, "PatientID", b"MRN-1")
    for result in received(header, likely()).values():
        assert result.get_item("PatientID").value == b"MRN-1 "


@pytest.mark.parametrize("written", ["UN", "UT", "ZZ"])
def test_a_text_of_the_wrong_representation_gets_the_right_one(written: str) -> None:
    header = header_of(chest_film())
    put(header, "PatientID", b"MRN-1 ", written)
    for result in received(header, likely()).values():
        assert result.get_item("PatientID").VR == "LO"


def test_a_sequence_hidden_in_an_unknown_representation_is_found() -> None:
    header = header_of(chest_film())
    CASES["other IDs of unknown representation"].change(header)
    for result in received(header, likely()).values():
        assert result.OtherPatientIDsSequence[0].PatientID == "OTHER1"


def test_an_item_with_a_character_set_of_its_own_keeps_it() -> None:
    source = chest_film(name=NAMES["latin1"])
    item = source.OtherPatientIDsSequence[0]
    item.SpecificCharacterSet = "ISO_IR 192"
    item.IssuerOfPatientID = "山田病院"
    for result in received(header_of(source), likely()).values():
        assert result.OtherPatientIDsSequence[0].IssuerOfPatientID == "山田病院"


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_an_implicit_source_gives_the_same_patient_as_an_explicit_one(name: Name) -> None:
    explicit = received(header_of(chest_film(name=name)), likely())
    implicit = received(header_of(chest_film(name=name), ImplicitVRLittleEndian), likely())
    assert implicit == explicit


def test_a_big_endian_source_gives_the_same_patient_as_a_little_endian_one() -> None:
    film = chest_film(PregnancyStatus=4)
    little = received(header_of(film), likely())
    film.PixelData = np.frombuffer(film.PixelData, "<u2").astype(">u2").tobytes()
    big = received(header_of(film, ExplicitVRBigEndian), likely())
    assert big[ResultKind.STRUCTURED_REPORT].PregnancyStatus == 4
    assert big == little


def test_a_header_that_was_looked_into_gives_the_same_patient() -> None:
    untouched = received(header_of(chest_film(name=NAMES["korean"])), likely())
    header = header_of(chest_film(name=NAMES["korean"]))
    for element in header.iterall():
        assert element.value is not None
    assert received(header, likely()) == untouched


def test_building_leaves_the_header_undecoded() -> None:
    header = header_of(chest_film(name=NAMES["japanese"]))
    received(header, likely())
    assert header.get_item("PatientName").is_raw


def test_private_attributes_stay_at_home() -> None:
    header = header_of(chest_film())
    CASES["private attributes"].change(header)
    for result in received(header, likely()).values():
        assert not any(tag.is_private for tag in result.keys())  # noqa: SIM118


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_no_warning_carries_what_a_header_says_of_a_patient(case: Case) -> None:
    header = header_of(chest_film())
    case.change(header)
    put(header, "PatientName", CANARY + b"\xff" * 90)
    put(header, "PatientID", CANARY * 20)
    put(header, "PatientBirthDate", CANARY)
    study = reading(Film(header, likely()))
    with warnings.catch_warnings(record=True) as escaped:
        warnings.simplefilter("always")
        for result in results_of(study).values():
            encode(result)
    assert [str(warning.message) for warning in escaped] == []


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b"\x10\x00\x40\x00CS\x02\x00F ", b"\x10\x00\x40\x00QX\x00\x00"),
        (b"\x08\x00\x18\x00UI", b"\x08\x00\x18\x00QX"),
        (b"\x20\x00\x0d\x00UI", b"\x20\x00\x0d\x00QX"),
    ],
    ids=["empty", "instance", "study"],
)
def test_a_representation_that_does_not_exist_keeps_no_report_from_being_made(
    good: bytes, bad: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "film.dcm"
    content = encoded(chest_film())
    assert good in content
    path.write_bytes(content.replace(good, bad))
    film = AnalysedFilm(path, NotAnalysable(Reason.UNREADABLE_FILE))
    [report] = Analyst(Settings()).report(StudyTask((film,), 1, 1.8e9, None))
    assert report.kind is ResultKind.STRUCTURED_REPORT
