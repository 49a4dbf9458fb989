"""The forms behind `[[sources]]`, `[[destinations]]`, `[[web_destinations]]` and `[[hl7]]`: fields, and what they say.

What is typed goes into the settings document as TOML would have it, right or wrong; the settings' own checks say what
is wrong with it, and each sentence goes to the field that it is about.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from starlette.datastructures import FormData

from config.entries import PeerSection
from config.errors import Fault
from config.hl7 import OrderNumber
from config.peers import DICOM_OBJECTS, STORED_OBJECTS

CONTEXT_LINES = 2


class Kind(Enum):
    """What a field looks like."""

    TEXT = auto()
    OPTIONAL = auto()
    NUMBER = auto()
    CHECK = auto()
    CHOICE = auto()
    CHOICES = auto()
    LINES = auto()


@dataclass(frozen=True, slots=True)
class Field:
    """A setting of an entry; `is_rare`: shown where somebody asks for it."""

    name: str
    label: str
    kind: Kind = Kind.TEXT
    note: str = ""
    choices: tuple[str, ...] = ()
    is_rare: bool = False


TITLES = {
    PeerSection.SOURCES: "source",
    PeerSection.DESTINATIONS: "DICOM destination",
    PeerSection.WEB_DESTINATIONS: "DICOMweb destination",
    PeerSection.HL7: "HL7 destination",
}
_NAME = Field("name", "Name", note="What logs and pages call it: lower-case letters, digits, hyphens.")
_HOST = Field("host", "Host", note="An address or a host name.")
_PORT = Field("port", "Port", Kind.NUMBER)
_TLS = Field("tls", "TLS", Kind.CHECK, "Its certificate must be of a trusted authority and name the host.")
_NUMBERS = tuple(map(str, OrderNumber))
FIELDS = {
    PeerSection.SOURCES: (
        _NAME,
        Field("ae_title", "AE title", note="As it calls itself."),
        Field(
            "hosts", "Addresses", Kind.LINES, "Addresses or networks, one a line: 10.1.2.3 or 10.1.0.0/16."
        ),
        Field(
            "study_quiet_seconds",
            "Quiet time in seconds",
            Kind.NUMBER,
            "A study is reported when no image of it came for so long. Empty: as for all sources.",
        ),
        Field(
            "analyse_secondary_capture",
            "Analyse Secondary Capture",
            Kind.CHECK,
            "Where a film converter sends radiographs so.",
        ),
    ),
    PeerSection.DESTINATIONS: (
        _NAME,
        Field("ae_title", "AE title", note="As it must be called."),
        _HOST,
        _PORT,
        Field("objects", "What it gets", Kind.CHOICES, choices=tuple(map(str, DICOM_OBJECTS))),
        Field(
            "storage_commitment",
            "Storage commitment",
            Kind.CHECK,
            "It is asked to promise that it keeps what it got. It answers as a source: list it there, too.",
        ),
        _TLS,
    ),
    PeerSection.WEB_DESTINATIONS: (
        _NAME,
        Field("url", "URL", note="Of the DICOMweb service: https://pacs.example.org/dicom-web"),
        Field("objects", "What it gets", Kind.CHOICES, choices=tuple(map(str, STORED_OBJECTS))),
        Field("token_file", "Token file", Kind.OPTIONAL, "Where its bearer token lies, if it asks for one."),
        Field("user", "User", Kind.OPTIONAL, "Or a user ..."),
        Field("password_file", "Password file", Kind.OPTIONAL, "... and where the password lies."),
        Field("ca_file", "Authority file", Kind.OPTIONAL, "Certificates trusted beside the system's."),
    ),
    PeerSection.HL7: (
        _NAME,
        _HOST,
        _PORT,
        _TLS,
        Field("receiving_application", "Receiving application", note="MSH-5"),
        Field("receiving_facility", "Receiving facility", note="MSH-6"),
        Field("sending_application", "Sending application", note="MSH-3"),
        Field("sending_facility", "Sending facility", note="MSH-4"),
        Field("normal_results", "Studies without a finding", Kind.CHOICE, choices=("nothing", "routine")),
        Field("raised_priority", "Raised priority", note="TQ1-9 of a study on which pneumonia is likely"),
        Field("assigning_authority", "Assigning authority", note="PID-3.4", is_rare=True),
        Field("placer_order_number", "Placer's order number", Kind.LINES, "OBR-2", _NUMBERS, is_rare=True),
        Field("filler_order_number", "Filler's order number", Kind.LINES, "OBR-3", _NUMBERS, is_rare=True),
        Field("placer_field_1", "Placer field 1", Kind.LINES, "OBR-18", _NUMBERS, is_rare=True),
        Field("placer_field_2", "Placer field 2", Kind.LINES, "OBR-19", _NUMBERS, is_rare=True),
        Field("filler_field_1", "Filler field 1", Kind.LINES, "OBR-20", _NUMBERS, is_rare=True),
        Field("procedure", "Procedure", note="OBR-4, where the radiograph has none", is_rare=True),
        Field("finding", "Finding", note="OBX-3", is_rare=True),
        Field("score", "Score", note="OBX-3", is_rare=True),
        Field("likely", "Likely", note="OBX-5", is_rare=True),
        Field("uncertain", "Uncertain", note="OBX-5", is_rare=True),
        Field("unlikely", "Unlikely", note="OBX-5", is_rare=True),
        Field("not_analysable", "Not analysable", note="OBX-5", is_rare=True),
    ),
}


def entry_of(section: PeerSection, form: FormData) -> dict[str, Any]:
    """Return what was filled in as an entry of the settings document; an empty field that may be is left out."""
    entry: dict[str, Any] = {}
    for field in FIELDS[section]:
        written = str(form.get(field.name, "")).strip()
        match field.kind:
            case Kind.CHECK:
                entry[field.name] = field.name in form
            case Kind.CHOICES:
                entry[field.name] = [str(each) for each in form.getlist(field.name)]
            case Kind.LINES:
                entry[field.name] = re.split(r"[\s,]+", written) if written else []
            case Kind.NUMBER if written:
                entry[field.name] = _number(written)
            case Kind.TEXT | Kind.CHOICE:
                entry[field.name] = written
            case Kind.OPTIONAL if written:
                entry[field.name] = written
    return entry


def shown(section: PeerSection, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands in the fields: the entry's settings, or their defaults."""
    values: dict[str, Any] = {}
    for field in FIELDS[section]:
        about = section.model.model_fields[field.name]
        default = "" if about.is_required() or about.default is None else about.default
        value = entry.get(field.name, default)
        if field.kind is Kind.LINES:
            value = "\n".join(map(str, value)) if isinstance(value, list | tuple) else value
        elif field.kind is Kind.CHOICES:
            value = [str(each) for each in value]
        values[field.name] = value
    return values


