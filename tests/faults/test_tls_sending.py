"""Results over TLS: to Orthanc, to a RIS and by the web; what is not to be trusted gets nothing until it is mended."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.demo.archive import AE_TITLE as PACS_AE_TITLE
from dicom_node.results import encode
from tests.builders import chest_film, encoded, write
from tests.certificates import Identity
from tests.hl7_receiver import Receiver
from tests.hospital import Hospital
from tests.peers import NodeProcess, Pacs, wait_for
from tests.web_peer import WebPeer

PACS_IS_A_SOURCE = f"""
[[sources]]
name = "pacs-itself"
ae_title = "{PACS_AE_TITLE}"
hosts = ["127.0.0.1"]
"""


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital.made(tmp_path / "certificates")


@pytest.fixture
def pacs(hospital: Hospital, tmp_path: Path) -> Iterator[Pacs]:
    """Orthanc, which speaks TLS alone and wants to see a certificate; it reads its own when it starts."""
    made = Pacs(tmp_path / "orthanc", hospital.orthanc())
    yield made
    made.stop()


@pytest.fixture
def node(hospital: Hospital, pacs: Pacs, tmp_path: Path) -> Iterator[NodeProcess]:
    (tmp_path / "node").mkdir()
    made = NodeProcess(
        tmp_path / "node", pacs.port, hospital.settings() + PACS_IS_A_SOURCE, of_pacs="tls = true"
    )
    yield made
    if made.running:
        made.stop()


def reasons(node: NodeProcess) -> set[str]:
    """Why deliveries wait."""
    return {row["reason"] for row in node.json("jobs") if row["id"].startswith("d") and row["reason"]}


def test_orthanc_sends_and_gets_results_over_tls_with_every_byte_as_it_was(
    node: NodeProcess, pacs: Pacs
) -> None:
    pacs.start()
    node._of_pacs += "\nstorage_commitment = true"
    node._settings += '[priors]\narchive = "pacs"\n'
    node.write_config(pacs.port)
    node.speak_tls()
    node.start()
    echo = node.command("echo", "pacs")
    assert (echo.returncode, "C-ECHO succeeded" in echo.stdout) == (0, True), echo.stderr
    patient = {"PatientID": "both ways", "IssuerOfPatientID": "HOSPITAL", "PatientBirthDate": "19500102"}
    film = chest_film(study="both ways", StudyDate="20250301", **patient)
    pacs.hold(encoded(film))
    pacs.introduce(node, UseDicomTls=True)
    [image] = pacs.ask("GET", "/instances")
    pacs.hold(encoded(chest_film(study="earlier", StudyDate="20240301", **patient)))
    pacs.ask("POST", "/modalities/node/store", image)
    wait_for(lambda: node.settled(1), 120)
    study = str(film.StudyInstanceUID)
    wait_for(lambda: [each["state"] for each in node.story(study)["deliveries"]] == ["committed"] * 2, 120)
    [fetched] = node.json("show", study)["fetches"]
    assert (fetched["state"], fetched["fetched"]) == ("done", 1)
    kept = [path.read_bytes() for path in (node.folder / "data").rglob("*") if path.is_file()]
    assert any(each.endswith(film.PixelData) for each in kept)
    results = [
        each for each in pacs.objects(film.StudyInstanceUID) if each.SOPInstanceUID != film.SOPInstanceUID
    ]
    assert len(results) == 2
    assert {encode(each) for each in results} <= set(kept)
    assert {row["verdict"] for row in node.json("reconcile", study)} == {"held"}


BAD = {
    "expired": "TLS: its certificate has expired",
    "of another address": "TLS: its certificate is for another address",
    "self-signed": "TLS: its certificate is signed by itself",
    "of another authority": "TLS: its certificate is of no authority that this node trusts",
    "revoked": "TLS: its certificate is revoked",
}


def test_results_wait_for_an_archive_whose_certificate_is_bad_and_go_out_when_it_is_renewed(
    node: NodeProcess, pacs: Pacs, hospital: Hospital, tmp_path: Path
) -> None:
    good = Identity(hospital.folder / "good.pem", hospital.folder / "good.key")
    good.replace(hospital.archive)
    node.start()
    assert node.send(write(chest_film(study="waiting"), tmp_path / "film.dcm")) == 0
    for kind, reason in BAD.items():
        hospital.archive.replace(hospital.bad(kind))
        pacs.start()
        wait_for(lambda reason=reason: reason in reasons(node), 120)
        assert reason in node.command("echo", "pacs").stderr
        assert pacs.count() == 0
        pacs.stop()
    hospital.archive.replace(good)
    pacs.start()
    wait_for(lambda: pacs.count() == 2, 120)
    wait_for(lambda: node.settled(1))


def test_when_the_nodes_own_certificate_has_expired_results_wait_until_its_file_is_renewed(
    node: NodeProcess, pacs: Pacs, hospital: Hospital, tmp_path: Path
) -> None:
    good = Identity(hospital.folder / "good.pem", hospital.folder / "good.key")
    good.replace(hospital.node)
    hospital.node.replace(hospital.bad("expired"))
    pacs.start()
    node.start()
    assert node.send(write(chest_film(study="own"), tmp_path / "film.dcm")) == 0
    wait_for(lambda: reasons(node), 120)
    assert all("refuse" in reason or "closed" in reason for reason in reasons(node)), reasons(node)
    hospital.node.replace(good)
    wait_for(lambda: pacs.count() == 2, 120)


def test_a_ris_and_a_web_archive_get_theirs_over_tls_and_see_who_sends(
    hospital: Hospital, tmp_path: Path
) -> None:
    ris, web = Receiver(), WebPeer([(200, b"")])
    settings = f"""
[[hl7]]
name = "ris"
host = "127.0.0.1"
port = {ris.port}
tls = true
[[web_destinations]]
name = "web"
url = "https://localhost:{web.port}/dicom-web"
"""
    (tmp_path / "node").mkdir()
    with (
        ris.listening(hospital.server()),
        web.listening(hospital.server()),
        NodeProcess(tmp_path / "node", None, hospital.settings() + settings) as node,
    ):
        assert "the port answers" in node.command("echo", "ris").stdout
        assert node.send(write(chest_film(study="ris and web"), tmp_path / "film.dcm")) == 0
        wait_for(lambda: node.settled(1), 120)
    assert len(ris.messages) == 1
    assert len([each for each in web.requests if each.method == "POST"]) == 2
