"""Where no browser reaches the pages yet, the first administrator's password is taken by a command."""

import getpass
from pathlib import Path

import pytest

from dicom_node.cli import main
from dicom_node.web.passwords import is_right
from storage import people
from storage.folder import DataFolder
from storage.people import Role

PASSWORD = "green lamp over the river"


@pytest.fixture
def config(folder: DataFolder, tmp_path: Path) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(f'[node]\ndata_dir = "{folder.folder}"\n', encoding="utf-8")
    return path


def asked(config: Path, monkeypatch: pytest.MonkeyPatch, *typed: str, name: str = "anna") -> int:
    answers = iter(typed)
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: next(answers))
    return main(["invite", name, "--role", "administrator", "--ask", "--config", str(config)])


def test_whoever_types_a_password_twice_can_log_in(
    folder: DataFolder, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(config, monkeypatch, PASSWORD, PASSWORD) == 0
    assert "anna can log in; start the node again" in capsys.readouterr().out
    with folder.database.read() as connection:
        known = people.role_and_password(connection, "anna")
    assert known is not None
    assert (known[0], is_right(PASSWORD, known[1])) == (Role.ADMINISTRATOR, True)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ((PASSWORD, PASSWORD + "!"), "the password was not the same twice"),
        (("short", "short"), "the password must have at least 12 characters"),
    ],
)
def test_a_password_that_is_not_to_be_taken_lets_nobody_in(
    folder: DataFolder,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: tuple[str, str],
    said: str,
) -> None:
    assert asked(config, monkeypatch, *typed) == 1
    assert said in capsys.readouterr().err
    with folder.database.read() as connection:
        assert people.role_and_password(connection, "anna") is None
