"""A worklist's manager: a UPS Push SCP (PS3.4 annex CC) that takes what the standard lets it take, and keeps it.

The table below is PS3.4 table CC.2.5-3, column N-CREATE, typed anew: it knows nothing of how a workitem is built.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from tests.ports import free_port

UPS_PUSH = "1.2.840.10008.5.1.4.34.6.1"
SUCCESS, DUPLICATE, INVALID_VALUE, MISSING, MISSING_VALUE, NOT_SCHEDULED = (
    0,
    0x0111,
    0x0106,
    0x0120,
    0x0121,
    0xC309,
)

TYPE_1 = {
    "ScheduledProcedureStepPriority": r"HIGH|MEDIUM|LOW",
    "ScheduledProcedureStepModificationDateTime": r"\d{14}[+-]\d{4}",
    "ProcedureStepLabel": r".{1,64}",
    "ScheduledProcedureStepStartDateTime": r"\d{14}[+-]\d{4}",
    "InputReadinessState": r"INCOMPLETE|UNAVAILABLE|READY",
    "StudyInstanceUID": r"[0-9.]{1,64}",
    "ProcedureStepState": r".+",
}
TYPE_2 = {
    "TransactionUID",
    "WorklistLabel",
    "ScheduledProcessingParametersSequence",
    "ScheduledStationNameCodeSequence",
    "ScheduledStationClassCodeSequence",
    "ScheduledStationGeographicLocationCodeSequence",
    "ScheduledWorkitemCodeSequence",
    "CommentsOnTheScheduledProcedureStep",
    "InputInformationSequence",
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
    "ReferencedRequestSequence",
    "ProcedureStepProgressInformationSequence",
    "UnifiedProcedureStepPerformedProcedureSequence",
}
EMPTY = {
    "TransactionUID",
    "ProcedureStepProgressInformationSequence",
    "UnifiedProcedureStepPerformedProcedureSequence",
}
IN_A_REQUEST = {
    "StudyInstanceUID",
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "OrderPlacerIdentifierSequence",
    "OrderFillerIdentifierSequence",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
    "RequestedProcedureCodeSequence",
}
IN_AN_INPUT = {"TypeOfInstances", "StudyInstanceUID", "SeriesInstanceUID", "ReferencedSOPSequence"}


def faults_of(attributes: Dataset) -> dict[str, int]:
    """What a manager finds wrong with a creation: the attribute, and the status to answer."""
    faults = {name: MISSING for name in TYPE_1.keys() | TYPE_2 if name not in attributes}
    for name, pattern in TYPE_1.items():
        value = str(attributes.get(name) or "")
        if not re.fullmatch(pattern, value):
            faults.setdefault(name, INVALID_VALUE if value else MISSING_VALUE)
    faults |= {name: INVALID_VALUE for name in EMPTY if attributes.get(name)}
    faults |= {name: INVALID_VALUE for name in ("SOPClassUID", "SOPInstanceUID") if name in attributes}
    if attributes.get("ProcedureStepState") != "SCHEDULED":
        faults["ProcedureStepState"] = NOT_SCHEDULED
    for sequence, wanted in {
        "ReferencedRequestSequence": IN_A_REQUEST,
        "InputInformationSequence": IN_AN_INPUT,
    }.items():
        for item in attributes.get(sequence) or []:
            faults |= {f"{sequence}.{name}": MISSING for name in wanted if name not in item}
    for item in attributes.get("InputInformationSequence") or []:
        if not any(place.get("RetrieveAETitle") for place in item.get("DICOMRetrievalSequence", [])):
            faults["DICOMRetrievalSequence"] = MISSING
        for reference in item.get("ReferencedSOPSequence", []):
            if not reference.get("ReferencedSOPClassUID") or not reference.get("ReferencedSOPInstanceUID"):
                faults["ReferencedSOPSequence"] = MISSING_VALUE
    return faults


@dataclass
class Manager:
    """The SCP, with its worklist by SOP Instance UID, and the faults that it found."""

    port: int = field(default_factory=free_port)
    worklist: dict[str, Dataset] = field(default_factory=dict)
    requests: int = 0
    faults: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def listening(
        self, answer: Callable[[evt.Event], int] | None = None, syntax: str | None = None
    ) -> Iterator[None]:
        def create(event: evt.Event) -> tuple[int, Dataset | None]:
            self.requests += 1
            status = self._create(event) if answer is None else answer(event)
            return status, Dataset() if status == SUCCESS else None

        entity = AE("WORKLIST")
        entity.add_supported_context(UPS_PUSH, *([] if syntax is None else [syntax]))
        server = entity.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_N_CREATE, create)]
        )
        try:
            yield
        finally:
            server.shutdown()

    def _create(self, event: evt.Event) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        if uid in self.worklist:
            return DUPLICATE
        attributes = event.attribute_list
        found = faults_of(attributes)
        self.faults |= found
        if found:
            return next(iter(found.values()))
        self.worklist[uid] = attributes
        return SUCCESS
