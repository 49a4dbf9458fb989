"""How soon an answer is there: from the response to a study's last image to report and heatmap in the archive.

    python -m benchmarks.answering                 everything, into benchmarks/answering.{json,txt,svg}
    python -m benchmarks.answering --studies 5     a first look

A whole node receives films of 2500 x 2048 pixels, 16 bit, waits for no further image of a study (quiet time 0), and
sends a Structured Report and a heatmap to Orthanc as it comes. The clock runs from when the sender has the response to
its last C-STORE until the node has Orthanc's Success for the second of the two objects. Heatmaps are measured in the
film's own size, 16 MB, and in a small one, 2.5 MB ([results] heatmap_longest_side).
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import pairwise
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
HEATMAPS = {"small heatmap": 1024, "full heatmap": 0}
STAGES = ("received until looked at", "look", "until reported", "report", "until sent", "sent")
PATIENCE_SECONDS = 600.0
_MOMENTS = """
    SELECT instances.received_at, look.first_claimed_at, look.ended_at, report.first_claimed_at, report.ended_at,
        min(deliveries.first_claimed_at), max(deliveries.delivered_at)
    FROM instances
    JOIN jobs AS look ON look.instance_id = instances.id
    JOIN jobs AS report ON report.study_instance_uid = instances.study_instance_uid AND report.kind = 'report'
    JOIN results ON results.job_id = report.id
    JOIN deliveries ON deliveries.result_id = results.id
    GROUP BY instances.id ORDER BY instances.id DESC LIMIT ?
"""


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
        task = progress.add_task("answering", total=(arguments.starts + 2) * len(HEATMAPS))
        for heatmap, longest_side in HEATMAPS.items():
            for number in range(arguments.starts):
                with _whole(Path(scratch), number, longest_side) as running:
                    taken = _answered(running, large[:1])
                    figures.note(f"{heatmap}: first study after the start", "ms", NODE, taken)
                progress.advance(task)
            with _whole(Path(scratch), "warm", longest_side) as running:
                _measure(running, large[:1], arguments.studies, heatmap, figures)
                _note_stages(running, arguments.studies, heatmap, figures)
                with busy_neighbours(NEIGHBOURS):
                    busy = f"{heatmap}, {NEIGHBOURS} busy neighbours"
                    _measure(running, large[:1], arguments.studies, busy, figures)
                progress.advance(task)
            with _whole(Path(scratch), "burst", longest_side) as running:
                _measure_burst(running, large, arguments.burst, heatmap, figures)
            progress.advance(task)
    figures.write(arguments.output)
    Console().print(figures.table())


@contextmanager
def _whole(scratch: Path, name: object, longest_side: int) -> Iterator[Server]:
    with (
        server(ORTHANC, scratch / f"orthanc {name}") as archive,
        server(NODE, scratch / f"node {name}", archive, longest_side) as running,
    ):
        yield running


def _measure(running: Server, films: list[Dataset], studies: int, what: str, figures: Figures) -> None:
    _answered(running, films)
    taken = [_answered(running, films) for _ in range(studies)]
    figures.note(f"{what}: median", "ms", NODE, statistics.median(taken))
    figures.note(f"{what}: 95th percentile", "ms", NODE, statistics.quantiles(taken, n=20)[18])


def _note_stages(running: Server, studies: int, what: str, figures: Figures) -> None:
    """Note what the last studies' time was spent on."""
    with (
        closing(DataFolder.existing(running.folder / "data")) as folder,
        folder.database.read() as connection,
    ):
        rows = connection.exec_driver_sql(_MOMENTS, (studies,)).all()
    for stage, taken in zip(STAGES, _differences(rows), strict=True):
        figures.note(f"{what}, of it {stage}: median", "ms", NODE, 1000 * statistics.median(taken))


def _differences(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    moments = list(zip(*rows, strict=True))
    return [[end - start for start, end in zip(*pair, strict=True)] for pair in pairwise(moments)]


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


def _measure_burst(running: Server, films: list[Dataset], studies: int, what: str, figures: Figures) -> None:
    """Send whole studies (PA and lateral) as fast as they are taken; wait until all is in the archive."""
    _answered(running, films)
    before = halfway = running.memory_megabytes()
    started = time.time()
    uids = [generate_uid() for _ in range(studies)]
    for uid in uids:
        _send(running, films, uid)
    with closing(DataFolder.existing(running.folder / "data")) as folder:
        for number, uid in enumerate(uids):
            if number == studies // 2:
                halfway = running.memory_megabytes()
            deadline = time.monotonic() + PATIENCE_SECONDS
            while len(delivered := _delivered(folder, uid)) < 2:
                assert time.monotonic() < deadline, "no answer"
                time.sleep(0.2)
    figures.note(
        f"{what}: burst of {studies} studies of two images",
        "studies a second",
        NODE,
        studies / (max(delivered) - started),
    )
    figures.note(f"{what}: burst of {studies}: memory before", "MB", NODE, before)
    figures.note(f"{what}: burst of {studies}: memory halfway", "MB", NODE, halfway)
    figures.note(f"{what}: burst of {studies}: memory after", "MB", NODE, running.memory_megabytes())


if __name__ == "__main__":
    main()
