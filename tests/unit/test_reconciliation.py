"""Proof of delivery: what archives hold beside what they were sent, and what is sent again."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from apscheduler.triggers.cron import CronTrigger
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage
from pynetdicom import AE, evt
from sqlalchemy import select, update

from config.peers import Destination
from config.settings import Settings
from dicom_node.associations import UNCOMPRESSED, open_association
from dicom_node.errors import QueryFailed
from dicom_node.find import STUDY_ROOT_FIND, find
from dicom_node.holdings import holdings_of
from dicom_node.reconciliation import FAULTS_IN_A_ROW, Finding, Verdict, reconcile
from dicom_node.sweeps import DAY_SECONDS, NIGHT_HOUR, Sweeps
from storage import queue, reconciliation
from storage.folder import DataFolder
from storage.records import Result
from storage.schema import deliveries, results
from storage.states import State
from storage.steps import Step
from tests.instances import NOW, OWNER, analyse, claim_delivery, instance, receive, report, result
from tests.ports import free_port
from tests.web_peer import WebPeer

STUDY = "1.2.3"


@dataclass
class Archive:
    """A C-FIND SCP that holds some objects, each of a series, and is asked at instance level."""

    holds: set[tuple[str, str]] = field(default_factory=set)
    port: int = field(default_factory=free_port)
    asked: list[Dataset] = field(default_factory=list)

    @contextmanager
    def listening(
        self,
        status: int = 0x0000,
        finds: Callable[[Dataset], Iterator[Dataset]] | None = None,
        sop_class: str = STUDY_ROOT_FIND,
    ) -> Iterator[None]:
        def found(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
            self.asked.append(event.identifier)
            for answer in (finds or self._finds)(event.identifier):
                yield 0xFF00, answer
            yield status, None

        entity = AE("PEER")
        entity.add_supported_context(sop_class)
        server = entity.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_FIND, found)]
        )
        try:
            yield
        finally:
            server.shutdown()

    def _finds(self, wanted: Dataset) -> Iterator[Dataset]:
        assert (wanted.QueryRetrieveLevel, wanted.StudyInstanceUID) == ("IMAGE", STUDY)
        for series, uid in sorted(self.holds):
            if series == wanted.SeriesInstanceUID:
                yield answer(series, uid)


def answer(series: str, uid: str) -> Dataset:
    made = Dataset()
    made.QueryRetrieveLevel = "IMAGE"
    made.StudyInstanceUID = STUDY
    made.SeriesInstanceUID = series
    made.SOPInstanceUID = uid
    return made


REPORT, HEATMAP = result(1), Result("heatmap", "1.2.840.10008.5.1.4.1.1.7", "2.25.2", "2.25.8", "b" * 64)


@pytest.fixture
def sent(folder: DataFolder) -> DataFolder:
    """A study whose report and heatmap the archive has answered with Success."""
    return sent_at(folder, NOW)


def sent_at(folder: DataFolder, now: float) -> DataFolder:
    receive(folder, instance(), quiet=0.0)
    analyse(folder)
    report(folder, [REPORT, HEATMAP], ("peer",), NOW)
    for _ in range(2):
        delivery = claim_delivery(folder, "peer")
        assert delivery is not None
        with folder.database.write(Step.BY_HAND) as connection:
            queue.arrived(connection, delivery.id, OWNER, now, awaits_commitment=False)
    return folder


def asked(folder: DataFolder, archive: Archive, *, heal: bool = False) -> list[Finding]:
    to = Destination(name="peer", ae_title="PEER", host="127.0.0.1", port=archive.port)
    return list(reconcile(Settings(destinations=(to,)), folder, [STUDY], heal=heal, clock=lambda: NOW + 100))


def states(folder: DataFolder) -> list[str]:
    with folder.database.read() as connection:
        return list(connection.execute(select(deliveries.c.state).order_by(deliveries.c.id)).scalars())


BOTH = {(each.series_instance_uid, each.sop_instance_uid) for each in (REPORT, HEATMAP)}


def test_what_the_archive_holds_is_proven(sent: DataFolder) -> None:
    archive = Archive(BOTH)
    with archive.listening():
        found = asked(sent, archive)
    assert [finding.verdict for finding in found] == [Verdict.HELD, Verdict.HELD]
    assert {wanted.QueryRetrieveLevel for wanted in archive.asked} == {"IMAGE"}


def test_what_the_archive_lost_is_missing_and_sent_again_when_that_is_wanted(sent: DataFolder) -> None:
    archive = Archive(BOTH - {("2.25.8", "2.25.2")})
    with archive.listening():
        looked = asked(sent, archive)
        assert states(sent) == [State.DONE, State.DONE]
        healed = asked(sent, archive, heal=True)
    assert [finding.verdict for finding in looked] == [Verdict.HELD, Verdict.MISSING]
    assert [finding.is_sent_again for finding in (*looked, *healed)] == [False, False, False, True]
    assert states(sent) == [State.DONE, State.QUEUED]
    again = claim_delivery(sent, "peer", NOW + 100)
    assert again is not None and again.result == HEATMAP


def test_what_this_node_has_removed_cannot_be_sent_again_and_is_named(sent: DataFolder) -> None:
    with sent.database.write(Step.BY_HAND) as connection:
        connection.execute(update(results).values(object_removed_at=NOW))
    archive = Archive()
    with archive.listening():
        found = asked(sent, archive, heal=True)
    assert {(finding.verdict, finding.is_sent_again) for finding in found} == {(Verdict.MISSING, False)}
    assert "[retention] days" in str(found[0].reason)


def test_what_nobody_sent_is_extra(sent: DataFolder) -> None:
    archive = Archive(BOTH | {("2.25.8", "2.25.77")})
    with archive.listening():
        found = asked(sent, archive)
    assert [finding.verdict for finding in found] == [Verdict.HELD, Verdict.HELD, Verdict.EXTRA]
    assert (found[2].sop_instance_uid, found[2].kind) == ("2.25.77", None)


def test_what_has_not_arrived_yet_is_in_doubt_with_its_reason(folder: DataFolder) -> None:
    receive(folder, instance(), quiet=0.0)
    analyse(folder)
    report(folder, [REPORT], ("peer",), NOW)
    delivery = claim_delivery(folder, "peer")
    assert delivery is not None
    with folder.database.write(Step.BY_HAND) as connection:
        queue.reject(connection, deliveries, delivery.id, OWNER, NOW, "C-STORE answered 0xC000")
    archive = Archive()
    with archive.listening():
        [found] = asked(folder, archive, heal=True)
    assert (found.verdict, found.reason) == (Verdict.IN_DOUBT, "rejected: C-STORE answered 0xC000")
    assert states(folder) == [State.REJECTED]


def test_what_a_person_has_dismissed_is_not_asked_for_any_more(sent: DataFolder) -> None:
    with sent.database.write(Step.BY_HAND) as connection:
        connection.execute(update(deliveries).where(deliveries.c.id == 2).values(state=State.DISMISSED))
    archive = Archive(BOTH - {("2.25.8", "2.25.2")})
    with archive.listening():
        assert [finding.verdict for finding in asked(sent, archive)] == [Verdict.HELD]


def test_a_report_that_went_in_another_form_is_looked_for_in_that_form(sent: DataFolder) -> None:
    with sent.database.write(Step.BY_HAND) as connection:
        connection.execute(
            update(deliveries).where(deliveries.c.id == 1).values(sent_sop_instance_uid="2.25.78")
        )
    archive = Archive({("2.25.9", "2.25.78"), ("2.25.8", "2.25.2")})
    with archive.listening():
        assert {finding.verdict for finding in asked(sent, archive)} == {Verdict.HELD}


def endless(_wanted: Dataset) -> Iterator[Dataset]:
    number = 0
    while True:
        number += 1
        yield answer("2.25.9", f"1.{number}")


def flooding(_wanted: Dataset) -> Iterator[Dataset]:
    """A few answers, each with much that nobody asked for."""
    for number in range(8):
        made = answer("2.25.9", f"1.{number}")
        made.TextValue = "?" * 100_000
        yield made


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ({"status": 0xA700}, "0xA700"),
        ({"status": 0xC001}, "0xC001"),
        ({"sop_class": Comprehensive3DSRStorage}, "none of its presentation contexts"),
        pytest.param({"finds": endless}, "more than", id="endless"),
        pytest.param({"finds": flooding}, "no answer to C-FIND", id="flooding"),
        (None, "no DICOM answer"),
    ],
    ids=str,
)
def test_an_archive_that_cannot_be_asked_leaves_all_in_doubt_and_nothing_is_sent_again(
    sent: DataFolder, script: dict[str, object] | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.holdings.MOST", 10)
    monkeypatch.setattr("dicom_node.associations.MOST_BYTES", 300_000)
    archive = Archive()
    if script is None:
        found = asked(sent, archive, heal=True)
    else:
        with archive.listening(**script):  # type: ignore[arg-type]
            found = asked(sent, archive, heal=True)
    assert {finding.verdict for finding in found} == {Verdict.IN_DOUBT}
    assert all(reason in str(finding.reason) for finding in found)
    assert states(sent) == [State.DONE, State.DONE]


def test_a_day_has_the_studies_that_were_reported_on_it(sent: DataFolder) -> None:
    with sent.database.read() as connection:
        assert reconciliation.studies_reported(connection, NOW, NOW + 1) == [STUDY]
        assert reconciliation.studies_reported(connection, NOW + 1, NOW + 2) == []
        assert reconciliation.studies_reported(connection, NOW - 1, NOW) == []


def test_every_night_what_an_archive_lost_in_the_last_two_days_is_sent_again(sent: DataFolder) -> None:
    archive = Archive(BOTH - {("2.25.8", "2.25.2")})
    to = Destination(name="peer", ae_title="PEER", host="127.0.0.1", port=archive.port)
    sweeps = Sweeps(Settings(destinations=(to,)), sent, reconciles=True)
    with archive.listening():
        assert sweeps.send_missing_again(NOW + 3 * DAY_SECONDS) == 0
        assert sweeps.send_missing_again(NOW + DAY_SECONDS) == 1
        assert sweeps.send_missing_again(NOW + DAY_SECONDS) == 0
    assert states(sent) == [State.DONE, State.QUEUED]


def test_what_arrived_long_after_it_was_made_is_asked_for_as_well(folder: DataFolder) -> None:
    days = 5 * DAY_SECONDS
    sent_at(folder, NOW + days)
    archive = Archive()
    to = Destination(name="peer", ae_title="PEER", host="127.0.0.1", port=archive.port)
    sweeps = Sweeps(Settings(destinations=(to,)), folder, reconciles=True)
    with archive.listening():
        assert sweeps.send_missing_again(NOW + days + DAY_SECONDS) == 2


def test_an_archive_that_cannot_be_asked_is_not_asked_about_each_of_many_studies(sent: DataFolder) -> None:
    archive = Archive()
    to = Destination(name="peer", ae_title="PEER", host="127.0.0.1", port=archive.port)
    with archive.listening(status=0xA700):
        found = list(reconcile(Settings(destinations=(to,)), sent, [STUDY] * 50, heal=True))
    assert len(archive.asked) == FAULTS_IN_A_ROW
    assert (len(found), {finding.verdict for finding in found}) == (100, {Verdict.IN_DOUBT})


def test_a_node_that_stops_at_night_does_not_ask_about_all_studies_first(sent: DataFolder) -> None:
    archive = Archive()
    to = Destination(name="peer", ae_title="PEER", host="127.0.0.1", port=archive.port)
    sweeps = Sweeps(Settings(destinations=(to,)), sent, reconciles=True)
    sweeps.start()
    sweeps.stop()
    with archive.listening():
        assert sweeps.send_missing_again(NOW + DAY_SECONDS) == 0


@pytest.mark.parametrize("reconciles", [True, False])
def test_only_the_node_that_sends_asks_the_archives_at_night(folder: DataFolder, reconciles: bool) -> None:
    sweeps = Sweeps(Settings(), folder, reconciles=reconciles)
    sweeps.start()
    at_night = [job for job in sweeps._scheduler.get_jobs() if isinstance(job.trigger, CronTrigger)]
    sweeps.stop()
    assert len(at_night) == reconciles
    assert all(job.next_run_time.hour == NIGHT_HOUR for job in at_night)


def test_what_nobody_asked_for_is_not_kept() -> None:
    archive = Archive()
    to = Destination(name="peer", ae_title="PEER", host="127.0.0.1", port=archive.port)
    with archive.listening(finds=flooding):
        association = open_association("CXR_NODE", to, {STUDY_ROOT_FIND: UNCOMPRESSED})
        found = find(association, answer("2.25.9", ""), 10)
        association.release()
    assert [set(each.keys()) for each in found] == [set(answer("2.25.9", "").keys())] * 8


def held_on_the_web(status: int, content: bytes) -> set[str]:
    """What a DICOMweb service says that it holds of one series."""
    peer = WebPeer([(status, content)])
    with peer.listening(), holdings_of(Settings(), peer.destination()) as holdings:
        return holdings.instances(STUDY, ["2.25.9"])


def test_what_a_web_service_names_by_no_uid_is_nothing_that_it_holds() -> None:
    uids = [
        "2.25.1",
        "CANARY-4711",
        "../../../etc/passwd",
        "\x1b[2J",
        7,
        None,
        {"Alphabetic": "Canary^Zebra"},
    ]
    content = json.dumps([{"00080018": {"vr": "UI", "Value": [uid]}} for uid in uids]).encode()
    assert held_on_the_web(200, content) == {"2.25.1", "7"}
    assert held_on_the_web(204, b"") == set()


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, b""),
        (200, b"[" * 200_000),
        (200, b"[" + b"9" * 5000 + b"]"),
        (200, b'[{"00080018": {"Value": []}}]'),
        (200, b'{"00080018": {"Value": ["2.25.1"]}}'),
        (200, b"null"),
        (200, b" " * 2_000_000),
        (500, b"[]"),
    ],
)
def test_a_web_service_that_answers_nonsense_cannot_be_asked(status: int, content: bytes) -> None:
    with pytest.raises(QueryFailed, match="QIDO-RS answered"):
        held_on_the_web(status, content)
