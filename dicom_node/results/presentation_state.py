"""The regions as a Grayscale Softcopy Presentation State (PS3.3 A.33.1), which a viewer lays over the films themselves.

They are told apart as in the heatmap: drawn where pneumonia is likely, dashed where it is uncertain. A presentation
state has one polarity and one modality LUT for all its images, so it speaks of the flagged films that have those of
the first; a film in colour has no presentation state of this kind.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from highdicom.color import CIELabColor
from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from dicom_node.results.colours import OUTLINE
from dicom_node.results.encoding import quiet
from dicom_node.results.frame import begin_result
from dicom_node.results.grey_scale import grey_scale_of, window_of
from dicom_node.results.picture import Picture, corners, picture_of
from dicom_node.results.source import aspect_ratio_of, spacing_of
from dicom_node.results.study import StudyReading
from dicom_node.results.wording import BURNED_IN_DISCLAIMER, flag, score_statement
from inference.prediction import Answer, Prediction, Region

PRESENTATION_STATE_SERIES_NUMBER = 9104
_LAYER = "AI REGIONS"
_DASHES = 0x00FF  # eight units drawn, eight left out


@dataclass(frozen=True, slots=True)
class _Marked:
    """A flagged film and what is drawn on it."""

    picture: Picture
    prediction: Prediction
    grey_scale: Dataset


def build_presentation_state(study: StudyReading) -> Dataset | None:
    """Mark the regions of the flagged films.

    Returns
    -------
    None where no film is flagged, or where none can be marked: its UIDs or its size are missing, or it has colours.
    """
    with quiet():
        marked = list(_marked(study))
        if not marked:
            return None
        state = begin_result(
            study,
            "regions",
            GrayscaleSoftcopyPresentationStateStorage,
            "PR",
            PRESENTATION_STATE_SERIES_NUMBER,
        )
        _describe_state(state, marked)
        state.DisplayedAreaSelectionSequence = [_displayed_area(each.picture) for each in marked]
        state.GraphicAnnotationSequence = [_annotation(each) for each in marked]
        state.GraphicLayerSequence = [_layer()]
        state.update(marked[0].grey_scale)
        windows = [window for each in marked if (window := _window(each.picture)) is not None]
        if windows:
            state.SoftcopyVOILUTSequence = windows
    return state


def _marked(study: StudyReading) -> Iterator[_Marked]:
    """The flagged films with the first one's grey scale; the film that speaks for the study comes first."""
    leading, common = study.leading_film, None
    for film in sorted(study.flagged_films, key=lambda film: film is not leading):
        picture, scale = picture_of(film), grey_scale_of(film.header)
        if picture is None or scale is None or film.prediction is None:
            continue
        common = common or scale
        if scale == common:
            yield _Marked(picture, film.prediction, scale)


def _describe_state(state: Dataset, marked: Iterable[_Marked]) -> None:
    """Presentation State Identification and Relationship modules (PS3.3 C.11.10 and C.11.11)."""
    state.ContentLabel = "AI PNEUMONIA"
    state.ContentDescription = state.SeriesDescription
    state.ContentCreatorName = "AI^DICOM Node"
    state.PresentationCreationDate, state.PresentationCreationTime = state.ContentDate, state.ContentTime
    del state.ContentDate, state.ContentTime  # of other kinds of objects
    state.BodyPartExamined = "CHEST"  # as in the heatmap: a chest needs no Laterality
    series: dict[str, Dataset] = {}
    for each in marked:
        reference = each.picture.reference
        item = series.setdefault(reference.series_instance_uid, Dataset())
        item.SeriesInstanceUID = reference.series_instance_uid
        item.ReferencedImageSequence = [*item.get("ReferencedImageSequence", []), reference.item()]
    state.ReferencedSeriesSequence = list(series.values())


def _displayed_area(picture: Picture) -> Dataset:
    """All of the film, as large as it fits (C.10.4)."""
    area = Dataset()
    area.ReferencedImageSequence = [picture.reference.item()]
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [picture.columns, picture.rows]
    area.PresentationSizeMode = "SCALE TO FIT"
    spacing = spacing_of(picture.film.header)
    if spacing is not None:
        area.PresentationPixelSpacing = spacing
    else:
        area.PresentationPixelAspectRatio = aspect_ratio_of(picture.film.header) or ["1", "1"]
    return area


def _annotation(marked: _Marked) -> Dataset:
    """The words and regions of one film (C.10.5)."""
    annotation = Dataset()
    annotation.ReferencedImageSequence = [marked.picture.reference.item()]
    annotation.GraphicLayer = _LAYER
    annotation.TextObjectSequence = [_words(marked.prediction)]
    regions = marked.prediction.regions
    if regions:
        dashed = marked.prediction.answer is not Answer.LIKELY
        annotation.GraphicObjectSequence = [_outline(region, dashed=dashed) for region in regions]
    return annotation


def _words(prediction: Prediction) -> Dataset:
    """In a box at the top of whatever is displayed, since letters keep their size however a film is scaled."""
    words = Dataset()
    words.BoundingBoxAnnotationUnits = "DISPLAY"
    lines = (f"AI: {flag(prediction.answer)}", score_statement(prediction), BURNED_IN_DISCLAIMER)
    words.UnformattedTextValue = "\r\n".join(lines)
    words.BoundingBoxTopLeftHandCorner = [1 / 64, 1 / 64]  # exact in 32 bits
    words.BoundingBoxBottomRightHandCorner = [63 / 64, 1 / 8]
    words.BoundingBoxTextHorizontalJustification = "LEFT"
    return words


def _outline(region: Region, *, dashed: bool) -> Dataset:
    line = corners(region)
    outline = Dataset()
    outline.GraphicAnnotationUnits = "PIXEL"
    outline.GraphicDimensions = 2
    outline.NumberOfGraphicPoints = len(line)
    outline.GraphicData = [float(number) for corner in line for number in corner]
    outline.GraphicType = "POLYLINE"
    outline.GraphicFilled = "N"
    outline.LineStyleSequence = [_line_style(dashed=dashed)]
    return outline


def _line_style(*, dashed: bool) -> Dataset:
    style = Dataset()
    style.PatternOnColorCIELabValue = _colour(*OUTLINE)
    style.PatternOnOpacity = 1.0
    style.LineThickness = 2.0
    style.LineDashingStyle = "DASHED" if dashed else "SOLID"
    if dashed:
        style.LinePattern = _DASHES
        style.PatternOffOpacity = 0.0
    style.ShadowStyle = "OUTLINED"
    style.ShadowOffsetX = 0.0
    style.ShadowOffsetY = 0.0
    style.ShadowColorCIELabValue = _colour(0, 0, 0)
    style.ShadowOpacity = 1.0
    return style


def _layer() -> Dataset:
    """The one Graphic Layer (C.10.7), in the colour of the heatmap's outlines for viewers without line styles."""
    layer = Dataset()
    layer.GraphicLayer = _LAYER
    layer.GraphicLayerOrder = 1
    layer.GraphicLayerDescription = "Regions of attention of an AI, not for primary diagnosis"
    layer.GraphicLayerRecommendedDisplayCIELabValue = _colour(*OUTLINE)
    return layer


def _window(picture: Picture) -> Dataset | None:
    window = window_of(picture.film.header)
    if window is not None:
        window.ReferencedImageSequence = [picture.reference.item()]
    return window


def _colour(red: int, green: int, blue: int) -> list[int]:
    return list(CIELabColor.from_rgb(red, green, blue).value)
