"""The content tree of the report: TID 1500 Measurement Report (PS3.16), built with highdicom's templates.

highdicom 0.28 sees UIDs, sizes and numbers of the images, never a patient's data, so nothing in a header can make
it fail or be quoted in one of its warnings. It writes containers as CONTINUOUS, which makes viewers print values
without their names: `separate` mends that.
"""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    CodedConcept,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    CoordinatesForMeasurement,
    FindingSite,
    GraphicTypeValues,
    ImageContentItem,
    ImageRegion,
    LanguageOfContentItemAndDescendants,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_node.results import codes
from dicom_node.results.equipment import MANUFACTURER, observer
from dicom_node.results.frame import uid_for
from dicom_node.results.image_library import library_entries
from dicom_node.results.picture import Picture, corners, picture_of
from dicom_node.results.source import orientation_of
from dicom_node.results.study import Film, StudyReading
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


_Group: TypeAlias = MeasurementsAndQualitativeEvaluations | PlanarROIMeasurementsAndQualitativeEvaluations


def report_content(study: StudyReading, heatmap: Dataset | None) -> Dataset:
    """The root container of the report, with everything below it.

    Parameters
    ----------
    heatmap
        The Secondary Capture of `study.leading_film`, where one is sent along.
    """
    groups = _groups(study, heatmap)
    # highdicom wants at least one group; a report on images without a size has none, and loses this one again.
    report = MeasurementReport(
        observation_context=ObservationContext(
            observer_device_context=observer(study.card, study.station_name)
        ),
        procedure_reported=codes.IMAGING_PROCEDURE,
        imaging_measurements=groups or [MeasurementsAndQualitativeEvaluations(_tracking(study, "none"))],
        title=codes.MEASUREMENT_REPORT,
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(
            CodedConcept.from_code(codes.ENGLISH)
        ),
        referenced_images=library_entries(study),
    )
    root: Dataset = report[0]
    if not groups:
        root.ContentSequence = ContentSequence(
            [item for item in root.ContentSequence if item.name != codes.IMAGING_MEASUREMENTS]
        )
    root.ContentSequence.append(_evaluations(study, with_algorithm=not groups))
    _separate(root)
    return root


def _groups(study: StudyReading, heatmap: Dataset | None) -> list[_Group]:
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
        _region_group(study, picture, prediction, number, region, heatmap)
        for picture, prediction in speaking
        for number, region in enumerate(prediction.regions or (picture.whole,), start=1)
    ]


def _region_group(
    study: StudyReading,
    picture: Picture,
    prediction: Prediction,
    number: int,
    region: Region,
    heatmap: Dataset | None,
) -> _Group:
    """TID 1410 Planar ROI Measurements and Qualitative Evaluations: a region of attention.

    Only where pneumonia is likely is it the finding: viewers list a finding without what qualifies it.
    """
    likely = prediction.answer is Answer.LIKELY
    what = f"AI pneumonia region {number}" if likely else f"AI pneumonia uncertain, region {number}"
    group = PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(study, what, picture),
        referenced_region=ImageRegion(
            graphic_type=GraphicTypeValues.POLYLINE,
            graphic_data=np.array(corners(region), dtype=np.float64),
            source_image=_source(picture),
        ),
        finding_type=codes.PNEUMONIA if likely else None,
        finding_category=codes.DISEASE if likely else None,
        geometric_purpose=codes.BOUNDED_BY,
        algorithm_id=_algorithm(study, prediction),
        finding_sites=[_site(_side(picture, prediction, region))],
        measurements=[Measurement(codes.CERTAINTY, _certainty(prediction), codes.PERCENT)],
        qualitative_evaluations=[QualitativeEvaluation(codes.PNEUMONIA, _PRESENCE[prediction.answer])],
    )
    if not likely:
        _comment(group, answer_statement(prediction))
    _explain(group, study, picture, heatmap)
    return group


def _unlikely_group(
    study: StudyReading, picture: Picture, prediction: Prediction, heatmap: Dataset | None
) -> _Group:
    """TID 1501 Measurement and Qualitative Evaluation Group: no finding, its measurement made on the whole image."""
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(study, "AI pneumonia whole image", picture),
        algorithm_id=_algorithm(study, prediction),
        finding_sites=[_site(None)],
        measurements=[
            Measurement(
                codes.CERTAINTY,
                _certainty(prediction),
                codes.PERCENT,
                referenced_coordinates=_whole_image(picture),
            )
        ],
        qualitative_evaluations=[QualitativeEvaluation(codes.PNEUMONIA, codes.ABSENT)],
        source_images=[_source_of_group(picture)],
    )
    _comment(group, answer_statement(prediction))
    _explain(group, study, picture, heatmap)
    return group


def _not_analysable_group(study: StudyReading, picture: Picture, count: int, reason: str) -> _Group:
    """TID 1501 on a whole image, without a site: that, and why, nothing can be said of images like it.

    Its measurement is how many they are: OHIF 3.13 shows a comment only beside one.
    """
    evaluations = [
        QualitativeEvaluation(codes.FINDINGS_SUMMARY, codes.NONE_SUCCEEDED),
        QualitativeEvaluation(codes.PNEUMONIA, codes.UNDETERMINED),
    ]
    outcome = picture.film.outcome
    if isinstance(outcome, NotAnalysable) and outcome.reason in _IMAGE_QUALITY:
        evaluations.append(QualitativeEvaluation(codes.IMAGE_QUALITY, _IMAGE_QUALITY[outcome.reason]))
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(study, "AI pneumonia not analysable", picture),
        algorithm_id=_algorithm(study, None),
        measurements=[
            Measurement(codes.QUANTITY, count, codes.IMAGES, referenced_coordinates=_whole_image(picture))
        ],
        qualitative_evaluations=evaluations,
        source_images=[_source_of_group(picture)],
    )
    _comment(group, not_analysed_statement(count, reason))
    return group


