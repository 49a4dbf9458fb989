"""Final reports as a RIS sends them: what of them is a verdict, and how each is acknowledged, bad bytes too."""

import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import hl7
import pytest

from config.hl7_reports import Hl7ReportSettings
from config.settings import Settings
from dicom_node.channels.mllp import read_acknowledgement
from dicom_node.final_reports import listener
from dicom_node.final_reports.listener import MOST_CONNECTIONS, ReportListener
from dicom_node.final_reports.message import (
    Header,
    MessageRefused,
    PatientNumber,
    ReportedFinding,
    acknowledgement,
    findings,
)
from dicom_node.tls import Tls
from storage import audit
from storage.engine import Database
from storage.errors import StorageUnavailable
from storage.folder import DataFolder
from storage.steps import Step
from storage.verdicts import FINAL_REPORT, Verdict
from tests.hospital import Hospital
from tests.instances import NOW, instance, receive
from tests.peers import wait_for
from tests.report_sender import ABSENT, EQUIVOCAL, FREE_TEXT, PRESENT, ReportSender, report
from tests.unit.test_verdicts import AGREE, CANNOT_TELL, DISAGREE, answered, said, say


def of_reports(**changed: object) -> Settings:
    """Settings that are not checked against each other."""
    reports = {"enabled": True, "port": 0, "hosts": ["127.0.0.1"], **changed}
    return Settings().model_copy(update={"hl7_reports": Hl7ReportSettings.model_validate(reports)})


SETTINGS = of_reports()


def read(message: bytes) -> list[ReportedFinding]:
    return findings(message, Header(message), SETTINGS.hl7_reports)


def refused(message: bytes) -> tuple[str, str]:
    with pytest.raises(MessageRefused) as raised:
        read(message)
    return raised.value.code, raised.value.error


@pytest.mark.parametrize(("value", "positive"), [(PRESENT, True), (ABSENT, False), (EQUIVOCAL, None)])
def test_a_code_that_the_settings_know_is_a_verdict(value: str, positive: bool | None) -> None:
    assert read(report("ACC-77^RIS", value, patient="P7^^^HOSPITAL&1.2.3&ISO~P8")) == [
        ReportedFinding("ACC-77", (PatientNumber("P7", "HOSPITAL"), PatientNumber("P8", "")), positive)
    ]


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (report(status="P"), "preliminary"),
        (report(status="A"), "some results"),
        (report(status=""), "nobody knows"),
        (report(observed="P"), "the observation is preliminary"),
        (report(observed="N"), "nothing was observed"),
        (report(finding="36643-5^XR^LN"), "another observation"),
        (report(finding="233604007^Pneumonia^99RIS"), "of another coding system"),
        (report(device="pneumonia-cxr^^2.25.3^ISO"), "a device's, such as this node's own"),
    ],
)
def test_what_no_radiologist_has_signed_is_no_verdict(message: bytes, why: str) -> None:
    assert read(message) == [], why


@pytest.mark.parametrize(
    ("message", "positive"),
    [
        (report(status="C", value=ABSENT), False),
        (report(observed="C", value=ABSENT), False),
        (report(observed="W"), None),
        (report(observed="D"), None),
        (report(finding="233604007"), True),
        (report(finding="233604007^Pneumonia"), True),
        (report(value=f"{PRESENT}~{PRESENT}"), True),
        (report(value=f"{PRESENT}~{ABSENT}"), None),
        (report(more=["OBX|3|CWE|233604007^^SCT||272519000^^SCT||||||F"]), None),
    ],
)
def test_corrections_replace_and_contradictions_tell_nothing(message: bytes, positive: bool | None) -> None:
    [found] = read(message)
    assert found.positive is positive


def test_free_text_is_never_interpreted() -> None:
    message = report(finding="36643-5^XR^LN")
    assert FREE_TEXT.encode() in message
    assert read(message) == []


def test_each_order_of_a_message_has_its_own_number_and_status() -> None:
    def order(number: str, status: str) -> str:
        fields = [""] * 26
        fields[0], fields[18], fields[25] = "OBR", number, status
        return "|".join(fields)

    observation = "OBX|1|CWE|233604007^^SCT||272519000^^SCT||||||F"
    message = report("A1", more=[order("A2", "F"), observation, order("A3", "P"), observation])
    assert [(each.accession_number, each.positive) for each in read(message)] == [("A1", True), ("A2", False)]


