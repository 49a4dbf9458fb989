"""What a RIS or a worklist is told: one unsolicited result, ORU^R01 of HL7 v2.5.1 (section 7.3.1).

A priority is raised, never lowered. Only a study on which pneumonia is likely has one in its message, and only where
the radiograph does not say that its order is as urgent already; every other message has none, so that whatever the
order has stays. Uncertain is no reason to be read first: it is a wide band, and a list on which many are urgent is read
as one on which none is. But it is no normal result, so the message is sent.

A result is preliminary, never final: no physician has verified it, and a final one could close the order unread.
"""

from collections.abc import Mapping

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Group, Message, Segment
from pydicom.dataset import Dataset
from pydicom.uid import UID

from config.hl7 import Hl7Destination, OrderNumber
from dicom_node.results import hl7_fields
from dicom_node.results.encoding import quiet
from dicom_node.results.equipment import software_versions
from dicom_node.results.frame import study_uid, uid_for
from dicom_node.results.source import items_of, local_time
from dicom_node.results.study import StudyReading
from dicom_node.results.uids import device_uid
from dicom_node.results.wording import DISCLAIMER, comparison, plain_text, summary
from inference.prediction import Answer

ORDERS_AT_MOST = 10
"""A radiograph is made for one order or a few; what names more is broken."""
PRELIMINARY, CORRECTED = "P", "C"  # tables 0085 and 0123
PERCENT = "%^Percent^UCUM"
SUMMARY = "121111^Summary^DCM"
STUDY_INSTANCE_UID = "110180^Study Instance UID^DCM"
_UID_LENGTH = 64  # PS3.5 section 9.1; a longer one is none
_TIME = "%Y%m%d%H%M%S%z"

_ISSUERS = {
    OrderNumber.ACCESSION_NUMBER: "IssuerOfAccessionNumberSequence",
    OrderNumber.PLACER_ORDER_NUMBER: "OrderPlacerIdentifierSequence",
    OrderNumber.FILLER_ORDER_NUMBER: "OrderFillerIdentifierSequence",
}
_ORDERED = {"STAT": 2, "HIGH": 1, "MEDIUM": 0, "ROUTINE": 0, "LOW": 0, "": 0}  # PS3.3 C.4.11, (0040,1003)
_HIGHEST = max(_ORDERED.values())
_RAISED = {"S": 2, "A": 1}  # table 0485; what a code of the hospital's own stands above is not known
_ROUTINE = 0


def message_uid(study: StudyReading, to: Hl7Destination) -> UID:
    """The UID of the message of this reading to this destination, under which the node keeps it."""
    return uid_for(study, f"HL7 message to {to.name}")


def build_message(study: StudyReading, to: Hl7Destination, *, is_told: bool) -> bytes | None:
    """Build the message of a study as the bytes that are sent, in UTF-8; from the same reading, the same.

    Parameters
    ----------
    is_told
        An earlier report of the study went to this destination: the message then corrects it, and is sent in any case.

    Returns
    -------
    bytes or None
        None where the destination wants no message of a study without a finding.
    """
    is_normal = study.answer not in (Answer.LIKELY, Answer.UNCERTAIN)
    if is_normal and to.normal_results == "nothing" and not is_told:
        return None
    with quiet():
        # a value that breaks a rule of the standard is for the receiver to refuse, where a person sees it: the report
        # of the study must not wait for that
        message = Message("ORU_R01", version="2.5.1", validation_level=VALIDATION_LEVEL.TOLERANT)
        _describe_message(message.msh, study, to)
        result = message.add_group("ORU_R01_PATIENT_RESULT")
        header = study.leading_film.header
        _describe_patient(result, header, to)
        status = CORRECTED if is_told else PRELIMINARY
        orders = items_of(header, "RequestAttributesSequence")[:ORDERS_AT_MOST] or [header]
        for number, order in enumerate(orders, 1):
            group = result.add_group("ORU_R01_ORDER_OBSERVATION")
            _describe_order(group, number, order, study, to, status)
            _describe_findings(group, study, to, status)
    return str(message.to_er7()).encode() + b"\r"


def _describe_message(msh: Segment, study: StudyReading, to: Hl7Destination) -> None:
    """MSH (section 2.15.9). The control ID is 80 bits of the message's UID, as 20 characters are all it may have."""
    uid_number = int(message_uid(study, to).rpartition(".")[2])
    _fill(
        msh,
        {
            3: to.sending_application,
            4: to.sending_facility,
            5: to.receiving_application,
            6: to.receiving_facility,
            7: _moment(study),
            9: "ORU^R01^ORU_R01",
            10: f"{uid_number:032X}"[-20:],
            11: "P",
            12: "2.5.1",
            18: "UNICODE UTF-8",
        },
    )


def _describe_patient(result: Group, header: Dataset, to: Hl7Destination) -> None:
    """PID (section 3.4.2); none where the radiograph has no Patient ID, since PID-3 must not be empty."""
    identifier = hl7_fields.patient_identifier(header, to.assigning_authority)
    if not identifier:
        return
    pid = result.add_group("ORU_R01_PATIENT").add_segment("PID")
    sex = hl7_fields.decoded(header, "PatientSex").upper()
    birth_date = hl7_fields.date_of(header, "PatientBirthDate")
    _fill(pid, {1: "1", 3: identifier, 7: birth_date, 8: sex if sex in ("M", "F", "O") else ""})
    for name in hl7_fields.patient_names(header):
        pid.add_field("PID_5").value = name


