"""The machine's clock is set by hours, forward and back: nothing is lost, done twice, or waits for it."""

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pynetdicom import AE, AllStoragePresentationContexts, evt

from dicom_node.demo.archive import AE_TITLE as PACS_AE_TITLE
from tests.builders import chest_film, write
from tests.faults import promises
from tests.peers import NodeProcess, Pacs, wait_for


def send(node: NodeProcess, name: str) -> str:
    """Send a film of a study of its own and return its SOP Instance UID."""
    film = chest_film(study=f"{node.folder} {name}")
    assert node.send(write(film, node.folder / f"{name}.dcm")) == 0
    return str(film.SOPInstanceUID)


def clock_was_set(node: NodeProcess, times: int) -> None:
    wait_for(lambda: node.log.count('"clock_was_set"') == times, 60, "nobody saw that the clock was set")


def test_a_clock_that_is_set_while_results_wait_for_the_pacs_loses_and_delays_nothing(
    own_node: NodeProcess, own_pacs: Pacs
) -> None:
    own_node.set_clock("+0")
    own_node.start()
    answered = {send(own_node, "before")}
    own_node.set_clock("+3h")
    answered.add(send(own_node, "ahead"))
    clock_was_set(own_node, 1)
    own_node.set_clock("-3h")
    answered.add(send(own_node, "back"))
    clock_was_set(own_node, 2)
    answered.add(send(own_node, "after"))
    wait_for(lambda: own_node.status()["jobs"]["done"] == 8, 120, "an image waits for the clock")
    own_pacs.start()
    wait_for(lambda: own_node.settled(4), 120, "a result waits for the clock")
    assert promises.broken(own_node, own_pacs, answered) == []
    assert own_node.log.count('"image_analysed"') == 4
    own_node.stop()


def test_a_clock_that_was_set_back_before_a_restart_delays_nothing(
    own_node: NodeProcess, own_pacs: Pacs
) -> None:
    own_node.set_clock("+3h")
    own_node.start("receive")
    answered = {send(own_node, "never looked at")}
    own_node.kill()
    own_node.start()
    answered.add(send(own_node, "analysed"))
    wait_for(lambda: own_node.status()["deliveries"]["queued"] >= 2)
    own_node.kill()
    own_node.set_clock("+0")
    own_node.start()
    answered.add(send(own_node, "after"))
    own_pacs.start()
    wait_for(lambda: own_node.settled(3), 120, "something waits for the clock")
    assert promises.broken(own_node, own_pacs, answered) == []
    own_node.stop()


class SlowPacs:
    """A PACS that answers a C-STORE when it is let, and counts what it got."""

    def __init__(self) -> None:
        self.answer = threading.Event()
        self.got: Counter[str] = Counter()
        entity = AE(PACS_AE_TITLE)
        entity.supported_contexts = AllStoragePresentationContexts
        handlers = [(evt.EVT_C_STORE, self._store)]
        self._server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.port = self._server.server_address[1]

    def _store(self, event: evt.Event) -> int:
        self.got[event.request.AffectedSOPInstanceUID] += 1
        self.answer.wait(120)
        return 0x0000

    def stop(self) -> None:
        self.answer.set()
        self._server.shutdown()


@pytest.fixture
def slow_pacs() -> Iterator[SlowPacs]:
    made = SlowPacs()
    yield made
    made.stop()


def expired_lease(node: NodeProcess) -> None:
    """Leave behind what a dead process holds, so that the sweep which frees it says that it has been there."""
    with closing(sqlite3.connect(Path(node.folder, "data", "node.sqlite"), timeout=30)) as database, database:
        database.execute(
            "INSERT INTO fetches (study_instance_uid, patient_id, issuer_of_patient_id, patient_birth_date, study_date,"
            " asked, state, attempts, not_before, owner, lease_until, queued_at)"
            " VALUES ('1.2', '', '', '', '', '{}', 'running', 1, 0, 'dead', 0, 0)"
        )


def test_a_result_that_is_being_sent_when_the_clock_is_set_forward_is_not_sent_twice(
    own_node: NodeProcess, slow_pacs: SlowPacs
) -> None:
    own_node.write_config(slow_pacs.port)
    own_node.set_clock("+0")
    own_node.start()
    send(own_node, "slow")
    wait_for(lambda: slow_pacs.got)
    own_node.set_clock("+3h")
    clock_was_set(own_node, 1)
    expired_lease(own_node)
    wait_for(lambda: '"expire_leases"' in own_node.log, 60, "no sweep came by")
    slow_pacs.answer.set()
    wait_for(lambda: own_node.settled(1))
    assert set(slow_pacs.got.values()) == {1}
    assert len(slow_pacs.got) == 2
    assert "lease_lost" not in own_node.log
    own_node.stop()
