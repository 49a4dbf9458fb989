"""What a viewer lists as key images, and what each destination's objects may point to."""

from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage

from config.peers import ResultKind
from dicom_node.results import encode
from dicom_node.results.source import text_of
from dicom_node.results.study import Film, StudyReading
from inference.prediction import Outcome
from tests.builders import NAMES
from tests.readings import EVERY_OBJECT, LATERAL, film, likely, reading, results_of, uncertain, unlikely

REPORT, HEATMAP = ResultKind.STRUCTURED_REPORT, ResultKind.HEATMAP
KEY_OBJECTS = ResultKind.KEY_OBJECTS


def key_objects_of(study: StudyReading, *wanted: frozenset[ResultKind]) -> Dataset:
    return dcmread(BytesIO(encode(results_of(study, *wanted)[KEY_OBJECTS])))


def selected(document: Dataset) -> list[str]:
    return [
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in document.ContentSequence
        if item.ValueType == "IMAGE"
    ]


def evidence(document: Dataset) -> list[str]:
    return [
        image.ReferencedSOPInstanceUID
        for study in document.get("CurrentRequestedProcedureEvidenceSequence", [])
        for series in study.ReferencedSeriesSequence
        for image in series.ReferencedSOPSequence
    ]


def uid(one: Film) -> str:
    return text_of(one.header, "SOPInstanceUID")


@pytest.mark.parametrize("prediction", [likely(), uncertain()], ids=["likely", "uncertain"])
def test_a_flagged_film_and_its_heatmap_are_of_interest(prediction: Outcome) -> None:
    one = film(prediction)
    results = results_of(reading(one))
    document = results[KEY_OBJECTS]
    assert document.SOPClassUID == KeyObjectSelectionDocumentStorage
    assert (document.Modality, document.SeriesNumber) == ("KO", 9103)
    assert document.ConceptNameCodeSequence[0].CodeValue == "113000"
    assert document.ContentTemplateSequence[0].TemplateIdentifier == "2010"
    assert selected(document) == [uid(one), results[HEATMAP].SOPInstanceUID]


def test_every_flagged_film_is_selected_and_no_other() -> None:
    films = [
        film(likely(), "1"),
        film(uncertain(), "2", view="AP"),
        film(unlikely(), "3"),
        film(LATERAL, "4"),
    ]
    document = key_objects_of(reading(*films), frozenset({KEY_OBJECTS}))
    assert sorted(selected(document)) == sorted(map(uid, films[:2]))
    assert sorted(evidence(document)) == sorted(selected(document))
    assert "PertinentOtherEvidenceSequence" not in document


@pytest.mark.parametrize("outcome", [unlikely(), LATERAL, None], ids=["unlikely", "not analysable", "failed"])
def test_there_are_none_where_nothing_is_flagged(outcome: Outcome | None) -> None:
    assert KEY_OBJECTS not in results_of(reading(film(outcome)), heatmap_for_negatives=True)


def test_there_are_none_of_a_film_that_cannot_be_named() -> None:
    assert KEY_OBJECTS not in results_of(reading(film(likely(), without=["SeriesInstanceUID"])))


def test_the_description_tells_flag_score_and_what_it_is_not() -> None:
    document = key_objects_of(reading(film(likely(0.873))))
    [said] = [
        item.TextValue
        for item in document.ContentSequence
        if item.ValueType == "TEXT" and item.ConceptNameCodeSequence[0].CodeValue == "113012"
    ]
    assert said == (
        "AI: pneumonia likely (score 87.3%, likely from 50.0%). "
        "AI result, not for primary diagnosis. Not verified by a physician."
    )
    assert document.SeriesDescription.startswith("PNEUMONIA LIKELY")


def test_the_references_have_no_name_which_the_template_forbids() -> None:
    images = [
        item for item in key_objects_of(reading(film(likely()))).ContentSequence if item.ValueType == "IMAGE"
    ]
    assert images
    assert not any("ConceptNameCodeSequence" in item for item in images)


def test_they_belong_to_the_radiographs_patient_study_and_order() -> None:
    one = film(likely(), name=NAMES["japanese"])
    document = key_objects_of(reading(one))
    assert str(document.PatientName) == NAMES["japanese"].text
    assert document.StudyInstanceUID == one.header.StudyInstanceUID
    assert document.ReferencedRequestSequence[0].RequestedProcedureID == "RP77"


def test_written_and_read_back_they_are_the_same() -> None:
    document = results_of(reading(film(likely())))[KEY_OBJECTS]
    assert dcmread(BytesIO(encode(document))) == document


def test_a_revision_is_another_object() -> None:
    first, second = (key_objects_of(reading(film(likely()), revision=number)) for number in (1, 2))
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID


def explains(document: Dataset) -> bool:
    """Whether anything in the document, its evidence included, names a secondary capture."""
    return any(
        str(element.value) == "1.2.840.10008.5.1.4.1.1.7"
        for element in document.iterall()
        if element.keyword == "ReferencedSOPClassUID"
    )


class TestForWhom:
    """An object names no other one that somebody who gets it does not get."""

    @pytest.mark.parametrize(
        ("wanted", "built", "explained"),
        [
            ([EVERY_OBJECT], [REPORT, HEATMAP, KEY_OBJECTS], {REPORT, KEY_OBJECTS}),
            ([{REPORT}], [REPORT], set()),
            ([{HEATMAP}], [HEATMAP], set()),
            ([{REPORT, KEY_OBJECTS}], [REPORT, KEY_OBJECTS], set()),
            ([{REPORT, HEATMAP}, {HEATMAP}], [REPORT, HEATMAP], {REPORT}),
            ([{REPORT, HEATMAP}, {REPORT}], [REPORT, HEATMAP], set()),
            ([{REPORT, HEATMAP}, {KEY_OBJECTS}], [REPORT, HEATMAP, KEY_OBJECTS], {REPORT}),
            ([{REPORT}, {KEY_OBJECTS, HEATMAP}], [REPORT, HEATMAP, KEY_OBJECTS], {KEY_OBJECTS}),
        ],
    )
    def test_what_is_built_and_what_names_the_heatmap(
        self, wanted: list[set[ResultKind]], built: list[ResultKind], explained: set[ResultKind]
    ) -> None:
        results = results_of(reading(film(likely())), *map(frozenset, wanted))
        of_interest = [kind for kind in results if kind in (REPORT, HEATMAP, KEY_OBJECTS)]
        assert of_interest == built
        assert {
            kind for kind in (REPORT, KEY_OBJECTS) if kind in results and explains(results[kind])
        } == explained

    def test_an_object_is_the_same_whoever_else_gets_something(self) -> None:
        study = reading(film(likely()))
        alone = results_of(study, frozenset({REPORT}))[REPORT]
        among_others = results_of(study, frozenset({REPORT}), frozenset({HEATMAP, KEY_OBJECTS}))[REPORT]
        assert encode(alone) == encode(among_others)
