"""Archives on their bad days, all at once: each delivery ends as it should, says why, and none waits for another."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from config.peers import Destination
from config.sections import RetrySettings
from dicom_node.channels.storage import StorageChannel
from dicom_node.demo.archive import AE_TITLE as PACS_AE_TITLE
from dicom_node.results.encoding import encode
from dicom_node.results.structured_report import build_structured_report
from dicom_node.sender import Sender
from storage import queue
from storage.folder import DataFolder
from storage.records import Result
from storage.schema import deliveries
from storage.steps import Step
from tests.builders import chest_film, write
from tests.faults.bad_archives import AE_TITLE, AnsweringArchive, ArchiveLine, Line
from tests.instances import NOW, OWNER, analyse, instance, receive, report
from tests.peers import NodeProcess, Pacs, wait_for
from tests.ports import free_port
from tests.readings import film, likely, reading

ARRIVED, WAITS, REFUSED = ("done",), ("queued", "running"), ("rejected",)


@dataclass
class Hospital:
    """A node, its PACS, the bad archives by their names, and the study that was sent."""

    node: NodeProcess
    pacs: Pacs
    archives: dict[str, ArchiveLine | AnsweringArchive]
    study: str

    def deliveries(self, name: str) -> list[dict[str, Any]]:
        found = self.node.json("show", self.study)["deliveries"]
        return [each for each in found if each["destination"] == name]

    def all_are(self, name: str, states: tuple[str, ...]) -> list[dict[str, Any]] | None:
        found = self.deliveries(name)
        return found if found and all(each["state"] in states for each in found) else None


def archives(pacs: Pacs) -> dict[str, ArchiveLine | AnsweringArchive]:
    return {
        **{str(line.name).lower(): ArchiveLine(pacs.port, line) for line in Line},
        "out-of-resources": AnsweringArchive(0xA700),
        "warning": AnsweringArchive(0xB000),
        "class-not-supported": AnsweringArchive(0x0122),
        "cannot-understand": AnsweringArchive(0xC000),
        "no-context": AnsweringArchive(takes_objects=False),
        "one-at-a-time": AnsweringArchive(associations=1),
    }


def destinations(made: dict[str, ArchiveLine | AnsweringArchive]) -> str:
    return "".join(
        f"""
[[destinations]]
name = "{name}"
ae_title = "{PACS_AE_TITLE if isinstance(archive, ArchiveLine) else AE_TITLE}"
host = "127.0.0.1"
port = {archive.port}
"""
        for name, archive in made.items()
    )


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory, pacs: Pacs) -> Iterator[Hospital]:
    """The study was sent, and a good archive has its results: the others had every chance, too."""
    made = archives(pacs)
    busy = made["one-at-a-time"]
    assert isinstance(busy, AnsweringArchive)
    folder = tmp_path_factory.mktemp("bad days")
    node = NodeProcess(folder, None, destinations(made) + "[model]\nuncertain = [0, 0]")
    busy.be_busy()
    node.launch("tests.faults.hasty_node")
    sent = chest_film(study="bad days")
    assert node.send(write(sent, folder / "film.dcm")) == 0
    hospital = Hospital(node, pacs, made, str(sent.StudyInstanceUID))
    wait_for(lambda: hospital.all_are("good", ARRIVED), 120, "a bad archive kept a good one waiting")
    yield hospital
    node.stop()
    for archive in made.values():
        archive.close()


@pytest.mark.parametrize(
    ("name", "states", "status", "reason"),
    [
        ("down", WAITS, None, "no DICOM answer at this host and port"),
        ("mute", WAITS, None, "no DICOM answer at this host and port"),
        ("cut", WAITS, None, "whether the object arrived is not known"),
        ("slow", ARRIVED, 0x0000, None),
        ("deaf", WAITS, None, "whether the object arrived is not known"),
        ("out-of-resources", WAITS, 0xA700, "C-STORE answered 0xA700"),
        ("warning", ARRIVED, 0xB000, None),
        ("class-not-supported", REFUSED, 0x0122, "C-STORE answered 0x0122"),
        ("cannot-understand", REFUSED, 0xC000, "C-STORE answered 0xC000"),
        ("no-context", WAITS, None, "association accepted, but none of its presentation contexts"),
        ("one-at-a-time", WAITS, None, "local limit exceeded"),
    ],
)
def test_each_bad_day_has_its_state_and_its_reason(
    hospital: Hospital, name: str, states: tuple[str, ...], status: int | None, reason: str | None
) -> None:
    found = wait_for(
        lambda: (
            (rows := hospital.all_are(name, states))
            and (reason is None or any(reason in (row["reason"] or "") for row in rows))
            and rows
        ),
        60,
        f"{name} never came to {states} for {reason}",
    )
    assert {row["kind"] for row in found} == {"structured_report", "heatmap"}
    if reason is None:
        assert {row["status"] for row in found} == {status}
    else:
        [row, *_] = [row for row in found if reason in (row["reason"] or "")]
        assert row["status"] == status


def test_a_refused_result_is_named_to_the_administrator_as_waiting_for_him(hospital: Hospital) -> None:
    waiting = hospital.node.json("jobs", "--for-a-person")
    assert {row["destination"] for row in waiting} == {"class-not-supported", "cannot-understand"}


def test_when_the_bad_days_are_over_each_archive_gets_everything_once(hospital: Hospital) -> None:
    """Those that refused for good after an administrator's retry, the others without a hand."""
    for archive in hospital.archives.values():
        archive.mend()
    assert hospital.node.command("retry", "--all").returncode == 0
    for name, archive in hospital.archives.items():
        wait_for(lambda name=name: hospital.all_are(name, ARRIVED), 120, f"{name} did not get its results")
        if isinstance(archive, AnsweringArchive):
            assert len(archive.stored) == len(set(archive.stored)) == 2, name
    # six lines lead to one archive, and it got each object six times or more: it holds each once
    assert len(hospital.pacs.objects(hospital.study)) == 2


