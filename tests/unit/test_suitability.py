"""A lateral view, a hip, a CT, a child, a blank film are not analysable, each with its reason; a good film passes."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.errors import ImageRejected
from inference.prediction import Reason
from inference.radiograph import Radiograph
from inference.suitability import age_in_years, check_header, check_pixels
from tests.builders import chest_film

CHILD = 18.0
SILENT = [
    "BodyPartExamined",
    "AnatomicRegionSequence",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
]
VIEWLESS = ["ViewPosition", "ViewCodeSequence", "PatientOrientation", "SeriesDescription", "ProtocolName"]


def code(value: str, scheme: str, meaning: str = "") -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return [item]


def reason(film: Dataset, minimum_age_years: float = 0.0) -> Reason | None:
    try:
        check_header(film, minimum_age_years)
    except ImageRejected as rejected:
        return rejected.reason
    return None


def changed(without: list[str], **attributes: Any) -> Dataset:
    return chest_film(without=[keyword for keyword in without if keyword not in attributes], **attributes)


@pytest.mark.parametrize("kind", ["DX", "CR", "DX_PROCESSING"])
@pytest.mark.parametrize("view", ["PA", "AP"])
def test_frontal_films_of_chests_pass(kind: Any, view: Any) -> None:
    assert reason(chest_film(kind=kind, view=view), CHILD) is None


@pytest.mark.parametrize("modality", ["CT", "MR", "US", "MG", "OT", "SC", "", None])
def test_other_modalities_are_rejected(modality: str | None) -> None:
    assert reason(chest_film(Modality=modality)) is Reason.MODALITY


@pytest.mark.parametrize("kind", ["CR", "DX"])
def test_a_lateral_film_is_rejected(kind: Any) -> None:
    assert reason(chest_film(kind=kind, view="LL")) is Reason.LATERAL_VIEW


@pytest.mark.parametrize(
    "told",
    [
        {"ViewPosition": "LL"},
        {"ViewPosition": "RL"},
        {"ViewPosition": "LATERAL"},
        {"ViewPosition": "lat"},
        {"ViewPosition": "LEFT LATERAL"},
        {"ViewCodeSequence": code("399067008", "SCT")},
        {"ViewCodeSequence": code("R-10236", "SRT")},
        {"PatientOrientation": ["A", "F"]},
        {"PatientOrientation": ["P", "FL"]},
        {"PatientOrientation": ["AR", "F"], "ViewPosition": "PA"},
        {"SeriesDescription": "Thorax seitlich"},
        {"ProtocolName": "CHEST LAT"},
        {"SeriesDescription": "Thorax de profil"},
    ],
    ids=str,
)
def test_one_word_of_a_lateral_view_is_enough(told: dict[str, Any]) -> None:
    assert reason(changed(VIEWLESS, **told)) is Reason.LATERAL_VIEW


@pytest.mark.parametrize(
    "told",
    [
        {"ViewPosition": "LLD"},
        {"ViewPosition": "RLO"},
        {"ViewPosition": "RAO"},
        {"ViewCodeSequence": code("399182000", "SCT")},
        {"SeriesDescription": "Chest lateral decubitus"},
    ],
    ids=str,
)
def test_oblique_and_decubitus_views_are_rejected(told: dict[str, Any]) -> None:
    assert reason(changed(VIEWLESS, **told)) is Reason.UNSUPPORTED_VIEW


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"ViewPosition": ""},
        {"ViewPosition": "PORTABLE"},
        {"ViewPosition": "PA", "SeriesDescription": "Chest PA and lateral"},
        {"ProtocolName": "CHEST PA+LAT"},
        {"ViewCodeSequence": code("399033003", "SCT", "frontal")},
        {"ViewCodeSequence": code("R-10202", "SRT", "frontal")},
        {"PatientOrientation": ["L", "F"]},
        {"PatientOrientation": ""},
        {"StudyDescription": "Chest 2 views, lateral"},
        {"SeriesDescription": "Lateralized catheter, platinum"},
    ],
    ids=str,
)
def test_a_view_that_is_not_told_passes(told: dict[str, Any]) -> None:
    assert reason(changed(VIEWLESS, **told)) is None


@pytest.mark.parametrize(
    "told",
    [
        {"BodyPartExamined": "HIP"},
        {"BodyPartExamined": "EXTREMITY"},
        {"BodyPartExamined": "TSPINE"},
        {"BodyPartExamined": "RIBS"},
        {"BodyPartExamined": "PFERD"},
        {"AnatomicRegionSequence": code("24136001", "SCT", "Hip joint")},
        {"AnatomicRegionSequence": code("T-D4000", "SRT", "Abdomen")},
        {"AnatomicRegionSequence": code("1", "99LOCAL", "Left knee")},
        {"BodyPartExamined": "CHEST", "AnatomicRegionSequence": code("24136001", "SCT", "Hip joint")},
        {"StudyDescription": "XR HIP LEFT"},
        {"StudyDescription": "Röntgen Kniegelenk Knie rechts"},
        {"SeriesDescription": "Main gauche, poignet"},
        {"ProtocolName": "RODILLA AP"},
        {"SeriesDescription": "Abdomen AP", "StudyDescription": "Chest and abdomen"},
    ],
    ids=str,
)
def test_another_body_part_is_rejected(told: dict[str, Any]) -> None:
    assert reason(changed(SILENT, **told)) is Reason.BODY_PART


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"BodyPartExamined": ""},
        {"BodyPartExamined": "UNKNOWN"},
        {"BodyPartExamined": "CHEST"},
        {"BodyPartExamined": "chest_pa"},
        {"BodyPartExamined": "THORAX"},
        {"BodyPartExamined": "LUNG"},
        {"AnatomicRegionSequence": code("816094009", "SCT")},
        {"AnatomicRegionSequence": code("T-D3000", "SRT")},
        {"AnatomicRegionSequence": code("17", "99LOCAL", "Bucky 2")},
        {"BodyPartExamined": "CHEST", "StudyDescription": "Hip replacement, preoperative"},
        {"StudyDescription": "Thoraxaufnahme"},
        {"StudyDescription": "No Finding"},
        {"StudyDescription": "Chest pain, hand numb"},
        {"SeriesDescription": "Shipped to whiphand"},
        {"StudyDescription": "胸部正面"},
    ],
    ids=str,
)
def test_a_chest_or_nothing_said_of_the_body_part_passes(told: dict[str, Any]) -> None:
    assert reason(changed(SILENT, **told)) is None


@pytest.mark.parametrize(
    ("age", "years"),
    [
        ("068Y", 68),
        ("011M", 11 / 12),
        ("006W", 6 * 7 / 365.25),
        ("003D", 3 / 365.25),
        ("68", 68),
        ("068y ", 68),
    ],
)
def test_an_age_is_read_in_its_unit(age: str, years: float) -> None:
    assert age_in_years(chest_film(PatientAge=age)) == pytest.approx(years)


@pytest.mark.parametrize(
    ("born", "taken", "years"),
    [("20000101", "20260101", 26), ("2000.01.01", "20260101", 26), ("20260101", "20250101", None)],
)
def test_without_an_age_the_birth_date_tells(born: str, taken: str, years: float | None) -> None:
    film = chest_film(PatientBirthDate=born, StudyDate=taken, without=["PatientAge"])
    assert age_in_years(film) == (None if years is None else pytest.approx(years, abs=0.01))


@pytest.mark.parametrize("age", ["", "old", "Y068", "-5Y", "068X", None])
@pytest.mark.parametrize("born", ["", "00000000", "19561332", "unknown", None])
def test_an_age_that_nobody_can_read_passes(age: str | None, born: str | None) -> None:
    assert reason(chest_film(PatientAge=age, PatientBirthDate=born), CHILD) is None


@pytest.mark.parametrize(
    ("age", "minimum", "expected"),
    [
        ("017Y", 18, Reason.AGE),
        ("018Y", 18, None),
        ("011M", 1, Reason.AGE),
        ("011M", 0, None),
        ("000D", 0, None),
    ],
)
def test_patients_younger_than_the_limit_are_rejected(
    age: str, minimum: float, expected: Reason | None
) -> None:
    assert reason(chest_film(PatientAge=age), minimum) is expected


def phantom(rows: int, columns: int) -> NDArray[np.float64]:
    film = chest_film(rows=rows, columns=columns)
    return np.frombuffer(film.PixelData, "<u2").reshape(rows, columns) / 4095


def pixels_reason(pixels: NDArray[Any]) -> Reason | None:
    try:
        check_pixels(Radiograph(pixels.astype(np.float32)))
    except ImageRejected as rejected:
        return rejected.reason
    return None


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.3])
@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_a_blank_film_is_rejected_however_noisy(grey: float, noise: float) -> None:
    random = np.random.default_rng(1).normal(0, noise, (600, 500))
    assert pixels_reason(np.clip(grey + random, 0, 1)) is Reason.BLANK


def test_a_blank_film_with_a_lead_letter_is_blank() -> None:
    film = np.zeros((600, 500))
    film[20:60, 20:50] = 1
    assert pixels_reason(film) is Reason.BLANK


@pytest.mark.parametrize("exposure", [1.0, 0.3])
def test_a_chest_is_not_blank_even_underexposed(exposure: float) -> None:
    assert pixels_reason(phantom(320, 280) * exposure) is None


def test_a_strip_is_no_chest() -> None:
    assert pixels_reason(phantom(1000, 300)) is Reason.BODY_PART
    assert pixels_reason(phantom(300, 1000)) is Reason.BODY_PART
    assert pixels_reason(phantom(500, 400)) is None
