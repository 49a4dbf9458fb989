"""Deliveries, against peers that answer as archives do on their good and bad days."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE, evt
from sqlalchemy import select

from config.peers import Destination
from config.sections import RetrySettings
from dicom_node.channels.storage import StorageChannel
from dicom_node.results.encoding import encode
from dicom_node.results.structured_report import build_structured_report
from dicom_node.sender import Sender
from storage import queue
from storage.folder import DataFolder
from storage.records import Result
from storage.schema import deliveries
from storage.states import State
from storage.steps import Step
from tests.instances import NOW, OWNER, analyse, instance, receive, report
from tests.ports import free_port
from tests.readings import film, likely, reading

ALL_CLASSES = [Comprehensive3DSRStorage, ComprehensiveSRStorage, SecondaryCaptureImageStorage]


@dataclass
class Peer:
    """A Storage SCP with a script: what it answers, and what it saw."""

    port: int = field(default_factory=free_port)
    associations: int = 0
    stored: list[Dataset] = field(default_factory=list)

    @contextmanager
    def listening(
        self,
        answer: Callable[[evt.Event], int] = lambda _event: 0x0000,
        classes: list[str] | None = None,
        syntax: str = ExplicitVRLittleEndian,
    ) -> Iterator[None]:
        def associated(_event: evt.Event) -> None:
            self.associations += 1

        def store(event: evt.Event) -> int:
            self.stored.append(event.dataset)
            return answer(event)

        entity = AE("PEER")
        for sop_class in classes or ALL_CLASSES:
            entity.add_supported_context(sop_class, syntax)
        server = entity.start_server(
            ("127.0.0.1", self.port),
            block=False,
            evt_handlers=[(evt.EVT_ACCEPTED, associated), (evt.EVT_C_STORE, store)],
        )
        try:
            yield
        finally:
            server.shutdown()


@pytest.fixture(scope="module")
def structured_report() -> Dataset:
    return build_structured_report(reading(film(likely())), None)


@pytest.fixture
def outbox(folder: DataFolder, structured_report: Dataset) -> DataFolder:
    """A data folder with one report that waits for its delivery."""
    receive(folder, instance(), quiet=0.0)
    analyse(folder)
    key = folder.objects.put(encode(structured_report)).key
    uids = (
        structured_report.SOPClassUID,
        structured_report.SOPInstanceUID,
        structured_report.SeriesInstanceUID,
    )
    report(folder, [Result("structured_report", *map(str, uids), key)], ("peer",), NOW)
    return folder


class Clock:
    """The time that a sender reads; tests move it."""

    now = NOW

    def __call__(self) -> float:
        return self.now


@contextmanager
def sender(folder: DataFolder, peer: Peer, clock: Clock | None = None, **retry: float) -> Iterator[Sender]:
    destination = Destination(name="peer", ae_title="PEER", host="127.0.0.1", port=peer.port)
    channel = StorageChannel("CXR_NODE", destination)
    made = Sender(RetrySettings(**retry), "peer", channel, folder, OWNER, clock or Clock())
    yield made
    made.close()


def rows(folder: DataFolder) -> list[dict[str, object]]:
    with folder.database.read() as connection:
        return [
            dict(row) for row in connection.execute(select(deliveries).order_by(deliveries.c.id)).mappings()
        ]


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        (0x0000, State.DONE, None),
        (0xB000, State.DONE, None),
        (0xB007, State.DONE, None),
        (0x0111, State.DONE, None),
        (0xA700, State.QUEUED, "C-STORE answered 0xA700"),
        (0x0110, State.QUEUED, "C-STORE answered 0x0110"),
        (0x0124, State.QUEUED, "C-STORE answered 0x0124"),
        (0xA900, State.REJECTED, "C-STORE answered 0xA900"),
        (0xC000, State.REJECTED, "C-STORE answered 0xC000"),
        (0xC123, State.REJECTED, "C-STORE answered 0xC123"),
        (0x0122, State.REJECTED, "C-STORE answered 0x0122"),
    ],
)
def test_each_answer_of_an_archive_has_its_end(
    outbox: DataFolder, answer: int, state: State, reason: str | None
) -> None:
    peer = Peer()
    with peer.listening(lambda _event: answer), sender(outbox, peer) as one:
        one.step()
    [row] = rows(outbox)
    assert (row["state"], row["reason"], row["status"]) == (state, reason, answer)


def test_what_arrives_is_what_was_made(outbox: DataFolder, structured_report: Dataset) -> None:
    peer = Peer()
    with peer.listening(), sender(outbox, peer) as one:
        one.step()
    [arrived] = peer.stored
    assert arrived == dcmread(BytesIO(encode(structured_report)))


def test_an_archive_that_is_down_costs_a_wait_and_nothing_else(outbox: DataFolder) -> None:
    peer, clock = Peer(), Clock()
    with sender(outbox, peer, clock) as one:
        one.step()
        [row] = rows(outbox)
        assert (row["state"], row["reason"]) == (State.QUEUED, "no DICOM answer at this host and port")
        assert one.step() > 0
        assert rows(outbox) == [row]
        clock.now += 60
        with peer.listening():
            one.step()
        assert rows(outbox)[0]["state"] == State.DONE
    assert len(peer.stored) == 1


def test_an_archive_that_was_down_when_the_clock_was_set_back_gets_its_results(outbox: DataFolder) -> None:
    peer, clock = Peer(), Clock()
    with sender(outbox, peer, clock) as one:
        one.step()
        clock.now -= 3 * 86400
        with outbox.database.write(Step.BY_HAND) as connection:
            assert queue.bring_forward(connection, deliveries, clock.now, 3600.0) == 1
        with peer.listening():
            one.step()
    assert rows(outbox)[0]["state"] == State.DONE


def test_after_days_without_an_answer_a_person_is_asked(outbox: DataFolder) -> None:
    clock = Clock()
    clock.now += 13.9 * 86400
    with sender(outbox, Peer(), clock, deliver_give_up_days=14.0) as one:
        one.step()
        assert rows(outbox)[0]["state"] == State.QUEUED
        clock.now += 0.2 * 86400
        one.step()
    [row] = rows(outbox)
    assert (row["state"], row["reason"]) == (State.FAILED, "no DICOM answer at this host and port")


def test_a_peer_that_aborts_in_the_middle_gets_the_object_again(outbox: DataFolder) -> None:
    peer, clock = Peer(), Clock()

    def abort(event: evt.Event) -> int:
        event.assoc.abort()
        return 0x0000

    with sender(outbox, peer, clock) as one:
        with peer.listening(abort):
            one.step()
        [row] = rows(outbox)
        assert row["state"] == State.QUEUED
        assert "not known" in str(row["reason"])
        clock.now += 60
        with peer.listening():
            one.step()
    assert rows(outbox)[0]["state"] == State.DONE


def test_a_peer_without_the_3d_class_gets_the_report_as_comprehensive_sr(outbox: DataFolder) -> None:
    peer = Peer()
    with (
        peer.listening(classes=[ComprehensiveSRStorage, SecondaryCaptureImageStorage]),
        sender(outbox, peer) as one,
    ):
        one.step()
    [row] = rows(outbox)
    [stored] = peer.stored
    assert stored.SOPClassUID == ComprehensiveSRStorage
    assert (row["state"], row["sent_sop_instance_uid"]) == (State.DONE, stored.SOPInstanceUID)


def test_a_peer_that_takes_no_report_at_all_is_named(outbox: DataFolder) -> None:
    peer = Peer()
    with peer.listening(classes=[SecondaryCaptureImageStorage]), sender(outbox, peer) as one:
        one.step()
    [row] = rows(outbox)
    assert row["state"] == State.REJECTED
    assert "Comprehensive 3D SR" in str(row["reason"])


def test_a_peer_of_implicit_vr_only_gets_the_report_so(
    outbox: DataFolder, structured_report: Dataset
) -> None:
    peer = Peer()
    with peer.listening(syntax=ImplicitVRLittleEndian), sender(outbox, peer) as one:
        one.step()
    assert rows(outbox)[0]["state"] == State.DONE
    assert peer.stored[0].PatientName == structured_report.PatientName


def test_a_peer_that_rejects_the_association_says_why(outbox: DataFolder) -> None:
    peer = Peer()
    entity = AE("OTHER")
    entity.require_called_aet = True
    entity.add_supported_context(Comprehensive3DSRStorage)
    server = entity.start_server(("127.0.0.1", peer.port), block=False)
    with sender(outbox, peer) as one:
        one.step()
    server.shutdown()
    [row] = rows(outbox)
    assert row["state"] == State.QUEUED
    assert "called ae title not recognised" in str(row["reason"])


def test_one_association_is_kept_open_for_many_results(folder: DataFolder) -> None:
    for number in (1, 2, 3):
        study = f"kept {number}"
        made = build_structured_report(reading(film(likely(), study=study)), None)
        receive(folder, instance(number, study=f"1.2.{number}"))
        analyse(folder)
        key = folder.objects.put(encode(made)).key
        uids = (made.SOPClassUID, made.SOPInstanceUID, made.SeriesInstanceUID)
        report(folder, [Result("structured_report", *map(str, uids), key)], ("peer",), NOW + 10)
    peer = Peer()
    later = Clock()
    later.now += 10
    with peer.listening(), sender(folder, peer, later) as one:
        for _ in range(3):
            one.step()
    assert (peer.associations, len(peer.stored)) == (1, 3)


def test_a_result_whose_file_was_altered_is_not_sent(outbox: DataFolder) -> None:
    [path] = (outbox.folder / "objects").rglob("*.dcm")
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    peer = Peer()
    with peer.listening(), sender(outbox, peer) as one:
        one.step()
    [row] = rows(outbox)
    assert (row["state"], row["reason"], peer.stored) == (State.FAILED, "object_missing", [])


def test_while_an_archive_is_down_only_one_delivery_is_tried_at_a_time(
    folder: DataFolder, outbox: DataFolder
) -> None:
    receive(folder, instance(2, study="1.2.4"), quiet=0.0)
    analyse(folder)
    report(folder, [Result("structured_report", "1.2", "2.25.5", "2.25.9", "f" * 64)], ("peer",), NOW)
    with sender(outbox, Peer()) as one:
        for _ in range(5):
            one.step()
    assert sorted(int(str(row["attempts"])) for row in rows(outbox)) == [0, 1]


def test_a_host_name_that_is_not_known_is_tried_again(outbox: DataFolder) -> None:
    destination = Destination(name="peer", ae_title="PEER", host="no-such-host.invalid", port=104)
    channel = StorageChannel("CXR_NODE", destination)
    Sender(RetrySettings(), "peer", channel, outbox, OWNER, Clock()).step()
    [row] = rows(outbox)
    assert (row["state"], row["reason"]) == (State.QUEUED, "host name is not known")


def test_a_peer_that_stops_in_the_middle_of_its_answer_is_given_up_in_time(
    outbox: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.associations.ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer_half() -> None:
            connection, _ = listening.accept()
            connection.recv(10)
            connection.sendall(b"\x02\x00\x00\x00\x10\x00")
            connection.recv(1_000_000)
            held.append(connection)

        held: list[socket.socket] = []
        peer = threading.Thread(target=answer_half)
        peer.start()
        with sender(outbox, Peer(listening.getsockname()[1])) as one:
            one.step()
        peer.join()
        for connection in held:
            connection.close()
    assert rows(outbox)[0]["state"] == State.QUEUED


def test_an_archive_that_refuses_the_3d_object_gets_the_comprehensive_one(outbox: DataFolder) -> None:
    peer = Peer()

    def refuse_3d(event: evt.Event) -> int:
        return 0x0122 if event.dataset.SOPClassUID == Comprehensive3DSRStorage else 0x0000

    with peer.listening(refuse_3d), sender(outbox, peer) as one:
        one.step()
    assert rows(outbox)[0]["state"] == State.DONE
    assert [each.SOPClassUID for each in peer.stored] == [Comprehensive3DSRStorage, ComprehensiveSRStorage]
