"""Follow real radiographs through the node to a PACS and back.

Starts a PACS stand-in (Orthanc where it is installed, else a small archive of the project's own) and a node on free
ports of the loopback interface, sends chest radiographs by C-STORE, and prints for each what the PACS received. The
heatmaps (PNG), the reports (text) and the objects themselves lie in the folder that is named at the end.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from pydicom.dataset import Dataset
from pynetdicom import AE
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from config.sections import LoggingSettings
from dicom_node import logs
from dicom_node.demo.archive import AE_TITLE, Archive, start_archive
from dicom_node.demo.films import DemoFilm, demo_films
from dicom_node.errors import NodeError
from dicom_node.results.readable import readable_text
from inference.prediction import Reason
from storage import views
from storage.folder import DataFolder
from storage.states import OPEN

NODE_AE_TITLE, SENDER_AE_TITLE = "DEMO_NODE", "DEMO_MODALITY"
START_SECONDS = 60.0
RESULTS_SECONDS = 180.0
POLL_SECONDS = 0.1
FILE_WIDTH = 110  # of the table where nobody's terminal says how wide it is


class DemoFailed(NodeError):
    """The demonstration could not be carried through."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `demo` takes."""
    parser.add_argument("--images", type=Path, metavar="DIR", help="send the DICOM files below DIR too")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="folder for everything (default: a new one for temporary files)",
    )


@dataclass(slots=True)
class _Sent:
    film: DemoFilm
    status: str


def run(arguments: argparse.Namespace) -> int:
    """Send, wait, show; exit status 1 if a film got no report."""
    logs.configure(LoggingSettings(level="error"))
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="dicom-node-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    console = Console(width=None if sys.stdout.isatty() else FILE_WIDTH)
    archive = start_archive(folder / "pacs")
    console.print(f"PACS stand-in: {archive.name}, {AE_TITLE} on port {archive.port}")
    node = _start_node(folder, archive.port)
    try:
        port = _wait_until_ready(node, folder / "node.log")
        console.print(f"node: {NODE_AE_TITLE} on port {port}")
        with Progress(console=Console(stderr=True)) as progress:
            sent = _send(list(demo_films(arguments.images)), port, progress)
            studies = _wait_for_results(sent, folder / "data", progress)
            complete = _show(sent, studies, archive, folder, console)
    finally:
        node.terminate()
        node.wait()
        archive.stop()
    console.print(f"heatmaps (PNG), reports (text) and objects: {folder / 'results'}")
    console.print("It assists, it does not diagnose.")
    return 0 if complete else 1


def _start_node(folder: Path, archive_port: int) -> "subprocess.Popen[bytes]":
    (folder / "node.toml").write_text(
        f"""[node]
ae_title = "{NODE_AE_TITLE}"
data_dir = "data"

[receiver]
port = 0                            # any that is free
study_quiet_seconds = 0.5

[web]
port = 0                            # as above

[[sources]]
name = "modality"
ae_title = "{SENDER_AE_TITLE}"
hosts = ["127.0.0.1"]
analyse_secondary_capture = true    # film converters send CR and DX in that class

[[destinations]]
name = "pacs"
ae_title = "{AE_TITLE}"
host = "127.0.0.1"
port = {archive_port}
""",
        encoding="utf-8",
    )
    with (folder / "node.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - this interpreter, this package
            [sys.executable, "-m", "dicom_node.cli", "run", "--config", str(folder / "node.toml")], stderr=log
        )