def test_a_message_is_read_in_its_own_delimiters_and_escapes() -> None:
    header = "MSH#*!?%#RIS#HOSPITAL#NODE#RADIOLOGY#20260301101500##ORU*R01#{}#P#2.3"
    message = report("A?F?1", more=["ZZZ|what is not known"]).replace(b"|", b"#").replace(b"^", b"*")
    own = header.format("M1").encode() + message[message.index(b"\r") :]
    assert read(own)[0].accession_number == "A#1"
    answer = acknowledgement(Header(own), "AE", "204")
    assert answer.startswith(b"MSH#*!?%#NODE#RADIOLOGY#RIS#HOSPITAL#")
    known = read_acknowledgement(answer)
    assert known is not None
    assert (known.code, known.control_id, known.error_code) == ("AE", "M1", "204")


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        (b"", ("AR", "100")),
        (b"GET / HTTP/1.1\r\n\r\n", ("AR", "100")),
        (b"MSH|||||", ("AR", "100")),
        (report(control_id=""), ("AE", "101")),
        (report(control_id="M" * 200), ("AE", "102")),
        (report().replace(b"ORU^R01^ORU_R01", b"ADT^A08"), ("AR", "200")),
        (report().replace(b"ORU^R01^ORU_R01", b"ORU^W01"), ("AR", "201")),
        (report().replace(b"|P|2.5.1", b"|T|2.5.1"), ("AR", "202")),
        (report().replace(b"|P|2.5.1", b"|P|3"), ("AR", "203")),
        (report(accession_number=""), ("AE", "101")),
        (report(value="1^Perhaps^99RIS"), ("AE", "103")),
        (report(value=""), ("AE", "103")),
        (report().replace(b"OBR|", b"ZBR|"), ("AE", "100")),
        (report() + b"NTE|1\r" * 10_000, ("AE", "207")),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_error(message: bytes, answer: tuple[str, str]) -> None:
    assert refused(message) == answer


def test_nothing_that_was_sent_can_break_an_acknowledgement() -> None:
    message = report().replace(b"RIS", b"R\x1c\x0bI" + b"S" * 5000)
    answer = acknowledgement(Header(message), "AA")
    assert not [each for each in answer if each < 32 and each != 13]
    assert len(answer) < 1000
    assert str(hl7.parse(answer.decode()).segment("MSA")[1]) == "AA"


@pytest.fixture
def port(folder: DataFolder) -> Iterator[int]:
    opened = ReportListener(SETTINGS, folder, Tls(SETTINGS.tls))
    yield opened.start()[1]
    opened.stop()


@pytest.fixture
def ris(port: int) -> Iterator[ReportSender]:
    with ReportSender(port) as sender:
        yield sender


def counting(folder: DataFolder, study: str) -> list[tuple[str, Verdict, bool | None]]:
    return [
        (each.person, each.verdict, each.is_positive)
        for each in said(folder, study)
        if each.replaced_at is None
    ]


def test_a_final_report_is_a_verdict_on_the_answer(folder: DataFolder, ris: ReportSender) -> None:
    for study, answer in (("1.1", "likely"), ("1.2", "unlikely")):
        answered(folder, study, answer)
        assert ris.send(report(f"A{study}", PRESENT, control_id=f"M{study}")) == ("AA", f"M{study}", "")
    assert counting(folder, "1.1") == [(FINAL_REPORT, AGREE, True)]
    assert counting(folder, "1.2") == [(FINAL_REPORT, DISAGREE, True)]
    with folder.database.read() as connection:
        details = [each.detail for each in audit.latest(connection, "verdict_given")]
    assert details[0] == {
        "study_instance_uid": "1.2",
        "verdict": "disagree",
        "answer": "unlikely",
        "has_region": False,
        "user": FINAL_REPORT,
        "address": "127.0.0.1",
    }


