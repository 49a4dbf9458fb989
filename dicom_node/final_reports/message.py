"""A report as HL7 v2: what of it is a verdict, and the acknowledgement of any message (HL7 v2.5.1 section 2.9.2).

Only codes are read, from the observations that the settings name; free text never. Read by hand and leniently, as
`dicom_node.channels.mllp` reads acknowledgements: a library that knows the versions refuses one that it does not know.
Nothing in a message is trusted: lengths and numbers have limits, and what is said back of it are codes of table 0357.
"""

import re
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from config.hl7_reports import Hl7ReportSettings
from dicom_node.errors import NodeError

MOST_SEGMENTS = 10_000
LONGEST_VALUE = 199  # characters of a string (type ST, section 2.A.74)
OURS = "2.5.1"

ACCEPTED, IN_ERROR, REJECTED = "AA", "AE", "AR"  # table 0008
SEGMENT_SEQUENCE, FIELD_MISSING, DATA_TYPE, VALUE_NOT_FOUND = "100", "101", "102", "103"  # table 0357
MESSAGE_TYPE, EVENT, PROCESSING_ID, VERSION = "200", "201", "202", "203"
UNKNOWN_KEY, LOCKED, INTERNAL_ERROR = "204", "206", "207"
_MEANINGS = {
    SEGMENT_SEQUENCE: "Segment sequence error",
    FIELD_MISSING: "Required field missing",
    DATA_TYPE: "Data type error",
    VALUE_NOT_FOUND: "Table value not found",
    MESSAGE_TYPE: "Unsupported message type",
    EVENT: "Unsupported event code",
    PROCESSING_ID: "Unsupported processing id",
    VERSION: "Unsupported version id",
    UNKNOWN_KEY: "Unknown key identifier",
    LOCKED: "Application record locked",
    INTERNAL_ERROR: "Application internal error",
}
_FINAL = ("F", "C")  # table 0123: final, and a correction of what was final
_WITHDRAWN = ("D", "W", "X")  # table 0085: deleted, wrong, cannot be obtained
_LAST_FIELDS = {"PID": 3, "OBR": 25, "OBX": 18}
_DELIMITERS = re.compile(r"[!-/:-@\[-`{-~]")


class MessageRefused(NodeError):
    """A message that is not taken: how it is acknowledged, with which error of table 0357, and why, in our words."""

    def __init__(self, code: str, error: str, reason: str) -> None:
        super().__init__(f"{code} {error}: {reason}")
        self.code = code
        self.error = error
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PatientNumber:
    """A patient's number and who issued it; empty where that is not said."""

    number: str
    issuer: str


@dataclass(frozen=True, slots=True)
class ReportedFinding:
    """What a report says of the finding, by a code; `positive` None: it cannot be told."""

    accession_number: str
    patients: tuple[PatientNumber, ...]
    positive: bool | None


class Header:
    """The header of a message, as far as there is one: with it an acknowledgement can be made of anything."""

    def __init__(self, message: bytes) -> None:
        line = re.split(rb"[\r\n]", message[:4096].lstrip(), maxsplit=1)[0].decode("utf-8", "replace")
        self.is_one = line.startswith("MSH") and len(line) >= 8 and _are_delimiters(line[3:8])
        delimiters = list(line[3:8] if self.is_one else "|^~\\&")
        self.field, self.component, self.repetition, self.escape, self.subcomponent = delimiters
        parts = line.split(self.field, 20) if self.is_one else []
        self._fields = ["", *parts]  # MSH-1 is the delimiter itself, which the name stands for

    def __getitem__(self, place: int) -> str:
        """A field as it is written, without what could end a field, a segment or the frame; empty: there is none."""
        written = self._fields[place] if place < len(self._fields) else ""
        return "".join(each for each in written if each.isprintable())

    def text(self, written: str) -> str:
        """What a component says, its escapes resolved (section 2.7)."""
        escapes = {
            "F": self.field,
            "S": self.component,
            "T": self.subcomponent,
            "R": self.repetition,
            "E": self.escape,
        }
        mark = re.escape(self.escape)
        return re.sub(f"{mark}([FSTRE]){mark}", lambda found: escapes[found[1]], written).strip()


def acknowledgement(header: Header, code: str, error: str = "") -> bytes:
    """Return the acknowledgement of a message, in its own delimiters; `error` is of table 0357."""
    field, component = header.field, header.component
    version = header[12] if re.fullmatch(r"2\.\d(\.\d)?", header[12], re.ASCII) else OURS
    encoding = f"{component}{header.repetition}{header.escape}{header.subcomponent}"
    sender, receiver = (header[3], header[4]), (header[5], header[6])
    lines = [
        [
            "MSH",
            encoding,
            *(each[:LONGEST_VALUE] for each in (*receiver, *sender)),
            time.strftime("%Y%m%d%H%M%S%z"),
            "",
            component.join(("ACK", "R01", "ACK")),
            secrets.token_hex(10),
            "P",
            version,
        ],
        ["MSA", code, header[10][:LONGEST_VALUE]],
    ]
    if error:
        lines.append(["ERR", "", "", component.join((error, _MEANINGS[error], "HL70357")), "E"])
    return "".join(f"{field.join(line)}\r" for line in lines).encode()


