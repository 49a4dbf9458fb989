"""What a final report says, matched with the study that it is of, and kept as a verdict on the answer."""

import time
from dataclasses import dataclass

from dicom_node.final_reports.message import (
    IN_ERROR,
    LOCKED,
    REJECTED,
    UNKNOWN_KEY,
    MessageRefused,
    ReportedFinding,
)
from dicom_node.final_reports.message import PatientNumber as Patient
from storage import audit, verdicts
from storage.engine import Database
from storage.steps import Step
from storage.verdicts import FINAL_REPORT, Judgement, OrderedStudy


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a message came from, and its control ID."""

    address: str
    message_id: str


def keep(database: Database, found: list[ReportedFinding], origin: Origin) -> int:
    """Keep what a report says of studies that are here, durably, and return of how many; all of it or nothing.

    What is of other studies, or of one to which there is no answer, is left: most of a hospital's reports are. A
    message that came before changes nothing.

    Raises
    ------
    MessageRefused
        It is of a study whose patient is another, or that is being analysed: to be sent again.
    StorageUnavailable
        Nothing was kept.
    """
    now, kept = time.time(), 0
    with database.write(Step.REPORT_READ) as connection:
        for finding in found:
            for study in _matching(verdicts.studies_of_order(connection, finding.accession_number), finding):
                if verdicts.is_being_answered(connection, study):
                    raise MessageRefused(REJECTED, LOCKED, "its study is being analysed")
                about = verdicts.answer_of(connection, study)
                if about is None or verdicts.has_message(
                    connection, study, origin.address, origin.message_id
                ):
                    continue
                verdict = verdicts.verdict_for(about.answer, finding.positive)
                given = Judgement(verdict, FINAL_REPORT, origin.address, message_id=origin.message_id)
                verdicts.judge(connection, study, about, given, now)
                audit.append(
                    connection,
                    now,
                    "verdict_given",
                    study_instance_uid=study,
                    verdict=verdict,
                    answer=about.answer,
                    has_region=False,
                    user=FINAL_REPORT,
                    address=origin.address,
                )
                kept += 1
    return kept


def _matching(studies: list[OrderedStudy], finding: ReportedFinding) -> list[str]:
    """Return the studies of the accession number that are the report's patient's.

    An accession number is only one hospital's own; without a patient in the message it has to be one patient's here.
    """
    if not finding.patients:
        if len({(study.patient_id, study.issuer_of_patient_id) for study in studies}) > 1:
            raise MessageRefused(IN_ERROR, UNKNOWN_KEY, "several patients have its accession number")
        return [study.study_instance_uid for study in studies]
    matching = [
        study.study_instance_uid
        for study in studies
        if not study.patient_id or any(_is_of(patient, study) for patient in finding.patients)
    ]
    if studies and not matching:
        raise MessageRefused(IN_ERROR, UNKNOWN_KEY, "its accession number is another patient's here")
    return matching


def _is_of(patient: Patient, study: OrderedStudy) -> bool:
    issuers = {patient.issuer, study.issuer_of_patient_id} - {""}
    return patient.number == study.patient_id and len(issuers) <= 1
