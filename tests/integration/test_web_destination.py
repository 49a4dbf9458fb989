"""STOW-RS to Orthanc's DICOMweb server: the other way into an archive, with the same promises."""

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.peers import WebDestination
from dicom_node.channels.stow import StowChannel
from dicom_node.demo.archive import OrthancArchive
from dicom_node.results import encode
from tests.builders import chest_film, write
from tests.peers import NodeProcess, dicomweb_plugin, tool, wait_for
from tests.readings import film, likely, reading, results_of


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancArchive]:
    folder = tmp_path_factory.mktemp("web")
    made = OrthancArchive(Path(tool("Orthanc")), folder, plugins=[dicomweb_plugin()])
    yield made
    made.stop()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, archive: OrthancArchive) -> Iterator[NodeProcess]:
    """A node whose only destination is the DICOMweb server."""
    settings = f"""
[model]
uncertain = [0, 0]
[[web_destinations]]
name = "archive"
url = "{archive.url}/dicom-web"
"""
    with NodeProcess(tmp_path_factory.mktemp("node"), None, settings) as made:
        yield made


def test_results_reach_an_archive_that_is_reached_by_the_web_alone(
    node: NodeProcess, archive: OrthancArchive, tmp_path: Path
) -> None:
    sent = chest_film(study="by the web")
    assert node.send(write(sent, tmp_path / "film.dcm")) == 0
    wait_for(lambda: len(archive.objects_of(sent.StudyInstanceUID)) == 2)
    wait_for(lambda: node.settled(1))
    assert node.json("status")["deliveries"]["done"] == 2
    arrived = archive.objects_of(sent.StudyInstanceUID)
    assert {each.SOPClassUID.name for each in arrived} == {
        "Comprehensive 3D SR Storage",
        "Secondary Capture Image Storage",
    }
    assert {each.PatientName for each in arrived} == {sent.PatientName}


def test_what_is_sent_twice_is_held_once_and_with_the_bytes_that_were_made(archive: OrthancArchive) -> None:
    channel = StowChannel(WebDestination(name="archive", url=f"{archive.url}/dicom-web/"))
    made = results_of(reading(film(likely(), study="twice by the web")))
    for result in made.values():
        assert channel.send(encode(result)).sent_sop_instance_uid is None
    held = len(archive.instances())
    for result in made.values():
        channel.send(encode(result))
    assert len(archive.instances()) == held
    [study] = {str(result.StudyInstanceUID) for result in made.values()}
    assert {encode(each) for each in archive.objects_of(study)} == set(map(encode, made.values()))


def test_an_echo_asks_the_web_service_and_says_how_long_it_took(node: NodeProcess) -> None:
    ran = node.command("echo", "archive")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "QIDO-RS succeeded in " in ran.stdout


def test_an_echo_of_a_wrong_url_says_that_there_is_no_such_service(
    node: NodeProcess, archive: OrthancArchive
) -> None:
    right = node.config.read_text()
    node.config.write_text(right.replace("/dicom-web", "/dicomweb"))
    ran = node.command("echo", "archive")
    node.config.write_text(right)
    assert ran.returncode == 1
    assert "there is no DICOMweb service at this URL" in ran.stderr


def test_an_archive_on_the_web_proves_what_it_holds_and_gets_again_what_it_lost(
    node: NodeProcess, archive: OrthancArchive, tmp_path: Path
) -> None:
    sent = chest_film(study="proof by the web")
    study = str(sent.StudyInstanceUID)
    assert node.send(write(sent, tmp_path / "film.dcm")) == 0
    wait_for(lambda: [each["state"] for each in node.story(study)["deliveries"]] == ["done", "done"])
    assert {finding["verdict"] for finding in node.json("reconcile", study)} == {"held"}
    held = archive.objects_of(study)
    for number in archive.instances():
        urllib.request.urlopen(
            urllib.request.Request(f"{archive.url}/instances/{number}", method="DELETE")
        ).close()
    assert node.command("reconcile", study, "--heal").returncode == 1
    wait_for(lambda: len(archive.objects_of(study)) == 2, why="the lost results did not come back")
    assert {encode(each) for each in archive.objects_of(study)} == set(map(encode, held))
