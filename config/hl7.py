"""``[[hl7]]``: a system that is told by HL7 v2.5.1 messages what was found, and how its fields are filled."""

import re
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from config.section import Section
from config.values import Host, Name

_NAMESPACE_LIMIT = 20  # HD.1, type IS (HL7 v2.5.1 section 2.A.36)
_STRING_LIMIT = 199  # type ST (section 2.A.74)
_PRIORITIES = "HL70485"
_RAISING = {"S", "A"}
"""Stat and as soon as possible; what else is in the table may be less than the order has."""


class OrderNumber(StrEnum):
    """What a radiograph's header tells of its order, by DICOM keyword."""

    ACCESSION_NUMBER = "AccessionNumber"
    PLACER_ORDER_NUMBER = "PlacerOrderNumberImagingServiceRequest"
    FILLER_ORDER_NUMBER = "FillerOrderNumberImagingServiceRequest"
    REQUESTED_PROCEDURE_ID = "RequestedProcedureID"
    SCHEDULED_PROCEDURE_STEP_ID = "ScheduledProcedureStepID"
    STUDY_ID = "StudyID"


def _components(written: str, allowed: str) -> list[str]:
    """Split a field as HL7 writes it; what would end a component inside of it is refused."""
    parts = [part.strip() for part in written.split("^")]
    if (
        len(parts) > 3
        or not written.isprintable()
        or re.search(r"[|~\\&]", written)
        or max(map(len, parts)) > _STRING_LIMIT
    ):
        raise ValueError(allowed)
    return parts


def _code(written: str) -> str:
    """Check a coded value (CE or CWE): identifier, text and coding system."""
    allowed = (
        'must be a code as HL7 writes it, such as "52101004^Present^SCT": identifier, text, coding system'
    )
    parts = _components(written, allowed)
    if not parts[0]:
        raise ValueError(allowed)
    return "^".join(parts)


def _raised_priority(written: str) -> str:
    code = _code(written)
    identifier, _, system = (*code.split("^"), "", "")[:3]
    if system == _PRIORITIES and identifier not in _RAISING:
        raise ValueError('must raise a priority: of table 0485 only "S^STAT^HL70485" and "A^ASAP^HL70485" do')
    return code


def _designator(written: str) -> str:
    """Check a hierarchic designator (HD): namespace, universal ID and the type of that; empty is none."""
    allowed = (
        f'must be a name of at most {_NAMESPACE_LIMIT} characters such as "RIS", '
        'or one with its universal ID such as "RIS^1.2.3.4^ISO"'
    )
    parts = _components(written, allowed)
    universal = parts[1:]
    if len(parts[0]) > _NAMESPACE_LIMIT or (universal and (len(universal) < 2 or not all(universal))):
        raise ValueError(allowed)
    return "^".join(parts)


Code = Annotated[str, AfterValidator(_code), Field(description='a code such as "52101004^Present^SCT"')]
RaisedPriority = Annotated[
    str, AfterValidator(_raised_priority), Field(description='a code such as "S^STAT^HL70485"')
]
Designator = Annotated[
    str, AfterValidator(_designator), Field(description="a name in quotation marks, which may be empty")
]
OrderNumbers = Annotated[
    tuple[Annotated[OrderNumber, Field(strict=False)], ...],
    Field(
        strict=False,
        description="a list of "
        + ", ".join(f'"{number}"' for number in OrderNumber)
        + ", which may be empty",
    ),
]


class Hl7Destination(Section):
    """``[[hl7]]``: a RIS or a worklist that gets a message (ORU^R01 over MLLP) of each study."""

    name: Name
    host: Host
    port: int = Field(ge=1, le=65535)
    tls: bool = False
    sending_application: Designator = "DICOM_NODE"
    sending_facility: Designator = ""
    receiving_application: Designator = ""
    receiving_facility: Designator = ""
    assigning_authority: Designator = ""
    normal_results: Literal["nothing", "routine"] = "nothing"
    raised_priority: RaisedPriority = "S^STAT^HL70485"
    placer_order_number: OrderNumbers = (OrderNumber.PLACER_ORDER_NUMBER,)
    filler_order_number: OrderNumbers = (OrderNumber.FILLER_ORDER_NUMBER, OrderNumber.ACCESSION_NUMBER)
    placer_field_1: OrderNumbers = (OrderNumber.ACCESSION_NUMBER,)
    placer_field_2: OrderNumbers = (OrderNumber.REQUESTED_PROCEDURE_ID,)
    filler_field_1: OrderNumbers = (OrderNumber.SCHEDULED_PROCEDURE_STEP_ID,)
    procedure: Code = "30745-4^XR Chest Views^LN"
    finding: Code = "233604007^Pneumonia^SCT"
    score: Code = "111012^Certainty of Finding^DCM"
    likely: Code = "52101004^Present^SCT"
    uncertain: Code = "42425007^Equivocal^SCT"
    unlikely: Code = "272519000^Absent^SCT"
    not_analysable: Code = "373068000^Undetermined^SCT"
