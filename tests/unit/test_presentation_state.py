"""What a viewer lays over the radiographs themselves when it applies the presentation state."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from config.peers import ResultKind
from dicom_node.results import encode
from dicom_node.results.source import text_of
from dicom_node.results.study import Film
from inference.prediction import Outcome, Prediction, Region
from tests.builders import NAMES
from tests.readings import LATERAL, RIGHT_LOWER, film, likely, reading, results_of, uncertain, unlikely

STATE = ResultKind.PRESENTATION_STATE
UPPER = Region(left=160, top=60, right=220, bottom=120)


def state_of(*films: Film) -> Dataset:
    return dcmread(BytesIO(encode(results_of(reading(*films), frozenset({STATE}))[STATE])))


def uid(one: Film) -> str:
    return text_of(one.header, "SOPInstanceUID")


def of_film(items: list[Dataset], one: Film) -> Dataset:
    """The item that is about this film, and about no other."""
    [item] = [item for item in items if item.ReferencedImageSequence[0].ReferencedSOPInstanceUID == uid(one)]
    assert len(item.ReferencedImageSequence) == 1
    return item


def lines(state: Dataset, one: Film) -> list[list[float]]:
    return [
        list(each.GraphicData) for each in of_film(state.GraphicAnnotationSequence, one).GraphicObjectSequence
    ]


def test_it_is_a_presentation_state_beside_the_films() -> None:
    one = film(likely(), name=NAMES["japanese"])
    state = state_of(one)
    assert state.SOPClassUID == GrayscaleSoftcopyPresentationStateStorage
    assert (state.Modality, state.SeriesNumber) == ("PR", 9104)
    assert state.StudyInstanceUID == one.header.StudyInstanceUID
    assert str(state.PatientName) == NAMES["japanese"].text
    assert state.ContentLabel == "AI PNEUMONIA"
    assert state.ContentDescription == "PNEUMONIA LIKELY (AI regions) - not for primary diagnosis"
    assert (state.PresentationCreationDate, state.PresentationCreationTime) == ("20260302", "003005")


def test_every_region_is_a_closed_line_around_its_pixels() -> None:
    one = film(likely(0.9, RIGHT_LOWER, UPPER))
    assert lines(state_of(one), one) == [
        [40, 180, 120, 180, 120, 260, 40, 260, 40, 180],
        [160, 60, 220, 60, 220, 120, 160, 120, 160, 60],
    ]
    for graphic in state_of(one).GraphicAnnotationSequence[0].GraphicObjectSequence:
        assert (graphic.GraphicType, graphic.GraphicAnnotationUnits) == ("POLYLINE", "PIXEL")
        assert graphic.NumberOfGraphicPoints * graphic.GraphicDimensions == len(graphic.GraphicData)


@pytest.mark.parametrize(("prediction", "style"), [(likely, "SOLID"), (uncertain, "DASHED")])
def test_an_uncertain_region_is_dashed_as_in_the_heatmap(
    prediction: Callable[[], Prediction], style: str
) -> None:
    [graphic] = state_of(film(prediction())).GraphicAnnotationSequence[0].GraphicObjectSequence
    [line] = graphic.LineStyleSequence
    assert line.LineDashingStyle == style
    assert ("LinePattern" in line) == (style == "DASHED")


def test_the_words_tell_flag_score_and_what_it_is_not() -> None:
    [words] = state_of(film(likely(0.873))).GraphicAnnotationSequence[0].TextObjectSequence
    assert words.UnformattedTextValue.split("\r\n") == [
        "AI: PNEUMONIA LIKELY",
        "score 87.3%, likely from 50.0%",
        "AI - NOT FOR PRIMARY DIAGNOSIS",
    ]


def test_a_flagged_film_without_regions_has_its_words() -> None:
    [annotation] = state_of(film(replace(likely(), regions=()))).GraphicAnnotationSequence
    assert "GraphicObjectSequence" not in annotation
    assert annotation.TextObjectSequence


def test_films_of_other_sizes_and_series_have_their_own_regions_words_and_windows() -> None:
    one = film(likely(0.9, RIGHT_LOWER), "1", rows=320, columns=280)
    other = film(
        uncertain(0.4, UPPER), "2", view="AP", rows=500, columns=640, WindowCenter="1000", WindowWidth="900"
    )
    state = state_of(one, other, film(unlikely(), "3"), film(LATERAL, "4", view="LL"))
    named = {
        series.SeriesInstanceUID: [image.ReferencedSOPInstanceUID for image in series.ReferencedImageSequence]
        for series in state.ReferencedSeriesSequence
    }
    assert named == {text_of(each.header, "SeriesInstanceUID"): [uid(each)] for each in (one, other)}
    assert lines(state, one)[0][:2] == [40, 180]
    assert lines(state, other)[0][:2] == [160, 60]
    areas = state.DisplayedAreaSelectionSequence
    assert of_film(areas, one).DisplayedAreaBottomRightHandCorner == [280, 320]
    assert of_film(areas, other).DisplayedAreaBottomRightHandCorner == [640, 500]
    assert of_film(state.SoftcopyVOILUTSequence, one).WindowWidth == 4096
    assert of_film(state.SoftcopyVOILUTSequence, other).WindowWidth == 900


def test_two_films_of_a_series_are_one_series() -> None:
    [series] = state_of(film(likely(), "1"), film(likely(0.6), "2")).ReferencedSeriesSequence
    assert len(series.ReferencedImageSequence) == 2


@pytest.mark.parametrize(("photometric", "shape"), [("MONOCHROME1", "INVERSE"), ("MONOCHROME2", "IDENTITY")])
def test_the_polarity_is_the_films(photometric: str, shape: str) -> None:
    assert state_of(film(likely(), photometric=photometric)).PresentationLUTShape == shape


@pytest.mark.parametrize(
    "other", [{"photometric": "MONOCHROME1"}, {"RescaleSlope": "2"}, {"RescaleIntercept": "-1024"}]
)
def test_a_film_of_another_grey_scale_than_the_leading_ones_is_not_shown_wrongly(
    other: dict[str, str],
) -> None:
    leading, odd = film(likely(0.9), "1"), film(likely(0.6), "2", **other)
    state = state_of(leading, odd, film(likely(0.7), "3"))
    assert uid(odd) not in [
        image.ReferencedSOPInstanceUID
        for series in state.ReferencedSeriesSequence
        for image in series.ReferencedImageSequence
    ]
    assert len(state.GraphicAnnotationSequence) == 2
    assert state.PresentationLUTShape == "IDENTITY"


class TestPixelShape:
    def area(self, **attributes: object) -> Dataset:
        return state_of(film(likely(), **attributes)).DisplayedAreaSelectionSequence[0]

    def test_it_follows_the_spacing(self) -> None:
        assert self.area(ImagerPixelSpacing=["0.2", "0.1"]).PresentationPixelSpacing == [0.2, 0.1]

    def test_else_the_aspect_ratio(self) -> None:
        area = self.area(without=["ImagerPixelSpacing"], PixelAspectRatio=["2", "1"])
        assert area.PresentationPixelAspectRatio == [2, 1]

    def test_else_it_is_square(self) -> None:
        assert self.area(without=["ImagerPixelSpacing"]).PresentationPixelAspectRatio == [1, 1]


@pytest.mark.parametrize(
    ("of_film", "window"),
    [
        ({"WindowCenter": "2000", "WindowWidth": "1500"}, ("2000", "1500", None)),
        ({"WindowCenter": ["2000", "500"], "WindowWidth": ["1500", "10"]}, ("2000", "1500", None)),
        ({"WindowWidth": "0.5"}, None),
        ({"WindowWidth": "0.5", "VOILUTFunction": "SIGMOID"}, ("2048", "0.5", "SIGMOID")),
        ({"VOILUTFunction": "MAGIC"}, ("2048", "4096", None)),
        ({"without": ["WindowCenter", "WindowWidth"]}, None),
    ],
)
def test_the_window_is_the_first_that_the_film_has(
    of_film: dict[str, object], window: tuple[str, str, str | None] | None
) -> None:
    state = state_of(film(likely(), **of_film))
    if window is None:
        assert "SoftcopyVOILUTSequence" not in state
        return
    [item] = state.SoftcopyVOILUTSequence
    assert (str(item.WindowCenter), str(item.WindowWidth), item.get("VOILUTFunction")) == window


@pytest.mark.parametrize("outcome", [unlikely(), LATERAL, None], ids=["unlikely", "not analysable", "failed"])
def test_there_is_none_where_nothing_is_flagged(outcome: Outcome | None) -> None:
    assert STATE not in results_of(reading(film(outcome)), heatmap_for_negatives=True)


def test_written_and_read_back_it_is_the_same() -> None:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 12])
    item.add_new("LUTData", "OW", np.arange(4096, dtype="<u2").tobytes())
    films = film(likely(), "1", VOILUTSequence=[item]), film(uncertain(), "2")
    state = results_of(reading(*films))[STATE]
    assert dcmread(BytesIO(encode(state))) == state
