"""What happened to a study and when, as lanes to be drawn and as a list, from its story (`storage.views.study`).

A lane is an image, a report or a delivery, and each of its spans a time in which it waited, was worked on, or waited
for a promise. Times are milliseconds apart within a study and days between a report and a late image, so a drawing to
scale would show nothing: the distance between two moments grows with the logarithm of the time between them, and
numbers say how long it was.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from dicom_node.web.words import kind
from storage.states import State

WIDTH = 1000.0
"""Units of the drawing, from the first moment to the last."""
LEAST_GAP = 0.6
"""Between two moments at least, where a factor of ten in time is 1: so that both can be seen."""


@dataclass(frozen=True, slots=True)
class Step:
    """One of the five steps of a study: when it was done (None: not yet), and how long after the one before."""

    name: str
    at: float | None
    milliseconds: float | None


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened: `milliseconds` after what happened before it."""

    at: float
    sentence: str
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which something waited, was worked on or waited for a promise; `end` None: it does so still."""

    what: str
    start: float
    end: float | None


@dataclass(frozen=True, slots=True)
class Lane:
    """What happened to one image, report or delivery, which is called `name`."""

    name: str
    state: str
    spans: list[Span]


def steps(story: dict[str, Any]) -> list[Step]:
    """Return received, analysed, reported, sent and, where it is asked for, committed: when the last of each was."""
    images = _to_be_read(story)
    deliveries = _of_latest_report(story)
    found = [
        ("Received", max((each["received_at"] for each in images), default=None)),
        ("Analysed", _all(each["ended_at"] for each in images if each["job"] is not None)),
        ("Reported", _all(each["ended_at"] for each in story["reports"][-1:])),
        ("Sent", _all(each["delivered_at"] for each in deliveries)),
    ]
    promised = [each for each in deliveries if each["state"] in (State.DELIVERED, State.COMMITTED)]
    if promised:
        found.append(("Committed", _all(each["ended_at"] for each in promised)))
    before: float | None = None
    told = []
    for name, at in found:
        told.append(Step(name, at, None if at is None or before is None else between(before, at)))
        before = at
    return told


def moments(story: dict[str, Any]) -> list[Moment]:
    """Return everything that happened, in its order."""
    happened = sorted(_happened(story))
    return [
        Moment(at, sentence, between(happened[max(0, number - 1)][0], at))
        for number, (at, sentence) in enumerate(happened)
    ]


def lanes(story: dict[str, Any]) -> list[Lane]:
    """Return what is drawn, from top to bottom."""
    found = []
    for number, row in enumerate(story["instances"], 1):
        if row["job"] is not None:
            found.append(Lane(f"image {number}", row["state"], _spans(row, row["received_at"], "analysed")))
    for row in story["reports"]:
        found.append(
            Lane(f"report {row['revision']}", row["state"], _spans(row, row["queued_at"], "reported"))
        )
    for row in story["deliveries"]:
        name = f"{kind(row['kind'])} {row['revision']} to {row['destination']}"
        sent = _spans(row | {"ended_at": row["delivered_at"] or row["ended_at"]}, row["queued_at"], "sent")
        if row["delivered_at"] is not None and row["state"] in (State.DELIVERED, State.COMMITTED):
            sent.append(Span("promised", row["delivered_at"], row["ended_at"]))
        found.append(Lane(name, row["state"], sent))
    return found


def positions(drawn: Iterable[Lane], now: float) -> dict[float, float]:
    """Return where each moment of these lanes stands, from 0 to `WIDTH`."""
    times = sorted({at for lane in drawn for span in lane.spans for at in (span.start, span.end or now)})
    places, place = [0.0], 0.0
    for earlier, later in pairwise(times):
        place += LEAST_GAP + math.log10(1 + between(earlier, later))
        places.append(place)
    return {at: WIDTH * each / (place or 1.0) for at, each in zip(times, places, strict=False)}


def between(earlier: float, later: float) -> float:
    """Return how many milliseconds lie between two moments; the clock may have been set meanwhile."""
    return round(1000 * (later - earlier), 1)


def _to_be_read(story: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in story["instances"] if not each["stored_only"] and not each["is_prior"]]


def _of_latest_report(story: dict[str, Any]) -> list[dict[str, Any]]:
    latest = max((each["revision"] for each in story["deliveries"]), default=None)
    return [
        each
        for each in story["deliveries"]
        if each["revision"] == latest and each["state"] != State.DISMISSED
    ]


def _all(times: Iterable[float | None]) -> float | None:
    """Return the last of these, where they all are."""
    found = list(times)
    known = [each for each in found if each is not None]
    return max(known) if known and len(known) == len(found) else None


def _spans(row: dict[str, Any], since: float, what: str) -> list[Span]:
    """Return the waiting and the work; what failed and was retried began before it was queued again."""
    claimed, ended = row["first_claimed_at"], row["ended_at"]
    if claimed is None:
        return [Span("waited", since, ended)]
    return [Span("waited", min(since, claimed), claimed), Span(what, claimed, ended)]


def _happened(story: dict[str, Any]) -> Iterator[tuple[float, str]]:
    for number, row in enumerate(story["instances"], 1):
        how = "fetched as an earlier film" if row["is_prior"] else "received"
        yield row["received_at"], f"image {number} {how} from {row['source']}"
        yield from _worked(row, f"image {number}: analysis")
    for row in story["kept_aside"]:
        counts = "its corrected data count" if row["corrected_at"] else "with other pixels, kept aside"
        yield row["received_at"], f"an image came again from {row['source']}: {counts}"
    for row in story["fetches"]:
        yield from _worked(row, "fetching earlier films")
    for row in story["reports"]:
        yield from _worked(row, f"report {row['revision']}")
    for row in story["deliveries"]:
        name = f"{kind(row['kind'])} of report {row['revision']} to {row['destination']}"
        if row["delivered_at"] is not None:
            yield row["delivered_at"], f"{name}: delivered"
        if row["ended_at"] is not None and row["ended_at"] != row["delivered_at"]:
            yield row["ended_at"], f"{name}: {row['state']}"


def _worked(row: dict[str, Any], name: str) -> Iterator[tuple[float, str]]:
    if row["first_claimed_at"] is not None:
        yield row["first_claimed_at"], f"{name} begun"
    if row["ended_at"] is not None:
        yield row["ended_at"], f"{name} {row['state']}"
