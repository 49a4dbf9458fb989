"""What a process leaves behind when it crashes: nothing of a patient, and files for its user alone."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

CANARY = "Yellow^Canary"
FROM_A_HEADER = f'raise ValueError("{CANARY}")'


def ran(script: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    ours, theirs = socket.socketpair()  # what the analysing process has for its standard input
    with ours, theirs:
        return subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            stdin=theirs.fileno(),
        )


DISCREET = "from dicom_node.discretion import be_discreet; be_discreet()\n"
DELETED = f"""
class Held:
    def __del__(self):
        {FROM_A_HEADER}
held = Held()
del held
"""
COMMAND = f"""
import sys
from dicom_node import cli
from dicom_node.commands import check_config
def raising(arguments):
    {FROM_A_HEADER}
check_config.run = raising
sys.argv = ["dicom-node", "check-config"]
sys.exit(cli.main())
"""
CHILD = f"""
from dicom_node import child_main
def raising(pipe):
    {FROM_A_HEADER}
child_main._serve = raising
child_main.main()
"""
CHAINED = f"""
try:
    {FROM_A_HEADER}
except ValueError as error:
    raise KeyError("{CANARY}") from error
"""


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (DISCREET + FROM_A_HEADER, "ValueError"),
        (DISCREET + CHAINED, "KeyError"),
        (DISCREET + DELETED, "ValueError"),
        (COMMAND, "ValueError"),
        (CHILD, "ValueError"),
    ],
    ids=["at the top", "with a cause", "while deleted", "a command", "the analysing process"],
)
def test_an_error_that_nobody_foresaw_is_told_without_its_text(
    script: str, error: str, tmp_path: Path
) -> None:
    said = ran(script, tmp_path)
    assert f"{error} at " in said.stderr
    assert CANARY not in said.stderr + said.stdout
    assert "Traceback" not in said.stderr
    assert said.returncode == (0 if script.endswith(DELETED) else 1)


def test_no_memory_is_written_to_a_disk_and_no_file_for_others(tmp_path: Path) -> None:
    said = ran(
        DISCREET + "import ctypes, pathlib, resource\n"
        "pathlib.Path('made').write_text('x'); pathlib.Path('folder').mkdir()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0))",
        tmp_path,
    )
    assert said.stdout.strip() == "(0, 0) 0"
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("made", "folder")] == [0o600, 0o700]
