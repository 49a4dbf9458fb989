"""The content tree of the report: TID 1500 Measurement Report (PS3.16).

It sees UIDs, sizes and numbers of the images, never a patient's data, so nothing in a header can make it fail.
"""

from collections.abc import Iterable

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_node.results import codes
from dicom_node.results.content_items import (
    Item,
    code,
    container,
    image,
    number,
    polyline,
    text,
    uid,
    write_root,
)
from dicom_node.results.equipment import MANUFACTURER
from dicom_node.results.frame import uid_for
from dicom_node.results.image_library import image_library
from dicom_node.results.picture import Picture, corners, picture_of
from dicom_node.results.source import orientation_of
from dicom_node.results.study import Film, StudyReading
from dicom_node.results.uids import device_uid
from dicom_node.results.wording import (
    DISCLAIMER,
    answer_statement,
    comparison,
    count_reasons,
    not_analysed_statement,
    plain_text,
    reason_of,
    summary,
)
from inference.prediction import Answer, NotAnalysable, Prediction, Reason, Region, Side

_PRESENCE = {
    Answer.LIKELY: codes.PRESENT,
    Answer.UNCERTAIN: codes.EQUIVOCAL,
    Answer.UNLIKELY: codes.ABSENT,
    None: codes.UNDETERMINED,
}
_SITES = {
    Side.LEFT: (codes.LEFT_LUNG, codes.LEFT),
    Side.RIGHT: (codes.RIGHT_LUNG, codes.RIGHT),
    Side.BILATERAL: (codes.BOTH_LUNGS, codes.BILATERAL),
    None: (codes.LUNG, None),
}
"""The side stands in the site, since OHIF 3.13 shows no laterality, and beside it, where receivers look for it."""
_IMAGE_QUALITY = {
    Reason.NO_PIXELS: codes.NO_IMAGE,
    Reason.BLANK: codes.NO_IMAGE,
    Reason.INVERTED: codes.IMAGE_PROCESSING,
    Reason.TURNED: codes.POSITIONING,
    Reason.CROPPED: codes.POSITIONING,
}
"""Where CID 6135 has a word for a reason. A good lateral film is no fault of positioning, so it has none."""


def write_content(report: Dataset, study: StudyReading, heatmap: Dataset | None) -> frozenset[str]:
    """Write the root container of the report, with everything below it.

    Parameters
    ----------
    heatmap
        The Secondary Capture of `study.leading_film`, where one is sent along.

    Returns
    -------
    The SOP Instance UIDs of the images that the content points to.
    """
    groups = _groups(study, heatmap)
    library = image_library(study)
    below = [
        code("HAS CONCEPT MOD", codes.LANGUAGE, codes.ENGLISH),
        *_observer(study),
        code("HAS CONCEPT MOD", codes.PROCEDURE_REPORTED, codes.IMAGING_PROCEDURE),
        *([] if library is None else [library]),
        # a report on images without a size has no groups
        *([container("CONTAINS", codes.IMAGING_MEASUREMENTS, groups)] if groups else []),
        _evaluations(study, with_algorithm=not groups),
    ]
    return write_root(report, codes.MEASUREMENT_REPORT, "1500", below)


def _observer(study: StudyReading) -> list[Item]:
    """TID 1004 Device Observer Identifying Attributes: the node."""
    station = plain_text(study.station_name)
    told = {
        codes.DEVICE_OBSERVER_NAME: station,
        codes.DEVICE_OBSERVER_MANUFACTURER: MANUFACTURER,
        codes.DEVICE_OBSERVER_MODEL: plain_text(study.card.name),
        codes.DEVICE_OBSERVER_SERIAL_NUMBER: station,
    }
    return [
        code("HAS OBS CONTEXT", codes.OBSERVER_TYPE, codes.DEVICE),
        uid("HAS OBS CONTEXT", codes.DEVICE_OBSERVER_UID, device_uid(study.card)),
        *(text("HAS OBS CONTEXT", name, value) for name, value in told.items()),
    ]


def _groups(study: StudyReading, heatmap: Dataset | None) -> list[Item]:
    """The measurement groups; each points to a region of an image, since OHIF 3.13 shows a black page otherwise.

    All are of one template: PixelMed's validator takes a single TID 1410 group for the template of its neighbours.
    """
    if study.answer is None:
        return [
            _not_analysable_group(study, picture, count, reason)
            for picture, reason, count in _first_of_each_reason(study)
        ]
    speaking = _predicted(study.films_answered(study.answer))
    if study.answer is Answer.UNLIKELY:
        return [_unlikely_group(study, picture, prediction, heatmap) for picture, prediction in speaking]
    return [
        _region_group(study, picture, prediction, place, region, heatmap)
        for picture, prediction in speaking
        for place, region in enumerate(prediction.regions or (picture.whole,), start=1)
    ]


