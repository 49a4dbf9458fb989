"""A node on a disk whose power is cut, at any of its writes or fsyncs, while films come."""

import random
import signal
from pathlib import Path
from typing import Self

from tests.faults.disk import Disk
from tests.faults.stage import Stage
from tests.peers import Pacs

FURTHEST = {"syncs": 60, "writes": 700}
"""About as many as four films need, from the association to the delivery of their results."""


class Supply:
    """What the power hangs on: a disk, and a node whose data folder it is."""

    def __init__(self, folder: Path, pacs: Pacs) -> None:
        self.stage = Stage(folder, pacs)
        self.disk = Disk(folder / "data")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        if self.stage.node.running:
            self.stage.node.kill()
        self.disk.__exit__()

    def cut_while_films_come(self, dice: random.Random, seed: int | None) -> tuple[str, int]:
        """Send films one after the other until the power goes at a random write or fsync, and let it come back.

        With a seed, a part of what was not synced stays. Returns what was counted, and at which of them it went.
        """
        node = self.stage.node
        if not node.running:
            node.start()
        count = dice.choice(list(FURTHEST))
        number = dice.randint(1, FURTHEST[count])
        self.disk.cut_power_at(number, node.pid, count=count)
        while node.running:
            self.stage.send(self.stage.film())
        self._come_back(seed)
        return count, number

    def cut_at_the_start(self, number: int, seed: int | None) -> None:
        """Cut the power at the so-manieth write of a start, if it has so many."""
        self.disk.cut_power_at(number, None, count="writes")
        self.stage.node.launch("dicom_node.cli")
        if self.disk.is_off:
            if self.stage.node.running:
                self.stage.node.kill()
            self.disk.power_on(seed)

    def come_to_rest(self, seconds: float) -> None:
        """Let the node do what is left, for so long at most."""
        if not self.stage.node.running:
            self.stage.node.start()
        self.stage.wait_for_rest(seconds)

    def cut_now(self) -> None:
        """Cut the power, and let it come back."""
        self.disk.cut_power(self.stage.node.pid)
        self._come_back(None)

    def _come_back(self, seed: int | None) -> None:
        assert self.stage.node.ended() == -signal.SIGKILL, self.stage.node.log
        assert self.disk.is_off
        self.disk.power_on(seed)
