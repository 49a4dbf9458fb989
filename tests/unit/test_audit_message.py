"""Audit messages by PS3.15 A.5: the schema and the event tables, retyped here as an independent oracle."""

import re
from base64 import b64decode
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from config.load import check_settings
from dicom_node.auditing.message import LONGEST_VALUE, audit_message, is_alert
from storage.audit import Record

SETTINGS = check_settings(
    {
        "node": {"ae_title": "CXR_NODE"},
        "destinations": [{"name": "pacs", "ae_title": "ARCHIVE", "host": "pacs.example.org", "port": 104}],
        "web_destinations": [{"name": "web", "url": "https://web.example.org/dicom-web"}],
    },
    Path("node.toml"),
)
STUDY = {
    "study_instance_uid": "1.2.3",
    "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1.1",
    "sop_instance_uid": "1.2.3.4",
}
RECEIVED = {"receipt": "new", "source": "pacs", "ae_title": "PACS", "address": "10.1.2.3", **STUDY}

# event: an example of its detail; EventID; EventTypeCode; action; outcome; the participants' roles, the requestor's
# with a star; what of the objects A.5.3 asks for, as (type, role, ID's type)
STUDY_AND_PATIENT = [("2", "3", "110180"), ("1", "1", "2")]
NODE_OBJECT = [("2", "13", "110182")]
EVENTS: dict[str, tuple[dict[str, Any], str, str, str, str, list[str], list[tuple[str, str, str]]]] = {
    "node_started": ({"process": 7, "user": "ada"}, "110100", "110120", "E", "0", ["110150", "*110151"], []),
    "node_stopped": ({"process": 7, "user": "ada"}, "110100", "110121", "E", "0", ["110150", "*110151"], []),
    "instance_stored": (RECEIVED, "110104", "", "C", "0", ["*110153", "110152"], STUDY_AND_PATIENT),
    "result_delivered": (
        {"destination": "pacs", "status": 0, **STUDY},
        "110104", "", "C", "0", ["*110153", "110152"], STUDY_AND_PATIENT,
    ),
    "delivery_rejected": (
        {"destination": "pacs", "reason": "refused", "status": 0x0122, **STUDY},
        "110104", "", "C", "8", ["*110153", "110152"], STUDY_AND_PATIENT,
    ),
    "delivery_failed": (
        {"destination": "gone since", "reason": "object_missing", "status": None, **STUDY},
        "110104", "", "C", "8", ["*110153", "110152"], STUDY_AND_PATIENT,
    ),
    "association_refused": (
        {"ae_title": "STRANGER", "address": "192.0.2.7", "reason": "no source has this AE title and address"},
        "110113", "110126", "E", "4", ["", "*"], NODE_OBJECT,
    ),
    "settings_changed": (
        {"changed": ["receiver.port"], "user": "ada"}, "110113", "110129", "E", "0", ["", "*"], NODE_OBJECT,
    ),
    "study_reported": (STUDY | {"revision": 1}, "110103", "", "C", "0", [""], STUDY_AND_PATIENT),
    "study_looked_at": (
        {"study_instance_uid": "1.2.3", "user": "ada"}, "110103", "", "R", "0", ["*"], STUDY_AND_PATIENT,
    ),
    "list_looked_at": (
        {"command": "worklist", "user": "ada"}, "110112", "", "E", "0", ["*110153", "110152"], [("2", "24", "12")],
    ),
    "audit_looked_at": ({"user": "ada"}, "110101", "", "R", "0", ["*"], [("2", "13", "12")]),
    "report_requested": (
        {"study_instance_uid": "1.2.3", "user": "ada"}, "110113", "110132", "E", "0", ["", "*"], NODE_OBJECT,
    ),
    "operator_retried": ({"ids": ["j1"], "user": "ada"}, "110113", "110132", "E", "0", ["", "*"], NODE_OBJECT),
    "operator_dismissed": ({"ids": ["d1"], "user": "ada"}, "110113", "110132", "E", "0", ["", "*"], NODE_OBJECT),
    "work_paused": (
        {"scope": "destination", "destination": "pacs", "reason": "new disks", "user": "ada"},
        "110113", "110132", "E", "0", ["", "*"], NODE_OBJECT,
    ),
    "work_resumed": (
        {"scope": "analysis", "destination": "", "user": "ada"}, "110113", "110132", "E", "0", ["", "*"], NODE_OBJECT,
    ),
    "login": ({"user": "ada", "role": "viewer"}, "110114", "110122", "E", "0", ["*", ""], []),
    "login_refused": ({"user": ""}, "110114", "110122", "E", "4", ["*", ""], []),
    "logout": ({"user": "ada"}, "110114", "110123", "E", "0", ["*", ""], []),
    **{
        event: (
            {"user": "ada", "person": "bob", "role": "viewer"},
            "110113", "110136", "E", "0", ["", "*"], NODE_OBJECT,
        )
        for event in (
            "person_invited", "person_accepted", "role_changed", "person_removed", "password_changed",
            "sessions_ended",
        )
    },
}  # fmt: skip


