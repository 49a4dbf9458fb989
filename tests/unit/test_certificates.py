"""What an administrator reads of the files under `[tls]`."""

import time
from pathlib import Path

import pytest

from config.tls import TlsSettings
from dicom_node.certificates import SOON_SECONDS, certificate_files
from tests.certificates import Authority, Identity


@pytest.fixture
def hospital(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def faults(hospital: Authority, identity: Identity, now: float) -> dict[str, str]:
    files = TlsSettings(
        certificate_file=identity.certificate, key_file=identity.key, authorities_file=hospital.certificate
    )
    return {each.setting: each.fault for each in certificate_files(files, now)}


def test_nothing_is_said_of_files_that_are_not_named() -> None:
    assert certificate_files(TlsSettings(), time.time()) == []


def test_whose_it_is_and_until_when(hospital: Authority) -> None:
    identity = hospital.issue("node")
    files = TlsSettings(
        certificate_file=identity.certificate, key_file=identity.key, authorities_file=hospital.certificate
    )
    certificate, key, authorities = certificate_files(files, time.time())
    assert (certificate.subject, authorities.subject) == ("CN=node", "CN=Authority hospital")
    assert certificate.expires_at is not None and 0 < certificate.expires_at - time.time() < 2 * 86400
    assert (key.subject, key.expires_at, key.fault) == ("", None, "")


def test_a_certificate_that_ends_is_told_in_time(hospital: Authority) -> None:
    identity, now = hospital.issue("node"), time.time()
    assert faults(hospital, identity, now - SOON_SECONDS)["certificate_file"] == ""
    assert faults(hospital, identity, now)["certificate_file"] == "ends soon: ask for a new one"
    expired = hospital.issue("old", expired=True)
    assert faults(hospital, expired, now)["certificate_file"] == "has expired: ask for a new one"


def test_what_a_connection_would_stumble_over_is_said_at_its_file(hospital: Authority) -> None:
    identity, now = hospital.issue("node"), time.time() - SOON_SECONDS
    identity.key.chmod(0o644)
    assert faults(hospital, identity, now)["key_file"].startswith("can be read by others")
    identity.key.write_bytes(hospital.issue("other").key.read_bytes())
    assert faults(hospital, identity, now)["key_file"].startswith("is not the key of certificate_file")
    identity.certificate.unlink()
    assert faults(hospital, identity, now)["certificate_file"].startswith("cannot be read")
