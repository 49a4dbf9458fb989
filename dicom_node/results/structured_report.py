"""The report: a Comprehensive 3D SR (PS3.3 A.35.13) whose content is TID 1500.

Its twin for older peers is a Comprehensive SR (A.35.3): the content has no 3D coordinates, so it is legal there too.
"""

from collections.abc import Iterable, Iterator
from copy import deepcopy

from pydicom.dataset import Dataset
from pydicom.uid import UID, Comprehensive3DSRStorage, ComprehensiveSRStorage

from dicom_node.results.encoding import quiet
from dicom_node.results.equipment import author
from dicom_node.results.frame import begin_result, study_uid
from dicom_node.results.report_content import report_content
from dicom_node.results.source import (
    ImageReference,
    add_empty,
    copy_elements,
    items_of,
    new_item,
    reference_to,
)
from dicom_node.results.study import Predecessor, StudyReading
from dicom_node.results.uids import derived_uid

REPORT_SERIES_NUMBER = 9101


def build_structured_report(study: StudyReading, heatmap: Dataset | None) -> Dataset:
    """Build the study's report.

    Parameters
    ----------
    heatmap
        The Secondary Capture of the study's leading film that is sent along, to which the report then points.
    """
    with quiet():
        report = begin_result(study, "report", Comprehensive3DSRStorage, "SR", REPORT_SERIES_NUMBER)
        root = report_content(study, heatmap)
        for element in root:
            report[element.tag] = element
        _describe_document(report, study)
        _refer_to_evidence(report, study, heatmap)
    return report


def as_comprehensive_sr(report: Dataset) -> Dataset:
    """The same report as a Comprehensive SR, for a peer that refuses the 3D class.

    It is another object and has another SOP Instance UID, always the same for the same report. A predecessor is
    named by its twin's UID: the peer refused the class then as well.
    """
    twin = deepcopy(report)
    twin.SOPClassUID = ComprehensiveSRStorage
    twin.SOPInstanceUID = _twin_uid(report.SOPInstanceUID)
    if hasattr(twin, "file_meta"):  # read from a file
        twin.file_meta.MediaStorageSOPClassUID = twin.SOPClassUID
        twin.file_meta.MediaStorageSOPInstanceUID = twin.SOPInstanceUID
    for study in twin.get("PredecessorDocumentsSequence", []):
        for series in study.ReferencedSeriesSequence:
            for document in series.ReferencedSOPSequence:
                if document.ReferencedSOPClassUID == Comprehensive3DSRStorage:
                    document.ReferencedSOPClassUID = ComprehensiveSRStorage
                    document.ReferencedSOPInstanceUID = _twin_uid(document.ReferencedSOPInstanceUID)
    return twin


def _twin_uid(report_uid: str) -> UID:
    return derived_uid("comprehensive SR of", report_uid)


def _describe_document(report: Dataset, study: StudyReading) -> None:
    """SR Document Series and General modules (PS3.3 C.17.1 and C.17.2), all but the evidence."""
    report.CompletionFlag = "COMPLETE"
    report.VerificationFlag = "UNVERIFIED"
    report.PreliminaryFlag = "PRELIMINARY"
    report.AuthorObserverSequence = [author(study.card, study.station_name)]
    report.PerformedProcedureCodeSequence = []
    report.ReferencedPerformedProcedureStepSequence = []
    requests = list(_requests(study))
    if requests:
        report.ReferencedRequestSequence = requests
    if study.predecessor is not None:
        report.PredecessorDocumentsSequence = _hierarchy([_as_reference(study, study.predecessor)])


def _requests(study: StudyReading) -> Iterator[Dataset]:
    """The orders that the radiograph was made for, as Referenced Request Sequence (0040,A370) wants them."""
    header = study.leading_film.header
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
        copy_elements(header, request, ["ReferencedStudySequence"])
        add_empty(
            request,
            (
                "ReferencedStudySequence",
                "AccessionNumber",
                "PlacerOrderNumberImagingServiceRequest",
                "FillerOrderNumberImagingServiceRequest",
                "RequestedProcedureID",
                "RequestedProcedureDescription",
                "RequestedProcedureCodeSequence",
            ),
        )
        yield request


def _refer_to_evidence(report: Dataset, study: StudyReading, heatmap: Dataset | None) -> None:
    """Name every image that was looked at: those that the content points to, and the others (C.17.2.3)."""
    pointed_at = set(_pointed_at(report.ContentSequence))
    references = [reference_to(film.header) for film in study.films]
    references.append(reference_to(heatmap) if heatmap is not None else None)
    known = [reference for reference in references if reference is not None]
    current = [reference for reference in known if reference.sop_instance_uid in pointed_at]
    other = [reference for reference in known if reference.sop_instance_uid not in pointed_at]
    if current:
        report.CurrentRequestedProcedureEvidenceSequence = _hierarchy(current)
    if other:
        report.PertinentOtherEvidenceSequence = _hierarchy(other)


def _pointed_at(items: Iterable[Dataset]) -> Iterator[str]:
    for item in items:
        for reference in item.get("ReferencedSOPSequence", []):
            yield str(reference.ReferencedSOPInstanceUID)
        yield from _pointed_at(item.get("ContentSequence", []))


def _as_reference(study: StudyReading, predecessor: Predecessor) -> ImageReference:
    return ImageReference(
        study_uid(study),
        predecessor.series_instance_uid,
        predecessor.sop_class_uid,
        predecessor.sop_instance_uid,
    )


def _hierarchy(references: Iterable[ImageReference]) -> list[Dataset]:
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
        item = Dataset()
        item.ReferencedSOPClassUID = reference.sop_class_uid
        item.ReferencedSOPInstanceUID = reference.sop_instance_uid
        series[key].ReferencedSOPSequence.append(item)
    return list(studies.values())
