"""``[hl7_reports]``: final reports that come as HL7 messages, and which of their codes is a verdict on an answer."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from config.hl7 import Code
from config.section import Section
from config.values import Address, Host


class OrderField(StrEnum):
    """Where a report may have the accession number of its images."""

    PLACER_ORDER_NUMBER = "OBR-2"
    FILLER_ORDER_NUMBER = "OBR-3"
    PLACER_FIELD_1 = "OBR-18"
    PLACER_FIELD_2 = "OBR-19"
    FILLER_FIELD_1 = "OBR-20"

    @property
    def place(self) -> int:
        """Its number in the segment."""
        return int(self.removeprefix("OBR-"))


Codes = Annotated[
    tuple[Code, ...],
    Field(strict=False, description='a list of codes such as "52101004^Present^SCT", which may be empty'),
]


class Hl7ReportSettings(Section):
    """``[hl7_reports]``: who may send final reports (ORU^R01 over MLLP), and what in them is read."""

    enabled: bool = False
    host: Host = "127.0.0.1"
    port: int = Field(default=2576, ge=0, le=65535)  # 0: any port that is free
    tls: bool = False
    hosts: tuple[Address, ...] = Field(
        default=(),
        strict=False,
        description='a list of addresses or networks such as ["10.1.2.3"], which may be empty',
    )
    accession_number: tuple[Annotated[OrderField, Field(strict=False)], ...] = Field(
        default=(OrderField.PLACER_FIELD_1, OrderField.FILLER_ORDER_NUMBER),
        strict=False,
        min_length=1,
        description="a list of " + ", ".join(f'"{field}"' for field in OrderField) + ", not empty",
    )
    finding: Code = "233604007^Pneumonia^SCT"
    positive: Codes = ("52101004^Present^SCT",)
    negative: Codes = ("272519000^Absent^SCT",)
    cannot_tell: Codes = ("42425007^Equivocal^SCT", "373068000^Undetermined^SCT")