def made(event: str, **detail: Any) -> Element:
    record = Record(17, 1_700_000_000.25, event, EVENTS[event][0] | detail, "ab" * 32)
    content = audit_message(record, SETTINGS, "host1")
    assert content is not None
    assert b"\n" not in content  # syslog servers write it otherwise
    return ElementTree.fromstring(content)


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_is_told_as_its_table_wants(event: str) -> None:
    _, event_id, event_type, action, outcome, roles, objects = EVENTS[event]
    message = made(event)
    identification = message.find("EventIdentification")
    assert identification is not None
    assert identification.attrib == {
        "EventActionCode": action,
        "EventDateTime": "2023-11-14T22:13:20.250Z",
        "EventOutcomeIndicator": outcome,
    }
    assert [each.get("csd-code") for each in identification.findall("EventID")] == [event_id]
    assert "".join(each.get("csd-code", "") for each in identification.findall("EventTypeCode")) == event_type
    found = [
        ("*" if each.get("UserIsRequestor") == "true" else "")
        + "".join(role.get("csd-code", "") for role in each.findall("RoleIDCode"))
        for each in message.findall("ActiveParticipant")
    ]
    assert sorted(found) == sorted(roles)
    *of_event, of_record = [
        (
            each.get("ParticipantObjectTypeCode"),
            each.get("ParticipantObjectTypeCodeRole"),
            each.find("ParticipantObjectIDTypeCode").get("csd-code"),  # type: ignore[union-attr]
        )
        for each in sorted(message.findall("ParticipantObjectIdentification"), key=is_of_record)
    ]
    assert of_event == objects
    assert of_record == ("2", "13", "12")


def is_of_record(found: Element) -> bool:
    return found.get("ParticipantObjectID") == "urn:dicom-node:audit:17"


# element: attributes that must be, that may be, and its children in order, each with how often
CODED = ({"csd-code", "codeSystemName", "originalText"}, {"displayName"}, "")
SCHEMA: dict[str, tuple[set[str], set[str], str]] = {
    "AuditMessage": (
        set(), set(),
        "EventIdentification (ActiveParticipant )+AuditSourceIdentification (ParticipantObjectIdentification )*",
    ),
    "EventIdentification": (
        {"EventDateTime", "EventOutcomeIndicator"}, {"EventActionCode"},
        "EventID (EventTypeCode )*(EventOutcomeDescription )?",
    ),
    "EventID": CODED,
    "EventTypeCode": CODED,
    "EventOutcomeDescription": (set(), set(), ""),
    "ActiveParticipant": (
        {"UserID", "UserIsRequestor"},
        {"AlternativeUserID", "UserName", "NetworkAccessPointID", "NetworkAccessPointTypeCode"},
        "(RoleIDCode )*",
    ),
    "RoleIDCode": CODED,
    "AuditSourceIdentification": ({"AuditSourceID"}, {"AuditEnterpriseSiteID"}, "(AuditSourceTypeCode )*"),
    "AuditSourceTypeCode": ({"csd-code"}, {"codeSystemName", "displayName", "originalText"}, ""),
    "ParticipantObjectIdentification": (
        {"ParticipantObjectID"},
        {"ParticipantObjectTypeCode", "ParticipantObjectTypeCodeRole", "ParticipantObjectDataLifeCycle"},
        "ParticipantObjectIDTypeCode (ParticipantObjectName |ParticipantObjectQuery )"
        "(ParticipantObjectDetail )*(ParticipantObjectDescription )*",
    ),
    "ParticipantObjectIDTypeCode": CODED,
    "ParticipantObjectName": (set(), set(), ""),
    "ParticipantObjectQuery": (set(), set(), ""),
    "ParticipantObjectDetail": ({"type", "value"}, set(), ""),
    "ParticipantObjectDescription": (set(), set(), "(SOPClass )*"),
    "SOPClass": ({"NumberOfInstances"}, {"UID"}, "(Instance )*"),
    "Instance": ({"UID"}, set(), ""),
}  # fmt: skip


@pytest.mark.parametrize("event", EVENTS)
def test_every_element_is_as_the_schema_has_it(event: str) -> None:
    for element in made(event).iter():
        needed, allowed, children = SCHEMA[element.tag]
        assert needed <= element.attrib.keys() <= needed | allowed
        assert re.fullmatch(children, "".join(f"{child.tag} " for child in element)), element.tag
        if "UserIsRequestor" in element.attrib:
            assert ("NetworkAccessPointID" in element.attrib) == (
                "NetworkAccessPointTypeCode" in element.attrib
            )
    requestors = [each.get("UserIsRequestor") for each in made(event).findall("ActiveParticipant")]
    assert requestors.count("true") <= 1


def participant(message: Element, role: str) -> dict[str, str]:
    [found] = message.findall(f"ActiveParticipant/RoleIDCode[@csd-code='{role}']/..")
    return found.attrib