def test_an_archive_that_moves_gets_at_its_new_address_what_waited(
    own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path
) -> None:
    own_node.write_config(free_port())
    own_node.start()
    sent = chest_film(study="moved")
    assert own_node.send(write(sent, tmp_path / "film.dcm")) == 0
    study = str(sent.StudyInstanceUID)
    wait_for(lambda: any(each["reason"] for each in own_node.story(study)["deliveries"]))
    assert own_node.stop() == 0
    own_pacs.start()
    own_node.write_config(own_pacs.port)
    own_node.start()
    wait_for(lambda: own_node.settled(1), 120)
    assert [len(each) for each in own_pacs.results(study)] == [1, 1]


@pytest.mark.parametrize(("days", "waits"), [(13, True), (15, False)])
def test_an_archive_that_is_down_for_days_gets_its_results_when_it_is_back(
    folder: DataFolder, own_pacs: Pacs, days: int, *, waits: bool
) -> None:
    """After the fourteen days of the settings a person is asked, whose word sends them, too."""
    receive(folder, instance(), quiet=0.0)
    analyse(folder)
    made = build_structured_report(reading(film(likely())), None)
    key = folder.objects.put(encode(made)).key
    uids = (str(made.SOPClassUID), str(made.SOPInstanceUID), str(made.SeriesInstanceUID))
    report(folder, [Result("structured_report", *uids, key)], ("peer",), NOW)
    now = NOW
    channel = StorageChannel(
        "CXR_NODE", Destination(name="peer", ae_title=PACS_AE_TITLE, host="127.0.0.1", port=own_pacs.port)
    )
    sender = Sender(RetrySettings(), "peer", channel, folder, OWNER, lambda: now)
    while now < NOW + days * 86400:
        sender.step()
        now += 21600
    own_pacs.start()
    assert state(folder) == ("queued" if waits else "failed")
    if not waits:
        with folder.database.write(Step.BY_HAND) as connection:
            queue.retry_by_hand(connection, deliveries, [1], now)
    sender.step()
    assert state(folder) == "done"
    assert [each.SOPInstanceUID for each in own_pacs.objects(made.StudyInstanceUID)] == [made.SOPInstanceUID]
    sender.close()


def state(folder: DataFolder) -> str:
    with folder.database.read() as connection:
        return str(connection.execute(select(deliveries.c.state)).scalar_one())