def _evaluations(study: StudyReading, *, with_algorithm: bool) -> ContainerContentItem:
    """TID 1500's container of qualitative evaluations: the answer for the study, for whoever reads no further."""
    container = ContainerContentItem(
        codes.QUALITATIVE_EVALUATIONS, relationship_type=RelationshipTypeValues.CONTAINS
    )
    items: list[ContentItem] = [
        _code(codes.FINDINGS_SUMMARY, _findings_summary(study)),
        _code(codes.PNEUMONIA, _PRESENCE[study.answer]),
    ]
    if study.answer is Answer.LIKELY:
        items.append(_code(codes.PRIORITY, codes.URGENT))
    items.append(_text(codes.SUMMARY, summary(study)))
    compared = comparison(study)
    if compared is not None:
        items.append(_text(codes.PREVIOUS_FINDING, compared))
    items.append(_text(codes.COMMENT, DISCLAIMER))
    algorithm = _algorithm(study, study.leading_film.prediction) if with_algorithm else ContentSequence()
    container.ContentSequence = ContentSequence()
    container.ContentSequence.extend(algorithm)
    container.ContentSequence.extend(items)
    return container


def _findings_summary(study: StudyReading) -> Code:
    failed = any(film.outcome is None for film in study.films)
    if study.answer is None:
        return codes.NONE_SUCCEEDED
    if study.answer is Answer.UNLIKELY:
        return codes.SOME_WITHOUT_FINDINGS if failed else codes.ALL_WITHOUT_FINDINGS
    # CID 6047 has no word for undecided; "without findings" would let a worklist pass an uncertain film by.
    return codes.SOME_WITH_FINDINGS if failed else codes.ALL_WITH_FINDINGS


def _algorithm(study: StudyReading, prediction: Prediction | None) -> AlgorithmIdentification:
    """TID 4019 Algorithm Identification, with the limits that made an answer of the score, where there is one."""
    card = study.card
    limits = []
    if prediction is not None:
        uncertain_from, likely_from = prediction.uncertain
        limits = [f"uncertain from score {uncertain_from:.4f}", f"likely from score {likely_from:.4f}"]
    return AlgorithmIdentification(
        name=plain_text(card.name),
        version=plain_text(card.version),
        manufacturer=MANUFACTURER,
        family=codes.ARTIFICIAL_INTELLIGENCE,
        parameters=[
            *limits,
            f"architecture {plain_text(card.architecture)}",
            f"weights SHA-256 {plain_text(card.sha256)}",
        ],
    )


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


def _tracking(study: StudyReading, what: str, picture: Picture | None = None) -> TrackingIdentifier:
    image = picture.reference.sop_instance_uid if picture else ""
    return TrackingIdentifier(uid=uid_for(study, f"{what} {image}"), identifier=what)


def _whole_image(picture: Picture) -> list[CoordinatesForMeasurement]:
    """The outline of a whole image, drawn in two strokes: its upper left corner, and the rest.

    OHIF 3.13 draws the first alone and writes to the right of it: to the right of the image nobody could read that.
    """
    right, bottom = picture.columns, picture.rows
    across, down = right / 20, bottom / 5
    strokes = (
        [(0, down), (0, 0), (across, 0)],
        [(across, 0), (right, 0), (right, bottom), (0, bottom), (0, down)],
    )
    return [
        CoordinatesForMeasurement(
            graphic_type=GraphicTypeValues.POLYLINE,
            graphic_data=np.array(stroke, dtype=np.float64),
            source_image=_source(picture),
        )
        for stroke in strokes
    ]


def _source(picture: Picture) -> SourceImageForRegion:
    return SourceImageForRegion(picture.reference.sop_class_uid, picture.reference.sop_instance_uid)


def _source_of_group(picture: Picture) -> SourceImageForMeasurementGroup:
    return SourceImageForMeasurementGroup(picture.reference.sop_class_uid, picture.reference.sop_instance_uid)


def _site(side: Side | None) -> FindingSite:
    site, laterality = _SITES[side]
    return FindingSite(site, laterality=laterality)


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


def _explain(group: _Group, study: StudyReading, picture: Picture, heatmap: Dataset | None) -> None:
    """Point from a group to the picture that explains it."""
    if heatmap is not None and picture.film is study.leading_film:
        group[0].ContentSequence.append(
            ImageContentItem(
                name=codes.VISUAL_EXPLANATION,
                referenced_sop_class_uid=heatmap.SOPClassUID,
                referenced_sop_instance_uid=heatmap.SOPInstanceUID,
                relationship_type=RelationshipTypeValues.CONTAINS,
            )
        )


def _comment(group: _Group, text: str) -> None:
    group[0].ContentSequence.append(_text(codes.COMMENT, text))


def _text(name: Code, value: str) -> TextContentItem:
    return TextContentItem(name, value, relationship_type=RelationshipTypeValues.CONTAINS)


def _code(name: Code, value: Code) -> CodeContentItem:
    return CodeContentItem(
        name, CodedConcept.from_code(value), relationship_type=RelationshipTypeValues.CONTAINS
    )


def _separate(container: Dataset) -> None:
    container.ContinuityOfContent = "SEPARATE"
    for item in container.ContentSequence:
        if item.ValueType == "CONTAINER":
            _separate(item)
