"""The node put together: what a start takes back, and what the sweeps do."""

import time
from pathlib import Path

import pytest
from pynetdicom import AE
from sqlalchemy import select

from config.peers import Destination
from config.sections import NodeSettings
from config.settings import Settings
from dicom_node.node import Node, Role
from dicom_node.results import encode
from dicom_node.results.structured_report import build_structured_report
from dicom_node.sweeps import DAY_SECONDS, HOUR_SECONDS, LEFTOVERS_AFTER_SECONDS, Sweeps
from storage import queue
from storage.folder import DataFolder
from storage.records import JobKind, Result
from storage.schema import deliveries, jobs
from storage.states import State
from storage.steps import Step
from tests.instances import NOW, OWNER, analyse, claim_delivery, claimed, instance, receive, report
from tests.peers import wait_for
from tests.readings import film, likely, reading


def outbox(folder: DataFolder) -> None:
    """A report whose delivery was being made when the node was killed."""
    receive(folder, instance(), quiet=0.0)
    analyse(folder)
    made = build_structured_report(reading(film(likely())), None)
    uids = (made.SOPClassUID, made.SOPInstanceUID, made.SeriesInstanceUID)
    key = folder.objects.put(encode(made)).key
    report(folder, [Result("structured_report", *map(str, uids), key)], ("peer",), NOW)
    assert claim_delivery(folder, "peer", NOW) is not None


def states(folder: DataFolder) -> list[str]:
    with folder.database.read() as connection:
        return list(connection.execute(select(deliveries.c.state)).scalars())


def test_a_delivery_that_was_under_way_when_the_node_was_killed_is_made_after_the_start(
    folder: DataFolder,
) -> None:
    outbox(folder)
    entity = AE("PEER")
    entity.add_supported_context("1.2.840.10008.5.1.4.1.1.88.34")
    peer = entity.start_server(("127.0.0.1", 0), block=False)
    destination = Destination(name="peer", ae_title="PEER", host="127.0.0.1", port=peer.server_address[1])
    settings = Settings(node=NodeSettings(data_dir=folder.folder), destinations=(destination,))
    node = Node(settings, frozenset({Role.DELIVER}), Path("node.toml"))
    node.start()
    # the default handler of pynetdicom answers 0xC211: any answer shows that it was sent
    wait_for(lambda: states(folder) == [State.REJECTED])
    node.stop()
    peer.shutdown()


def test_nobody_waits_for_a_promise_that_is_no_longer_asked_for(folder: DataFolder) -> None:
    outbox(folder)
    with folder.database.write(Step.BY_HAND) as connection:
        queue.arrived(connection, 1, OWNER, NOW, awaits_commitment=True)
    settings = Settings(node=NodeSettings(data_dir=folder.folder))
    node = Node(settings, frozenset({Role.DELIVER}), Path("node.toml"))
    node.start()
    assert states(folder) == [State.DONE]
    node.stop()


def test_the_sweep_frees_what_dead_workers_and_senders_held(folder: DataFolder) -> None:
    outbox(folder)
    receive(folder, instance(2, study="1.2.4"), quiet=0.0)
    claimed(folder, JobKind.ANALYSE)
    sweeps = Sweeps(Settings(), folder, reconciles=True)
    assert sweeps.expire_leases(NOW + 59) == 0
    assert sweeps.expire_leases(NOW + 61) == 2
    assert states(folder) == [State.QUEUED]
    with folder.database.read() as connection:
        assert State.RUNNING not in connection.execute(select(jobs.c.state)).scalars().all()


@pytest.mark.parametrize("seconds", [60, 3600, 3 * DAY_SECONDS])
def test_a_clock_that_is_set_back_stops_nothing(folder: DataFolder, seconds: float) -> None:
    outbox(folder)
    with folder.database.write(Step.BY_HAND) as connection:
        queue.retry_later(connection, deliveries, 1, OWNER, NOW + 30, "peer is down")
    receive(folder, instance(2, study="1.2.4"))
    earlier = NOW - seconds
    sweeps = Sweeps(Settings(), folder, reconciles=True)
    assert sweeps.bring_forward(NOW) == 0
    assert sweeps.bring_forward(earlier) == 3
    assert claimed(folder, JobKind.ANALYSE, earlier).study_instance_uid == "1.2.4"
    assert claim_delivery(folder, "peer", earlier) is not None


def test_the_sweep_removes_what_an_aborted_transfer_left(folder: DataFolder) -> None:
    left = Path(folder.objects.incoming / "half")
    left.write_bytes(b"half")
    sweeps = Sweeps(Settings(), folder, reconciles=True)
    written = left.stat().st_mtime
    assert sweeps.remove_leftovers(written + LEFTOVERS_AFTER_SECONDS) == 0
    assert sweeps.remove_leftovers(written + LEFTOVERS_AFTER_SECONDS + 1) == 1


def test_a_node_that_is_started_anew_every_day_sweeps_all_the_same(folder: DataFolder) -> None:
    sweeps = Sweeps(Settings(), folder, reconciles=False)
    sweeps.start()
    first = [job.next_run_time.timestamp() for job in sweeps._scheduler.get_jobs()]
    sweeps.stop()
    assert first
    assert max(first) <= time.time() + HOUR_SECONDS
