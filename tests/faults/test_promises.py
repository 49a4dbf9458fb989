"""A node on a disk that keeps nothing says so at its start, on stderr and in its log, and works."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.promises import Machine
from tests.peers import NodeProcess


@pytest.fixture
def in_memory() -> Iterator[Path]:
    if " /dev/shm tmpfs " not in Machine().mounts:
        pytest.skip("optional peer missing: a tmpfs at /dev/shm")
    made = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield made
    shutil.rmtree(made)


def test_a_node_in_memory_says_so(in_memory: Path) -> None:
    with NodeProcess(in_memory, None) as node:
        lines = node.log.splitlines()
        (said,) = [each for each in lines if each.startswith("dicom-node warning: data_dir")]
        assert f"{in_memory / 'data'} is on tmpfs, which is memory" in said
        logged = [json.loads(each) for each in lines if each.startswith("{")]
        assert {each["event"] for each in logged if said.endswith(each.get("reason", "."))} == {
            "promise_not_kept"
        }
    checking = [sys.executable, "-m", "dicom_node.cli", "check-config", str(node.config)]
    assert "note: data_dir" in subprocess.run(checking, capture_output=True, text=True, check=True).stdout
