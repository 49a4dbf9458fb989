"""A task for the worklist: somebody is to look at this study first (Unified Procedure Step, PS3.4 annex CC).

What a creation must hold is PS3.4 table CC.2.5-3; what the attributes mean, PS3.3 C.30. The worklist's manager keeps
the workitem from then on: the node neither changes nor follows it.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.results.codes import INTERPRETATION, code_item
from dicom_node.results.document import orders_of
from dicom_node.results.frame import study_uid
from dicom_node.results.modules import PATIENT, PATIENT_STUDY
from dicom_node.results.source import (
    ImageReference,
    add_empty,
    copy_elements,
    local_time,
    new_item,
    reference_to,
    time_zone_of,
)
from dicom_node.results.study import StudyReading
from dicom_node.results.uids import derived_uid
from dicom_node.results.wording import DISCLAIMER, flag, score_statement
from inference.prediction import Answer

UPS_PUSH = UID("1.2.840.10008.5.1.4.34.6.1")
"""The Unified Procedure Step - Push SOP class."""
LABEL = "AI finding to review"
WORKLIST = "AI findings"

_EMPTY_AT_CREATION = (
    "TransactionUID",
    "ScheduledProcessingParametersSequence",
    "ScheduledStationNameCodeSequence",
    "ScheduledStationClassCodeSequence",
    "ScheduledStationGeographicLocationCodeSequence",
    "ProcedureStepProgressInformationSequence",
    "UnifiedProcedureStepPerformedProcedureSequence",
)
"""Type 2: for whoever plans and does the work. The Transaction UID must be empty until somebody claims it."""
_EMPTY_WHERE_UNKNOWN = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "OtherPatientIDsSequence",
    "PatientBirthDate",
    "PatientSex",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    "AdmittingDiagnosesDescription",
    "AdmittingDiagnosesCodeSequence",
)
_EMPTY_IN_AN_ORDER = (
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "OrderPlacerIdentifierSequence",
    "OrderFillerIdentifierSequence",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
    "RequestedProcedureCodeSequence",
)


def build_workitem(study: StudyReading, report: Dataset | None) -> Dataset | None:
    """Build the workitem of a study in which pneumonia is likely; None of another one, or where it has one already.

    It has the same UID whenever it is made of the study, so that a worklist never holds two.

    Parameters
    ----------
    report
        The structured report, where whoever gets the workitem gets it too.
    """
    if study.answer is not Answer.LIKELY or study.has_workitem:
        return None
    header = study.leading_film.header
    workitem = Dataset()
    copy_elements(header, workitem, ("SpecificCharacterSet", *PATIENT, *PATIENT_STUDY))
    if time_zone_of(header) is not None:
        copy_elements(header, workitem, ["TimezoneOffsetFromUTC"])
    workitem.SOPClassUID = UPS_PUSH
    workitem.SOPInstanceUID = derived_uid("review workitem", study_uid(study))
    workitem.StudyInstanceUID = study_uid(study)
    _schedule(workitem, study)
    workitem.InputInformationSequence = list(_inputs(_films(study), report))
    workitem.ReferencedRequestSequence = list(_orders(study))
    add_empty(workitem, (*_EMPTY_AT_CREATION, *_EMPTY_WHERE_UNKNOWN))
    return workitem


def retrievable_from(workitem: Dataset, ae_title: str) -> None:
    """Say where the instances that the workitem names can be fetched (PS3.3 table 10-3b)."""
    for item in workitem.InputInformationSequence:
        place = Dataset()
        place.RetrieveAETitle = ae_title
        item.DICOMRetrievalSequence = [place]


def _schedule(workitem: Dataset, study: StudyReading) -> None:
    """Scheduled Procedure Information and Progress Information modules (PS3.3 C.30.2 and C.30.1)."""
    moment = local_time(study.leading_film.header, study.reported_at).strftime("%Y%m%d%H%M%S%z")
    prediction = study.leading_film.prediction
    score = "" if prediction is None else f", {score_statement(prediction)}"
    workitem.ProcedureStepState = "SCHEDULED"
    workitem.ScheduledProcedureStepPriority = "HIGH"
    workitem.ScheduledProcedureStepModificationDateTime = moment
    workitem.ScheduledProcedureStepStartDateTime = moment
    workitem.ProcedureStepLabel = LABEL
    workitem.WorklistLabel = WORKLIST
    workitem.CommentsOnTheScheduledProcedureStep = f"{flag(study.answer)}{score}. {DISCLAIMER}"
    workitem.ScheduledWorkitemCodeSequence = [code_item(INTERPRETATION)]
    workitem.InputReadinessState = "READY"


def _films(study: StudyReading) -> Iterator[ImageReference]:
    for film in study.flagged_films:
        reference = reference_to(film.header)
        if reference is not None:
            yield reference


def _inputs(films: Iterable[ImageReference], report: Dataset | None) -> Iterator[Dataset]:
    """Referenced Instances and Access Macro (PS3.3 table 10-3b): an item for each series."""
    references = sorted(films, key=_series_of)
    if report is not None:
        names = (report.StudyInstanceUID, report.SeriesInstanceUID, report.SOPClassUID, report.SOPInstanceUID)
        references.append(ImageReference(*map(str, names)))
    for (study, series), members in groupby(references, _series_of):
        item = Dataset()
        item.TypeOfInstances = "DICOM"
        item.StudyInstanceUID = study
        item.SeriesInstanceUID = series
        item.ReferencedSOPSequence = [member.item() for member in members]
        yield item


def _series_of(reference: ImageReference) -> tuple[str, str]:
    return reference.study_instance_uid, reference.series_instance_uid


def _orders(study: StudyReading) -> Iterator[Dataset]:
    """The orders of the radiograph; without any, its accession number, by which a RIS finds the study."""
    orders = orders_of(study)
    if not orders:
        header = study.leading_film.header
        order = new_item(header)
        copy_elements(header, order, ["AccessionNumber", "IssuerOfAccessionNumberSequence"])
        order.StudyInstanceUID = study_uid(study)
        orders = [order]
    for order in orders:
        add_empty(order, _EMPTY_IN_AN_ORDER)
        yield order
