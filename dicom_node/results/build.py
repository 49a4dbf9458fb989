"""The one way from what was found in a study to the objects that are sent."""

from collections.abc import Callable, Collection

from pydicom.dataset import Dataset

from config.peers import ResultKind
from config.sections import ResultsSettings
from dicom_node.results.heatmap_image import build_heatmap
from dicom_node.results.key_objects import build_key_objects
from dicom_node.results.presentation_state import build_presentation_state
from dicom_node.results.structured_report import build_structured_report
from dicom_node.results.study import Film, StudyReading
from dicom_node.results.workitem import build_workitem
from inference.radiograph import Radiograph


def build_results(
    study: StudyReading,
    settings: ResultsSettings,
    wanted: Collection[frozenset[ResultKind]],
    radiograph_of: Callable[[Film], Radiograph],
) -> dict[ResultKind, Dataset]:
    """Build what is sent of a study, in the order of sending.

    There is a report for every study; where a film is flagged, one heatmap (of the film that speaks for the study),
    key objects and a presentation state; where pneumonia is likely, a workitem. The settings may want the heatmap of
    negatives too.

    Parameters
    ----------
    wanted
        The kinds that each destination gets. An object is the same for all, so it points to another one of these
        only where whoever gets the first gets the other too: what it names must exist there.
    radiograph_of
        Gives a film's pixels as a viewer shows them; called for the film of the heatmap alone.
    """
    asked = frozenset[ResultKind]().union(*wanted)
    made: dict[ResultKind, Dataset] = {}

    def beside(kind: ResultKind, other: ResultKind) -> Dataset | None:
        everywhere = all(other in kinds for kinds in wanted if kind in kinds)
        return made.get(other) if everywhere else None

    # what is pointed to is built before what points to it
    builders: dict[ResultKind, Callable[[], Dataset | None]] = {
        ResultKind.HEATMAP: lambda: (
            build_heatmap(
                study,
                radiograph_of(study.leading_film),
                settings.heatmap_modality,
                settings.heatmap_longest_side,
            )
            if _has_heatmap(study, settings)
            else None
        ),
        ResultKind.STRUCTURED_REPORT: lambda: build_structured_report(
            study, beside(ResultKind.STRUCTURED_REPORT, ResultKind.HEATMAP)
        ),
        ResultKind.KEY_OBJECTS: lambda: build_key_objects(
            study, beside(ResultKind.KEY_OBJECTS, ResultKind.HEATMAP)
        ),
        ResultKind.PRESENTATION_STATE: lambda: build_presentation_state(study),
        ResultKind.REVIEW_WORKITEM: lambda: build_workitem(
            study, beside(ResultKind.REVIEW_WORKITEM, ResultKind.STRUCTURED_REPORT)
        ),
    }
    for kind, build in builders.items():
        result = build() if kind in asked else None
        if result is not None:
            made[kind] = result
    return {kind: made[kind] for kind in ResultKind if kind in made}


def _has_heatmap(study: StudyReading, settings: ResultsSettings) -> bool:
    return bool(study.flagged_films or (settings.heatmap_for_negatives and study.predicted_films))
