"""The disk is full, or broken: 0xA700 and nothing half-kept, reading goes on, and with room all goes on by itself."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association

from dicom_node.associations import VERIFICATION
from tests.builders import chest_film, encoded, write
from tests.faults.disk import BLOCK, ROOM, Disk
from tests.peers import NODE_AE_TITLE, NodeProcess, Pacs, wait_for

NO_WATERMARK = "[storage]\nminimum_free_megabytes = 0\n[retention]\nfree_megabytes = 0\n"
LIKELY = "[model]\nuncertain = [0, 0]\n"
OUT_OF_RESOURCES = 0xA700


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    (tmp_path / "node").mkdir()
    with Disk(tmp_path / "node" / "data") as made:
        yield made


def node_on(disk: Disk, pacs: Pacs | None, settings: str = NO_WATERMARK) -> NodeProcess:
    return NodeProcess(disk.folder.parent, pacs.port if pacs else None, LIKELY + settings)


def association_with(node: NodeProcess, calling: str = "PACS") -> Association:
    entity = AE(calling)
    entity.add_requested_context(chest_film().SOPClassUID, ExplicitVRLittleEndian)
    entity.add_requested_context(VERIFICATION)
    return entity.associate("127.0.0.1", node.port, ae_title=NODE_AE_TITLE)


def film(name: str, **changes: object) -> Dataset:
    made = chest_film(study=name, **changes)  # type: ignore[arg-type]
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def objects(disk: Disk) -> list[Path]:
    return [*disk.folder.glob("objects/*/*"), *disk.folder.glob("incoming/*")]


@pytest.mark.parametrize("free", [0, 10 * BLOCK], ids=["before its first byte", "in the middle"])
def test_no_room_for_a_data_set(disk: Disk, free: int) -> None:
    with node_on(disk, None) as node:
        association = association_with(node)
        disk.leave(free)
        assert association.send_c_store(film("no room")).Status == OUT_OF_RESOURCES
        assert association.send_c_echo().Status == 0x0000  # nobody was cut off
        assert objects(disk) == []
        disk.hold(ROOM)
        assert association.send_c_store(film("no room")).Status == 0x0000
        association.release()
        wait_for(lambda: node.settled(1))


def test_no_room_for_the_row_of_a_data_set_whose_file_is_there(disk: Disk) -> None:
    made = film("no row")
    with node_on(disk, None) as node:
        association = association_with(node)
        disk.leave(len(encoded(made)) + BLOCK)
        assert association.send_c_store(made).Status == OUT_OF_RESOURCES
        assert "StorageUnavailable" in node.log
        assert objects(disk) == []
        disk.hold(ROOM)
        assert association.send_c_store(made).Status == 0x0000
        association.release()
        wait_for(lambda: node.settled(1))
        assert node.json("status")["instances_received_again"] == 0


def test_a_stranger_is_refused_though_there_is_no_room_to_note_it(disk: Disk) -> None:
    with node_on(disk, None) as node:
        disk.leave(0)
        assert association_with(node, "STRANGER").is_rejected
        wait_for(lambda: "audit_unavailable" in node.log)


def test_no_room_for_results(disk: Disk, pacs: Pacs, tmp_path: Path) -> None:
    """What has been received is read and reported as soon as there is room, and costs no attempt."""
    node = node_on(disk, pacs)
    made = film("no result")
    node.start("receive")
    assert node.send(write(made, tmp_path / "film.dcm")) == 0
    node.stop()
    disk.leave(60 * BLOCK)
    with node:
        wait_for(lambda: node.log.count('"StorageUnavailable"') > 1)
        assert list(disk.folder.glob("incoming/*")) == []
        disk.hold(ROOM)
        wait_for(lambda: node.settled(1), 120)
        assert [len(each) for each in pacs.results(made.StudyInstanceUID)] == [1, 1]


def test_at_the_watermark_nothing_is_taken_and_what_was_taken_is_read(
    disk: Disk, pacs: Pacs, tmp_path: Path
) -> None:
    made = film("before")
    with node_on(disk, pacs, "[storage]\nminimum_free_megabytes = 100\n") as node:
        assert node.send(write(made, tmp_path / "film.dcm")) == 0
        disk.leave(80_000_000)
        association = association_with(node)
        assert association.send_c_store(film("after")).Status == OUT_OF_RESOURCES
        wait_for(lambda: node.settled(1))
        assert [len(each) for each in pacs.results(made.StudyInstanceUID)] == [1, 1]
        disk.hold(ROOM)
        assert association.send_c_store(film("after")).Status == 0x0000
        association.release()
        wait_for(lambda: node.settled(2))


def test_nothing_undelivered_is_removed_and_once_it_is_delivered_room_is_made(
    disk: Disk, own_pacs: Pacs, tmp_path: Path
) -> None:
    with node_on(
        disk, own_pacs, "[storage]\nminimum_free_megabytes = 20\n[retention]\nfree_megabytes = 30\n"
    ) as node:
        disk.leave(50_000_000)
        association = association_with(node)
        taken = 0
        while association.send_c_store(film(f"{taken}", rows=1500, columns=1400)).Status == 0x0000:
            taken += 1
            wait_for(lambda: node.status()["jobs"]["done"] == 2 * taken, 120)  # noqa: B023
        received = len(list(disk.folder.glob("objects/*/*")))
        wait_for(lambda: "disk_almost_full" in node.log)
        assert len(list(disk.folder.glob("objects/*/*"))) == received == 3 * taken
        own_pacs.start()
        wait_for(
            lambda: association.send_c_store(film("again", rows=1500, columns=1400)).Status == 0x0000, 120
        )
        association.release()
        wait_for(lambda: node.settled(taken + 1), 120)
        assert own_pacs.count() == 2 * (taken + 1)
        assert 3 < len(list(disk.folder.glob("objects/*/*"))) < 3 * (taken + 1)


@pytest.mark.parametrize("error", [errno.EIO, errno.EROFS], ids=["input/output errors", "read-only"])
def test_a_disk_that_takes_nothing(disk: Disk, pacs: Pacs, error: int) -> None:
    made = film(f"error {error}")
    with node_on(disk, pacs) as node:
        association = association_with(node)
        disk.fail(error)
        assert association.send_c_store(made).Status == OUT_OF_RESOURCES
        disk.fail(None)
        assert association.send_c_store(made).Status == 0x0000
        association.release()
        wait_for(lambda: node.settled(1))
        assert [len(each) for each in pacs.results(made.StudyInstanceUID)] == [1, 1]