def test_a_corrected_report_replaces_the_first_and_the_same_message_again_nothing(
    folder: DataFolder, ris: ReportSender
) -> None:
    answered(folder, "1.1")
    for _ in range(2):
        assert ris.send(report("A1.1", PRESENT)) == ("AA", "M1", "")
    assert len(said(folder, "1.1")) == 1
    assert ris.send(report("A1.1", EQUIVOCAL, status="C", control_id="M2"))[0] == "AA"
    assert counting(folder, "1.1") == [(FINAL_REPORT, CANNOT_TELL, None)]
    assert len(said(folder, "1.1")) == 2


def test_a_report_replaces_no_persons_verdict(folder: DataFolder, ris: ReportSender) -> None:
    answered(folder, "1.1")
    say(folder, "1.1", AGREE)
    ris.send(report("A1.1", ABSENT))
    assert counting(folder, "1.1") == [(FINAL_REPORT, DISAGREE, False), ("ralf", AGREE, True)]


@pytest.mark.parametrize(
    ("patient", "answer"),
    [
        ("", "AA"),
        ("P1.1", "AA"),
        ("OTHER~P1.1^^^HOSPITAL", "AA"),
        ("P2", "AE"),
        ("p1.1", "AE"),
    ],
)
def test_a_report_of_another_patient_is_refused(
    folder: DataFolder, ris: ReportSender, patient: str, answer: str
) -> None:
    answered(folder, "1.1")
    assert ris.send(report("A1.1", patient=patient))[0] == answer
    assert len(said(folder, "1.1")) == (answer == "AA")


def test_where_two_hospitals_use_the_same_numbers_the_issuer_decides(
    folder: DataFolder, ris: ReportSender
) -> None:
    for study, issuer in (("1.1", "EAST"), ("1.2", "WEST")):
        answered(folder, study, accession_number="A", patient_id="P", issuer_of_patient_id=issuer)
    assert ris.send(report("A"))[::2] == ("AE", "204")
    assert ris.send(report("A", patient="P^^^NORTH"))[::2] == ("AE", "204")
    assert ris.send(report("A", patient="P^^^WEST&1.2&ISO"))[0] == "AA"
    assert (counting(folder, "1.1"), len(counting(folder, "1.2"))) == ([], 1)


def test_reports_of_what_never_came_or_has_no_answer_are_taken_and_left(
    folder: DataFolder, ris: ReportSender
) -> None:
    assert ris.send(report("NEVER CAME"))[0] == "AA"
    receive(folder, instance(1, "1.1", stored_only="not_an_image", accession_number="A1.1"))
    assert ris.send(report("A1.1"))[0] == "AA"
    assert said(folder, "1.1") == []


def test_a_report_that_comes_before_the_answer_is_to_be_sent_again(
    folder: DataFolder, ris: ReportSender
) -> None:
    receive(folder, instance(1, "1.1", accession_number="A1.1"), NOW)
    assert ris.send(report("A1.1"))[::2] == ("AR", "206")
    assert said(folder, "1.1") == []


def test_of_a_message_all_is_kept_or_nothing(folder: DataFolder, ris: ReportSender) -> None:
    answered(folder, "1.1")
    receive(folder, instance(1, "1.2", accession_number="A1.2"), NOW)
    order = report("A1.2").split(b"\r")[3:6]
    both = report("A1.1") + b"\r".join(order) + b"\r"
    assert ris.send(both)[::2] == ("AR", "206")
    assert said(folder, "1.1") == []