def _describe_order(
    group: Group, number: int, order: Dataset, study: StudyReading, to: Hl7Destination, status: str
) -> None:
    """ORC, OBR, NTE and TQ1 (sections 4.5.1, 7.4.1, 2.15.10 and 4.5.4) of one order."""
    header = study.leading_film.header
    priority = _priority(study, order, to)
    placer = _order_number(order, header, to.placer_order_number, with_issuer=True)
    filler = _order_number(order, header, to.filler_order_number, with_issuer=True)
    _fill(group.add_segment("ORC"), {1: "RE", 2: placer, 3: filler})
    _fill(
        group.add_segment("OBR"),
        {
            1: str(number),
            2: placer,
            3: filler,
            4: hl7_fields.code_of(order, "RequestedProcedureCodeSequence")
            or hl7_fields.code_of(header, "ProcedureCodeSequence")
            or to.procedure,
            7: hl7_fields.imaged_at(header),
            18: _order_number(order, header, to.placer_field_1),
            19: _order_number(order, header, to.placer_field_2),
            20: _order_number(order, header, to.filler_field_1),
            22: _moment(study),
            24: "RAD",
            25: status,
            # kept in v2.5.1 for receivers of earlier versions, which do not know TQ1
            27: f"^^^^^{priority.partition('^')[0]}" if priority else "",
        },
    )
    model = f"{plain_text(study.card.name)} {software_versions(study.card)[1]}"
    remarks = [DISCLAIMER, f"Model: {model}.", comparison(study) or ""]
    for place, remark in enumerate(filter(None, remarks), 1):
        _fill(group.add_segment("NTE"), {1: str(place), 2: "L", 3: hl7_fields.escaped(remark)})
    if priority:
        timing = group.add_group("ORU_R01_TIMING_QTY").add_segment("TQ1")
        _fill(timing, {1: "1", 9: priority})


def _describe_findings(group: Group, study: StudyReading, to: Hl7Destination, status: str) -> None:
    """One OBX (section 7.4.2) for the answer, the score, the summary and the study."""
    answers = {
        Answer.LIKELY: to.likely,
        Answer.UNCERTAIN: to.uncertain,
        Answer.UNLIKELY: to.unlikely,
        None: to.not_analysable,
    }
    prediction = study.leading_film.prediction
    findings = [("CWE", to.finding, answers[study.answer], "")]
    if prediction is not None:
        findings.append(("NM", to.score, f"{prediction.score * 100:.1f}", PERCENT))
    findings.append(("TX", SUMMARY, hl7_fields.escaped(summary(study)), ""))
    findings.append(("ST", STUDY_INSTANCE_UID, hl7_fields.escaped(study_uid(study)[:_UID_LENGTH]), ""))
    model = f"{hl7_fields.escaped(plain_text(study.card.name))}^^{device_uid(study.card)}^ISO"
    for place, (kind, question, answer, unit) in enumerate(findings, 1):
        obx = group.add_group("ORU_R01_OBSERVATION").add_segment("OBX")
        _fill(obx, {1: str(place), 2: kind, 3: question, 5: answer, 6: unit, 11: status, 18: model})


def _priority(study: StudyReading, order: Dataset, to: Hl7Destination) -> str:
    """The raised priority, or "" where the message must have none."""
    if study.answer is not Answer.LIKELY:
        return ""
    ordered = hl7_fields.decoded(order, "RequestedProcedurePriority") or hl7_fields.decoded(
        study.leading_film.header, "RequestedProcedurePriority"
    )
    has = _ORDERED.get(ordered.upper(), _HIGHEST)  # a word that nobody knows may mean anything
    return to.raised_priority if _RAISED.get(to.raised_priority.partition("^")[0], _ROUTINE) >= has else ""


def _order_number(
    order: Dataset, header: Dataset, numbers: tuple[OrderNumber, ...], *, with_issuer: bool = False
) -> str:
    """The first of these numbers that the order or the radiograph has, as a text or with its issuer (EI, 2.A.28)."""
    for number in numbers:
        text = hl7_fields.identifier(order, number) or hl7_fields.identifier(header, number)
        if text and with_issuer and number in _ISSUERS:
            issuer = hl7_fields.first_item(order, _ISSUERS[number]) or hl7_fields.first_item(
                header, _ISSUERS[number]
            )
            name = "" if issuer is None else hl7_fields.identifier(issuer, "LocalNamespaceEntityID")
            return "^".join([text, *hl7_fields.designator(name, issuer)]).rstrip("^")
        if text:
            return text
    return ""


def _moment(study: StudyReading) -> str:
    return local_time(study.leading_film.header, study.reported_at).strftime(_TIME)


def _fill(segment: Segment, fields: Mapping[int, str]) -> None:
    for place, value in fields.items():
        if value:
            setattr(segment, f"{segment.name}_{place}", value)
