"""The real peers: a node in a process of its own, dcmtk's tools, and Orthanc as the PACS; and how to wait for them."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import Connection

from dicom_node.demo.archive import AE_TITLE as PACS_AE_TITLE
from dicom_node.demo.archive import OrthancArchive
from storage import listing, views
from storage.engine import Database
from storage.errors import StorageUnavailable
from storage.folder import DATABASE_NAME
from tests.builders import PATIENT_DATA
from tests.ports import free_port

Found = TypeVar("Found")
NODE_AE_TITLE = "CXR_NODE"


def wait_for(what: Callable[[], Found], seconds: float = 60.0, why: str = "") -> Found:
    """Ask again and again until the answer is true, and return it; fail at the deadline.

    Asking takes at most half the time: who is waited for needs the processor, too.
    """
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        asked = time.monotonic()
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, why or "it did not happen in time"
        pause.wait(max(0.05, time.monotonic() - asked))


def dicomweb_plugin() -> Path:
    """Return the path of Orthanc's DICOMweb plugin, or skip the test with the reason."""
    for folder in ("/usr/share", "/usr/local/share"):
        plugin = Path(folder, "orthanc/plugins/libOrthancDicomWeb.so")
        if plugin.exists():
            return plugin
    pytest.skip("peer missing: Orthanc's DICOMweb plugin is not installed")


def faketime() -> Path:
    """Return the path of libfaketime, or skip the test with the reason."""
    for found in sorted(Path("/usr/lib").glob("**/faketime/libfaketimeMT.so.1")):
        return found
    pytest.skip("peer missing: libfaketime is not installed")


def tool(name: str) -> str:
    """Return the path of a peer's program, or skip the test with the reason.

    The system's come first: pynetdicom brings commands of its own that are called as dcmtk's are.
    """
    found = shutil.which(name, path=f"/usr/local/bin:/usr/bin:/usr/sbin:{Path(sys.executable).parent}")
    if found is None:
        pytest.skip(f"peer missing: {name} is not installed")
    return found


def told_of_patients() -> list[str]:
    """Say where the nodes that ran since the last call, or still run, told what only DICOM objects may tell.

    None of the commands shows anything of a patient, so the output of each is looked at, as are logs, the names of
    files, and what the database keeps for people to read.
    """
    told = [
        *said,
        *(("a temporary name", path.name) for path in Path(tempfile.gettempdir()).iterdir()),
        *(each for node in {node.folder: node for node in started}.values() for each in _left_by(node)),
    ]
    said.clear()
    started[:] = [node for node in started if node.running]
    return [f"{where}: {each}" for where, text in told for each in PATIENT_DATA if each in text]


def _left_by(node: "NodeProcess") -> Iterator[tuple[str, str]]:
    with contextlib.suppress(OSError):  # a disk that a test has broken, or taken away
        yield "the log", node.log
        for path in node.folder.rglob("*"):
            yield "the name of a file", path.name
    database = f"file:{node.folder / 'data' / 'node.sqlite'}?mode=ro"
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(database, uri=True)) as connection,
    ):
        for column in (
            "detail FROM audit",
            "reason FROM jobs",
            "reason FROM deliveries",
            "reason FROM fetches",
        ):
            for (text,) in connection.execute(f"SELECT {column}"):
                yield f"the database's {column}", str(text)


def _with_reference_engine(settings: str) -> str:
    """The tests have OpenVINO, as hardly a node has: to compare the two would cost each of its starts a second."""
    model = '[model]\nengine = "onnxruntime"\n'
    return settings.replace("[model]\n", model) if "[model]\n" in settings else f"{settings}\n{model}"


said: list[tuple[str, str]] = []
started: list["NodeProcess"] = []


