"""The one way from what was found in a study to the objects that are sent."""

from collections.abc import Callable

from pydicom.dataset import Dataset

from config.settings import ResultsSettings
from dicom_node.results.heatmap_image import build_heatmap
from dicom_node.results.structured_report import build_structured_report
from dicom_node.results.study import Film, StudyReading
from inference.prediction import Answer
from inference.radiograph import Radiograph


def build_results(
    study: StudyReading, settings: ResultsSettings, radiograph_of: Callable[[Film], Radiograph]
) -> tuple[Dataset, ...]:
    """Build everything that is sent of a study, in the order of sending: the report, then its heatmap.

    There is a report for every study, and one heatmap where pneumonia is likely or uncertain (of the film that speaks
    for the study), or where the settings want one of negatives too.

    Parameters
    ----------
    radiograph_of
        Gives a film's pixels as a viewer shows them; called for the film of the heatmap alone.
    """
    heatmap = None
    shown = set(Answer) if settings.heatmap_for_negatives else {Answer.LIKELY, Answer.UNCERTAIN}
    if study.answer in shown:
        heatmap = build_heatmap(study, radiograph_of(study.leading_film), settings.heatmap_modality)
    report = build_structured_report(study, heatmap)
    return (report,) if heatmap is None else (report, heatmap)
