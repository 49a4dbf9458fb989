"""Storage commitment, with archives that promise, refuse, forget, or have lost what they answered with Success."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.pdu import P_DATA_TF
from sqlalchemy import select

from config.peers import Destination, Source
from config.sections import RetrySettings
from config.settings import Settings
from dicom_node.channels.channel import Delivered
from dicom_node.commitment import (
    ASK_AGAIN_SECONDS,
    STORAGE_COMMITMENT,
    STORAGE_COMMITMENT_INSTANCE,
    Committer,
)
from dicom_node.receiver import Receiver
from dicom_node.sender import Sender
from dicom_node.sweeps import DAY_SECONDS, Sweeps
from storage import commitment, reconciliation
from storage.errors import StorageUnavailable
from storage.folder import DataFolder
from storage.records import Result
from storage.schema import deliveries
from storage.states import State
from storage.steps import Step
from tests.instances import NOW, OWNER, analyse, instance, receive, report
from tests.ports import free_port

NO_SUCH_OBJECT = 0x0112
UID = "2.25.1"


class Clock:
    """The time of sender and committer; tests move it."""

    now = NOW

    def __call__(self) -> float:
        return self.now


class Takes:
    """A channel to an archive that answers Success to everything, and keeps a note of how often it was sent."""

    def __init__(self, twin: str | None = None) -> None:
        self.sent = 0
        self._twin = twin

    def send(self, _content: bytes) -> Delivered:
        self.sent += 1
        return Delivered(0x0000, self._twin, awaits_commitment=True)

    def close(self) -> None:
        pass


def _report(association: Association, made: Dataset) -> None:
    kind = 2 if "FailedSOPSequence" in made else 1
    association.send_n_event_report(made, kind, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE)


@dataclass
class Archive:
    """A Storage Commitment SCP with a script."""

    port: int = field(default_factory=free_port)
    requests: list[Dataset] = field(default_factory=list)

    @contextmanager
    def listening(
        self,
        answer: Callable[[Dataset], Dataset | None],
        status: int = 0x0000,
        classes: tuple[str, ...] = (STORAGE_COMMITMENT,),
    ) -> Iterator[None]:
        """`answer` makes the report that goes back over the same association, or None."""

        unanswered: list[Dataset] = []

        def asked(event: evt.Event) -> tuple[int, None]:
            self.requests.append(event.action_information)
            unanswered.append(event.action_information)
            return status, None

        def response_sent(event: evt.Event) -> None:
            """Report in a thread of its own: this one has to read the report's answer."""
            if isinstance(event.pdu, P_DATA_TF) and unanswered:
                made = answer(unanswered.pop())
                if made is not None:
                    threading.Thread(target=_report, args=(event.assoc, made)).start()

        entity = AE("PEER")
        for each in classes:
            entity.add_supported_context(each)
        server = entity.start_server(
            ("127.0.0.1", self.port),
            block=False,
            evt_handlers=[(evt.EVT_N_ACTION, asked), (evt.EVT_PDU_SENT, response_sent)],
        )
        try:
            yield
        finally:
            server.shutdown()


def promise(request: Dataset) -> Dataset:
    """The archive keeps all that it was asked about."""
    made = Dataset()
    made.TransactionUID = request.TransactionUID
    made.ReferencedSOPSequence = request.ReferencedSOPSequence
    return made


def lost(request: Dataset) -> Dataset:
    """The archive has none of it, Success or not."""
    made = Dataset()
    made.TransactionUID = request.TransactionUID
    made.FailedSOPSequence = request.ReferencedSOPSequence
    for item in made.FailedSOPSequence:
        item.FailureReason = NO_SUCH_OBJECT
    return made


@pytest.fixture
def outbox(folder: DataFolder) -> DataFolder:
    """A data folder with one report that waits for its delivery."""
    receive(folder, instance(), quiet=0.0)
    analyse(folder)
    key = folder.objects.put(b"a report").key
    report(
        folder, [Result("structured_report", Comprehensive3DSRStorage, UID, "2.25.9", key)], ("peer",), NOW
    )
    return folder


def parts(
    folder: DataFolder, archive: Archive, clock: Clock, twin: str | None = None, **retry: float
) -> tuple[Sender, Committer]:
    to = Destination(
        name="peer", ae_title="PEER", host="127.0.0.1", port=archive.port, storage_commitment=True
    )
    source = Source(name="peer", ae_title="PEER", hosts=("127.0.0.1",))  # type: ignore[arg-type]
    settings = Settings(destinations=(to,), sources=(source,), retry=RetrySettings(**retry))
    channel = Takes(twin)
    return Sender(settings.retry, "peer", channel, folder, OWNER, clock), Committer(
        settings, to, folder, clock
    )


