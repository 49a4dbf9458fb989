"""Where a study is, in one sentence: the proof for any accession number."""

import time
from collections.abc import Iterable
from typing import Any

from dicom_node import by_hand
from dicom_node.explanations import explained
from dicom_node.web.timeline import between
from dicom_node.web.words import kind
from storage.pauses import Pause, Scope
from storage.queue import FOR_A_PERSON
from storage.schema import deliveries, jobs
from storage.states import ARRIVED, OPEN, State


def clock(seconds: float) -> str:
    """Return a moment on this machine's clock, to the millisecond."""
    whole = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    return f"{whole}.{int(seconds * 1000) % 1000:03d}"


def in_words(reason: str | None) -> str:
    """Return what a reason means; itself where nobody knows."""
    if not reason:
        return ""
    found = explained(reason)
    return reason if found is None else found.sentence


def whereabouts(story: dict[str, Any], paused: Iterable[Pause], now: float) -> str:
    """Say where a study is now, from its story (`storage.views.study`) and what is paused."""
    return (
        _waits_for_a_person(story)
        or _waits_for_its_turn(story, list(paused), now)
        or _has_arrived(story)
        or _is_not_reported(story)
    )


def _waits_for_a_person(story: dict[str, Any]) -> str | None:
    for row in _jobs(story):
        if row["state"] in FOR_A_PERSON[jobs]:
            return f"waits for a person: job j{row['job']} failed. {in_words(row['reason'])}"
    for row in story["deliveries"]:
        if row["state"] in FOR_A_PERSON[deliveries]:
            what = f"the {kind(row['kind'])} for {row['destination']} (d{row['delivery']})"
            return f"waits for a person: {what} was not delivered. {in_words(row['reason'])}"
    return None


def _waits_for_its_turn(story: dict[str, Any], paused: list[Pause], now: float) -> str | None:
    for row in _jobs(story):
        if row["state"] not in OPEN:
            continue
        is_report = "revision" in row
        if row["state"] == State.RUNNING:
            return "its report is being made" if is_report else "is being analysed"
        stopped = _pause_of(paused, Scope.ANALYSIS)
        return f"waits {'for its report' if is_report else 'to be analysed'}{stopped or _next_try(row, now)}"
    for row in story["deliveries"]:
        if row["state"] not in OPEN:
            continue
        if row["state"] == State.RUNNING:
            return f"is being sent to {row['destination']}"
        stopped = _pause_of(paused, Scope.DESTINATION, row["destination"])
        return f"waits to be delivered to {row['destination']}{stopped or _next_try(row, now)}"
    return None


def _has_arrived(story: dict[str, Any]) -> str | None:
    latest = max((each["revision"] for each in story["deliveries"]), default=None)
    arrived = [
        each for each in story["deliveries"] if each["revision"] == latest and each["state"] in ARRIVED
    ]
    if not arrived:
        return None
    names = ", ".join(dict.fromkeys(each["destination"] for each in arrived))
    at = max(each["delivered_at"] for each in arrived)
    came = max((each["received_at"] for each in story["instances"] if each["received_at"] <= at), default=at)
    said = f"delivered to {names} {clock(at)}, {between(came, at):.0f} ms after it came"
    awaited = sorted({each["destination"] for each in arrived if each["state"] == State.DELIVERED})
    if awaited:
        return f"{said}; {', '.join(awaited)} has not yet promised to keep it"
    promised = sorted({each["destination"] for each in arrived if each["state"] == State.COMMITTED})
    return f"{said}; {', '.join(promised)} has promised to keep it" if promised else said


def _is_not_reported(story: dict[str, Any]) -> str:
    """Say why a study that nothing waits for has arrived nowhere."""
    if any(each["state"] == State.DISMISSED for each in (*_jobs(story), *story["deliveries"])):
        return "was given up by a person"
    reports = [each["ended_at"] for each in story["reports"] if each["state"] == State.DONE]
    if reports:
        return f"was reported {clock(max(reports))}; no destination gets the results"
    if not story["instances"]:
        return "has no image any more: they were sent again, corrected, and count in another study"
    if all(each["is_prior"] for each in story["instances"]):
        return "was fetched as an earlier film, to be compared with, and is not reported"
    if all(each["stored_only"] for each in story["instances"]):
        return "is kept, and has nothing to be analysed"
    return "is analysed"


def _jobs(story: dict[str, Any]) -> list[dict[str, Any]]:
    return [*(each for each in story["instances"] if each["job"] is not None), *story["reports"]]


def _pause_of(paused: list[Pause], scope: Scope, destination: str = "") -> str:
    for each in paused:
        if each.scope is Scope.EVERYTHING or (each.scope is scope and each.destination == destination):
            return f"; {by_hand.in_words(each)}"
    return ""


def _next_try(row: dict[str, Any], now: float) -> str:
    why = f" {in_words(row['reason'])}" if row["reason"] else ""
    if row["not_before"] > now:
        return f"; next at {clock(row['not_before'])}.{why}"
    return f" since {clock(row['queued_at'])}.{why}"
