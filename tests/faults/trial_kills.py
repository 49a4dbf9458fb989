"""300 kills: at every durable step, and then under a stream of studies, of the whole node and of each of its processes.

What the PACS is not answered it sends again, as a PACS does; at the end nothing that was answered is lost, no result is
in Orthanc twice, and nothing is in a state that nobody knows.
"""

import contextlib
import copy
import io
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from storage.steps import Step
from tests.builders import chest_film, write
from tests.faults import promises
from tests.faults.kill_scenarios import SCENARIOS, play
from tests.faults.stage import SETTINGS, Stage, launch_to_die
from tests.peers import NodeProcess, Pacs, tool, wait_for

KILLS = 300
STREAMS = 3
PAUSE_SECONDS = 1.0
"""Between two studies of a stream."""
LONGEST_LIFE_SECONDS = 3.0
"""A kill at random comes within these after the start."""
STEP_SECONDS = 30.0
"""A step that was not reached for so long becomes a kill at random."""

STEPS_OF = {
    "receive": (Step.OBJECT_SYNCED, Step.OBJECT_MOVED, Step.FOLDER_SYNCED, Step.INSTANCE_RECEIVED),
    "analyse": (Step.JOB_CLAIMED, Step.IMAGE_ANALYSED, Step.OBJECT_WRITTEN, Step.STUDY_REPORTED),
    "deliver": (Step.DELIVERY_CLAIMED, Step.RESULT_DELIVERED),
}
AT_START = (Step.MIGRATED, Step.NODE_STARTED)
NAMES = {"receive": "the receiver", "analyse": "the worker", "deliver": "the sender", "": "the whole node"}


class Stream(threading.Thread):
    """A modality's way through the PACS: one study after the other by storescu, again until each film is answered."""

    def __init__(self, folder: Path, name: str, port: int) -> None:
        super().__init__(name=name)
        self._folder = folder / name
        self._port = port
        self._stopping = threading.Event()
        self.studies = 0
        self.associations = 0
        self.answered: set[str] = set()

    def stop(self) -> None:
        """End with the study that is under way."""
        self._stopping.set()

    def run(self) -> None:
        self._folder.mkdir()
        while not self._stopping.is_set():
            study = f"{self.name} {self.studies}"
            films = [chest_film(str(number), study=study) for number in range(1 + self.studies % 3)]
            waiting = {
                write(film, self._folder / f"{number}.dcm"): str(film.SOPInstanceUID)
                for number, film in enumerate(films)
            }
            while waiting:
                for path in self._send(waiting):
                    self.answered.add(waiting.pop(path))
                if waiting:
                    self._stopping.wait(0.2)
            self.studies += 1
            self._stopping.wait(PAUSE_SECONDS)

    def _send(self, files: dict[Path, str]) -> list[Path]:
        """Send over one association and return what was answered with Success."""
        self.associations += 1
        titles = ["-aet", "PACS", "-aec", "CXR_NODE"]
        ran = subprocess.run(
            [tool("storescu"), "-v", "-R", *titles, "127.0.0.1", str(self._port), *map(str, files)],
            capture_output=True,
            text=True,
            check=False,
        )
        answered, sending = [], None
        for line in (ran.stdout + ran.stderr).splitlines():
            if "Sending file: " in line:
                sending = Path(line.split("Sending file: ")[1])
            elif "Received Store Response (Success)" in line and sending is not None:
                answered.append(sending)
        return answered


class Killer:
    """Kills processes of one data folder, each after its predecessor's successor is ready, and counts."""

    def __init__(self, stage: Stage, roles: tuple[str, ...], chance: random.Random) -> None:
        self._chance = chance
        self._nodes: dict[str, NodeProcess] = {role: copy.copy(stage.node) for role in roles}
        self.kills: Counter[str] = Counter()
        self.longest_seconds = 0.0

    def start_missing(self) -> None:
        """Start every process that does not run."""
        for role, node in self._nodes.items():
            if not node.running:
                node.start(*filter(None, [role]))

    def stop(self) -> None:
        for node in self._nodes.values():
            if node.running:
                node.kill()

    def kill_one(self) -> None:
        """Kill one process, at a step or at random, and start it again."""
        self.start_missing()
        role = self._chance.choice(list(self._nodes))
        has_child = role in ("", "analyse")
        how = self._chance.choice(["at a step", "at random", *(["child"] if has_child else [])])
        if how == "child":
            self._kill_child(self._nodes[role])
            return
        if how == "at a step":
            how = self._kill_at_step(role)
        else:
            threading.Event().wait(self._chance.uniform(0, LONGEST_LIFE_SECONDS))
            self._nodes[role].kill()
        self.kills[NAMES[role]] += 1
        self.kills[how] += 1
        killed = time.monotonic()
        self.start_missing()
        self._note(killed)

    def _kill_at_step(self, role: str) -> str:
        node = self._nodes[role]
        node.kill()  # not counted: the one that follows is
        steps = STEPS_OF[role] if role else tuple(itertools.chain(*STEPS_OF.values()))
        step = self._chance.choice((*steps, *AT_START))
        times = 1 if step in AT_START else self._chance.randint(1, 4) + 3 * (step is Step.FOLDER_SYNCED)
        moment = self._chance.choice(["before", "after"])
        launch_to_die(node, step, moment, *filter(None, [role]), times=times)
        deadline = time.monotonic() + STEP_SECONDS
        while node.running and time.monotonic() < deadline:
            threading.Event().wait(0.05)
        if node.running:
            node.kill()
            return "at random"
        assert node.ended() == -signal.SIGKILL, node.log[-2000:]
        return "at a step"

    def _kill_child(self, node: NodeProcess) -> None:
        child = wait_for(lambda: children(node.pid), 120, "no analysing process")[0]
        threading.Event().wait(self._chance.uniform(0, LONGEST_LIFE_SECONDS))
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        killed = time.monotonic()
        self.kills["the analysing process"] += 1
        self.kills["at random"] += 1
        wait_for(lambda: [each for each in children(node.pid) if each != child], 120, "no new process")
        self._note(killed)

    def _note(self, killed: float) -> None:
        self.longest_seconds = max(self.longest_seconds, time.monotonic() - killed)


