"""What a hospital's day does to the node: strangers, wrong files, a PACS that is down, a node that is killed."""

import contextlib
import socket
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE

from dicom_node.associations import VERIFICATION
from tests.builders import chest_film, encoded, write
from tests.peers import NODE_AE_TITLE, NodeProcess, Pacs, wait_for

HALF_A_REQUEST = b"\x01\x00\x00\x00\xff\xff" + b"\0" * 10


@pytest.mark.parametrize(
    ("calling", "called", "reason"),
    [
        ("STRANGER", NODE_AE_TITLE, (1, 1, 3)),
        ("ELSEWHERE", NODE_AE_TITLE, (1, 1, 3)),  # a known title from an address that is not its own
        ("PACS", "SOMEBODY", (1, 1, 7)),
    ],
)
def test_a_stranger_is_refused_with_the_exact_reason(
    node: NodeProcess, calling: str, called: str, reason: tuple[int, int, int]
) -> None:
    entity = AE(calling)
    entity.add_requested_context(VERIFICATION)
    association = entity.associate("127.0.0.1", node.port, ae_title=called)
    answer = association.acceptor.primitive
    assert association.is_rejected
    assert answer is not None
    assert (answer.result, answer.result_source, answer.diagnostic) == reason
    wait_for(lambda: "association_refused" in node.log)


def store(node: NodeProcess, film: Dataset) -> Dataset:
    """Send a film and return the whole answer."""
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    entity = AE("PACS")
    entity.add_requested_context(film.SOPClassUID, ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", node.port, ae_title=NODE_AE_TITLE)
    assert association.is_established
    answer = association.send_c_store(film)
    association.release()
    return answer


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"without": ["StudyInstanceUID"]}, 0xC000),
        ({"without": ["SeriesInstanceUID"]}, 0xC000),
        ({"StudyInstanceUID": "../../etc/passwd"}, 0xC000),
        ({"StudyInstanceUID": ""}, 0xC000),
    ],
)
def test_a_data_set_that_cannot_be_filed_gets_its_exact_status(
    node: NodeProcess, fault: dict[str, object], status: int, tmp_path: Path
) -> None:
    film = chest_film(study="refused", **fault)  # type: ignore[arg-type]
    answer = store(node, film)
    assert answer.Status == status
    assert "UID" in answer.ErrorComment
    good = chest_film("good", study="after a refusal")
    assert node.send(write(good, tmp_path / "good.dcm")) == 0


def test_the_answer_is_out_of_resources_when_the_disk_is_almost_full(
    own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path
) -> None:
    own_node._settings += "\n[storage]\nminimum_free_megabytes = 900000000"
    own_node._settings += "\n[retention]\nfree_megabytes = 900000000"
    own_node.write_config(own_pacs.port)
    own_node.start()
    film = chest_film(study="no room")
    assert store(own_node, film).Status == 0xA700
    assert list((own_node.folder / "data").rglob("*.dcm")) == []
    assert own_node.json("status")["instances_received"] == 0


def test_a_pacs_that_was_down_gets_everything_once_and_no_image_is_analysed_twice(
    own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path
) -> None:
    own_node.start()
    films = [chest_film(study=f"down {number}") for number in range(5)]
    for number, film in enumerate(films):
        assert own_node.send(write(film, tmp_path / f"{number}.dcm")) == 0
    waiting = wait_for(lambda: (status := own_node.status())["jobs"]["done"] == 10 and status)
    assert (waiting["deliveries"]["queued"] + waiting["deliveries"]["running"]) == 10
    assert waiting["oldest_waiting_seconds"] > 0
    own_pacs.start()
    wait_for(lambda: own_node.settled(5))
    for film in films:
        assert [len(each) for each in own_pacs.results(film.StudyInstanceUID)] == [1, 1]
    assert own_pacs.count() == 10
    assert own_node.log.count("image_analysed") == 5


def test_a_killed_node_takes_up_where_it_was(own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path) -> None:
    own_pacs.start()
    own_node.start()
    films = [chest_film(study=f"killed {number}") for number in range(12)]
    for number, film in enumerate(films):
        assert own_node.send(write(film, tmp_path / f"{number}.dcm")) == 0
        if number % 4 == 3:
            own_node.kill()
            own_node.start()
    wait_for(lambda: own_node.settled(12), 90)
    for film in films:
        assert [len(each) for each in own_pacs.results(film.StudyInstanceUID)] == [1, 1]
    assert own_pacs.count() == 24