def test_who_sent_and_who_received_are_told_by_title_and_address() -> None:
    received, sent = made("instance_stored"), made("result_delivered")
    assert participant(received, "110153") == {
        "UserID": "PACS", "AlternativeUserID": "AETITLES=PACS", "UserIsRequestor": "true",
        "NetworkAccessPointID": "10.1.2.3", "NetworkAccessPointTypeCode": "2",
    }  # fmt: skip
    assert participant(received, "110152")["AlternativeUserID"] == "AETITLES=CXR_NODE"
    assert participant(sent, "110152") == {
        "UserID": "ARCHIVE", "AlternativeUserID": "AETITLES=ARCHIVE", "UserIsRequestor": "false",
        "NetworkAccessPointID": "pacs.example.org", "NetworkAccessPointTypeCode": "1",
    }  # fmt: skip
    assert participant(made("result_delivered", destination="web"), "110152")["UserID"] == "web.example.org"


@pytest.mark.parametrize(
    ("receipt", "action"), [("new", "C"), ("duplicate", "R"), ("corrected", "U"), ("conflict", "C")]
)
def test_what_was_held_already_is_told(receipt: str, action: str) -> None:
    identification = made("instance_stored", receipt=receipt).find("EventIdentification")
    assert identification is not None
    assert identification.get("EventActionCode") == action


def test_the_instance_is_named_and_the_patient_is_not() -> None:
    message = made("instance_stored")
    study, patient = message.findall("ParticipantObjectIdentification")[:2]
    [sop_class] = study.findall("ParticipantObjectDescription/SOPClass")
    assert study.get("ParticipantObjectID") == "1.2.3"
    assert sop_class.attrib == {"UID": STUDY["sop_class_uid"], "NumberOfInstances": "1"}
    assert [each.get("UID") for each in sop_class] == ["1.2.3.4"]
    assert patient.get("ParticipantObjectID") == "unknown"


def test_an_alert_says_in_words_what_happened() -> None:
    [detail] = made("settings_changed").findall(".//ParticipantObjectDetail[@type='Alert Description']")
    assert b64decode(detail.attrib["value"]) == b"settings changed: receiver.port"
    assert is_alert(Record(1, 0.0, "association_refused", {}, ""))
    assert not is_alert(Record(1, 0.0, "instance_stored", {}, ""))


def test_every_message_carries_the_digest_of_its_record() -> None:
    [detail] = made("node_started").findall(".//ParticipantObjectDetail[@type='digest']")
    assert b64decode(detail.attrib["value"]).hex() == "ab" * 32


HOSTILE = [
    '"><Evil/>',
    "A&B<C>",
    "]]>",
    "\0\x01\x0b\x1f",
    "\ud800\ufffe",
    "a\nb\tc\r",
    "é王" * 9,
    "X" * 70_000,
    "",
]


@pytest.mark.parametrize("written", HOSTILE, ids=range(len(HOSTILE)))
def test_what_a_stranger_calls_itself_stays_a_value(written: str) -> None:
    for event, keys in {
        "association_refused": ("ae_title", "address", "reason"),
        "instance_stored": ("ae_title", "address", "study_instance_uid", "sop_class_uid", "sop_instance_uid"),
        "study_looked_at": ("user", "study_instance_uid"),
    }.items():
        record = Record(17, 0.0, event, EVENTS[event][0] | dict.fromkeys(keys, written), "ab" * 32)
        content = audit_message(record, SETTINGS, "host1")
        if content is None:
            assert written == ""
            continue
        assert len(content) < 30_000
        assert not set(range(32)) & set(content)
        message = ElementTree.fromstring(content)
        assert {each.tag for each in message.iter()} <= SCHEMA.keys()
        assert all(
            len(value) <= LONGEST_VALUE + 9
            for each in message.iter("ActiveParticipant")
            for value in each.attrib.values()
        )


def test_what_an_earlier_version_wrote_is_sent_too() -> None:
    for event, detail in {
        "node_started": {"roles": ["receive"]},
        "instance_stored": {
            "receipt": "new",
            "source": "pacs",
            "sop_instance_uid": "1",
            "study_instance_uid": "2",
        },
        "result_delivered": {"destination": "pacs", "sop_instance_uid": "1", "status": 0},
        "delivery_failed": {"destination": "pacs", "reason": "object_missing", "status": None},
        "operator_retried": {"ids": ["j1"]},
    }.items():
        assert audit_message(Record(1, 0.0, event, detail, "00"), SETTINGS, "host1") is not None


def test_no_message_is_made_of_what_the_standard_has_none_for() -> None:
    for event, detail in (
        ("commitment_answered", {"destination": "pacs"}),
        ("settings_noted", {"settings": {}}),
        ("result_delivered", {"destination": "ris", "sop_class_uid": "", "sop_instance_uid": "1.2"}),
    ):
        assert audit_message(Record(1, 0.0, event, detail, "00"), SETTINGS, "host1") is None