def test_it_is_acknowledged_only_when_it_is_durable(
    folder: DataFolder, ris: ReportSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(folder, "1.1")
    write = Database.write

    def failing(self: Database, step: Step) -> object:
        if step is Step.REPORT_READ:
            raise StorageUnavailable("the disk is full")
        return write(self, step)

    with monkeypatch.context() as patched:
        patched.setattr(Database, "write", failing)
        assert ris.send(report("A1.1"))[::2] == ("AR", "207")
    assert ris.send(report("A1.1"))[0] == "AA"
    assert len(said(folder, "1.1")) == 1


def raw(port: int, *parts: bytes) -> bytes:
    """Send these bytes as they are, and return all that comes until the node closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        for part in parts:
            peer.sendall(part)
        peer.shutdown(socket.SHUT_WR)
        answer = b""
        while part := peer.recv(65536):
            answer += part
        return answer


def test_messages_may_come_in_pieces_and_several_at_once(folder: DataFolder, port: int) -> None:
    answered(folder, "1.1")
    framed = b"\x0b" + report("A1.1") + b"\x1c\r"
    answer = raw(
        port, *(framed[place : place + 7] for place in range(0, len(framed), 7)), b"\r\n" + framed * 2
    )
    assert answer.count(b"MSA|AA|M1") == 3
    assert len(said(folder, "1.1")) == 1


@pytest.mark.parametrize(
    "content", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\x0bhalf a message"]
)
def test_what_is_no_frame_gets_no_answer(port: int, content: bytes) -> None:
    assert raw(port, content) == b""


def test_a_message_without_an_end_is_refused_at_its_limit(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "LONGEST_MESSAGE", 10_000)
    assert b"MSA|AE|M1" in raw(port, b"\x0b" + report() + b"x" * 20_000)


def test_a_slow_message_and_a_silent_peer_are_hung_up_on(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, said_first in (("MESSAGE_SECONDS", b"\x0bMSH|"), ("IDLE_SECONDS", b"")):
        with monkeypatch.context() as patched:
            patched.setattr(listener, limit, 0.2)
            with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
                peer.sendall(said_first)
                assert peer.recv(1) == b""


def test_one_connection_too_many_is_closed_and_another_may_come_when_one_has_gone(
    folder: DataFolder, port: int
) -> None:
    many = [ReportSender(port) for _ in range(MOST_CONNECTIONS)]
    for each in many:
        assert each.send(report())[0] == "AA"
    assert raw(port, b"") == b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        assert peer.recv(1) == b""
    many.pop().__exit__()
    wait_for(lambda: _is_answered(port))
    for each in many:
        each.__exit__()
    assert "too many connections with final reports" in refusals(folder)


def _is_answered(port: int) -> bool:
    try:
        return b"MSA|AA" in raw(port, b"\x0b" + report() + b"\x1c\r")
    except OSError:
        return False


def refusals(folder: DataFolder) -> list[str]:
    def found() -> list[str]:
        with folder.database.read() as connection:
            return [each.detail["reason"] for each in audit.latest(connection, "association_refused")]

    return wait_for(found)


def test_nobody_else_may_send(folder: DataFolder) -> None:
    opened = ReportListener(of_reports(hosts=["192.0.2.0/24"]), folder, Tls(SETTINGS.tls))
    _, port = opened.start()
    try:
        assert raw(port, b"") == b""
        assert refusals(folder) == ["not one of [hl7_reports] hosts"]
    finally:
        opened.stop()


def test_stopping_ends_open_connections_at_once(folder: DataFolder) -> None:
    opened = ReportListener(SETTINGS, folder, Tls(SETTINGS.tls))
    _, port = opened.start()
    with ReportSender(port) as sender:
        assert sender.send(report())[0] == "AA"
        before = time.monotonic()
        opened.stop()
        assert time.monotonic() - before < listener.STOP_SECONDS


def test_over_tls_a_certificate_of_the_hospital_opens_the_port(folder: DataFolder, tmp_path: Path) -> None:
    hospital = Hospital.made(tmp_path / "certificates")
    opened = ReportListener(of_reports(tls=True), folder, hospital.tls())
    _, port = opened.start()
    try:
        answered(folder, "1.1")
        with ReportSender(port, hospital.client()) as sender:
            assert sender.send(report("A1.1"))[0] == "AA"
        shows_nothing = ssl.create_default_context(cafile=str(hospital.authority.certificate))
        with pytest.raises((ssl.SSLError, ConnectionError)), ReportSender(port, shows_nothing) as sender:
            sender.send(report("A1.1", ABSENT))
        assert b"MSA" not in raw(port, b"\x0b" + report("A1.1", ABSENT) + b"\x1c\r")
        assert "TLS: it has shown no certificate" in refusals(folder)
    finally:
        opened.stop()
    assert counting(folder, "1.1") == [(FINAL_REPORT, AGREE, True)]