def test_roles_can_be_processes_of_their_own(own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path) -> None:
    own_pacs.start()
    own_node.start("receive")
    others = [NodeProcess.__new__(NodeProcess) for _ in range(2)]
    for role, other in zip(("analyse", "deliver"), others, strict=True):
        other.__dict__.update(own_node.__dict__, _process=None)
        other.start(role)
    film = chest_film(study="roles")
    own_node.send(write(film, tmp_path / "film.dcm"))
    wait_for(lambda: len(own_pacs.results(film.StudyInstanceUID)[0]) == 1)
    assert [other.stop() for other in others] == [0, 0]


def test_sigterm_stops_cleanly(own_node: NodeProcess) -> None:
    own_node.start()
    assert own_node.stop() == 0
    assert "node_stopped" in own_node.log


def test_sigterm_ends_open_associations_and_what_was_not_answered_can_be_sent_again(
    own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path
) -> None:
    own_node.start()
    entity = AE("PACS")
    entity.add_requested_context(VERIFICATION)
    association = entity.associate("127.0.0.1", own_node.port, ae_title=NODE_AE_TITLE)
    assert association.is_established
    with socket.create_connection(("127.0.0.1", own_node.port)) as half:
        half.sendall(HALF_A_REQUEST)
        assert own_node.stop() == 0
    wait_for(lambda: not association.is_established)
    own_node.start()
    assert own_node.send(write(chest_film(study="after the stop"), tmp_path / "film.dcm")) == 0


def test_silent_connections_do_not_keep_a_known_source_out(node: NodeProcess, tmp_path: Path) -> None:
    silent = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(40)]
    for connection in silent[:20]:
        connection.sendall(HALF_A_REQUEST)
    assert node.send(write(chest_film(study="beside silence"), tmp_path / "film.dcm")) == 0
    for connection in silent:
        connection.close()


def test_more_associations_than_the_limit_are_refused_as_temporary(
    own_node: NodeProcess, own_pacs: Pacs
) -> None:
    own_node.write_config(own_pacs.port)
    own_node.config.write_text(
        own_node.config.read_text(encoding="utf-8").replace(
            "[receiver]", "[receiver]\nmaximum_associations = 2"
        ),
        encoding="utf-8",
    )
    own_node.start()
    entity = AE("PACS")
    entity.add_requested_context(VERIFICATION)
    first, second, third = (
        entity.associate("127.0.0.1", own_node.port, ae_title=NODE_AE_TITLE) for _ in range(3)
    )
    answer = third.acceptor.primitive
    assert first.is_established
    assert second.is_established
    assert third.is_rejected
    assert answer is not None
    assert (answer.result, answer.result_source, answer.diagnostic) == (2, 3, 2)
    first.release()
    second.release()


def test_a_pdu_that_announces_gigabytes_is_not_read(node: NodeProcess) -> None:
    with socket.create_connection(("127.0.0.1", node.port)) as peer:
        peer.settimeout(20)
        peer.sendall(b"\x01\x00\xff\xff\xff\xff" + b"\0" * 1000)
        with contextlib.suppress(ConnectionResetError):
            assert peer.recv(1) == b""


def test_a_destination_whose_name_is_not_known_is_tried_again(
    own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path
) -> None:
    own_node.config.write_text(
        own_node.config.read_text(encoding="utf-8").replace(
            f'host = "127.0.0.1"\nport = {own_pacs.port}',
            f'host = "no-such-host.invalid"\nport = {own_pacs.port}',
        ),
        encoding="utf-8",
    )
    own_node.start()
    own_node.send(write(chest_film(study="no name"), tmp_path / "film.dcm"))
    wait_for(lambda: any(row["reason"] == "host name is not known" for row in own_node.jobs()))
    assert "host name is not known" in own_node.command("echo", "pacs").stderr
    assert own_node.json("status")["deliveries"]["failed"] == 0


def test_a_second_node_on_the_same_data_folder_says_why_it_stops(own_node: NodeProcess) -> None:
    own_node.start()
    second = own_node.command("run")
    assert second.returncode == 1
    assert "another node already has the role" in second.stderr


def test_a_peer_that_breaks_off_in_the_middle_leaves_nothing_that_counts(
    node: NodeProcess, tmp_path: Path
) -> None:
    before = node.json("status")["instances_received"]
    entity = AE("PACS")
    entity.add_requested_context(chest_film().SOPClassUID, ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", node.port, ae_title=NODE_AE_TITLE)
    # a P-DATA-TF PDU that announces more than it brings, and then nothing
    half = encoded(chest_film(study="half"))[:5000]
    association.dul.socket.send(b"\x04\x00" + (100_000).to_bytes(4, "big") + half)
    association.dul.socket.close()
    good = chest_film("good", study="after a broken peer")
    assert node.send(write(good, tmp_path / "good.dcm")) == 0
    wait_for(lambda: node.status()["instances_received"] == before + 1)