def row(folder: DataFolder) -> dict[str, object]:
    with folder.database.read() as connection:
        return dict(connection.execute(select(deliveries)).mappings().one())


def test_delivered_is_not_committed_before_the_archive_has_promised(outbox: DataFolder) -> None:
    archive, clock = Archive(), Clock()
    sender, committer = parts(outbox, archive, clock)
    sender.step()
    assert row(outbox)["state"] == State.DELIVERED
    with archive.listening(promise):
        committer.step()
    assert row(outbox)["state"] == State.COMMITTED
    [request] = archive.requests
    [asked] = request.ReferencedSOPSequence
    assert (asked.ReferencedSOPClassUID, asked.ReferencedSOPInstanceUID) == (Comprehensive3DSRStorage, UID)
    committer.step()
    assert len(archive.requests) == 1


def test_what_was_sent_in_another_form_is_asked_for_in_that_form(outbox: DataFolder) -> None:
    archive, clock = Archive(), Clock()
    sender, committer = parts(outbox, archive, clock, twin="2.25.77")
    sender.step()
    with archive.listening(promise):
        committer.step()
    [asked] = archive.requests[0].ReferencedSOPSequence
    assert (asked.ReferencedSOPClassUID, asked.ReferencedSOPInstanceUID) == (
        ComprehensiveSRStorage,
        "2.25.77",
    )
    assert row(outbox)["state"] == State.COMMITTED


def test_an_archive_that_answered_success_and_lost_the_object_gets_it_again(outbox: DataFolder) -> None:
    archive, clock = Archive(), Clock()
    sender, committer = parts(outbox, archive, clock)
    sender.step()
    with archive.listening(lost):
        committer.step()
    lost_row = row(outbox)
    assert (lost_row["state"], lost_row["reason"]) == (State.QUEUED, "not committed: 0x0112")
    clock.now += 60
    sender.step()
    with archive.listening(promise):
        committer.step()
    kept = row(outbox)
    assert (kept["state"], kept["reason"], kept["attempts"]) == (State.COMMITTED, None, 2)


def test_an_archive_that_was_down_for_long_is_given_all_its_time_to_promise(outbox: DataFolder) -> None:
    archive, clock = Archive(), Clock()
    sender, committer = parts(outbox, archive, clock, deliver_give_up_days=1.0)
    clock.now += 0.99 * 86400
    sender.step()
    clock.now += 0.02 * 86400
    with archive.listening(promise):
        committer.step()
    assert row(outbox)["state"] == State.COMMITTED


def test_an_archive_that_never_keeps_anything_ends_with_a_person(outbox: DataFolder) -> None:
    archive, clock = Archive(), Clock()
    sender, committer = parts(outbox, archive, clock, deliver_give_up_days=1.0)
    sender.step()
    clock.now += 0.99 * 86400
    with archive.listening(lost):
        committer.step()
        clock.now += 0.02 * 86400
        sender.step()
        committer.step()
    assert (row(outbox)["state"], row(outbox)["reason"]) == (State.FAILED, "delivered, and never committed")


def test_an_archive_that_says_nothing_is_asked_again_and_in_the_end_a_person(
    outbox: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.commitment.SAME_ASSOCIATION_SECONDS", 0.0)
    archive, clock = Archive(), Clock()
    sender, committer = parts(outbox, archive, clock, deliver_give_up_days=1.0)
    sender.step()
    with archive.listening(lambda _request: None):
        committer.step()
        committer.step()
        assert len(archive.requests) == 1
        clock.now += ASK_AGAIN_SECONDS
        committer.step()
    assert [row(outbox)["state"], len(archive.requests)] == [State.DELIVERED, 2]
    assert archive.requests[0].TransactionUID != archive.requests[1].TransactionUID
    clock.now += 86400
    committer.step()
    assert (row(outbox)["state"], row(outbox)["reason"]) == (State.FAILED, "delivered, and never committed")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ({"status": 0x0110}, "not committed yet: storage commitment answered 0x0110"),
        (
            {"classes": (ComprehensiveSRStorage,)},
            "not committed yet: association accepted, but none of its presentation contexts",
        ),
        (None, "not committed yet: no DICOM answer at this host and port"),
    ],
)
def test_why_an_archive_cannot_be_asked_can_be_read(
    outbox: DataFolder, script: dict[str, object] | None, reason: str
) -> None:
    archive, clock = Archive(), Clock()
    sender, committer = parts(outbox, archive, clock)
    sender.step()
    if script is None:
        committer.step()
    else:
        with archive.listening(lambda _request: None, **script):  # type: ignore[arg-type]
            committer.step()
    waiting = row(outbox)
    assert (waiting["state"], waiting["reason"]) == (State.DELIVERED, reason)
    assert float(str(waiting["not_before"])) > NOW


