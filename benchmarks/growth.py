"""What an archive that grows costs: the time of a received image and the memory, from 100 stored instances to 100,000.

    python -m benchmarks.growth                      everything, into benchmarks/growth.{json,txt,svg}
    python -m benchmarks.growth --most 1000          a first look

For each size there is a data folder with so many stored instances, as files and as rows, and the node's receiving
process on it. All of them run beside each other, and get small films over one association in turn: whatever else the
machine does meets all sizes alike. What is stored is simulated: the rows are those of finished studies
(`benchmarks/history.py`), the files hold nothing but their names.
"""

import argparse
import os
import sqlite3
import statistics
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks.figures import Figures
from benchmarks.history import IMAGES_A_STUDY, RETENTION_SECONDS, fill
from benchmarks.peer import Peer
from benchmarks.receiving import small_film
from benchmarks.servers import NODE, Server, server
from storage.folder import DATABASE_NAME, DataFolder

LEAST, MOST = 100, 100_000
ROUNDS = 20
FILMS_A_ROUND = 20


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--most", type=int, default=MOST, help="stored instances at the end [%(default)s]")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(""))
    arguments = parser.parse_args()
    sizes = [LEAST]
    while sizes[-1] < arguments.most:
        sizes.append(10 * sizes[-1])
    figures = Figures("Receiving small films into an archive that grows", _name(LEAST))
    with (
        tempfile.TemporaryDirectory(dir=arguments.output.parent) as scratch,
        Progress() as progress,
        ExitStack() as servers,
    ):
        task = progress.add_task("storing", total=len(sizes) + arguments.rounds)
        running = {}
        for size in sizes:
            folder = Path(scratch) / str(size)
            folder.mkdir()
            _store(folder / "data", size)
            running[size] = servers.enter_context(server(NODE, folder))
            progress.advance(task)
        for each in running.values():
            _receive(each)  # what is done for the first time takes longer
        progress.update(task, description="receiving")
        for number in range(arguments.rounds):
            for size in sizes[number % len(sizes) :] + sizes[: number % len(sizes)]:
                before = running[size].cpu_seconds()
                milliseconds = _receive(running[size])
                cpu = 1000 * (running[size].cpu_seconds() - before) / FILMS_A_ROUND
                figures.note("one image", "ms, median", _name(size), milliseconds)
                figures.note("one image, processor", "ms", _name(size), cpu)
                figures.note("memory", "MB", _name(size), running[size].memory_megabytes())
            progress.advance(task)
    figures.write(arguments.output)
    Console().print(figures.table())


def _name(size: int) -> str:
    return f"{size:,} stored"


def _store(data: Path, instances: int) -> None:
    """Make a data folder with so many stored instances."""
    folder = DataFolder(data)
    folder.database.migrate()
    studies = instances // IMAGES_A_STUDY
    fill(folder, studies, time.time(), every=RETENTION_SECONDS / 2 / studies)  # all of them are kept
    folder.close()
    with closing(sqlite3.connect(data / DATABASE_NAME)) as connection:
        for (key,) in connection.execute("SELECT object_key FROM instances"):
            folder.objects.path(key).write_text(key, encoding="ascii")
    os.sync()  # not while others are measured


def _receive(running: Server) -> float:
    """Send films over one association; return the milliseconds that the median one took."""
    taken = []
    with Peer(running) as peer:
        peer.associate()
        for _ in range(FILMS_A_ROUND):
            film = small_film()
            started = time.perf_counter()
            peer.store(*film)
            taken.append(1000 * (time.perf_counter() - started))
        peer.release()
    return statistics.median(taken)


if __name__ == "__main__":
    main()