class NodeProcess:
    """`dicom-node run` as an administrator starts it, with a settings file of its own.

    `settings` are further sections of the file, `of_pacs` further lines of the section of the PACS, `web` those of the
    pages' section. In a `with` it runs, and is stopped at the end where it still does.
    """

    def __init__(
        self,
        folder: Path,
        pacs_port: int | None,
        settings: str = "",
        of_pacs: str = "",
        web: str = "enabled = false",
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.config = folder / "node.toml"
        self._settings = settings
        self._of_pacs = of_pacs
        self._web = web
        self.write_config(pacs_port)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        if self.running:
            self.stop()

    def write_config(self, pacs_port: int | None) -> None:
        """Write the settings, with the PACS on this port; None: without one."""
        pacs = f"""
[[destinations]]
name = "pacs"
ae_title = "{PACS_AE_TITLE}"
host = "127.0.0.1"
port = {pacs_port}
{self._of_pacs}
"""
        self.config.write_text(
            f"""
[node]
ae_title = "{NODE_AE_TITLE}"
data_dir = "data"
[receiver]
port = {self.port}
study_quiet_seconds = 0.3
[[sources]]
name = "pacs"
ae_title = "PACS"
hosts = ["127.0.0.1"]
[[sources]]
name = "converter"
ae_title = "CONVERTER"
hosts = ["127.0.0.1"]
analyse_secondary_capture = true
[[sources]]
name = "elsewhere"
ae_title = "ELSEWHERE"
hosts = ["192.0.2.1"]
{"" if pacs_port is None else pacs}
[web]
{self._web}
[retry]
deliver_first_seconds = 0.2
deliver_longest_seconds = 1.0
{_with_reference_engine(self._settings)}
""",
            encoding="utf-8",
        )

    def speak_tls(self) -> None:
        """Have the receiver speak TLS alone."""
        written = self.config.read_text(encoding="utf-8")
        self.config.write_text(written.replace("[receiver]", "[receiver]\ntls = true"), encoding="utf-8")

    @property
    def log(self) -> str:
        return (self.folder / "node.log").read_text(encoding="utf-8")

    def start(self, *roles: str) -> None:
        """Start and wait for the ready line."""
        self.launch("dicom_node.cli", roles=roles)
        assert self.running, self.log

    def launch(self, *module: str, roles: Sequence[str] = ()) -> None:
        """Start by a module with its arguments, and wait for the ready line or for the end."""
        started.append(self)
        before = self.log.count("dicom-node ready") if (self.folder / "node.log").exists() else 0
        options = [word for role in roles for word in ("--role", role)]
        clock = self._clock()
        if clock:
            module = ("tests.faults.other_clock", *module)
        with (self.folder / "node.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *module, "run", "--config", str(self.config), *options],
                stderr=log,
                env=os.environ | clock,
            )
        wait_for(lambda: self.log.count("dicom-node ready") > before or not self.running, 180, "start")

    def set_clock(self, ahead: str) -> None:
        """Set the node's clock so far ahead or back (`+3h`, `-90m`): within a second, where it was started after the
        first time.
        """
        # never half-written: libfaketime reads it at any time
        (self.folder / "new").write_text(f"{ahead}\n", encoding="ascii")
        (self.folder / "new").rename(self.folder / "clock")

    def _clock(self) -> dict[str, str]:
        clock = self.folder / "clock"
        if not clock.exists():
            return {}
        return {
            "LD_PRELOAD": str(faketime()),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_CACHE_DURATION": "1",
            # as on a real machine, where nobody can set it
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def kill(self) -> None:
        """End as a power cut ends it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int:
        """End by SIGTERM and return the exit status."""
        self.terminate()
        return self.ended()

    def terminate(self) -> None:
        """Ask it to end by SIGTERM."""
        assert self._process is not None
        self._process.terminate()

    def ended(self) -> int:
        """Wait for the process to end by itself and return its exit status, as subprocess has it."""
        assert self._process is not None
        return self._process.wait(120)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def send(
        self, *files: Path, calling: str = "PACS", called: str = NODE_AE_TITLE, options: str = ""
    ) -> int:
        """Send files with dcmtk's storescu over one association and return its exit status."""
        titles = ["-aet", calling, "-aec", called]
        ran = subprocess.run(
            [
                tool("storescu"),
                "-v",
                "-R",
                *titles,
                *options.split(),
                "127.0.0.1",
                str(self.port),
                *map(str, files),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        print(ran.stdout, ran.stderr)  # pytest shows it where a test fails
        return ran.returncode

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run `dicom-node` with these words and the node's settings."""
        ran = subprocess.run(
            [sys.executable, "-m", "dicom_node.cli", *words, "--config", str(self.config)],
            capture_output=True,
            text=True,
            check=False,
        )
        said.append((f"the output of {' '.join(words)}", ran.stdout + ran.stderr))
        return ran

    def json(self, *words: str) -> Any:
        """Run a command with --json and return what it says."""
        ran = self.command(*words, "--json")
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    # for who waits, asked of the database itself: by commands, each of which takes the processor for a second, he would
    # wait for himself

    def status(self) -> dict[str, Any]:
        """Return what `status --json` says."""
        return self._ask(lambda connection: views.status(connection, time.time()))

    def story(self, study: str) -> dict[str, Any]:
        """Return what `show --json` says."""
        return self._ask(lambda connection: views.study(connection, study))

    def jobs(self) -> list[dict[str, Any]]:
        """Return what `jobs --json` says."""
        return self._ask(lambda connection: listing.list_jobs(connection, None, 1000))

    def _ask(self, question: Callable[[Connection], Found]) -> Found:
        database = Database(self.folder / "data" / DATABASE_NAME)
        try:
            with database.read() as connection:
                return question(connection)
        finally:
            database.close()

    def settled(self, instances: int) -> bool:
        """Whether this many instances have arrived and nothing is waiting or being done."""
        try:
            status = self.status()
        except StorageUnavailable:  # its disk is broken, or it has not started yet
            return False
        open_work = sum(
            status[kind][state] for kind in ("jobs", "deliveries") for state in ("queued", "running")
        )
        return bool(status["instances_received"] >= instances and open_work == 0)


class Pacs:
    """Orthanc, which can be stopped and started again on the same port and folder.

    `more` are settings of its own beside those that every test's has.
    """

    def __init__(self, folder: Path, more: dict[str, object] | None = None) -> None:
        self._more = more
        self._executable = Path(tool("Orthanc"))
        self._folder = folder
        self.port = free_port()
        self._orthanc: OrthancArchive | None = None
        folder.mkdir()

    def start(self) -> None:
        self._orthanc = OrthancArchive(self._executable, self._folder, self.port, more=self._more)

    def stop(self) -> None:
        if self._orthanc is not None:
            self._orthanc.stop()
            self._orthanc = None

    def results(self, study: str) -> tuple[list[Dataset], list[Dataset]]:
        """Return the study's structured reports and heatmaps."""
        found = self.objects(study)
        return [each for each in found if each.Modality == "SR"], [
            each for each in found if "PixelData" in each
        ]

    def objects(self, study: str) -> list[Dataset]:
        """Return everything that the PACS holds of the study."""
        assert self._orthanc is not None
        return self._orthanc.objects_of(study)

    def uids(self, study: str) -> list[str]:
        """Return the SOP Instance UIDs of everything that the PACS holds of the study."""
        query = {"Level": "Instance", "Expand": True, "Query": {"StudyInstanceUID": study}}
        return [each["MainDicomTags"]["SOPInstanceUID"] for each in self.ask("POST", "/tools/find", query)]

    def hold(self, content: bytes) -> None:
        """Let the PACS have an object that it did not get from the node."""
        assert self._orthanc is not None
        self._orthanc.add(content)

    def ask(self, method: str, path: str, content: object = None) -> Any:
        """Ask Orthanc's REST interface, as its administrator does."""
        assert self._orthanc is not None
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self._orthanc.url + path, body, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or "null")

    def introduce(self, node: NodeProcess, **more: object) -> None:
        """Tell the PACS who and where the node is: before that it answers none of its questions."""
        known = {"AET": NODE_AE_TITLE, "Host": "127.0.0.1", "Port": node.port, **more}
        self.ask("PUT", "/modalities/node", known)

    def forget(self, modality: str) -> None:
        """Let the PACS no longer know this one."""
        self.ask("PUT", f"/modalities/{modality}", {"AET": "ANOTHER", "Host": "127.0.0.1", "Port": 1})

    def lose(self, sop_instance_uid: str) -> None:
        """Let the PACS lose an object."""
        query = {"Level": "Instance", "Query": {"SOPInstanceUID": sop_instance_uid}}
        [lost] = self.ask("POST", "/tools/find", query)
        self.ask("DELETE", f"/instances/{lost}")

    def count(self) -> int:
        assert self._orthanc is not None
        return len(self._orthanc.instances())
