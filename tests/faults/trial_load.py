"""The whole load: 10,000 associations and 10,000 probes, 64 senders at once, a burst of 2,000 images with urgent ones.

Fewer for a first try: LOAD=0.01 make faults TRIALS=load.
"""

import os
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE

from storage import views
from storage.folder import DataFolder
from storage.states import OPEN
from tests.builders import chest_film, write
from tests.load import (
    SETTLED_THREADS,
    Taken,
    another,
    association_request,
    connect,
    echo,
    echo_request,
    sent_until_taken,
    taken,
)
from tests.peers import NODE_AE_TITLE, NodeProcess, Pacs, wait_for

SHARE = float(os.environ.get("LOAD", "1"))
MANY = int(10_000 * SHARE)
BURST = int(2_000 * SHARE)
SENDERS = 64
FILMS_EACH = 5
URGENT = max(2, int(20 * SHARE))
ROUTINE, HIGH = 0, 1
LIKE_BEFORE = 20
"""Megabytes that Python's allocator may keep of a flood."""
FIRST_TIME = 100
"""Megabytes that the C library may keep for the first one of so many threads at once; of a second, LIKE_BEFORE."""
HOURS_SECONDS = 4 * 3600


class Watch:
    """The most that a process has taken up since this began."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._ended = threading.Event()
        self.most = self.before = taken(process)
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(0.2):
            now = taken(self._process)
            self.most = Taken(*map(max, self.most, now))

    def end(self, kept: float = LIKE_BEFORE) -> Taken:
        """Stop looking, once the process is as it was but for so many megabytes; return what it has then."""
        most = self.before.threads + SETTLED_THREADS
        wait_for(lambda: taken(self._process).threads <= most, 120, "threads stay")
        self._ended.set()
        self._thread.join()
        after = taken(self._process)
        assert after.megabytes < self.before.megabytes + kept, (self.before, after)
        return after


def run() -> dict[str, object]:
    """Do all of it; raise where something grew, was refused, lost or late."""
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pacs = Pacs(folder / "orthanc")
        pacs.start()
        (folder / "node").mkdir()
        try:
            with NodeProcess(folder / "node", pacs.port, "[model]\nuncertain = [0, 0]") as node:
                figures |= _floods(node)
                figures |= _senders(node, folder)
                figures |= _burst(node, pacs, folder)
        finally:
            pacs.stop()
    return figures


def _floods(node: NodeProcess) -> dict[str, object]:
    figures: dict[str, object] = {}
    request, question = association_request(), echo_request()

    def associate(_number: int) -> None:
        echo(node.port, request, question)

    def probe(_number: int) -> None:
        connect(node.port).close()

    for _ in range(100):  # what is loaded once is loaded
        associate(0)
    for what, flood in (("associations", associate), ("bare TCP probes", probe)):
        watch = Watch(node.pid)
        started = time.monotonic()
        with ThreadPoolExecutor(8) as peers:
            for done, _ in enumerate(peers.map(flood, range(MANY)), 1):
                if done % 1000 == 0:
                    print(f"{done} {what}: {taken(node.pid)}", file=sys.stderr)
        seconds = time.monotonic() - started
        after = watch.end()
        figures |= {
            f"{MANY} {what}, 8 at a time: a second": round(MANY / seconds),
            f"{what}: memory before, at most, after (MB)": _three(watch, after, "megabytes"),
            f"{what}: threads before, at most, after": _three(watch, after, "threads"),
        }
    return figures


def _senders(node: NodeProcess, folder: Path) -> dict[str, object]:
    large = chest_film(rows=1024, columns=1024)
    kept = []
    for flood in ("first", "second"):
        sent = [
            [
                write(another(large, f"{flood} {sender}", str(number)), folder / f"{sender}-{number}.dcm")
                for number in range(FILMS_EACH)
            ]
            for sender in range(SENDERS)
        ]
        watch = Watch(node.pid)
        started = time.monotonic()
        with ThreadPoolExecutor(SENDERS) as senders:
            again = sum(senders.map(lambda films: sent_until_taken(node, *films), sent))
        seconds = time.monotonic() - started
        _wait_until_settled(node)
        after = watch.end(FIRST_TIME if flood == "first" else LIKE_BEFORE)
        kept.append(f"{after.megabytes - watch.before.megabytes:.0f}")
    return {
        f"{SENDERS} senders at once, {FILMS_EACH} films of 2 MB each: received a second": round(
            SENDERS * FILMS_EACH / seconds, 1
        ),
        f"{SENDERS} senders: how often one had to send again (out of resources)": again,
        f"{SENDERS} senders: memory and threads at most": f"{watch.most.megabytes:.0f} MB, {watch.most.threads}",
        f"{SENDERS} senders: memory kept after the first time, after the second (MB)": ", ".join(kept),
    }


def _burst(node: NodeProcess, pacs: Pacs, folder: Path) -> dict[str, object]:
    """Send routine images, one study each, as fast as they are taken, and an urgent one between them now and then."""
    in_pacs = pacs.count()
    entity = AE("PACS")
    small = chest_film()
    entity.add_requested_context(small.SOPClassUID, ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", node.port, ae_title=NODE_AE_TITLE)
    started = time.monotonic()
    urgent: set[str] = set()
    order: list[str] = []
    for number in range(BURST):
        is_urgent = number % (BURST // URGENT) == BURST // URGENT - 1
        film = another(small, f"burst {number}")
        assert association.send_c_store(film, priority=HIGH if is_urgent else ROUTINE).Status == 0x0000
        if is_urgent:
            urgent.add(film.StudyInstanceUID)
        else:
            order.append(film.StudyInstanceUID)
    association.release()
    received = time.monotonic() - started
    print(f"{BURST} images received in {received:.0f} s", file=sys.stderr)
    _wait_until_settled(node)
    seconds = time.monotonic() - started
    assert pacs.count() - in_pacs == 2 * BURST, "each has its report and its heatmap in the PACS, once"
    with closing(DataFolder.existing(node.folder / "data")) as data:
        studies = [_story(data, uid) for uid in [*order, *sorted(urgent)]]
    analysed = [story["analysed"] for story in studies[: len(order)]]
    assert analysed == sorted(analysed), "routine images are analysed in the order of their arrival"
    waits = [story["delivered"] - story["received"] for story in studies]
    hasty = waits[len(order) :]
    assert max(hasty) < max(waits)
    return {
        f"a burst of {BURST} images over one association: received a second": round(BURST / received, 1),
        "worked off, to the PACS: studies a second": round(BURST / seconds, 2),
        f"{len(urgent)} urgent ones in it: from arrival to the PACS, median and longest (s)": (
            f"{statistics.median(hasty):.1f}, {max(hasty):.1f}"
        ),
        "the others: longest (s)": round(max(waits)),
    }


def _wait_until_settled(node: NodeProcess) -> None:
    with closing(DataFolder.existing(node.folder / "data")) as folder:

        def is_settled() -> bool:
            with folder.database.read() as connection:
                status = views.status(connection, time.time())
            return not any(status[kind][state] for kind in ("jobs", "deliveries") for state in OPEN)

        wait_for(is_settled, HOURS_SECONDS)


def _story(folder: DataFolder, study: str) -> dict[str, float]:
    with folder.database.read() as connection:
        shown = views.study(connection, study)
    [instance] = shown["instances"]
    assert len(shown["deliveries"]) == 2
    return {
        "received": instance["received_at"],
        "analysed": instance["ended_at"],
        "delivered": max(each["delivered_at"] for each in shown["deliveries"]),
    }


def _three(watch: Watch, after: Taken, what: str) -> str:
    return ", ".join(f"{getattr(each, what):.0f}" for each in (watch.before, watch.most, after))