@pytest.fixture
def receiving(outbox: DataFolder) -> Iterator[Callable[[Dataset], int]]:
    """A receiver, and a way to send it an archive's answer over an association of its own."""
    source = Source(name="peer", ae_title="PEER", hosts=("127.0.0.1",))  # type: ignore[arg-type]
    receiver = Receiver(Settings(sources=(source,), receiver={"port": 0}), outbox, lambda: None)  # type: ignore[arg-type]
    host, port = receiver.start()

    def answer(made: Dataset) -> int:
        entity = AE("PEER")
        entity.add_requested_context(STORAGE_COMMITMENT)
        role = build_role(STORAGE_COMMITMENT, scp_role=True)
        association = entity.associate(host, port, ae_title="CXR_NODE", ext_neg=[role])
        assert association.is_established
        kind = 2 if "FailedSOPSequence" in made else 1
        answered, _ = association.send_n_event_report(
            made, kind, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
        )
        association.release()
        return int(answered.Status)

    yield answer
    receiver.stop()


def asked(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Deliver, ask, and return the request that the archive has not answered yet."""
    monkeypatch.setattr("dicom_node.commitment.SAME_ASSOCIATION_SECONDS", 0.0)
    archive, clock = Archive(), Clock()
    sender, committer = parts(folder, archive, clock)
    sender.step()
    with archive.listening(lambda _request: None):
        committer.step()
    return archive.requests[0]


def test_an_archive_may_answer_over_an_association_of_its_own(
    outbox: DataFolder, receiving: Callable[[Dataset], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = asked(outbox, monkeypatch)
    assert receiving(promise(request)) == 0x0000
    assert row(outbox)["state"] == State.COMMITTED
    assert receiving(lost(request)) == 0x0000
    assert row(outbox)["state"] == State.COMMITTED


def test_an_answer_to_what_nobody_asked_changes_nothing(
    outbox: DataFolder, receiving: Callable[[Dataset], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = asked(outbox, monkeypatch)
    request.TransactionUID = "2.25.4711"
    assert receiving(promise(request)) == 0x0115
    assert row(outbox)["state"] == State.DELIVERED


def test_a_promise_from_before_an_object_was_found_missing_is_none_of_the_one_that_was_sent_again(
    outbox: DataFolder, receiving: Callable[[Dataset], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = asked(outbox, monkeypatch)
    sent_again, clock = Archive(), Clock()
    clock.now = NOW + 60
    with outbox.database.write(Step.BY_HAND) as connection:
        assert reconciliation.send_again(connection, 1, clock.now, "missing when asked")
    sender, committer = parts(outbox, sent_again, clock)
    sender.step()
    assert receiving(promise(request)) == 0x0000
    assert row(outbox)["state"] == State.DELIVERED
    with sent_again.listening(lambda _request: None):
        committer.step()
    assert receiving(promise(sent_again.requests[0])) == 0x0000
    assert row(outbox)["state"] == State.COMMITTED


def test_an_answer_that_cannot_be_written_down_is_asked_for_again(
    outbox: DataFolder, receiving: Callable[[Dataset], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = asked(outbox, monkeypatch)

    @contextmanager
    def locked() -> Iterator[None]:
        raise StorageUnavailable("database is locked")
        yield

    with monkeypatch.context() as busy:
        busy.setattr(outbox.database, "write", locked)
        assert receiving(promise(request)) == 0x0110
    assert row(outbox)["state"] == State.DELIVERED
    assert receiving(promise(request)) == 0x0000
    assert row(outbox)["state"] == State.COMMITTED


def test_an_answer_of_nonsense_is_refused(
    outbox: DataFolder, receiving: Callable[[Dataset], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = asked(outbox, monkeypatch)
    empty, endless = Dataset(), promise(request)
    empty.StudyID = "nothing else"
    endless.ReferencedSOPSequence = list(request.ReferencedSOPSequence) * 101
    assert (receiving(empty), receiving(endless)) == (0x0115, 0x0115)
    assert row(outbox)["state"] == State.DELIVERED


def test_requests_are_forgotten_when_a_person_has_what_they_were_about(
    outbox: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = asked(outbox, monkeypatch)
    sweeps = Sweeps(Settings(), outbox, reconciles=True)
    assert sweeps.forget_commitment_requests(NOW + 13 * DAY_SECONDS) == 0
    assert sweeps.forget_commitment_requests(NOW + 15 * DAY_SECONDS) == 1
    with outbox.database.write(Step.BY_HAND) as connection:
        assert commitment.answered(connection, str(request.TransactionUID), NOW) is None