def at_fields(
    section: PeerSection, place: int, faults: Iterable[Fault]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the sentence for each field of this entry, and those that belong to none."""
    fields: dict[str, str] = {}
    others = []
    for fault in faults:
        found = re.match(rf"{section}\[{place}\]\.([a-z0-9_]+)", fault.setting)
        if found is None:
            others.append(str(fault))
        else:
            fields.setdefault(found[1], _without_toml(fault.sentence))
    return fields, tuple(others)


def difference(before: str, after: str) -> Sequence[tuple[str, str]]:
    """Return the lines that are taken away ("-"), that are new ("+"), and a few around them (" "), with gaps ("@")."""
    return list(_difference(before.splitlines(), after.splitlines()))


def _difference(before: list[str], after: list[str]) -> Iterator[tuple[str, str]]:
    lines = difflib.unified_diff(before, after, n=CONTEXT_LINES, lineterm="")
    for number, line in enumerate(lines):
        if number > 2 and line.startswith("@@"):  # after the two lines of names and the first gap
            yield "@", ""
        elif number > 2:
            yield line[0], line[1:]


def _number(written: str) -> int | float | str:
    """Read a number as TOML does; what is none is left for the settings to name."""
    if re.fullmatch(r"[0-9]{1,9}", written):
        return int(written)
    return float(written) if re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}", written) else written


def _without_toml(sentence: str) -> str:
    """Leave out of a sentence what is meant for somebody who edits the file."""
    return sentence.replace(" in quotation marks", "").replace(", without quotation marks", "")
