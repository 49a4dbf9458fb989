"""More than a hospital sends: floods of probes and strangers, silent peers, many senders at once, a burst.

The long trial of the same is trial_load.py.
"""

import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association

from dicom_node.admission import ASKING_BY_STRANGERS
from dicom_node.associations import VERIFICATION
from tests.builders import chest_film, write
from tests.load import (
    SETTLED_THREADS,
    association_request,
    connect,
    echo,
    echo_request,
    read_pdu,
    refusal,
    sent_until_taken,
    taken,
)
from tests.peers import NODE_AE_TITLE, NodeProcess, wait_for

STRANGE = "127.0.0.2"
"""An address of this machine that is no source's."""
MANY = 300
SILENT = 60
SENDERS = 64
SETTLED_MEGABYTES = 12
"""What Python's allocator may keep of it; hundreds of leaked associations are more."""


@pytest.fixture(scope="module")
def receiving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node that only receives."""
    with NodeProcess(tmp_path_factory.mktemp("node"), None) as made:
        yield made


def served(node: NodeProcess) -> None:
    echo(node.port, association_request(), echo_request())


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(30)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def settled(node: NodeProcess, threads: int) -> None:
    wait_for(lambda: taken(node.pid).threads <= threads + SETTLED_THREADS, why="threads stay")


def test_associations_and_probes_leave_memory_threads_and_files_as_they_were(receiving: NodeProcess) -> None:
    request, question = association_request(), echo_request()
    for _ in range(MANY // 3):
        echo(receiving.port, request, question)
    before = taken(receiving.pid)
    for _ in range(MANY):
        echo(receiving.port, request, question)
        connect(receiving.port).close()
    settled(receiving, before.threads)
    after = taken(receiving.pid)
    assert after.megabytes < before.megabytes + SETTLED_MEGABYTES
    assert after.files <= before.files + 2


def test_silent_strangers_are_few_at_a_time_and_keep_nobody_out(
    receiving: NodeProcess, tmp_path: Path
) -> None:
    before = taken(receiving.pid)
    silent = [connect(receiving.port, STRANGE) for _ in range(4 * ASKING_BY_STRANGERS)]
    assert receiving.send(write(chest_film(study="beside silence"), tmp_path / "film.dcm")) == 0
    assert taken(receiving.pid).threads <= before.threads + 2 * ASKING_BY_STRANGERS + 4
    assert all(map(is_closed, silent))
    settled(receiving, before.threads)


def test_peers_at_a_sources_address_that_say_nothing_do_not_keep_it_out_and_are_closed(
    receiving: NodeProcess, tmp_path: Path
) -> None:
    before = taken(receiving.pid)
    silent = [connect(receiving.port) for _ in range(SILENT)]
    for number, connection in enumerate(silent):
        connection.sendall(association_request()[: number % 9])
    assert receiving.send(write(chest_film(study="beside more"), tmp_path / "film.dcm")) == 0
    assert all(map(is_closed, silent))
    settled(receiving, before.threads)


def test_a_flood_of_strangers_gets_the_exact_reason_and_a_few_records(receiving: NodeProcess) -> None:
    request = association_request("MALLORY")
    before = receiving.json("status")["refused_last_day"]
    reason = "no source has this AE title and address"
    for _ in range(MANY):
        assert refusal(receiving.port, request) == (1, 1, 3)
    assert refusal(receiving.port, association_request(), STRANGE) == (1, 1, 3)  # known, and from elsewhere
    wait_for(
        lambda: receiving.status()["refused_last_day"].get(reason, 0) == before.get(reason, 0) + MANY + 1,
        120,
    )
    assert receiving.log.count('"MALLORY"') < 20
    assert f'"address": "{STRANGE}"' in receiving.log


def test_a_stranger_writes_nothing_into_the_log_but_what_is_printable(receiving: NodeProcess) -> None:
    forged = association_request("X" * 16).replace(b"X" * 16, b'\x1b[2J\r\n{"a":1}\0\x07')
    with connect(receiving.port) as peer:
        peer.sendall(forged)
        with contextlib.suppress(ConnectionError):
            read_pdu(peer)
    served(receiving)
    refusal(receiving.port, association_request("AFTER"))
    wait_for(lambda: '"AFTER"' in receiving.log)
    assert all(line.isprintable() for line in receiving.log.split("\n"))
    assert "[2J" not in receiving.log


def test_one_source_that_runs_wild_leaves_room_for_the_others(own_node: NodeProcess) -> None:
    settings = own_node.config.read_text(encoding="utf-8")
    limits = "[receiver]\nmaximum_associations = 3\nmaximum_associations_per_source = 2"
    own_node.config.write_text(settings.replace("[receiver]", limits), encoding="utf-8")
    own_node.start("receive")

    def associate(title: str) -> Association:
        entity = AE(title)
        entity.add_requested_context(VERIFICATION)
        return entity.associate("127.0.0.1", own_node.port, ae_title=NODE_AE_TITLE)

    opened = [associate("PACS") for _ in range(2)]
    assert refusal(own_node.port, association_request("PACS")) == (2, 3, 2)
    opened.append(associate("CONVERTER"))
    assert all(association.is_established for association in opened)
    assert refusal(own_node.port, association_request("CONVERTER")) == (2, 3, 2)
    opened[0].release()
    wait_for(lambda: associate("PACS").is_established)
    for association in opened[1:]:
        association.release()


def test_sixty_four_senders_at_once_are_all_taken(receiving: NodeProcess, tmp_path: Path) -> None:
    before = taken(receiving.pid)
    films = [
        write(chest_film(study=f"sender {number}"), tmp_path / f"{number}.dcm") for number in range(SENDERS)
    ]
    received = receiving.json("status")["instances_received"]
    with ThreadPoolExecutor(SENDERS) as senders:
        list(senders.map(lambda film: sent_until_taken(receiving, film), films))
    assert receiving.json("status")["instances_received"] == received + SENDERS
    settled(receiving, before.threads)


def test_known_addresses_are_known_by_ipv6_too(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path, None)
    settings = node.config.read_text(encoding="utf-8")
    node.config.write_text(settings.replace("[receiver]", '[receiver]\nhost = "::"'), encoding="utf-8")
    try:
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True).close()
    except (OSError, ValueError):
        pytest.skip("optional peer missing: this machine has no IPv6")
    with node:
        served(node)
        assert refusal(node.port, association_request(), STRANGE) == (1, 1, 3)
        assert refusal(node.port, association_request("MALLORY")) == (1, 1, 3)


def test_a_burst_is_worked_off_in_order_with_urgent_ones_first(own_node: NodeProcess, tmp_path: Path) -> None:
    """The analysis begins when all are there, so that the order is none of chance."""
    own_node.write_config(None)
    own_node.start("receive")
    entity = AE("PACS")
    entity.add_requested_context(chest_film().SOPClassUID, ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", own_node.port, ae_title=NODE_AE_TITLE)
    routine = [chest_film(study=f"routine {number}") for number in range(8)]
    urgent = [chest_film(study=f"urgent {number}") for number in range(2)]
    ordered = chest_film(study="ordered", RequestedProcedurePriority="STAT")
    for film in (*routine, *urgent, ordered):
        film.file_meta = FileMetaDataset()
        film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        assert association.send_c_store(film, priority=1 if film in urgent else 0).Status == 0x0000
    association.release()
    own_node.stop()
    own_node.start()
    wait_for(lambda: own_node.settled(11), 120)
    done = sorted(own_node.json("jobs"), key=lambda job: job["ended_at"])
    first = [film.StudyInstanceUID for film in (*urgent, ordered)]
    order = [*first, *(film.StudyInstanceUID for film in routine)]
    for kind in ("analyse", "report"):
        assert [job["study_instance_uid"] for job in done if job["kind"] == kind] == order
    assert {job["study_instance_uid"] for job in done[: 2 * len(first)]} == set(first)
    shown = own_node.command("show", first[0]).stdout
    assert shown.startswith(f"study {first[0]}, urgent\n")
