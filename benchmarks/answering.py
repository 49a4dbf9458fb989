"""How soon an answer is there: from the response to a study's last image to report and heatmap in the archive.

    python -m benchmarks.answering                 everything, into benchmarks/answering.{json,txt,svg}
    python -m benchmarks.answering --studies 5     a first look

A whole node receives films of 2500 x 2048 pixels, 16 bit, waits for no further image of a study (quiet time 0), and
sends a Structured Report and a heatmap to Orthanc as it comes. The clock runs from when the sender has the response to
its last C-STORE until the node has Orthanc's Success for the second of the two objects.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom.dsutils import encode
from rich.console import Console
from rich.progress import Progress

from benchmarks.figures import Figures
from benchmarks.neighbours import busy_neighbours
from benchmarks.peer import Peer
from benchmarks.servers import NODE, ORTHANC, Server, installed, server
from storage import views
from storage.folder import DataFolder
from tests.builders import chest_film

STUDIES = 40
BURST = 200
ROWS, COLUMNS = 2500, 2048
STARTS = 5
NEIGHBOURS = 2
PATIENCE_SECONDS = 600.0


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=STUDIES)
    parser.add_argument("--burst", type=int, default=BURST)
    parser.add_argument("--starts", type=int, default=STARTS)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(""))
    arguments = parser.parse_args()
    if ORTHANC not in installed():
        parser.error("Orthanc is not installed")
    figures = Figures("From the last image of a study to report and heatmap in Orthanc", NODE)
    large = [chest_film(view=view, rows=ROWS, columns=COLUMNS, opacity=True) for view in ("PA", "LL")]
    with tempfile.TemporaryDirectory(dir=arguments.output.parent) as scratch, Progress() as progress:
        task = progress.add_task("answering", total=arguments.starts + 2)
        for number in range(arguments.starts):
            with _whole(Path(scratch), number) as running:
                figures.note("first study after the start", "ms", NODE, _answered(running, large[:1]))
            progress.advance(task)
        with _whole(Path(scratch), "warm") as running:
            _measure(running, large[:1], arguments.studies, "one image", figures)
            with busy_neighbours(NEIGHBOURS):
                _measure(
                    running, large[:1], arguments.studies, f"one image, {NEIGHBOURS} busy neighbours", figures
                )
            progress.advance(task)
        with _whole(Path(scratch), "burst") as running:
            _measure_burst(running, large, arguments.burst, figures)
        progress.advance(task)
    figures.write(arguments.output)
    Console().print(figures.table())


@contextmanager
def _whole(scratch: Path, name: object) -> Iterator[Server]:
    with (
        server(ORTHANC, scratch / f"orthanc {name}") as archive,
        server(NODE, scratch / f"node {name}", destination=archive) as running,
    ):
        yield running


def _measure(running: Server, films: list[Dataset], studies: int, what: str, figures: Figures) -> None:
    _answered(running, films)
    taken = [_answered(running, films) for _ in range(studies)]
    figures.note(f"{what}: median", "ms", NODE, statistics.median(taken))
    figures.note(f"{what}: 95th percentile", "ms", NODE, statistics.quantiles(taken, n=20)[18])


def _answered(running: Server, films: list[Dataset]) -> float:
    """Send a study and return the milliseconds until both its objects are in the archive."""
    study = generate_uid()
    responded = _send(running, films, study)
    with closing(DataFolder.existing(running.folder / "data")) as folder:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(delivered := _delivered(folder, study)) < 2:
            assert time.monotonic() < deadline, "no answer"
            time.sleep(0.02)
    return 1000 * (max(delivered) - responded)


def _send(running: Server, films: list[Dataset], study: str) -> float:
    """Send a study's films over one association, and return when the last one was answered."""
    contents = [_another(film, study) for film in films]
    with Peer(running) as peer:
        peer.associate()
        for uid, content in contents:
            peer.store(uid, content)
        responded = time.time()
        peer.release()
    return responded


def _another(film: Dataset, study: str) -> tuple[str, bytes]:
    film.StudyInstanceUID, film.SeriesInstanceUID, film.SOPInstanceUID = study, generate_uid(), generate_uid()
    content = encode(film, is_implicit_vr=True, is_little_endian=True)
    assert content is not None
    return str(film.SOPInstanceUID), content


def _delivered(folder: DataFolder, study: str) -> list[float]:
    with folder.database.read() as connection:
        story = views.study(connection, study)
    return [each["delivered_at"] for each in story["deliveries"] if each["delivered_at"] is not None]


def _measure_burst(running: Server, films: list[Dataset], studies: int, figures: Figures) -> None:
    """Send whole studies (PA and lateral) as fast as they are taken; wait until all is in the archive."""
    _answered(running, films)
    before = running.memory_megabytes()
    started = time.time()
    uids = [generate_uid() for _ in range(studies)]
    for uid in uids:
        _send(running, films, uid)
    with closing(DataFolder.existing(running.folder / "data")) as folder:
        for uid in uids:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while len(delivered := _delivered(folder, uid)) < 2:
                assert time.monotonic() < deadline, "no answer"
                time.sleep(0.2)
    figures.note(
        f"burst of {studies} studies of two images",
        "studies a second",
        NODE,
        studies / (max(delivered) - started),
    )
    figures.note(f"burst of {studies}: memory before", "MB", NODE, before)
    figures.note(f"burst of {studies}: memory after", "MB", NODE, running.memory_megabytes())


if __name__ == "__main__":
    main()
