"""How soon the pages are there with fifty thousand studies in the database, three thousand of them of today.

    python -m benchmarks.pages                       everything, into benchmarks/pages.{json,txt,svg}
    python -m benchmarks.pages --studies 3000        a first look

The node runs with its pages alone. What is told of a page is how long the node takes to answer, the last byte read, and
when Chromium has painted its first content, from the moment that it was asked to go there; files that every page has
(styles, scripts) are in its cache as they are in a reading room's. The other column is a node with a day's studies.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks.figures import Figures
from benchmarks.history import FIRST, fill
from storage.folder import DataFolder
from tests.chromium import Chromium
from tests.peers import NodeProcess, tool, wait_for
from tests.questions import received
from tests.web.browser import Browser
from tests.web.conftest import HEIGHT, PASSWORD, WIDTH, let_in, pages_of
from tests.web.program import Program

STUDIES = 50_000
TODAY = 3_000
ROUNDS = 15
EVERY_SECONDS = 86400.0 / TODAY
NAME = "ralf"
PAGES = {
    "worklist": "/",
    "worklist, filtered by its state": "/?state=failed",
    "study": f"/studies/{received(FIRST).study_instance_uid}",
    "queue": "/queue",
    "feedback": "/feedback",
    "system": "/system",
}
PAINTED = "(performance.getEntriesByName('first-contentful-paint')[0] || {startTime: 0}).startTime"


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=STUDIES, help="in the database [%(default)s]")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(""))
    arguments = parser.parse_args()
    a_day, many = "a day's", f"{arguments.studies:,} studies"
    figures = Figures("Pages with many studies in the database, 3,000 of them of today", a_day)
    with tempfile.TemporaryDirectory(dir=arguments.output.parent) as scratch, Progress() as progress:
        task = progress.add_task("measuring", total=2 * (1 + len(PAGES)))
        chromium = Chromium(tool("chromium"), Path(scratch), WIDTH, HEIGHT)
        try:
            for number, (name, studies) in enumerate(((a_day, TODAY), (many, arguments.studies))):
                folder = Path(scratch) / str(number)
                folder.mkdir()
                _fill(folder / "data", studies)
                progress.advance(task)
                with NodeProcess(folder, None, web="port = 0") as node:
                    let_in(node)
                    for page, path in PAGES.items():
                        _measure(node, chromium, figures, name, page, path, arguments.rounds)
                        progress.advance(task)
                shutil.rmtree(folder)
        finally:
            chromium.close()
    figures.write(arguments.output)
    Console().print(figures.table())


def _fill(folder: Path, studies: int) -> None:
    filled = DataFolder(folder)
    filled.database.migrate()
    fill(filled, studies, time.time(), every=EVERY_SECONDS)
    filled.close()


def _measure(
    node: NodeProcess, chromium: Chromium, figures: Figures, name: str, page: str, path: str, rounds: int
) -> None:
    program = Program(pages_of(node), NAME, PASSWORD)
    chromium.command("Network.clearBrowserCookies")
    browser = Browser(chromium, pages_of(node))
    browser.log_in(NAME, PASSWORD)
    for number in range(rounds + 2):
        started = time.perf_counter()
        answer = program.ask("GET", path)
        taken = 1000 * (time.perf_counter() - started)
        if answer.status_code != 200:
            raise RuntimeError(f"{path} answers {answer.status_code}")
        browser.visit(path)
        painted = float(wait_for(lambda: chromium.evaluate(PAINTED)))
        if number >= 2:  # before that statements are built, and files are not in the cache
            figures.note(f"{page}: answered", "ms", name, taken)
            figures.note(f"{page}: first contentful paint", "ms", name, painted)


if __name__ == "__main__":
    main()
