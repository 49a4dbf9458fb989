"""A record of the audit trail as a DICOM audit message: XML by the schema of PS3.15 A.5.1.1, events by A.5.3.

The node's trail holds no patient data, so a message names a study by its UID, and the patient, where A.5.3 wants one,
as unknown: who has to know looks the study up in the archive. Beside what A.5.3 asks for, each message names the record
that it is made of and the record's digest, which chains it to all before: whoever has the messages can tell whether
the trail in the database is still the one that was sent.

What came from the network (AE titles, UIDs) is escaped, shortened, and freed of control characters and of what XML 1.0
cannot hold.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from urllib.parse import urlsplit
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from config.hl7 import Hl7Destination
from config.peers import Destination, WebDestination
from config.settings import Settings
from storage.audit import Record
from storage.records import Receipt

LONGEST_VALUE = 1024
"""Characters of one value: a message fits into one datagram, whatever a peer called itself."""
UNKNOWN = "unknown"
_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>'
_UNWRITABLE = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_APPLICATION_SERVER = "4"  # Audit Source Type Code, PS3.15 A.5.1.2.1
_SUCCESS, _MINOR_FAILURE, _SERIOUS_FAILURE = "0", "4", "8"  # Event Outcome Indicator
_SYSTEM_OBJECT, _PERSON = "2", "1"  # Participant Object Type Code
_PATIENT, _REPORT, _SECURITY_RESOURCE, _QUERY = "1", "3", "13", "24"  # Participant Object Type Code Role


@dataclass(frozen=True, slots=True)
class _Code:
    value: str
    meaning: str
    scheme: str = "DCM"


# PS3.16 CID 400, 401 and 402; the two of RFC 3881 by PS3.15 A.5.1.2
APPLICATION_ACTIVITY = _Code("110100", "Application Activity")
AUDIT_LOG_USED = _Code("110101", "Audit Log Used")
INSTANCES_ACCESSED = _Code("110103", "DICOM Instances Accessed")
INSTANCES_TRANSFERRED = _Code("110104", "DICOM Instances Transferred")
QUERY = _Code("110112", "Query")
SECURITY_ALERT = _Code("110113", "Security Alert")
APPLICATION_START = _Code("110120", "Application Start")
APPLICATION_STOP = _Code("110121", "Application Stop")
NODE_AUTHENTICATION = _Code("110126", "Node Authentication")
SECURITY_CONFIGURATION = _Code("110129", "Security Configuration")
USER_AUTHENTICATION = _Code("110114", "User Authentication")
LOGIN = _Code("110122", "Login")
LOGOUT = _Code("110123", "Logout")
RESTRICTED_FUNCTION = _Code("110132", "Use of Restricted Function")
SECURITY_ROLES_CHANGED = _Code("110136", "Security Roles Changed")
APPLICATION = _Code("110150", "Application")
LAUNCHER = _Code("110151", "Application Launcher")
DESTINATION = _Code("110152", "Destination Role ID")
SOURCE = _Code("110153", "Source Role ID")
STUDY_INSTANCE_UID = _Code("110180", "Study Instance UID")
NODE_ID = _Code("110182", "Node ID")
PATIENT_NUMBER = _Code("2", "Patient Number", "RFC-3881")
URI = _Code("12", "URI", "RFC-3881")


def audit_message(record: Record, settings: Settings, host: str) -> bytes | None:
    """Return the message of a record in UTF-8, or None where PS3.15 has none for what it tells.

    Parameters
    ----------
    settings
        Of the node: its AE title, and what the destinations are that records name.
    host
        This machine's name.
    """
    write = _WRITERS.get(record.event)
    if write is None or record.detail.get("sop_class_uid") == "":  # an HL7 message is no DICOM instance
        return None
    message = _Message(record, settings, host)
    write(message)
    message.close()
    # on one line, since syslog servers (rsyslog 8) write a line break as "#012"
    return _DECLARATION + ElementTree.tostring(message.root, encoding="unicode").encode()


def is_alert(record: Record) -> bool:
    """Whether somebody should look: what was refused or failed."""
    return record.event in {"association_refused", "delivery_failed", "delivery_rejected"}


class _Message:
    """One message on its way, in the order of the schema: event, participants, audit source, objects."""

    def __init__(self, record: Record, settings: Settings, host: str) -> None:
        self.record = record
        self.detail = record.detail
        self.settings = settings
        self.host = host
        self.root = Element("AuditMessage")
        self._objects: list[Element] = []

    def event(
        self, code: _Code, action: str, *types: _Code, outcome: str = _SUCCESS, description: str = ""
    ) -> None:
        at = datetime.fromtimestamp(self.record.at, UTC).isoformat(timespec="milliseconds")
        event = _add(
            self.root,
            "EventIdentification",
            EventActionCode=action,
            EventDateTime=at.replace("+00:00", "Z"),
            EventOutcomeIndicator=outcome,
        )
        _add_code(event, "EventID", code)
        for each in types:
            _add_code(event, "EventTypeCode", each)
        if description:
            SubElement(event, "EventOutcomeDescription").text = _cleaned(description)

    def node(self, *roles: _Code, is_requestor: bool = False) -> None:
        """Add this node: which process, and its AE title (PS3.15 A.5.2.1 and A.5.2.2)."""
        process = str(self.detail.get("process", self.settings.node.ae_title))
        self._participant(process, [self.settings.node.ae_title], self.host, roles, is_requestor)

    def peer(self, ae_title: str, address: str, *roles: _Code, is_requestor: bool = False) -> None:
        """Add another system; its process is not known, so its AE title or its address stands for that."""
        titles = [ae_title] if ae_title else []
        self._participant(ae_title or address or UNKNOWN, titles, address, roles, is_requestor)

    def person(self, *roles: _Code) -> None:
        """Add who asked for it: by a page, from an address; by a command, as the operating system knows them."""
        user, place = self.detail.get("user") or UNKNOWN, self.detail.get("address") or self.host
        self._participant(str(user), [], str(place), roles, is_requestor=True)

    def _participant(
        self,
        user_id: str,
        ae_titles: list[str],
        address: str,
        roles: Iterable[_Code],
        is_requestor: bool,
    ) -> None:
        attributes = {"UserID": user_id}
        if ae_titles:
            attributes["AlternativeUserID"] = "AETITLES=" + ";".join(ae_titles)
        attributes["UserIsRequestor"] = str(is_requestor).lower()
        if address:
            attributes["NetworkAccessPointID"] = address
            attributes["NetworkAccessPointTypeCode"] = "2" if _is_address(address) else "1"
        participant = _add(self.root, "ActiveParticipant", **attributes)
        for role in roles:
            _add_code(participant, "RoleIDCode", role)

    def object(
        self,
        object_id: str,
        kind: str,
        role: str,
        id_type: _Code,
        *,
        name: str = UNKNOWN,
        query: str = "",
        **details: bytes,
    ) -> Element:
        """Add a participating object, after everything else."""
        found = Element("ParticipantObjectIdentification")
        for attribute, value in (
            ("ParticipantObjectID", object_id),
            ("ParticipantObjectTypeCode", kind),
            ("ParticipantObjectTypeCodeRole", role),
        ):
            found.set(attribute, _cleaned(value))
        _add_code(found, "ParticipantObjectIDTypeCode", id_type)
        if query:
            SubElement(found, "ParticipantObjectQuery").text = b64encode(query.encode()).decode()
        else:
            SubElement(found, "ParticipantObjectName").text = _cleaned(name)
        for what, content in details.items():
            _add(
                found,
                "ParticipantObjectDetail",
                type=what.replace("_", " "),
                value=b64encode(content).decode(),
            )
        self._objects.append(found)
        return found

    def study(self) -> None:
        """Add the study, what of it is told of, and its patient."""
        study = self.object(
            str(self.detail.get("study_instance_uid") or UNKNOWN), _SYSTEM_OBJECT, _REPORT, STUDY_INSTANCE_UID
        )
        if "sop_class_uid" in self.detail:
            description = _add(study, "ParticipantObjectDescription")
            sop_class = _add(description, "SOPClass")
            if self.detail["sop_class_uid"]:
                sop_class.set("UID", _cleaned(self.detail["sop_class_uid"]))
            sop_class.set("NumberOfInstances", "1")
            _add(sop_class, "Instance", UID=str(self.detail["sop_instance_uid"]))
        self.object(UNKNOWN, _PERSON, _PATIENT, PATIENT_NUMBER)

    def alert_subject(self, description: str) -> None:
        """Add what an alert is about: this node, and in words what happened (PS3.15 A.5.3.11)."""
        self.object(
            self.settings.node.ae_title,
            _SYSTEM_OBJECT,
            _SECURITY_RESOURCE,
            NODE_ID,
            name=self.settings.node.ae_title,
            Alert_Description=_cleaned(description).encode(),
        )

    def close(self) -> None:
        """Add what every message ends with: where it comes from, its objects, and the record that it is made of."""
        source = _add(
            self.root, "AuditSourceIdentification", AuditSourceID=f"{self.settings.node.ae_title}@{self.host}"
        )
        _add(source, "AuditSourceTypeCode", **{"csd-code": _APPLICATION_SERVER})
        self.object(
            f"urn:dicom-node:audit:{self.record.id}",
            _SYSTEM_OBJECT,
            _SECURITY_RESOURCE,
            URI,
            name="Security Audit Log",
            digest=bytes.fromhex(self.record.digest),
        )
        self.root.extend(self._objects)


def _application(kind: _Code) -> Callable[[_Message], None]:
    def write(message: _Message) -> None:
        message.event(APPLICATION_ACTIVITY, "E", kind)
        message.node(APPLICATION)
        message.person(LAUNCHER)

    return write


_TRANSFER_ACTIONS = {Receipt.DUPLICATE: "R", Receipt.CORRECTED: "U"}
"""What was held already is read, what is held otherwise now is updated; else it is new here (PS3.15 A.5.3.7)."""


def _received(message: _Message) -> None:
    detail = message.detail
    message.event(INSTANCES_TRANSFERRED, _TRANSFER_ACTIONS.get(detail["receipt"], "C"))
    message.peer(
        str(detail.get("ae_title") or detail["source"]),
        str(detail.get("address", "")),
        SOURCE,
        is_requestor=True,
    )
    message.node(DESTINATION)
    message.study()


def _sent(outcome: str) -> Callable[[_Message], None]:
    def write(message: _Message) -> None:
        reason = str(message.detail.get("reason", ""))
        message.event(INSTANCES_TRANSFERRED, "C", outcome=outcome, description=reason)
        message.node(SOURCE, is_requestor=True)
        name = str(message.detail["destination"])
        message.peer(*_place(message.settings, name), DESTINATION)
        message.study()

    return write


def _refused(message: _Message) -> None:
    detail = message.detail
    message.event(
        SECURITY_ALERT,
        "E",
        NODE_AUTHENTICATION,
        outcome=_MINOR_FAILURE,
        description=str(detail["reason"]),
    )
    message.node()
    message.peer(str(detail["ae_title"]), str(detail["address"]), is_requestor=True)
    message.alert_subject(f"association refused, {detail.get('count', 1)} times: {detail['reason']}")


def _settings_changed(message: _Message) -> None:
    message.event(SECURITY_ALERT, "E", SECURITY_CONFIGURATION)
    message.node()
    message.person()
    message.alert_subject("settings changed: " + ", ".join(message.detail["changed"]))


def _authenticated(kind: _Code, outcome: str = _SUCCESS) -> Callable[[_Message], None]:
    def write(message: _Message) -> None:
        message.event(USER_AUTHENTICATION, "E", kind, outcome=outcome)
        message.person()
        message.node()

    return write


def _person_changed(message: _Message) -> None:
    message.event(SECURITY_ALERT, "E", SECURITY_ROLES_CHANGED)
    message.node()
    message.person()
    whom = message.detail.get("person", message.detail["user"])
    message.alert_subject(
        f"{message.record.event.replace('_', ' ')}: {whom} {message.detail.get('role', '')}"
    )


def _commanded(message: _Message) -> None:
    message.event(SECURITY_ALERT, "E", RESTRICTED_FUNCTION)
    message.node()
    message.person()
    detail = message.detail
    named = detail.get("ids") or (detail.get("scope", ""), detail.get("destination", ""))
    of_what = detail.get("study_instance_uid") or ", ".join(each for each in named if each)
    message.alert_subject(f"{message.record.event.replace('_', ' ')}: {of_what}")


def _reported(message: _Message) -> None:
    message.event(INSTANCES_ACCESSED, "C")
    message.node()
    message.study()


def _looked_at_study(message: _Message) -> None:
    message.event(INSTANCES_ACCESSED, "R")
    message.person()
    message.study()


def _looked_at_list(message: _Message) -> None:
    message.event(QUERY, "E")
    message.person(SOURCE)
    message.node(DESTINATION)
    command = str(message.detail["command"])
    message.object(f"urn:dicom-node:command:{command}", _SYSTEM_OBJECT, _QUERY, URI, query=command)


def _audit_looked_at(message: _Message) -> None:
    message.event(AUDIT_LOG_USED, "R")
    message.person()
    message.object("urn:dicom-node:audit", _SYSTEM_OBJECT, _SECURITY_RESOURCE, URI, name="Security Audit Log")


_WRITERS: dict[str, Callable[[_Message], None]] = {
    "node_started": _application(APPLICATION_START),
    "node_stopped": _application(APPLICATION_STOP),
    "settings_changed": _settings_changed,
    "association_refused": _refused,
    "instance_stored": _received,
    "result_delivered": _sent(_SUCCESS),
    "delivery_rejected": _sent(_SERIOUS_FAILURE),
    "delivery_failed": _sent(_SERIOUS_FAILURE),
    "study_reported": _reported,
    "study_looked_at": _looked_at_study,
    "list_looked_at": _looked_at_list,
    "audit_looked_at": _audit_looked_at,
    "report_requested": _commanded,
    "operator_retried": _commanded,
    "operator_dismissed": _commanded,
    "login": _authenticated(LOGIN),
    "login_refused": _authenticated(LOGIN, _MINOR_FAILURE),
    "logout": _authenticated(LOGOUT),
    "person_invited": _person_changed,
    "person_accepted": _person_changed,
    "role_changed": _person_changed,
    "person_removed": _person_changed,
    "password_changed": _person_changed,
    "sessions_ended": _person_changed,
    "work_paused": _commanded,
    "work_resumed": _commanded,
}
"""What PS3.15 A.5.3 has a message for. The other records tell of the node's own bookkeeping with an archive."""


def _place(settings: Settings, name: str) -> tuple[str, str]:
    """Return the AE title and the host of a destination, as far as it has them."""
    found: dict[str, Destination | WebDestination | Hl7Destination] = {
        each.name: each for each in (*settings.all_destinations, *settings.hl7)
    }
    to = found.get(name)
    if isinstance(to, Destination):
        return to.ae_title, to.host
    if isinstance(to, WebDestination):
        return "", urlsplit(to.url).hostname or name
    return "", name if to is None else to.host


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _add(parent: Element, tag: str, **attributes: str) -> Element:
    return SubElement(parent, tag, {name: _cleaned(value) for name, value in attributes.items()})


def _add_code(parent: Element, tag: str, code: _Code) -> None:
    attributes = {"csd-code": code.value, "codeSystemName": code.scheme, "originalText": code.meaning}
    SubElement(parent, tag, attributes)


def _cleaned(text: str) -> str:
    return _UNWRITABLE.sub("\ufffd", text[:LONGEST_VALUE])
