"""Who sends radiographs, and where results go: one type for each kind of entry in the settings file."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from config.section import Section
from config.values import Address, AeTitle, Host, Name, OptionalSettingsPath, WebAddress


class ResultKind(StrEnum):
    """What can be sent of a study; a destination names the kinds that it gets."""

    STRUCTURED_REPORT = "structured_report"
    HEATMAP = "heatmap"
    KEY_OBJECTS = "key_objects"
    PRESENTATION_STATE = "presentation_state"
    REVIEW_WORKITEM = "review_workitem"
    HL7_MESSAGE = "hl7_message"


DICOM_OBJECTS = tuple(kind for kind in ResultKind if kind is not ResultKind.HL7_MESSAGE)
"""The kinds that a DICOM destination gets; what [[hl7]] gets is a matter of its own settings."""
STORED_OBJECTS = tuple(kind for kind in DICOM_OBJECTS if kind is not ResultKind.REVIEW_WORKITEM)
"""Those that an archive keeps, and can be asked for; a workitem is a task."""


class Source(Section):
    """``[[sources]]``: a system that may send radiographs."""

    name: Name
    ae_title: AeTitle
    hosts: tuple[Address, ...] = Field(
        strict=False,
        min_length=1,
        description='a list of addresses or networks such as ["10.1.2.3"], not empty',
    )
    analyse_secondary_capture: bool = False
    study_quiet_seconds: float | None = Field(default=None, ge=0, le=3600)  # None: the receiver's


def _objects(description: str) -> Any:  # noqa: ANN401 - as pydantic's own Field
    """What a destination gets where nothing is said: every viewer shows one of the two."""
    default = (ResultKind.STRUCTURED_REPORT, ResultKind.HEATMAP)
    return Field(default=default, strict=False, min_length=1, description=description)


def _dicom_object(kind: ResultKind) -> ResultKind:
    if kind not in DICOM_OBJECTS:
        raise ValueError("must be a DICOM object; messages are what [[hl7]] sections are for")
    return kind


class Destination(Section):
    """``[[destinations]]``: an archive that gets results."""

    name: Name
    ae_title: AeTitle
    host: Host
    port: int = Field(ge=1, le=65535)
    objects: tuple[Annotated[ResultKind, Field(strict=False), AfterValidator(_dicom_object)], ...] = _objects(
        "a list of " + ", ".join(f'"{kind}"' for kind in DICOM_OBJECTS) + ", not empty"
    )
    storage_commitment: bool = False
    tls: bool = False


def _storable(kind: ResultKind) -> ResultKind:
    if kind not in STORED_OBJECTS:
        raise ValueError("must be an object that is stored; a workitem is sent to [[destinations]] alone")
    return kind


class WebDestination(Section):
    """``[[web_destinations]]``: an archive that gets results by STOW-RS instead."""

    name: Name
    url: WebAddress
    objects: tuple[Annotated[ResultKind, Field(strict=False), AfterValidator(_storable)], ...] = _objects(
        "a list of objects as in [[destinations]], not empty"
    )
    token_file: OptionalSettingsPath = None  # None: no bearer token
    user: str = Field(default="", max_length=256, description="a user's name in quotation marks")
    password_file: OptionalSettingsPath = None  # None: no user
    ca_file: OptionalSettingsPath = None  # None: the system's certificates alone