def _region_group(
    study: StudyReading,
    picture: Picture,
    prediction: Prediction,
    place: int,
    region: Region,
    heatmap: Dataset | None,
) -> Item:
    """TID 1410 Planar ROI Measurements and Qualitative Evaluations: a region of attention.

    Only where pneumonia is likely is it the finding: viewers list a finding without what qualifies it.
    """
    likely = prediction.answer is Answer.LIKELY
    what = f"AI pneumonia region {place}" if likely else f"AI pneumonia uncertain, region {place}"
    finding = [
        code("CONTAINS", codes.FINDING_CATEGORY, codes.DISEASE),
        code("CONTAINS", codes.FINDING, codes.PNEUMONIA),
    ]
    items = [
        *_tracking(study, what, picture),
        *(finding if likely else []),
        _site(_side(picture, prediction, region)),
        *_algorithm(study, prediction),
        number("CONTAINS", codes.CERTAINTY, _certainty(prediction), codes.PERCENT),
        code("CONTAINS", codes.PNEUMONIA, _PRESENCE[prediction.answer]),
        code("CONTAINS", codes.PURPOSE_OF_REGION, codes.BOUNDED_BY),
        polyline("CONTAINS", codes.IMAGE_REGION, corners(region), [_source(picture)]),
        *([] if likely else [_comment(answer_statement(prediction))]),
        *_explanation(study, picture, heatmap),
    ]
    return container("CONTAINS", codes.MEASUREMENT_GROUP, items, "1410")


def _unlikely_group(
    study: StudyReading, picture: Picture, prediction: Prediction, heatmap: Dataset | None
) -> Item:
    """TID 1501 Measurement and Qualitative Evaluation Group: no finding, its measurement made on the whole image."""
    certainty = _certainty(prediction)
    items = [
        *_tracking(study, "AI pneumonia whole image", picture),
        _site(None),
        *_algorithm(study, prediction),
        number("CONTAINS", codes.CERTAINTY, certainty, codes.PERCENT, _whole_image(picture)),
        code("CONTAINS", codes.PNEUMONIA, codes.ABSENT),
        _source_of_group(picture),
        _comment(answer_statement(prediction)),
        *_explanation(study, picture, heatmap),
    ]
    return container("CONTAINS", codes.MEASUREMENT_GROUP, items, "1501")


def _not_analysable_group(study: StudyReading, picture: Picture, count: int, reason: str) -> Item:
    """TID 1501 on a whole image, without a site: that, and why, nothing can be said of images like it.

    Its measurement is how many they are: OHIF 3.13 shows a comment only beside one.
    """
    outcome = picture.film.outcome
    quality = _IMAGE_QUALITY.get(outcome.reason) if isinstance(outcome, NotAnalysable) else None
    items = [
        *_tracking(study, "AI pneumonia not analysable", picture),
        *_algorithm(study, None),
        number("CONTAINS", codes.QUANTITY, count, codes.IMAGES, _whole_image(picture)),
        code("CONTAINS", codes.FINDINGS_SUMMARY, codes.NONE_SUCCEEDED),
        code("CONTAINS", codes.PNEUMONIA, codes.UNDETERMINED),
        *([] if quality is None else [code("CONTAINS", codes.IMAGE_QUALITY, quality)]),
        _source_of_group(picture),
        _comment(not_analysed_statement(count, reason)),
    ]
    return container("CONTAINS", codes.MEASUREMENT_GROUP, items, "1501")


def _evaluations(study: StudyReading, *, with_algorithm: bool) -> Item:
    """TID 1500's container of qualitative evaluations: the answer for the study, for whoever reads no further."""
    compared = comparison(study)
    items = [
        *(_algorithm(study, study.leading_film.prediction) if with_algorithm else []),
        code("CONTAINS", codes.FINDINGS_SUMMARY, _findings_summary(study)),
        code("CONTAINS", codes.PNEUMONIA, _PRESENCE[study.answer]),
        *([code("CONTAINS", codes.PRIORITY, codes.URGENT)] if study.answer is Answer.LIKELY else []),
        text("CONTAINS", codes.SUMMARY, summary(study)),
        *([] if compared is None else [text("CONTAINS", codes.PREVIOUS_FINDING, compared)]),
        _comment(DISCLAIMER),
    ]
    return container("CONTAINS", codes.QUALITATIVE_EVALUATIONS, items)


def _findings_summary(study: StudyReading) -> Code:
    failed = any(film.outcome is None for film in study.films)
    if study.answer is None:
        return codes.NONE_SUCCEEDED
    if study.answer is Answer.UNLIKELY:
        return codes.SOME_WITHOUT_FINDINGS if failed else codes.ALL_WITHOUT_FINDINGS
    # CID 6047 has no word for undecided; "without findings" would let a worklist pass an uncertain film by.
    return codes.SOME_WITH_FINDINGS if failed else codes.ALL_WITH_FINDINGS


