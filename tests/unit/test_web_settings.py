"""What an administrator is promised of [[web_destinations]]."""

import tomllib
from pathlib import Path

import pytest

from config.errors import SettingsFault
from config.load import check_settings
from config.peers import ResultKind
from config.settings import Settings

DICOM = '[[destinations]]\nname = "archive"\nae_title = "PACS"\nhost = "10.1.2.3"\nport = 104\n'


def web(lines: str = "", name: str = "web", url: str = "https://pacs.example.org/dicom-web") -> str:
    return f'[[web_destinations]]\nname = "{name}"\nurl = "{url}"\n{lines}\n'


def load(text: str) -> Settings:
    return check_settings(tomllib.loads(text), Path("/etc/here/node.toml"))


def faults(text: str) -> dict[str, str]:
    with pytest.raises(SettingsFault) as raised:
        load(text)
    return {fault.setting: fault.sentence for fault in raised.value.faults}


def test_a_name_and_a_url_are_enough() -> None:
    [destination] = load(web()).web_destinations
    assert destination.objects == (ResultKind.STRUCTURED_REPORT, ResultKind.HEATMAP)
    assert destination.token_file is destination.password_file is destination.ca_file is None


def test_files_start_at_the_folder_of_the_settings() -> None:
    [destination] = load(web('token_file = "token"\nca_file = "/etc/ssl/ours.pem"')).web_destinations
    assert destination.token_file == Path("/etc/here/token")
    assert destination.ca_file == Path("/etc/ssl/ours.pem")


@pytest.mark.parametrize(
    "url",
    [
        "https://pacs.example.org/dicom-web",
        "http://10.1.2.3:8042/dicom-web",
        "https://[2001:db8::1]:8443/dcm4chee-arc/aets/DCM4CHEE/rs",
        "https://pacs",
    ],
)
def test_a_url_is_kept_and_the_slash_at_its_end_is_not(url: str) -> None:
    for written in (url, f"{url}/", f" {url} "):
        assert load(web(url=written)).web_destinations[0].url == url


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", "must be a URL"),
        ("pacs.example.org/dicom-web", "must be a URL"),
        ("ftp://pacs.example.org/", "start with https:// or http://"),
        ("https://", "the host or the port in it is none"),
        ("https://pacs:99999/", "the host or the port in it is none"),
        ("https://pa cs/", "the host or the port in it is none"),
        ("https://me:hunter2@pacs/", "without a user"),
        ("https://pacs/dicom web", "without spaces, query or fragment"),
        ("https://pacs/dicom-web?x=1", "without spaces, query or fragment"),
        ("https://pacs/dicom-web#x", "without spaces, query or fragment"),
        ("https://pacs/../..\\\\r\\\\nX", "without spaces, query or fragment"),
    ],
)
def test_what_is_no_url_is_told(url: str, sentence: str) -> None:
    assert sentence in faults(web(url=url))["web_destinations[0].url"]


@pytest.mark.parametrize("kind", ["review_workitem", "hl7_message", "pdf"])
def test_only_objects_that_are_stored_go_by_the_web(kind: str) -> None:
    assert "web_destinations[0].objects" in str(faults(web(f'objects = ["{kind}"]')))


def test_a_user_needs_a_password_and_a_password_a_user() -> None:
    for line in ('user = "node"', 'password_file = "password"'):
        assert "needs a user" in faults(web(line))["web_destinations[0].user"]
    load(web('user = "node"\npassword_file = "password"'))


def test_one_way_of_logging_in_is_enough() -> None:
    lines = 'token_file = "token"\nuser = "node"\npassword_file = "password"'
    assert "must be left out" in faults(web(lines))["web_destinations[0].token_file"]


@pytest.mark.parametrize("lines", ['token_file = "token"', 'user = "node"\npassword_file = "password"'])
def test_a_secret_goes_by_https_or_not_beyond_this_machine(lines: str) -> None:
    assert "https://" in faults(web(lines, url="http://pacs.example.org"))["web_destinations[0].url"]
    load(web(lines, url="http://localhost:8042/dicom-web"))
    load(web(lines, url="http://[::1]:8042/dicom-web"))


def test_names_are_unique_among_all_destinations() -> None:
    found = faults(DICOM + web(name="archive"))
    assert "destinations[0] has" in found["web_destinations[0].name"]


def test_one_service_is_not_two_destinations() -> None:
    found = faults(web(name="a") + web(name="b", url="https://pacs.example.org/dicom-web/"))
    assert "every result twice" in found["web_destinations[1].url"]
