"""The rule by which the Orthanc of the compose file sends radiographs on, run by a real Orthanc.

Versions: Orthanc 1.10.1 (Debian 12) has no heartbeat for scripts, so the test calls what newer ones call.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID, ComprehensiveSRStorage, SecondaryCaptureImageStorage
from pynetdicom import AE, StoragePresentationContexts, evt

from config.load import load_settings
from tests.builders import chest_film, encoded
from tests.peers import wait_for
from tests.ports import free_port

DOCKER = Path(__file__).parents[2] / "docker"
NODE = load_settings(DOCKER / "node.toml").node.ae_title
ORTHANC = shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
DEADLINE_SECONDS = 30.0

pytestmark = pytest.mark.skipif(ORTHANC is None, reason="peer missing: Orthanc (Debian's package orthanc)")


class Pacs:
    """A running Orthanc with the settings and the script of the compose file."""

    def __init__(self, folder: Path, node_port: int) -> None:
        self.dicom_port = free_port()
        self.web = f"http://127.0.0.1:{free_port()}"
        settings = json.loads((DOCKER / "orthanc.json").read_text())
        (modality,) = settings["DicomModalities"].values()
        modality.update(Host="127.0.0.1", Port=node_port)
        settings.update(
            DicomPort=self.dicom_port,
            HttpPort=int(self.web.rpartition(":")[2]),
            RemoteAccessAllowed=False,
            StorageDirectory=str(folder / "archive"),
            LuaScripts=[str(DOCKER / Path(script).name) for script in settings["LuaScripts"]],
            ExecuteLuaEnabled=True,  # for the heartbeat below
            Plugins=[],
        )
        (folder / "orthanc.json").write_text(json.dumps(settings))
        assert ORTHANC is not None
        with (folder / "orthanc.log").open("w") as log:
            self.process = subprocess.Popen([ORTHANC, folder / "orthanc.json"], stdout=log, stderr=log)
        wait_for(self._answers)

    def store(self, film: Dataset, calling: str = "MODALITY") -> None:
        """Send it by C-STORE."""
        film = dcmread(BytesIO(encoded(film)))
        peer = AE(calling)
        peer.add_requested_context(film.SOPClassUID, film.file_meta.TransferSyntaxUID)
        association = peer.associate("127.0.0.1", self.dicom_port, ae_title="PACS")
        assert association.is_established
        assert association.send_c_store(film).Status == 0x0000
        association.release()

    def upload(self, film: Dataset) -> None:
        """Send it as a person does on Orthanc's page."""
        self._post("/instances", encoded(film))

    def heartbeat(self) -> None:
        """Do what newer versions do every LuaHeartBeatPeriod."""
        self._post("/tools/execute-script", b"OnHeartBeat()")

    def jobs(self) -> list[str]:
        """The state of every sending that was ever begun."""
        with urlopen(f"{self.web}/jobs?expand") as answer:
            return [job["State"] for job in json.load(answer)]

    def _answers(self) -> bool:
        assert self.process.poll() is None
        try:
            self.jobs()
        except (URLError, OSError):
            return False
        return True

    def _post(self, path: str, body: bytes) -> None:
        with urlopen(Request(f"{self.web}{path}", data=body)) as answer:
            assert answer.status == 200


class Node:
    """A stand-in for the node that keeps what it was sent."""

    def __init__(self) -> None:
        self.port = free_port()
        self.received: list[tuple[str, UID]] = []
        self._server: Any = None

    def start(self) -> None:
        entity = AE(NODE)
        entity.supported_contexts = StoragePresentationContexts
        self._server = entity.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._keep)]
        )

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()

    def _keep(self, event: evt.Event) -> int:
        self.received.append((event.assoc.requestor.ae_title, event.request.AffectedSOPInstanceUID))
        return 0x0000


@pytest.fixture
def node() -> Iterator[Node]:
    stand_in = Node()
    yield stand_in
    stand_in.stop()


@pytest.fixture
def pacs(node: Node, tmp_path: Path) -> Iterator[Pacs]:
    archive = Pacs(tmp_path, node.port)
    yield archive
    archive.process.terminate()
    archive.process.wait(DEADLINE_SECONDS)


def report_of(film: Dataset) -> Dataset:
    report = chest_film("report", SOPClassUID=ComprehensiveSRStorage, Modality="SR")
    report.StudyInstanceUID = film.StudyInstanceUID
    del report.PixelData
    return report


def heatmap_of(film: Dataset) -> Dataset:
    """It has the radiograph's modality, so that alone would not tell it apart."""
    heatmap = chest_film("heatmap", SOPClassUID=SecondaryCaptureImageStorage, Modality=film.Modality)
    heatmap.StudyInstanceUID = film.StudyInstanceUID
    return heatmap


def test_every_new_radiograph_goes_to_the_node_once_and_no_result_goes_back(node: Node, pacs: Pacs) -> None:
    node.start()
    films = [
        chest_film("1", kind="DX"),
        chest_film("2", kind="CR"),
        chest_film("3", kind="DX_PROCESSING"),
        chest_film("4", kind="DX"),
    ]
    for film in films[:2]:
        pacs.store(film)
    pacs.upload(films[2])
    for result in (report_of(films[0]), heatmap_of(films[0])):
        pacs.store(result, calling=NODE)
    pacs.upload(chest_film("5", SOPClassUID=SecondaryCaptureImageStorage))
    pacs.upload(report_of(films[1]))
    pacs.store(chest_film("6", kind="DX"), calling=NODE)
    # Orthanc decides in the order of arrival: when the last one is sent, all others have been decided
    pacs.store(films[3])
    last = films[3].SOPInstanceUID
    wait_for(lambda: last in [uid for _, uid in node.received] and set(pacs.jobs()) == {"Success"})
    assert sorted(node.received) == sorted(("PACS", film.SOPInstanceUID) for film in films)
    assert len(pacs.jobs()) == len(films)


def test_a_node_that_was_down_gets_its_radiographs_when_it_is_back(node: Node, pacs: Pacs) -> None:
    film = chest_film("1")
    pacs.store(film)
    wait_for(lambda: pacs.jobs() == ["Failure"])
    node.start()
    pacs.heartbeat()
    wait_for(lambda: pacs.jobs() == ["Success"])
    pacs.heartbeat()
    assert pacs.jobs() == ["Success"]
    assert node.received == [("PACS", film.SOPInstanceUID)]
