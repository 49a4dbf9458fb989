"""What a million finished jobs cost: every question that a node asks its database again and again, and its commands.

    python -m benchmarks.finished                    everything, into benchmarks/finished.{json,txt,svg}
    python -m benchmarks.finished --jobs 30000       a first look

One folder has a day's finished studies, one has a year's before that, and in a third thousands of studies wait, their
reports due and held up by images that nobody has analysed yet. What is asked is in `tests/questions.py`: each question
goes through all three folders in turn, in a transaction that is taken back, so that every round finds the same rows and
no disk is waited for. What is told of a question is the processor's time, SQLAlchemy's part in it included.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks.figures import Figures
from benchmarks.history import EVERY_SECONDS, JOBS_A_STUDY, arrive, fill, go_the_whole_way
from storage.folder import DataFolder
from storage.steps import Step
from tests.questions import QUESTIONS, queue_work

JOBS = 1_000_000
WAITING = 20_000
"""Images, two a study."""
ROUNDS = 25
PROCESSES = 7
DAY_SECONDS = 86400.0
ASKED_WHILE_THEY_WAIT = (
    "claim an analysis",
    "claim a report or nothing",
    "claim a retry or nothing",
    "claim a delivery",
    "status",
    "receive an image",
    "sweep",
)
"""Whoever asks for the studies of a day has to read more of them."""


class _TakenBackError(Exception):
    """What was done to find out how long it takes is not kept."""


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=JOBS, help="finished jobs [%(default)s]")
    parser.add_argument("--waiting", type=int, default=WAITING, help="images that wait [%(default)s]")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(""))
    arguments = parser.parse_args()
    a_day, many, waiting = "a day's", f"{arguments.jobs:,} jobs", f"{arguments.waiting:,} waiting"
    figures = Figures("Questions to a database in which much is finished, or much waits", a_day)
    with tempfile.TemporaryDirectory(dir=arguments.output.parent) as scratch, Progress() as progress:
        task = progress.add_task("filling", total=3 + len(QUESTIONS) + 1)
        now = time.time()
        folders: dict[str, DataFolder] = {}
        for name, studies, way in (
            (a_day, int(DAY_SECONDS / EVERY_SECONDS), go_the_whole_way),
            (many, arguments.jobs // JOBS_A_STUDY, go_the_whole_way),
            (waiting, arguments.waiting // 2, arrive),
        ):
            folders[name] = DataFolder(Path(scratch) / str(len(folders)))
            folders[name].database.migrate()
            fill(folders[name], studies, now, way)
            with folders[name].database.write(Step.BY_HAND) as connection:
                queue_work(connection, now)
            progress.advance(task)
        for what in QUESTIONS:
            progress.update(task, description=what)
            asked = [name for name in folders if name != waiting or what in ASKED_WHILE_THEY_WAIT]
            for number in range(arguments.rounds + 2):
                for name in asked:
                    taken = _ask(folders[name], what, time.time())
                    if number >= 2:  # before that statements are built and pages are read
                        figures.note(what, "ms", name, taken)
            progress.advance(task)
        progress.update(task, description="commands")
        _measure_commands({name: folders[name] for name in (a_day, many)}, Path(scratch), figures)
        for name in (a_day, many):
            started = time.perf_counter()
            folders[name].require_whole()
            figures.note(
                "every page of the file checked, as at the start", "s", name, time.perf_counter() - started
            )
        progress.advance(task)
        for folder in folders.values():
            folder.close()
    figures.write(arguments.output)
    Console().print(figures.table())


def _ask(folder: DataFolder, what: str, now: float) -> float:
    """Return how many milliseconds of a processor a question took: others may want it, too."""
    with suppress(_TakenBackError), folder.database.write(Step.BY_HAND) as connection:
        started = time.thread_time()
        QUESTIONS[what](connection, now)
        taken = 1000 * (time.thread_time() - started)
        raise _TakenBackError
    return taken


def _measure_commands(folders: dict[str, DataFolder], scratch: Path, figures: Figures) -> None:
    """Time whole processes, as whoever types the command waits for them."""
    for number, folder in enumerate(folders.values()):
        settings = scratch / f"{number}.toml"
        settings.write_text(f'[node]\ndata_dir = "{folder.folder}"\n', encoding="utf-8")
    for _ in range(PROCESSES):
        for command in (["--help"], ["status"], ["worklist"]):
            for number, name in enumerate(folders):
                options = [] if command == ["--help"] else ["--config", str(scratch / f"{number}.toml")]
                started, before = time.perf_counter(), _cpu_seconds_of_children()
                subprocess.run(
                    [sys.executable, "-m", "dicom_node.cli", *command, *options],
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
                taken = 1000 * (time.perf_counter() - started)
                cpu = 1000 * (_cpu_seconds_of_children() - before)
                figures.note(f"dicom-node {command[0]}", "ms", name, taken)
                figures.note(f"dicom-node {command[0]}, processor", "ms", name, cpu)


def _cpu_seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
