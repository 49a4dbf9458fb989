"""A data set beyond the limit gets its exact status, is not kept, and its sender goes on; who never ends is cut off."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from structlog.testing import capture_logs

from config.peers import Source
from config.sections import LimitsSettings, ReceiverSettings, StorageSettings
from config.settings import Settings
from dicom_node.arrival import LOOK_BYTES, OUT_OF_RESOURCES, ArrivingFile
from dicom_node.errors import DataSetRefused
from dicom_node.receiver import Receiver
from storage import views
from storage.folder import DataFolder
from tests.builders import chest_film, encoded
from tests.peers import wait_for

LIMIT = 1_000_000


@pytest.fixture
def association(folder: DataFolder) -> Iterator[Association]:
    settings = Settings(
        sources=(Source(name="pacs", ae_title="PACS", hosts=("127.0.0.1",)),),  # type: ignore[arg-type]
        receiver=ReceiverSettings(port=0),
        limits=LimitsSettings(data_set_megabytes=LIMIT // 1_000_000),
        storage=StorageSettings(minimum_free_megabytes=0),
    )
    receiver = Receiver(settings, folder, lambda: None)
    host, port = receiver.start()
    entity = AE("PACS")
    entity.add_requested_context(chest_film().SOPClassUID, ExplicitVRLittleEndian)
    yield entity.associate(host, port, ae_title="CXR_NODE")
    receiver.stop()


def film_of(size: int, key: str = "1") -> Dataset:
    film = chest_film(key)
    film.PixelData += bytes(size - len(encoded(film)))
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return film


def test_the_largest_is_kept_and_a_larger_one_refused_and_the_next_one_taken(
    folder: DataFolder, association: Association
) -> None:
    statuses = []
    for size in (LIMIT - 1000, LIMIT + 1000, 2 * LIMIT - 1000, LIMIT - 2000):
        answer = association.send_c_store(film_of(size, str(size)))
        statuses.append(answer.Status)
        if answer.Status:
            assert answer.ErrorComment == "data set is larger than 1 MB"
    association.release()
    assert statuses == [0x0000, 0xC000, 0xC000, 0x0000]
    assert list(folder.objects.incoming.iterdir()) == []
    with folder.database.read() as connection:
        assert views.status(connection, 0.0)["instances_received"] == 2


def test_a_disk_that_fills_up_while_a_data_set_comes_is_spared_the_rest(folder: DataFolder) -> None:
    free = [10 * LOOK_BYTES]

    def require_room() -> None:
        if free[0] < LOOK_BYTES:
            raise DataSetRefused(OUT_OF_RESOURCES, "disk is almost full")

    arriving = ArrivingFile(folder.objects.incoming, 100 * LOOK_BYTES, require_room)
    piece = bytes(LOOK_BYTES // 4)
    for _ in range(6):
        arriving.write(piece)
    assert Path(arriving.name).stat().st_size == 6 * len(piece)
    free[0] = 0
    for _ in range(4):
        arriving.write(piece)
    assert arriving.refusal is not None
    assert arriving.refusal.status == OUT_OF_RESOURCES
    assert list(folder.objects.incoming.iterdir()) == []


def test_who_goes_on_beyond_twice_the_limit_is_cut_off_and_leaves_nothing(
    folder: DataFolder, association: Association
) -> None:
    with capture_logs() as logs:
        answer = association.send_c_store(film_of(30 * LIMIT))
        association.join(30)
    assert "Status" not in answer
    assert not association.is_alive()
    assert [each["error_type"] for each in logs if "error_type" in each] == ["DataSetEndless"]
    wait_for(lambda: list(folder.objects.incoming.iterdir()) == [])
