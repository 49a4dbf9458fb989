"""Whatever an archive's headers hold, a study gets its report and heatmap, and they are filed beside it."""

import warnings
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from config.settings import ResultsSettings
from dicom_node.results import build_results, encode
from dicom_node.results.study import Film
from inference.prediction import NotAnalysable, Outcome, Prediction, Reason
from tests.builders import NAMES, chest_film, encoded
from tests.hostile_headers import CASES, put
from tests.readings import flagged, header_of, radiograph, reading, unflagged

CANARY = b"CANARY^NAME"
OUTCOMES = {
    "likely": flagged(),
    "unlikely": unflagged(),
    "not_analysable": NotAnalysable(Reason.NO_PIXELS),
    "failed": None,
}


def raw_values(dataset: Dataset) -> dict[int, bytes]:
    """The undecoded values of a data set's plain elements, without padding."""
    values = {}
    for tag in dataset.keys():  # noqa: SIM118 - iterating over a Dataset decodes it
        value = dataset.get_item(tag).value
        if isinstance(value, bytes):
            values[int(tag)] = value.rstrip(b" \0")
    return values


def results_of(header: Dataset, outcome: Outcome | None) -> list[Dataset]:
    settings = ResultsSettings(heatmap_for_negatives=True)
    made = build_results(reading(Film(header, outcome)), settings, lambda _film: radiograph())
    return [dcmread(BytesIO(encode(result))) for result in made]


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_no_header_stops_a_result(case, outcome):
    header = header_of(chest_film())
    case.change(header)
    results = results_of(header, outcome)
    assert [result.Modality for result in results][0] == "SR"
    assert len(results) == (2 if isinstance(outcome, Prediction) else 1)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_a_hostile_header_says_of_the_patient_is_in_the_results_byte_by_byte(case):
    header = header_of(chest_film())
    case.change(header)
    expected = raw_values(header)
    for result in results_of(header, flagged()):
        written = raw_values(result)
        shared = [tag for tag in expected if tag >> 16 == 0x0010 and tag in result]
        assert {tag: written.get(tag) for tag in shared} == {tag: expected[tag] for tag in shared}
        assert [tag for tag in expected if tag >> 16 == 0x0010 and tag not in result] == []


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_names_in_any_character_set_come_back_as_they_went_in(name):
    header = header_of(chest_film(name=name, kind="CR"))
    expected = raw_values(header_of(chest_film(name=name, kind="CR")))
    for result in results_of(header, flagged()):
        assert raw_values(result)[0x00100010] == expected[0x00100010]
        assert str(result.PatientName) == name.text
        assert result.get("SpecificCharacterSet") == header.get("SpecificCharacterSet")


def test_texts_in_sequences_come_back_as_they_went_in():
    name = NAMES["japanese"]
    source = chest_film(name=name)
    source.OtherPatientIDsSequence[0].IssuerOfPatientID = "山田病院"
    source.RequestAttributesSequence[0].RequestedProcedureDescription = "胸部"
    report, heatmap = results_of(header_of(source), flagged())
    assert report.OtherPatientIDsSequence[0].IssuerOfPatientID == "山田病院"
    assert report.ReferencedRequestSequence[0].RequestedProcedureDescription == "胸部"
    assert heatmap.RequestAttributesSequence[0].RequestedProcedureDescription == "胸部"


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_an_implicit_source_gives_the_same_patient_as_an_explicit_one(name):
    explicit, _ = results_of(header_of(chest_film(name=name)), flagged())
    implicit, _ = results_of(header_of(chest_film(name=name), ImplicitVRLittleEndian), flagged())
    assert implicit == explicit


def test_a_big_endian_source_gives_the_same_patient_as_a_little_endian_one():
    film = chest_film(PregnancyStatus=4)
    little, _ = results_of(header_of(film), flagged())
    film.PixelData = film.pixel_array.astype(">u2").tobytes()
    big, _ = results_of(header_of(film, ExplicitVRBigEndian), flagged())
    assert big.PregnancyStatus == 4
    assert big == little


def test_a_header_that_was_looked_into_gives_the_same_patient():
    untouched, _ = results_of(header_of(chest_film(name=NAMES["korean"])), flagged())
    header = header_of(chest_film(name=NAMES["korean"]))
    for element in header.iterall():
        assert element.value is not None
    assert results_of(header, flagged())[0] == untouched


def test_building_leaves_the_header_undecoded():
    header = header_of(chest_film(name=NAMES["japanese"]))
    results_of(header, flagged())
    assert header.get_item("PatientName").is_raw


def test_private_attributes_stay_at_home():
    header = header_of(chest_film())
    CASES["private attributes"].change(header)
    for result in results_of(header, flagged()):
        assert not any(tag.is_private for tag in result.keys())  # noqa: SIM118


@pytest.mark.parametrize("character_set", [b"ISO_IR 192", b"ISO_IR 999", b"\\ISO 2022 IR 87"])
def test_no_warning_carries_what_a_header_says_of_a_patient(character_set):
    header = header_of(chest_film())
    put(header, "SpecificCharacterSet", character_set)
    put(header, "PatientName", CANARY + b"\xff" * 90)
    put(header, "PatientID", CANARY * 20)
    put(header, "PatientBirthDate", CANARY)
    with warnings.catch_warnings(record=True) as escaped:
        warnings.simplefilter("always")
        for result in build_results(
            reading(Film(header, flagged())), ResultsSettings(), lambda _film: radiograph()
        ):
            encode(result)
    assert [str(warning.message) for warning in escaped] == []


def test_a_film_of_another_make_is_encoded_as_it_was():
    film = chest_film()
    before = encoded(film)
    results_of(header_of(film), flagged())
    assert encoded(film) == before
