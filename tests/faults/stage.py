"""A node that is killed, the PACS that sends to it again what was not answered, and what came of it."""

import itertools
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, Self

from pydicom.dataset import Dataset

from storage.steps import Step
from tests.builders import chest_film, write
from tests.faults import promises
from tests.peers import NodeProcess, Pacs, wait_for

SETTINGS = "[model]\nuncertain = [0, 0]\n"
"""Every film is called likely, so that each study has a heatmap."""


def launch_to_die(
    node: NodeProcess,
    step: Step,
    moment: str,
    *roles: str,
    times: int = 1,
    sweep: str = "",
    days_ahead: float = 0,
) -> None:
    """Start a node that is killed when it comes to this step for the so many-th time, and wait for ready or dead."""
    words = ["--step", step, "--moment", moment, "--times", str(times)]
    words += ["--sweep", sweep, "--days-ahead", str(days_ahead), "--"]
    node.launch("tests.faults.killed_node", *words, roles=roles)


class Stage:
    """One node and its PACS. `answered` are the images that were answered with Success."""

    def __init__(self, folder: Path, pacs: Pacs, settings: str = SETTINGS, of_pacs: str = "") -> None:
        folder.mkdir()
        self.pacs = pacs
        self.folder = folder
        self.node = NodeProcess(folder, pacs.port, settings, of_pacs)
        self.answered: set[str] = set()
        self.held: set[str] = set()
        """What the PACS has from elsewhere."""
        self._unanswered: dict[str, Path] = {}
        self._numbers = itertools.count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Kill the node where it runs."""
        if self.node.running:
            self.node.kill()

    def start_to_die(
        self, step: Step, moment: str, *roles: str, times: int = 1, sweep: str = "", days_ahead: float = 0
    ) -> None:
        """Start a node that is killed at this step, and wait until it is ready or dead."""
        self.kill()
        launch_to_die(self.node, step, moment, *roles, times=times, sweep=sweep, days_ahead=days_ahead)

    def require_killed(self) -> None:
        """Wait for the node's death, and fail where it did not die of SIGKILL."""
        assert self.node.ended() == -signal.SIGKILL, self.node.log

    def command_to_die(self, step: Step, moment: str, *words: str) -> None:
        """Run a command that is killed at this step, beside the node."""
        killed = ["tests.faults.killed_node", "--step", step, "--moment", moment, "--", *words]
        ran = subprocess.run(
            [sys.executable, "-m", *killed, "--config", str(self.node.config)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == -signal.SIGKILL, ran.stdout + ran.stderr

    def film(self, **changes: Any) -> Dataset:
        """Make a film of a study of its own."""
        return chest_film(study=f"{self.folder} {next(self._numbers)}", **changes)

    def send(self, film: Dataset, calling: str = "PACS") -> bool:
        """Send a film; what is not answered with Success is sent again when the node is back."""
        uid = str(film.SOPInstanceUID)
        self._unanswered[uid] = write(film, self.folder / f"{next(self._numbers)}.dcm")
        return self._send(uid, calling)

    def _send(self, uid: str, calling: str) -> bool:
        is_answered = self.node.send(self._unanswered[uid], calling=calling) == 0
        if is_answered:
            self.answered.add(uid)
            del self._unanswered[uid]
        return is_answered

    def reported(self) -> Dataset:
        """Let the node, as it is, make a report of a new film; return the film."""
        if not self.node.running:
            self.node.start()
        film = self.film()
        assert self.send(film)
        self.wait_for_rest()
        return film

    def alter(self, statement: str) -> None:
        """Change the database while no node runs, as time or another version would have."""
        self.kill()
        with closing(sqlite3.connect(self.folder / "data" / "node.sqlite")) as database, database:
            database.execute(statement)

    def wait_for_rest(self, seconds: float = 120) -> None:
        """Wait until nothing is waiting or being done, nor waits for a promise."""
        wait_for(
            lambda: (
                self.node.settled(len(self.answered)) and self.node.status()["deliveries"]["delivered"] == 0
            ),
            seconds,
            "it does not come to rest",
        )

    def broken_promises(self) -> list[str]:
        """Start the node as it is, send again what was not answered, and say what does not hold at the end."""
        if not self.node.running:
            self.node.start()
        for uid in list(self._unanswered):
            assert self._send(uid, "PACS"), f"{uid} was not taken again"
        self.wait_for_rest()
        return promises.broken(self.node, self.pacs, self.answered, brought_by_others=self.held)
