"""The report: a Comprehensive 3D SR (PS3.3 A.35.13) whose content is TID 1500.

Its twin for older peers is a Comprehensive SR (A.35.3): the content has no 3D coordinates, so it is legal there too.
"""

from copy import deepcopy

from pydicom.dataset import Dataset
from pydicom.uid import UID, Comprehensive3DSRStorage, ComprehensiveSRStorage

from dicom_node.results.document import hierarchy, refer_to_evidence, refer_to_orders
from dicom_node.results.encoding import quiet
from dicom_node.results.equipment import author
from dicom_node.results.frame import begin_result, study_uid
from dicom_node.results.report_content import write_content
from dicom_node.results.source import ImageReference, reference_to
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
        pointed_at = write_content(report, study, heatmap)
        _describe_document(report, study)
        pictures = [film.header for film in study.films] + ([] if heatmap is None else [heatmap])
        refer_to_evidence(report, map(reference_to, pictures), pointed_at)
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
    refer_to_orders(report, study)
    if study.predecessor is not None:
        report.PredecessorDocumentsSequence = hierarchy([_as_reference(study, study.predecessor)])


def _as_reference(study: StudyReading, predecessor: Predecessor) -> ImageReference:
    return ImageReference(
        study_uid(study),
        predecessor.series_instance_uid,
        predecessor.sop_class_uid,
        predecessor.sop_instance_uid,
    )
