"""What the receiver answers when disk or database are in trouble: never Success, and nothing half-kept."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from sqlalchemy import func, select

from config.peers import Destination, Source, WebDestination
from config.settings import Settings
from dicom_node.intake import OUT_OF_RESOURCES
from dicom_node.receiver import Receiver
from storage.errors import StorageUnavailable
from storage.folder import DataFolder
from storage.schema import conflicting_objects, fetches, instances
from storage.steps import Step
from tests.builders import chest_film
from tests.peers import wait_for


def send_as(title: str, host: str, port: int, film: Dataset) -> Dataset:
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    entity = AE(title)
    entity.add_requested_context(film.SOPClassUID, ExplicitVRLittleEndian)
    association = entity.associate(host, port, ae_title="CXR_NODE")
    answer = association.send_c_store(film)
    association.release()
    return answer


@pytest.fixture
def receiving(folder: DataFolder) -> Iterator[tuple[DataFolder, Callable[[Dataset], Dataset]]]:
    """A receiver on a free port, and a way to send it a film."""
    source = Source(name="pacs", ae_title="PACS", hosts=("127.0.0.1",))  # type: ignore[arg-type]
    receiver = Receiver(Settings(sources=(source,), receiver={"port": 0}), folder, lambda: None)  # type: ignore[arg-type]
    host, port = receiver.start()

    def send(film: Dataset) -> Dataset:
        return send_as("PACS", host, port, film)

    yield folder, send
    receiver.stop()


def rows(folder: DataFolder) -> int:
    with folder.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(instances)).scalar_one())


def test_success_means_file_and_row(receiving: tuple[DataFolder, Callable[[Dataset], Dataset]]) -> None:
    folder, send = receiving
    assert send(chest_film()).Status == 0x0000
    assert rows(folder) == 1
    assert len(list(folder.folder.glob("objects/*/*.dcm"))) == 1
    assert list(folder.objects.incoming.iterdir()) == []
    with folder.database.read() as connection:  # as it is set, nothing is fetched
        assert connection.execute(select(func.count()).select_from(fetches)).scalar_one() == 0


@pytest.mark.parametrize(
    ("part", "method", "error"),
    [
        ("database", "write", StorageUnavailable("database is locked")),
        ("objects", "adopt", StorageUnavailable("No space left on device")),
        ("objects", "free_bytes", StorageUnavailable("Input/output error")),
        ("database", "write", RuntimeError("what nobody foresaw")),
        ("objects", "adopt", MemoryError()),
    ],
)
def test_trouble_of_our_own_is_out_of_resources_and_leaves_no_row(
    receiving: tuple[DataFolder, Callable[[Dataset], Dataset]],
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    method: str,
    error: Exception,
) -> None:
    folder, send = receiving

    def fail(*_: Any) -> None:
        raise error

    @contextmanager
    def fail_in_context() -> Iterator[None]:
        raise error
        yield

    with monkeypatch.context() as broken:
        broken.setattr(getattr(folder, part), method, fail_in_context if method == "write" else fail)
        assert send(chest_film()).Status == OUT_OF_RESOURCES
    assert rows(folder) == 0
    assert list(folder.objects.incoming.iterdir()) == []
    assert send(chest_film()).Status == 0x0000


def test_two_images_under_one_uid_that_come_at_the_same_time_are_both_kept(
    receiving: tuple[DataFolder, Callable[[Dataset], Dataset]],
) -> None:
    folder, send = receiving
    with ThreadPoolExecutor(2) as senders:
        with folder.database.write(Step.BY_HAND):  # until both are there, none is entered
            answers = [senders.submit(send, chest_film(opacity=opacity)) for opacity in (False, True)]
            wait_for(lambda: len(list(folder.folder.glob("objects/*/*.dcm"))) == 2)
        assert [answer.result().Status for answer in answers] == [0x0000, 0x0000]
    with folder.database.read() as connection:
        counting = connection.execute(select(instances.c.object_key)).scalar_one()
        aside = connection.execute(select(conflicting_objects.c.object_key)).scalar_one()
    assert counting != aside


@pytest.mark.parametrize(
    ("again", "counts"),
    [("MODALITY", "corrected"), ("ARCHIVE", "corrected"), ("WEB_PACS", "corrected"), ("STRANGER", "first")],
)
def test_an_image_is_corrected_by_who_sent_it_or_an_archive_and_by_nobody_else(
    folder: DataFolder, again: str, counts: str
) -> None:
    """Two archives get results: one under its AE title, one on the web, under the name that it has as a source."""
    sources = tuple(
        Source(name=title.lower(), ae_title=title, hosts=("127.0.0.1",))  # type: ignore[arg-type]
        for title in ("MODALITY", "ARCHIVE", "WEB_PACS", "STRANGER")
    )
    archive = Destination(name="results", ae_title="ARCHIVE", host="127.0.0.1", port=104)
    web = WebDestination(name="web_pacs", url="https://archive.example/dicom-web")
    settings = Settings(
        sources=sources,
        destinations=(archive,),
        web_destinations=(web,),
        receiver={"port": 0},  # type: ignore[arg-type]
    )
    receiver = Receiver(settings, folder, lambda: None)
    host, port = receiver.start()
    for title, patient in (("MODALITY", "first"), (again, "corrected")):
        assert send_as(title, host, port, chest_film(PatientID=patient)).Status == 0x0000
    receiver.stop()
    with folder.database.read() as connection:
        assert connection.execute(select(instances.c.patient_id)).scalar_one() == counts
