"""What is measured side by side: this node, Orthanc and dcmtk's storescp, each fresh and on a folder of its own."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dicom_node.demo.archive import OrthancArchive, free_port

NODE, ORTHANC, STORESCP = "this node", "Orthanc", "storescp"
START_SECONDS = 60.0
_WHERE = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"  # pynetdicom has a storescp and a storescu, too
HASTY = {"TCP_NODELAY": "1"}
"""dcmtk's switch: its default lets each message wait for the last one's acknowledgement."""
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Server:
    """A running Storage SCP on this machine's loopback interface."""

    name: str
    ae_title: str
    port: int
    pid: int
    folder: Path

    def cpu_seconds(self) -> float:
        """Return how much of a processor it has taken so far."""
        after_name = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(after_name[11]) + int(after_name[12])) / _CLOCK_TICKS

    def memory_megabytes(self) -> float:
        """Return what it and the processes that it has started hold in memory."""
        return sum(_memory_megabytes(pid) for pid in _family(self.pid))


def installed() -> list[str]:
    """Return which of the servers this machine has."""
    return [
        NODE,
        *([ORTHANC] if tool("Orthanc") else []),
        *([STORESCP] if tool("storescp") else []),
    ]


def tool(name: str) -> str | None:
    """Return where the program of this name is installed."""
    return shutil.which(name, path=_WHERE)


@contextmanager
def server(
    name: str, folder: Path, destination: Server | None = None, heatmap: int = 0, *, hasty: bool = False
) -> Iterator[Server]:
    """Start the server of this name on a folder, empty or prepared for it, and end it and the folder.

    With a `destination` the node is a whole one, which sends its results there, the longest side of a heatmap being
    `heatmap` (0: the film's); else it is its receiving process. `hasty`: dcmtk and Orthanc, which is made of it, do
    not let a message wait for the last one's acknowledgement, as they do by themselves and the node never does.
    """
    starts = {ORTHANC: _archive, STORESCP: _storescp}
    environment = HASTY if hasty else {}
    folder.mkdir(exist_ok=True)
    try:
        with (
            _node(folder, destination, heatmap) if name == NODE else starts[name](folder, environment)
        ) as started:
            yield started
    finally:
        shutil.rmtree(folder)


@contextmanager
def _node(folder: Path, destination: Server | None, heatmap: int) -> Iterator[Server]:
    """With every promise kept: what it takes is durable before it answers."""
    port = free_port()
    to = (
        ""
        if destination is None
        else f"""
[[destinations]]
name = "archive"
ae_title = "{destination.ae_title}"
host = "127.0.0.1"
port = {destination.port}
"""
    )
    (folder / "node.toml").write_text(
        f"""
[node]
ae_title = "BENCH"
data_dir = "data"
[receiver]
host = "127.0.0.1"
port = {port}
study_quiet_seconds = 0
[web]
port = 0
[model]
engine = "onnxruntime"
uncertain = [0, 0]
[results]
heatmap_longest_side = {heatmap}
[[sources]]
name = "sender"
ae_title = "SENDER"
hosts = ["127.0.0.1"]
{to}""",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "dicom_node.cli", "run", "--config", str(folder / "node.toml")]
    roles = ["--role", "receive"] if destination is None else []
    with _started([*command, *roles], folder, port, {}) as process:
        while destination is not None and "analysis_started" not in (folder / "log").read_text():
            time.sleep(0.05)
        yield Server(NODE, "BENCH", port, process.pid, folder)


@contextmanager
def _storescp(folder: Path, environment: dict[str, str]) -> Iterator[Server]:
    """As dcmtk comes: what it answers is in the system's memory, and lost with its power."""
    port = free_port()
    executable = tool("storescp")
    assert executable is not None
    stored = folder / "stored"
    stored.mkdir()
    command = [executable, "--output-directory", str(stored), str(port)]
    with _started(command, folder, port, environment) as process:
        yield Server(STORESCP, "ANY", port, process.pid, folder)


@contextmanager
def _archive(folder: Path, environment: dict[str, str]) -> Iterator[Server]:
    """As Orthanc comes: it syncs what it stores."""
    executable = tool("Orthanc")
    assert executable is not None
    with _environment(environment):
        archive = OrthancArchive(Path(executable), folder, more={"DicomCheckCalledAet": False})
    try:
        yield Server(ORTHANC, "DEMO_PACS", archive.port, archive.pid, folder)
    finally:
        archive.stop()


@contextmanager
def _started(
    command: list[str], folder: Path, port: int, environment: dict[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | environment)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start: {(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


@contextmanager
def _environment(more: dict[str, str]) -> Iterator[None]:
    os.environ.update(more)
    try:
        yield
    finally:
        for name in more:
            del os.environ[name]


def _family(pid: int) -> Iterator[int]:
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text(encoding="ascii").split():
            yield from _family(int(child))


def _memory_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) / 1000 if found else 0.0


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
