"""What the report and the key objects share as SR documents: orders and evidence (PS3.3 C.17.2 and C.17.6.2)."""

from collections.abc import Collection, Iterable

from pydicom.dataset import Dataset

from dicom_node.results.frame import study_uid
from dicom_node.results.source import ImageReference, add_empty, copy_elements, items_of, new_item
from dicom_node.results.study import StudyReading

_EMPTY_WHERE_UNKNOWN = (
    "ReferencedStudySequence",
    "AccessionNumber",
    "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
    "RequestedProcedureCodeSequence",
)


def refer_to_orders(document: Dataset, study: StudyReading) -> None:
    """Name the orders that the radiograph was made for, as Referenced Request Sequence (0040,A370) wants them."""
    requests = orders_of(study)
    for request in requests:
        copy_elements(study.leading_film.header, request, ["ReferencedStudySequence"])
        add_empty(request, _EMPTY_WHERE_UNKNOWN)
    if requests:
        document.ReferencedRequestSequence = requests


def orders_of(study: StudyReading) -> list[Dataset]:
    """The orders that the radiograph names, each as far as it is told; none where it names none."""
    header = study.leading_film.header
    requests = []
    for order in items_of(header, "RequestAttributesSequence"):
        request = new_item(header)
        copy_elements(header, request, ["AccessionNumber", "IssuerOfAccessionNumberSequence"])
        copy_elements(
            order,
            request,
            (
                "AccessionNumber",
                "IssuerOfAccessionNumberSequence",
                "PlacerOrderNumberImagingServiceRequest",
                "FillerOrderNumberImagingServiceRequest",
                "RequestedProcedureID",
                "RequestedProcedureDescription",
                "RequestedProcedureCodeSequence",
                "ReasonForTheRequestedProcedure",
                "ReasonForRequestedProcedureCodeSequence",
            ),
        )
        request.StudyInstanceUID = study_uid(study)
        requests.append(request)
    return requests


def refer_to_evidence(
    document: Dataset, known: Iterable[ImageReference | None], pointed_at: Collection[str]
) -> None:
    """Name every image that was looked at: those that the content points to, and the others (C.17.2.3).

    None stands for an image that no object can name.
    """
    references = [reference for reference in known if reference is not None]
    current = [reference for reference in references if reference.sop_instance_uid in pointed_at]
    other = [reference for reference in references if reference.sop_instance_uid not in pointed_at]
    if current:
        document.CurrentRequestedProcedureEvidenceSequence = hierarchy(current)
    if other:
        document.PertinentOtherEvidenceSequence = hierarchy(other)


def hierarchy(references: Iterable[ImageReference]) -> list[Dataset]:
    """Hierarchical SOP Instance Reference Macro (PS3.3 C.17.2.1): studies, their series, their objects."""
    studies: dict[str, Dataset] = {}
    series: dict[tuple[str, str], Dataset] = {}
    for reference in references:
        study = studies.get(reference.study_instance_uid)
        if study is None:
            study = studies[reference.study_instance_uid] = Dataset()
            study.StudyInstanceUID = reference.study_instance_uid
            study.ReferencedSeriesSequence = []
        key = (reference.study_instance_uid, reference.series_instance_uid)
        if key not in series:
            series[key] = Dataset()
            series[key].SeriesInstanceUID = reference.series_instance_uid
            series[key].ReferencedSOPSequence = []
            study.ReferencedSeriesSequence.append(series[key])
        series[key].ReferencedSOPSequence.append(reference.item())
    return list(studies.values())
