"""Destinations are asked again and again, and what came of it is kept; a change of either kind is logged once."""

from collections.abc import Iterator

import pytest
from pynetdicom import AE
from pynetdicom.transport import ThreadedAssociationServer
from sqlalchemy import insert
from structlog.testing import capture_logs

from config.hl7 import Hl7Destination
from config.peers import Destination
from config.settings import Settings
from dicom_node import watches
from dicom_node.associations import VERIFICATION
from dicom_node.tls import NO_CERTIFICATES
from dicom_node.watches import DestinationWatch, ScoreWatch
from storage import echoes, scores
from storage.folder import DataFolder
from storage.schema import score_counts
from storage.steps import Step
from storage.triggers import MONDAY_SECONDS, SCORE_BINS, WEEK_SECONDS
from tests.instances import NOW, analyse, instance, receive
from tests.ports import free_port


@pytest.fixture
def archive() -> Iterator[ThreadedAssociationServer]:
    entity = AE("PACS")
    entity.add_supported_context(VERIFICATION)
    server = entity.start_server(("127.0.0.1", 0), block=False)
    yield server
    server.shutdown()


def settings(archive_port: int) -> Settings:
    return Settings(
        destinations=[Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=archive_port)],  # type: ignore[arg-type]
        hl7=[  # type: ignore[arg-type]
            Hl7Destination(
                name="ris",
                host="127.0.0.1",
                port=free_port(),
                receiving_application="RIS",
                receiving_facility="H",
            )
        ],
    )


def latest(folder: DataFolder, destination: str) -> list[echoes.Echoed]:
    with folder.database.read() as connection:
        return echoes.latest(connection, destination, 10)


def test_each_destination_is_asked_and_what_came_of_it_is_kept(
    folder: DataFolder, archive: ThreadedAssociationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = DestinationWatch(settings(archive.server_address[1]), folder, NO_CERTIFICATES)
    with capture_logs() as logs:
        assert watch.step() == watches.ECHO_EVERY_SECONDS
        assert 0 < watch.step() < watches.ECHO_EVERY_SECONDS  # it is woken for other things, too
        [answered] = latest(folder, "pacs")
        [refused] = latest(folder, "ris")
        assert answered.milliseconds is not None and answered.milliseconds > 0 and answered.reason is None
        assert refused.milliseconds is None and refused.reason
        assert [(each["event"], each["destination"]) for each in logs] == [
            ("destination_does_not_answer", "ris")
        ]
        monkeypatch.setattr(watches, "ECHO_EVERY_SECONDS", 0.0)
        watch.take(settings(free_port()))
        watch.step()
        watch.step()
    assert [each.reason is None for each in latest(folder, "pacs")] == [True, False, False]
    assert [each["destination"] for each in logs] == ["ris", "pacs"]  # once, however often they are asked
    with folder.database.read() as connection:
        assert echoes.answered_since(connection, "pacs", 0.0) == (1, 3)
        assert echoes.answered_since(connection, "ris", 0.0) == (0, 3)


def test_who_answers_again_is_told_of(
    folder: DataFolder, archive: ThreadedAssociationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches, "ECHO_EVERY_SECONDS", 0.0)
    watch = DestinationWatch(settings(free_port()), folder, NO_CERTIFICATES)
    with capture_logs() as logs:
        watch.step()
        watch.take(settings(archive.server_address[1]))
        watch.step()
    assert [each["event"] for each in logs if each["destination"] == "pacs"] == [
        "destination_does_not_answer",
        "destination_answers_again",
    ]


def test_a_watch_that_is_ended_writes_nothing_more(folder: DataFolder) -> None:
    watch = DestinationWatch(settings(free_port()), folder, NO_CERTIFICATES)
    watch.end()
    watch.step()
    assert latest(folder, "pacs") == []


def test_what_came_of_it_a_week_ago_is_forgotten(folder: DataFolder) -> None:
    with folder.database.write(Step.BY_HAND) as connection:
        echoes.echoed(connection, "pacs", NOW - echoes.KEPT_SECONDS - 1, 3.0, None)
        echoes.echoed(connection, "pacs", NOW - echoes.KEPT_SECONDS + 1, None, "x" * 1000)
        echoes.echoed(connection, "pacs", NOW, 4.0, None)
    first, last = latest(folder, "pacs")
    assert (first.reason, last.milliseconds) == ("x" * echoes.MOST_CHARACTERS, 4.0)


def test_that_scores_drift_is_logged_when_it_begins_and_when_it_ends(folder: DataFolder) -> None:
    receive(folder, instance(1, device="maker CANARY"))
    analyse(folder)
    week = int((NOW + MONDAY_SECONDS) // WEEK_SECONDS)
    with folder.database.write(Step.BY_HAND) as connection:
        model = scores.model_in_service(connection)
        for at, place, number in ((0, 2, 499), (week, SCORE_BINS - 1, 200)):
            values = {"model_sha256": model, "device_id": 1, "week": at, "bin": place, "number": number}
            connection.execute(insert(score_counts).values(**values))
    watch = ScoreWatch(folder, lambda: NOW)
    with capture_logs() as logs:
        watch.step()
        watch.step()
        with folder.database.write(Step.BY_HAND) as connection:
            scores.begin_anew(connection, str(model), 1)
        watch.step()
    assert [(each["event"], each["device"]) for each in logs] == [
        ("scores_drift", 1),
        ("scores_drift_no_more", 1),
    ]
    assert logs[0]["stability_index"] > 1
    assert "CANARY" not in str(logs)
