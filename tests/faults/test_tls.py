"""DICOM over TLS with real peers: who is let in, who is not and why, and what the node trusts of others."""

import json
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from tests.builders import chest_film, write
from tests.hospital import Hospital
from tests.peers import NodeProcess, tool, wait_for


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    return Hospital.made(tmp_path_factory.mktemp("hospital") / "certificates")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, hospital: Hospital) -> Iterator[NodeProcess]:
    """A node whose port speaks TLS alone."""
    with receiving(tmp_path_factory.mktemp("node"), hospital) as made:
        yield made


def receiving(folder: Path, hospital: Hospital) -> NodeProcess:
    made = NodeProcess(folder, None, hospital.settings())
    made.speak_tls()
    return made


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write(chest_film(study="by TLS"), tmp_path / "film.dcm")


def refusals(node: NodeProcess) -> list[str]:
    """The reasons in the log, in order."""
    found = [json.loads(line) for line in node.log.splitlines() if "association_refused" in line]
    return [each["reason"] for each in found]


def is_refused(node: NodeProcess, film: Path, reason: str, options: str = "") -> bool:
    """Send, and see that it fails and that the log has the reason; of the same again it tells the number, later."""
    assert node.send(film, options=options) != 0
    return wait_for(lambda: reason in refusals(node), why=f"not told: {reason}")


def test_a_sender_with_a_certificate_of_the_hospital_is_taken_and_every_byte_is_kept(
    node: NodeProcess, hospital: Hospital, tmp_path: Path
) -> None:
    sent = write(
        chest_film(study="every byte", rows=900, columns=700), tmp_path / "film.dcm", ExplicitVRLittleEndian
    )
    assert node.send(sent, options=hospital.storescu(hospital.sender)) == 0
    kept = wait_for(lambda: list((node.folder / "data").rglob("*.dcm")))
    data_set = sent.read_bytes()[-900 * 700 * 2 :]
    assert any(each.read_bytes().endswith(data_set) for each in kept)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("expired", "TLS: its certificate has expired"),
        ("self-signed", "TLS: its certificate is signed by itself"),
        ("of another authority", "TLS: its certificate is of no authority that this node trusts"),
        ("revoked", "TLS: its certificate is revoked"),
    ],
)
def test_a_sender_with_a_bad_certificate_is_refused_with_the_reason(
    node: NodeProcess, hospital: Hospital, film: Path, bad: str, reason: str
) -> None:
    assert is_refused(node, film, reason, hospital.storescu(hospital.bad(bad)))


def test_a_sender_without_a_certificate_or_without_tls_is_refused_with_the_reason(
    node: NodeProcess, hospital: Hospital, film: Path
) -> None:
    without = f"+tla +cf {hospital.authority.certificate}"
    assert is_refused(node, film, "TLS: it has shown no certificate", without)
    assert is_refused(node, film, "TLS: it speaks no TLS")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("-tls1_1 -cipher ALL:@SECLEVEL=0", "TLS: it speaks neither TLS 1.2 nor 1.3"),
        ("-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256", "TLS: it offers no cipher suite of RFC 9325"),
        ("-tls1_2 -cipher AES128-GCM-SHA256", "TLS: it offers no cipher suite of RFC 9325"),
        ("-tls1_2", None),
        ("-tls1_3", None),
    ],
)
def test_only_tls_1_2_and_1_3_are_spoken_and_only_with_the_suites_of_rfc_9325(
    node: NodeProcess, hospital: Hospital, options: str, reason: str | None
) -> None:
    shown = ["-cert", str(hospital.sender.certificate), "-key", str(hospital.sender.key)]
    to = ["-connect", f"127.0.0.1:{node.port}", "-CAfile", str(hospital.authority.certificate)]
    ran = subprocess.run(
        [tool("openssl"), "s_client", "-verify_return_error", *to, *shown, *options.split()],
        input=b"",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode == 0) is (reason is None), ran.stderr
    if reason is not None:
        wait_for(lambda: reason in refusals(node))


def test_silent_peers_keep_nobody_out(node: NodeProcess, hospital: Hospital, film: Path) -> None:
    silent = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(40)]
    for connection in silent[:20]:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01")  # the first bytes of a ClientHello
    assert node.send(film, options=hospital.storescu(hospital.sender)) == 0
    for connection in silent:
        connection.close()


def test_a_refusal_is_written_down_for_the_auditor(node: NodeProcess, hospital: Hospital, film: Path) -> None:
    assert is_refused(node, film, "TLS: its certificate is revoked", hospital.storescu(hospital.revoked))
    with closing(sqlite3.connect(node.folder / "data" / "node.sqlite")) as database:
        rows = database.execute("SELECT detail FROM audit WHERE event = 'association_refused'").fetchall()
    written = [each for (text,) in rows if (each := json.loads(text))["reason"].endswith("is revoked")]
    assert {(each["ae_title"], each["address"]) for each in written} == {("", "127.0.0.1")}


def test_a_certificate_that_is_revoked_today_opens_nothing_and_the_node_goes_on(
    tmp_path: Path, film: Path
) -> None:
    hospital = Hospital.made(tmp_path / "certificates")
    folder = tmp_path / "node"
    folder.mkdir()
    hospital.node.key.chmod(0o644)
    with receiving(folder, hospital) as node:
        assert "key_exposed" in node.log
        assert node.send(film, options=hospital.storescu(hospital.sender)) == 0
        hospital.revoke(hospital.sender)
        assert is_refused(node, film, "TLS: its certificate is revoked", hospital.storescu(hospital.sender))
        (hospital.folder / "revoked-list.pem").write_text("a download that went wrong")
        assert node.send(film, options=hospital.storescu(hospital.authority.issue("second"))) == 0
        assert node.log.count("certificates_not_renewed") == 1


def checked(node: NodeProcess) -> "subprocess.CompletedProcess[str]":
    """Run `dicom-node check-config` over the node's settings."""
    return subprocess.run(
        [sys.executable, "-m", "dicom_node.cli", "check-config", str(node.config)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_key_that_others_can_read_or_that_does_not_fit_is_found_before_a_start(tmp_path: Path) -> None:
    hospital = Hospital.made(tmp_path / "certificates")
    (tmp_path / "node").mkdir()
    node = receiving(tmp_path / "node", hospital)
    assert (checked(node).returncode, "note: [tls]" in checked(node).stdout) == (0, False)
    hospital.node.key.chmod(0o644)
    assert "note: [tls] key_file can be read by others" in checked(node).stdout
    hospital.node.key.write_bytes(hospital.sender.key.read_bytes())
    found = checked(node)
    assert (found.returncode, "tls.key_file: is not the key of certificate_file" in found.stderr) == (2, True)
    ran = node.command("run")
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith("dicom-node: key_file is not the key of certificate_file")