def children(pid: int) -> list[int]:
    """Return the processes that this one has started, but for Python's helper that only tidies up."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(word) for word in path.read_text(encoding="ascii").split()]
    return [each for each in found if "resource_tracker" not in _command_line(each)]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
    except OSError:
        return ""


def run(kills: int = KILLS, moments: tuple[str, ...] = ("before", "after")) -> dict[str, object]:
    """Kill so often, and return the figures. Raises AssertionError where a promise was not kept."""
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        pacs = Pacs(Path(folder, "orthanc"))
        pacs.start()
        try:
            at_steps = sum(_at_every_step(Path(folder), pacs, moment) for moment in moments)
            return _under_a_stream(Path(folder), pacs, kills, at_steps)
        finally:
            pacs.stop()


def _at_every_step(folder: Path, pacs: Pacs, moment: str) -> int:
    killed = 0
    for name, scenario in SCENARIOS.items():
        print(f"  {moment} each step of '{name}'", file=sys.stderr)
        with (
            contextlib.redirect_stdout(io.StringIO()),  # what storescu says
            Stage(folder / f"{name} {moment}", pacs, scenario.settings, scenario.of_pacs) as stage,
        ):
            killed += play(name, moment, stage)
            assert stage.broken_promises() == []
    return killed


def _under_a_stream(folder: Path, pacs: Pacs, kills: int, at_steps: int) -> dict[str, object]:
    chance = random.Random(20261121)
    stage = Stage(folder / "stream", pacs, SETTINGS)
    streams = [Stream(folder, f"stream {number}", stage.node.port) for number in range(STREAMS)]
    for stream in streams:
        stream.start()
    done: Counter[str] = Counter()
    longest = 0.0
    try:
        for roles, until in (("",), (at_steps + kills) // 2), (("receive", "analyse", "deliver"), kills):
            killer = Killer(stage, roles, chance)
            try:
                while at_steps + _counted(done + killer.kills) < until:
                    killer.kill_one()
                    _tell(at_steps + _counted(done + killer.kills), kills, streams)
            finally:
                killer.stop()
            done += killer.kills
            longest = max(longest, killer.longest_seconds)
        stage.node.start()
    finally:
        for stream in streams:
            stream.stop()
    for stream in streams:
        stream.join()
    stage.answered = set().union(*(stream.answered for stream in streams))
    try:
        stage.wait_for_rest(600)
        broken = promises.broken(stage.node, pacs, stage.answered)
        status = stage.node.json("status")
    finally:
        stage.kill()
    assert broken == [], "\n".join(broken)
    return {
        "kills": at_steps + _counted(done),
        "before or after each durable step, one after the other": at_steps,
        "under the stream, at a step": done["at a step"],
        "under the stream, at a random moment": done["at random"],
        **{f"under the stream, of {name}": done[name] for name in (*NAMES.values(), "the analysing process")},
        "studies sent in the stream": sum(stream.studies for stream in streams),
        "associations that it took": sum(stream.associations for stream in streams),
        "images answered with Success": len(stage.answered),
        "of them received more than once": status["instances_received_again"],
        "jobs that failed, visibly": status["jobs"]["failed"],
        "results in Orthanc, each once": status["deliveries"]["done"],
        "lost, twice, or in an unknown state": len(broken),
        "longest time until the successor was ready (s)": round(longest, 1),
    }


def _counted(kills: Counter[str]) -> int:
    return kills["at a step"] + kills["at random"]


def _tell(killed: int, of: int, streams: list[Stream]) -> None:
    answered = sum(len(stream.answered) for stream in streams)
    print(f"\r  {killed} of {of} kills, {answered} images answered ", end="", file=sys.stderr, flush=True)