def _wait_until_ready(node: "subprocess.Popen[bytes]", log: Path) -> int:
    """Return the port that the node's ready line names."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and node.poll() is None:
        ready = re.search(r"ready: .* port (\d+)", log.read_text(encoding="utf-8"))
        if ready:
            return int(ready[1])
        time.sleep(POLL_SECONDS)
    raise DemoFailed(f"the node did not start: see {log}")


def _send(films: list[DemoFilm], port: int, progress: Progress) -> list[_Sent]:
    """Send each film over an association of its own, in its own transfer syntax."""
    task = progress.add_task("C-STORE", total=len(films))
    sent = []
    for film in films:
        entity = AE(SENDER_AE_TITLE)
        entity.add_requested_context(film.dataset.SOPClassUID, film.dataset.file_meta.TransferSyntaxUID)
        association = entity.associate("127.0.0.1", port, ae_title=NODE_AE_TITLE)
        status = "refused"
        if association.is_established:
            answer = association.send_c_store(film.dataset)
            status = f"0x{answer.Status:04X}" if "Status" in answer else "no answer"
            association.release()
        sent.append(_Sent(film, status))
        progress.advance(task)
    return sent


def _wait_for_results(sent: list[_Sent], data: Path, progress: Progress) -> dict[str, dict[str, Any]]:
    """Wait until every study that was taken has been reported and delivered; return the story of each."""
    expected = {str(each.film.dataset.StudyInstanceUID) for each in sent if each.status == "0x0000"}
    task = progress.add_task("reports and heatmaps", total=len(expected))
    folder = DataFolder.existing(data)
    deadline = time.monotonic() + RESULTS_SECONDS
    studies: dict[str, dict[str, Any]] = {}
    while len(studies) < len(expected) and time.monotonic() < deadline:
        for uid in expected - studies.keys():
            with folder.database.read() as connection:
                story = views.study(connection, uid)
            steps = story["reports"] + story["deliveries"]
            if not any(step["state"] in OPEN for step in steps):
                studies[uid] = story
                progress.advance(task)
        time.sleep(POLL_SECONDS)
    folder.close()
    return studies


def _show(
    sent: list[_Sent], studies: dict[str, dict[str, Any]], archive: Archive, folder: Path, console: Console
) -> bool:
    """Write what the PACS holds into the results folder and print the table; return whether nothing is missing."""
    table = Table("film", "answer", "score", "SR", "heatmap", "ms", title="what the PACS received")
    complete = True
    for number, each in enumerate(sent, start=1):
        dataset = each.film.dataset
        story = studies.get(str(dataset.StudyInstanceUID))
        results = archive.objects_of(dataset.StudyInstanceUID)
        reports = [made for made in results if made.Modality == "SR"]
        heatmaps = [made for made in results if "PixelData" in made]
        complete = complete and bool(reports)
        _write(reports, heatmaps, folder / "results" / _folder_name(number, each.film.name))
        instance = _instance(story, dataset)
        score = instance.get("score")
        table.add_row(
            each.film.name,
            _answer(instance, each.status),
            "" if score is None else f"{score:.2f}",
            str(len(reports) or "-"),
            str(len(heatmaps) or "-"),
            _milliseconds(story),
        )
    console.print(table)
    console.print(
        "ms: from the film's arrival to its last result in the PACS; half a second of it is the quiet time"
    )
    return complete


def _folder_name(number: int, film: str) -> str:
    """Return a name that every system's shells and file systems take."""
    return f"{number:02d}-" + re.sub(r"[^A-Za-z0-9.]+", "-", film).strip("-")


def _instance(story: dict[str, Any] | None, dataset: Dataset) -> dict[str, Any]:
    found = [] if story is None else story["instances"]
    return next((each for each in found if each["sop_instance_uid"] == dataset.SOPInstanceUID), {})


def _answer(instance: dict[str, Any], status: str) -> str:
    if not instance:
        return f"C-STORE {status}"
    if instance["score"] is not None:
        return f"pneumonia {instance['answer']}"
    if instance["reason"] in list(Reason):
        return f"not analysable: {instance['reason'].replace('_', ' ')}"
    return f"{instance['state']}: {instance['reason'] or instance['stored_only']}"


def _milliseconds(story: dict[str, Any] | None) -> str:
    if story is None or not story["deliveries"]:
        return "-"
    arrived = max(each["received_at"] for each in story["instances"])
    return f"{(max(each['ended_at'] for each in story['deliveries']) - arrived) * 1000:.0f}"


def _write(reports: list[Dataset], heatmaps: list[Dataset], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, report in enumerate(reports, start=1):
        report.save_as(folder / f"report{number}.dcm")
        (folder / f"report{number}.txt").write_text(readable_text(report), encoding="utf-8")
    for number, heatmap in enumerate(heatmaps, start=1):
        heatmap.save_as(folder / f"heatmap{number}.dcm")
        Image.fromarray(heatmap.pixel_array).save(folder / f"heatmap{number}.png")