def findings(message: bytes, header: Header, settings: Hl7ReportSettings) -> list[ReportedFinding]:
    """Return what a message says of the finding by codes; nothing where it is no final report, or says nothing of it.

    Raises
    ------
    MessageRefused
        It is no report that could be read, or a code in it is none that the settings know.
    """
    _require_report(header)
    if message.count(b"\r") + message.count(b"\n") > MOST_SEGMENTS:
        raise MessageRefused(IN_ERROR, INTERNAL_ERROR, "more segments than are read")
    patients: tuple[PatientNumber, ...] = ()
    order: list[str] = []
    said: list[tuple[list[str], tuple[PatientNumber, ...], bool | None]] = []
    for name, fields in _segments(message, header):
        if name == "PID":
            patients = _patients(fields[3], header)
        elif name == "OBR":
            order = fields
        elif not order:
            raise MessageRefused(IN_ERROR, SEGMENT_SEQUENCE, "an observation before its order")
        elif order[25].strip() in _FINAL and _is_of(fields[3], (settings.finding,), header):
            # a device made it: such as this node, of which somebody sends us the messages
            if fields[18].strip():
                continue
            said += [(order, patients, value) for value in _values(fields, header, settings)]
    found: dict[tuple[str, tuple[PatientNumber, ...]], set[bool | None]] = {}
    for of_order, whose, value in said:
        found.setdefault((_accession_number(of_order, header, settings), whose), set()).add(value)
    return [
        ReportedFinding(number, whose, values.pop() if len(values) == 1 else None)
        for (number, whose), values in found.items()
    ]


def _are_delimiters(written: str) -> bool:
    return len(set(written)) == len(written) and all(map(_DELIMITERS.fullmatch, written))


def _require_report(header: Header) -> None:
    if not header.is_one:
        raise MessageRefused(REJECTED, SEGMENT_SEQUENCE, "it begins with no header")
    kind, event = (*header[9].split(header.component), "", "")[:2]
    if not header[10].strip():
        raise MessageRefused(IN_ERROR, FIELD_MISSING, "it has no control ID")
    if len(header[10]) > LONGEST_VALUE:
        raise MessageRefused(IN_ERROR, DATA_TYPE, "its control ID is too long")
    if kind != "ORU":
        raise MessageRefused(REJECTED, MESSAGE_TYPE, "it is no ORU^R01")
    if event != "R01":
        raise MessageRefused(REJECTED, EVENT, "it is no ORU^R01")
    if header[11].split(header.component)[0] != "P":
        raise MessageRefused(REJECTED, PROCESSING_ID, "it is not of production")
    if not header[12].startswith("2."):
        raise MessageRefused(REJECTED, VERSION, "it is not of HL7 v2")


def _segments(message: bytes, header: Header) -> Iterator[tuple[str, list[str]]]:
    """Yield the segments that are read, each with as many fields as are asked for."""
    for line in re.split(r"[\r\n]", message.decode("utf-8", "replace")):
        last = _LAST_FIELDS.get(line[:3])
        if last is not None and line[3:4] == header.field:
            fields = line.split(header.field, last + 1)
            yield line[:3], fields + [""] * (last + 1 - len(fields))


def _patients(written: str, header: Header) -> tuple[PatientNumber, ...]:
    """The patient's numbers (CX, section 2.A.14)."""
    numbers = []
    for repetition in written.split(header.repetition, 20)[:20]:
        parts = [*repetition.split(header.component, 4), "", "", "", ""]
        number, authority = header.text(parts[0]), parts[3].split(header.subcomponent)[0]
        if number:
            numbers.append(PatientNumber(number, header.text(authority)))
    return tuple(numbers)


def _accession_number(order: Sequence[str], header: Header, settings: Hl7ReportSettings) -> str:
    for field in settings.accession_number:
        number = header.text(order[field.place].split(header.repetition)[0].split(header.component)[0])
        if number:
            return number
    raise MessageRefused(IN_ERROR, FIELD_MISSING, "it has no accession number where the settings say")


def _values(fields: Sequence[str], header: Header, settings: Hl7ReportSettings) -> Iterator[bool | None]:
    """What an observation says, once for each value of it; nothing where it is not final."""
    status = fields[11].strip()
    if status in _WITHDRAWN:
        yield None
    if status not in _FINAL:
        return
    meanings = ((settings.positive, True), (settings.negative, False), (settings.cannot_tell, None))
    for value in fields[5].split(header.repetition, 20)[:20]:
        found = [meaning for codes, meaning in meanings if _is_of(value, codes, header)]
        if not found:
            raise MessageRefused(IN_ERROR, VALUE_NOT_FOUND, "its value is none of those in the settings")
        yield found[0]


def _is_of(written: str, codes: Sequence[str], header: Header) -> bool:
    """Tell whether a coded value is one of these: the same identifier, and of the same system where both name one."""
    identifier, _, system = [*(header.text(each) for each in written.split(header.component, 3)), "", ""][:3]
    for code in codes:
        ours = [*code.split("^"), "", ""]
        if identifier == ours[0] and (not system or not ours[2] or system == ours[2]):
            return True
    return False