def _algorithm(study: StudyReading, prediction: Prediction | None) -> list[Item]:
    """TID 4019 Algorithm Identification, with the limits that made an answer of the score, where there is one."""
    card = study.card
    limits = []
    if prediction is not None:
        uncertain_from, likely_from = prediction.uncertain
        limits = [f"uncertain from score {uncertain_from:.4f}", f"likely from score {likely_from:.4f}"]
    parameters = [
        *limits,
        f"architecture {plain_text(card.architecture)}",
        f"weights SHA-256 {plain_text(card.sha256)}",
    ]
    return [
        text("HAS CONCEPT MOD", codes.ALGORITHM_NAME, plain_text(card.name)),
        text("HAS CONCEPT MOD", codes.ALGORITHM_VERSION, plain_text(card.version)),
        text("HAS CONCEPT MOD", codes.ALGORITHM_MANUFACTURER, MANUFACTURER),
        *(text("HAS CONCEPT MOD", codes.ALGORITHM_PARAMETERS, parameter) for parameter in parameters),
        code("HAS CONCEPT MOD", codes.ALGORITHM_FAMILY, codes.ARTIFICIAL_INTELLIGENCE),
    ]


def _predicted(films: Iterable[Film]) -> list[tuple[Picture, Prediction]]:
    return [
        (picture, film.prediction)
        for film in films
        if film.prediction is not None and (picture := picture_of(film)) is not None
    ]


def _first_of_each_reason(study: StudyReading) -> list[tuple[Picture, str, int]]:
    """One film stands for all with its reason: a CT series sent here by mistake is one statement, not a thousand."""
    counts = count_reasons(study.films)
    found: dict[str, Picture] = {}
    for film in study.films:
        reason = reason_of(film)
        if reason is not None and reason not in found and (picture := picture_of(film)) is not None:
            found[reason] = picture
    return [(picture, reason, counts[reason]) for reason, picture in found.items()]


def _tracking(study: StudyReading, what: str, picture: Picture) -> list[Item]:
    identified = uid_for(study, f"{what} {picture.reference.sop_instance_uid}")
    return [
        text("HAS OBS CONTEXT", codes.TRACKING_IDENTIFIER, what),
        uid("HAS OBS CONTEXT", codes.TRACKING_UID, identified),
    ]


def _whole_image(picture: Picture) -> list[Item]:
    """The outline of a whole image, drawn in two strokes: its upper left corner, and the rest.

    OHIF 3.13 draws the first alone and writes to the right of it: to the right of the image nobody could read that.
    """
    right, bottom = picture.columns, picture.rows
    across, down = right / 20, bottom / 5
    strokes = (
        [(0, down), (0, 0), (across, 0)],
        [(across, 0), (right, 0), (right, bottom), (0, bottom), (0, down)],
    )
    return [polyline("INFERRED FROM", codes.SOURCE, stroke, [_source(picture)]) for stroke in strokes]


def _source(picture: Picture) -> Item:
    reference = picture.reference
    return image("SELECTED FROM", codes.SOURCE, reference.sop_class_uid, reference.sop_instance_uid)


def _source_of_group(picture: Picture) -> Item:
    reference = picture.reference
    return image("CONTAINS", codes.SOURCE_OF_MEASUREMENT, reference.sop_class_uid, reference.sop_instance_uid)


def _site(side: Side | None) -> Item:
    site, laterality = _SITES[side]
    modifier = [] if laterality is None else [code("HAS CONCEPT MOD", codes.LATERALITY, laterality)]
    return code("HAS CONCEPT MOD", codes.FINDING_SITE, site, modifier)


def _side(picture: Picture, prediction: Prediction, region: Region) -> Side | None:
    """Which lung the region is on: the one that holds all attention, else by the half of the picture.

    A region with at least a quarter of its width on either side of the middle is on both. None where the header does
    not say how the picture hangs.
    """
    if prediction.side in (Side.LEFT, Side.RIGHT):
        return prediction.side
    orientation = orientation_of(picture.film.header)
    if orientation is None or orientation[0] not in ("L", "R"):
        return None
    middle = picture.columns / 2
    share_on_left = min(max((middle - region.left) / (region.right - region.left), 0.0), 1.0)
    if 0.25 <= share_on_left <= 0.75:
        return Side.BILATERAL
    rows_run_to_the_patients_left = orientation[0] == "L"
    return Side.RIGHT if (share_on_left > 0.75) == rows_run_to_the_patients_left else Side.LEFT


def _certainty(prediction: Prediction) -> float:
    return round(prediction.score * 100, 1)


def _explanation(study: StudyReading, picture: Picture, heatmap: Dataset | None) -> list[Item]:
    """Where a group's picture is the one that the heatmap explains, a pointer to that."""
    if heatmap is None or picture.film is not study.leading_film:
        return []
    return [image("CONTAINS", codes.VISUAL_EXPLANATION, heatmap.SOPClassUID, heatmap.SOPInstanceUID)]


def _comment(words: str) -> Item:
    return text("CONTAINS", codes.COMMENT, words)
