"""A stand-in for the PACS: a real archive where Orthanc is installed, else a small one that keeps files.

Both listen on loopback only and hold what they get in a folder that is theirs.
"""

import hashlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.transport import ThreadedAssociationServer

from dicom_node.associations import VERIFICATION
from dicom_node.errors import NodeError

AE_TITLE = "DEMO_PACS"
START_SECONDS = 30.0


class ArchiveFailed(NodeError):
    """The archive did not start; its log says why."""


class Archive(Protocol):
    """What the demonstration needs of a PACS."""

    name: str
    port: int

    def objects_of(self, study_instance_uid: str) -> list[Dataset]:
        """Return every object that the archive holds of the study."""

    def stop(self) -> None:
        """End the archive."""


def start_archive(folder: Path) -> Archive:
    """Start Orthanc, or the small archive where there is none. Raises ArchiveFailed."""
    orthanc = shutil.which("Orthanc", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
    folder.mkdir(parents=True, exist_ok=True)
    return OrthancArchive(Path(orthanc), folder) if orthanc else SmallArchive(folder)


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class OrthancArchive:
    """Orthanc as a process of its own, asked over its REST interface at `url`.

    `plugins` are the files of what it shall load, such as its DICOMweb server, `more` further settings of its own.
    """

    name = "Orthanc"

    def __init__(
        self,
        executable: Path,
        folder: Path,
        port: int | None = None,
        plugins: Sequence[Path] = (),
        more: Mapping[str, object] | None = None,
    ) -> None:
        self.port = port or free_port()
        http_port = free_port()
        self.url = f"http://127.0.0.1:{http_port}"
        configuration = {
            "Name": "demo",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "DicomAet": AE_TITLE,
            "DicomPort": self.port,
            "DicomCheckCalledAet": True,
            "HttpPort": http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "Plugins": [str(each) for each in plugins],
            **(more or {}),
        }
        (folder / "orthanc.json").write_text(json.dumps(configuration), encoding="utf-8")
        self._log = folder / "orthanc.log"
        with self._log.open("ab") as log:
            # Orthanc ends by itself on SIGTERM; its own loopback HTTP needs no shell
            self._process = subprocess.Popen(  # noqa: S603 - the executable is the one that the system has
                [str(executable), str(folder / "orthanc.json")], stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._ask("/system")
            except (urllib.error.URLError, ConnectionError):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise ArchiveFailed(f"Orthanc did not start: see {self._log}") from None
                time.sleep(0.05)
            else:
                return

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    def instances(self) -> list[str]:
        """Return Orthanc's own identifiers of all instances."""
        found: list[str] = self._ask("/instances")
        return found

    def objects_of(self, study_instance_uid: str) -> list[Dataset]:
        """Return every object that the archive holds of the study."""
        query = {"Level": "Instance", "Query": {"StudyInstanceUID": study_instance_uid}}
        found = self._ask("/tools/find", json.dumps(query).encode())
        return [dcmread(BytesIO(self._get(f"/instances/{each}/file"))) for each in found]

    def add(self, file: bytes) -> None:
        """Take a DICOM file in. Raises urllib.error.HTTPError."""
        self._ask("/instances", file)

    def stop(self) -> None:
        """End Orthanc."""
        self._process.terminate()
        self._process.wait()

    def _ask(self, path: str, content: bytes | None = None) -> Any:  # noqa: ANN401 - whatever JSON Orthanc answers
        return json.loads(self._get(path, content))

    def _get(self, path: str, content: bytes | None = None) -> bytes:
        with urllib.request.urlopen(self.url + path, content, timeout=30) as answer:  # noqa: S310 - http, loopback
            answered: bytes = answer.read()
        return answered


class SmallArchive:
    """A Storage SCP that keeps files: enough to see what arrives where no real archive is installed."""

    name = "the project's own small archive (Orthanc is not installed)"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        entity = AE(AE_TITLE)
        entity.require_called_aet = True
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(str(context.abstract_syntax))
        entity.add_supported_context(VERIFICATION)
        self.port = free_port()
        self._server: ThreadedAssociationServer | None = entity.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )

    def objects_of(self, study_instance_uid: str) -> list[Dataset]:
        """Return every object that the archive holds of the study."""
        found = [dcmread(path) for path in sorted(self._folder.glob("*.dcm"))]
        return [each for each in found if study_instance_uid == each.StudyInstanceUID]

    def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def _store(self, event: evt.Event) -> int:
        name = hashlib.sha256(event.file_meta.MediaStorageSOPInstanceUID.encode()).hexdigest()
        partial = self._folder / f"{name}.partial"
        partial.write_bytes(event.encoded_dataset())
        partial.replace(partial.with_suffix(".dcm"))
        return 0x0000
