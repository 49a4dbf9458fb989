"""The flagged films and their heatmap as a Key Object Selection (PS3.3 A.35.4), which a viewer lists as key images.

Its content is TID 2010 (PS3.16), built with highdicom's template from UIDs and sentences alone. highdicom 0.28 names
the references to images, which TID 2010 forbids, and writes the container as CONTINUOUS: both are mended.
"""

from highdicom.ko import KeyObjectSelection
from pydicom.dataset import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage

from dicom_node.results import codes
from dicom_node.results.document import refer_to_evidence, refer_to_orders
from dicom_node.results.encoding import quiet
from dicom_node.results.equipment import observer
from dicom_node.results.frame import begin_result
from dicom_node.results.source import ImageReference, reference_to
from dicom_node.results.study import StudyReading
from dicom_node.results.wording import DISCLAIMER, answer_statement

KEY_OBJECTS_SERIES_NUMBER = 9103


def build_key_objects(study: StudyReading, heatmap: Dataset | None) -> Dataset | None:
    """Select the flagged films.

    Parameters
    ----------
    heatmap
        The Secondary Capture of the study's leading film that is sent along, which is then selected too.

    Returns
    -------
    None where no film is flagged, or where none can be named since its UIDs are missing.
    """
    leading = study.leading_film.prediction
    named = [reference_to(film.header) for film in study.flagged_films]
    selected = [reference for reference in named if reference is not None]
    if leading is None or not selected:
        return None
    explanation = None if heatmap is None else reference_to(heatmap)
    if explanation is not None:
        selected.append(explanation)
    with quiet():
        document = begin_result(
            study, "key image", KeyObjectSelectionDocumentStorage, "KO", KEY_OBJECTS_SERIES_NUMBER
        )
        description = f"{answer_statement(leading)} {DISCLAIMER}"
        for element in _content(study, selected, description):
            document[element.tag] = element
        document.ReferencedPerformedProcedureStepSequence = []
        refer_to_orders(document, study)
        refer_to_evidence(document, selected, [reference.sop_instance_uid for reference in selected])
    return document


def _content(study: StudyReading, selected: list[ImageReference], description: str) -> Dataset:
    root: Dataset = KeyObjectSelection(
        document_title=codes.OF_INTEREST,
        referenced_objects=[_as_image(reference) for reference in selected],
        observer_device_context=observer(study.card, study.station_name),
        description=description,
    )[0]
    root.ContinuityOfContent = "SEPARATE"
    for item in root.ContentSequence:
        if item.ValueType == "IMAGE":
            del item.ConceptNameCodeSequence
    return root


def _as_image(reference: ImageReference) -> Dataset:
    """What highdicom needs to know: what has rows and columns is an image."""
    image = Dataset()
    image.SOPClassUID = reference.sop_class_uid
    image.SOPInstanceUID = reference.sop_instance_uid
    image.Rows = image.Columns = 1
    return image
