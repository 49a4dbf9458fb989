"""The real viewer: OHIF in Chromium, with Orthanc and its DICOMweb server behind it, and a node beside it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmwrite
from pydicom.dataset import Dataset

from dicom_node.demo.archive import AE_TITLE, OrthancArchive
from dicom_node.demo.films import demo_films
from tests.chromium import Chromium
from tests.peers import NodeProcess, dicomweb_plugin, tool, wait_for
from tests.viewer.ohif import HEIGHT, WIDTH, Ohif
from tests.viewer.web_server import OhifServer

OHIF_FILES = Path(__file__).parents[2] / ".peers" / "ohif-3.13.2" / "dist"
# the demonstration's name of each film, and how many results its study gets
FILMS = {"made: likely": 4, "made: normal": 1, "made: lateral": 1}
EVERY_OBJECT = """
[[destinations]]
name = "pacs"
ae_title = "{ae_title}"
host = "127.0.0.1"
port = {port}
objects = ["structured_report", "heatmap", "key_objects", "presentation_state"]
"""


@dataclass(frozen=True, slots=True)
class Study:
    """A film with its results, as the archive holds them."""

    film: Dataset
    results: list[Dataset]

    @property
    def uid(self) -> str:
        return str(self.film.StudyInstanceUID)

    @property
    def series(self) -> int:
        return 1 + len(self.results)

    @property
    def report(self) -> Dataset:
        return self.only("SR")

    @property
    def heatmap(self) -> Dataset:
        """The picture; its modality is the film's."""
        return self.only(self.film.Modality)

    def only(self, modality: str) -> Dataset:
        """Return the one result of a modality."""
        [found] = [each for each in self.results if each.Modality == modality]
        return found


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancArchive]:
    folder = tmp_path_factory.mktemp("archive")
    made = OrthancArchive(Path(tool("Orthanc")), folder, plugins=[dicomweb_plugin()])
    yield made
    made.stop()


@pytest.fixture(scope="session")
def studies(archive: OrthancArchive, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Study]:
    """Films that the archive got and routed to the node, and what the node sent back."""
    folder = tmp_path_factory.mktemp("films")
    films = {each.name: each.dataset for each in demo_films(None) if each.name in FILMS}
    settings = EVERY_OBJECT.format(ae_title=AE_TITLE, port=archive.port)
    node = NodeProcess(tmp_path_factory.mktemp("node"), None, settings)
    node.start()
    try:
        for number, film in enumerate(films.values()):
            film.PatientID = f"DEMO-{number}"  # else the viewer lists each with the others
            dcmwrite(path := folder / f"{number}.dcm", film, enforce_file_format=True)
            node.send(path)
            archive.add(path.read_bytes())
        for name, film in films.items():
            wait_for(
                lambda film=film, name=name: (
                    len(archive.objects_of(film.StudyInstanceUID)) == FILMS[name] + 1
                ),
                why=f"{name}: no results",
            )
    finally:
        node.stop()
    return {name: _study(film, archive.objects_of(film.StudyInstanceUID)) for name, film in films.items()}


def _study(film: Dataset, objects: list[Dataset]) -> Study:
    return Study(film, [each for each in objects if each.SOPInstanceUID != film.SOPInstanceUID])


@pytest.fixture(scope="session")
def ohif(archive: OrthancArchive, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ohif]:
    chromium = tool("chromium")
    if not OHIF_FILES.exists():
        pytest.skip(
            "optional peer missing: OHIF's files are not in .peers (`make peers` brings them where npm is)"
        )
    server = OhifServer(OHIF_FILES, archive.url)
    browser = Chromium(chromium, tmp_path_factory.mktemp("chromium"), WIDTH, HEIGHT)
    yield Ohif(browser, server.url)
    browser.close()
    server.stop()
