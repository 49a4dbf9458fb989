"""What an administrator is promised of [tls], and of `tls = true`."""

import tomllib
from pathlib import Path

import pytest

from config.errors import SettingsFault
from config.load import check_settings
from config.settings import Settings

FILES = '[tls]\ncertificate_file = "node.pem"\nkey_file = "/keys/node.key"\nauthorities_file = "ca.pem"\n'
ARCHIVE = '[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "10.1.2.3"\nport = 2762\n'
RIS = '[[hl7]]\nname = "ris"\nhost = "10.1.2.3"\nport = 2575\n'


def load(text: str) -> Settings:
    return check_settings(tomllib.loads(text), Path("/etc/here/node.toml"))


def faults(text: str) -> dict[str, str]:
    with pytest.raises(SettingsFault) as raised:
        load(text)
    return {fault.setting: fault.sentence for fault in raised.value.faults}


def test_nothing_speaks_tls_that_is_not_told_to() -> None:
    settings = load(ARCHIVE + RIS)
    assert not (settings.receiver.tls or settings.destinations[0].tls or settings.hl7[0].tls)
    assert settings.tls.certificate_file is None


def test_files_start_at_the_folder_of_the_settings_and_a_list_of_revoked_ones_is_not_needed() -> None:
    tls = load(FILES + ARCHIVE + "tls = true\n" + RIS + "tls = true\n[receiver]\ntls = true").tls
    assert (tls.certificate_file, tls.key_file) == (Path("/etc/here/node.pem"), Path("/keys/node.key"))
    assert tls.revoked_file is None


@pytest.mark.parametrize(
    ("lines", "setting"),
    [
        ("[receiver]\ntls = true\n", "receiver.tls"),
        (ARCHIVE + "tls = true\n", "destinations[0].tls"),
        (RIS + "tls = true\n", "hl7[0].tls"),
    ],
)
def test_what_speaks_tls_needs_certificate_key_and_authorities(lines: str, setting: str) -> None:
    found = faults(lines)
    assert set(found) == {"tls.certificate_file", "tls.key_file", "tls.authorities_file"}
    assert found["tls.key_file"] == f"is missing; {setting} = true needs a file in PEM here"


@pytest.mark.parametrize(
    ("lines", "setting"),
    [
        ('certificate_file = "node.pem"', "tls.key_file"),
        ('key_file = "node.key"', "tls.certificate_file"),
        ('revoked_file = "revoked.pem"', "tls.revoked_file"),
    ],
)
def test_a_file_that_is_of_no_use_alone_is_a_fault(lines: str, setting: str) -> None:
    assert list(faults(f"[tls]\n{lines}\n")) == [setting]
