"""Who looks is written down; where that cannot be done, they are told."""

import os
import pwd
from pathlib import Path

import pytest

from dicom_node.auditing.person import note_look, person
from storage import audit
from storage.folder import DataFolder
from storage.steps import Step


def test_a_person_is_who_logged_in_or_the_process_itself() -> None:
    logged_in = Path("/proc/self/loginuid")
    number = int(logged_in.read_text()) if logged_in.exists() else 2**32 - 1
    assert person() == pwd.getpwuid(os.getuid() if number == 2**32 - 1 else number).pw_name


def test_no_variable_of_the_environment_makes_anybody_another(monkeypatch: pytest.MonkeyPatch) -> None:
    before = person()
    for name in ("USER", "LOGNAME", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(name, "somebody else")
    assert person() == before


def test_who_looks_is_in_the_trail(folder: DataFolder, capsys: pytest.CaptureFixture[str]) -> None:
    note_look(folder, "study_looked_at", command="show", study_instance_uid="1.2.3")
    with folder.database.read() as connection:
        [record] = audit.records(connection)
    assert (record.event, record.detail["user"], record.detail["study_instance_uid"]) == (
        "study_looked_at",
        person(),
        "1.2.3",
    )
    assert capsys.readouterr().err == ""


def test_a_look_that_cannot_be_written_down_is_told_of_and_allowed(
    folder: DataFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who has to mend a full disk must see what is wrong."""
    with folder.database.write(Step.BY_HAND) as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")
    note_look(folder, "study_looked_at", command="show", study_instance_uid="1.2.3")
    assert "not in the audit trail: " in capsys.readouterr().err
