"""How the node does: what comes and goes and how soon, the queue, the disk, the destinations, and what runs."""

import time
from typing import Any, cast

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from config.settings import Settings
from dicom_node import drift
from dicom_node.drift import Verdict
from dicom_node.echo import address_of
from dicom_node.version import package_version
from dicom_node.vitals import Disk, disk, running_since
from dicom_node.web.access import Looker
from dicom_node.web.context import Context, Here
from dicom_node.web.pages import is_live, page
from storage import echoes, throughput, views
from storage.echoes import Echoed
from storage.throughput import HOUR_SECONDS, Hour, percentile

DAY_SECONDS = 86400.0
DAYS = 30
ECHOES_SHOWN = 24

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api", tags=["system"])


class Span(BaseModel):
    """What came and went in an hour or a day; it begins in seconds since 1970 (UTC), a day by this machine's clock."""

    begins_at: float
    images: int = 0
    studies: int = 0
    reports: int = 0
    deliveries: int = 0


class Latency(BaseModel):
    """How many seconds something took in the last day: half of them no longer than `p50`, 95 of 100 than `p95`.

    From a study's first image until its report, the time included in which further images may come; and from the
    report until a destination has an object of it.
    """

    from_to: str
    number: int
    p50: float | None
    p95: float | None
    p99: float | None


class Destination(BaseModel):
    """A destination, what came of the latest times that it was asked, and how often it answered in the last day."""

    name: str
    address: str
    latest: list[Echoed]
    answered_last_day: int
    asked_last_day: int


class Queue(BaseModel):
    """What waits, and for how long the oldest of it has."""

    jobs: int
    deliveries: int
    oldest_waiting_seconds: float
    waiting_for_a_person: int


class System(BaseModel):
    """How the node does. `running_since` names each role that runs, `drifted_devices` counts those with an alarm."""

    version: str
    running_since: dict[str, float | None]
    model: str
    engine: str
    queue: Queue
    hours: list[Span]
    days: list[Span]
    latencies: list[Latency]
    disk: Disk
    destinations: list[Destination]
    devices: int
    drifted_devices: int


def condition(context: Context, now: float) -> System:
    """Return how the node does."""
    settings, folder = context.settings, context.folder
    with folder.database.read() as connection:
        hours = throughput.hours_since(connection, _midnight(now, DAYS - 1))
        reports = throughput.report_seconds(connection, now - DAY_SECONDS)
        deliveries = throughput.delivery_seconds(connection, now - DAY_SECONDS)
        queue = views.status(connection, now)
        answered = {
            name: echoes.answered_since(connection, name, now - DAY_SECONDS)
            for name in _destinations(settings)
        }
        latest = {name: echoes.latest(connection, name, ECHOES_SHOWN) for name in _destinations(settings)}
        engine = views.engine_in_use(connection)
    devices = drift.devices(folder.database, now)
    last_hours = [each for each in hours if each.begins_at > now - DAY_SECONDS]
    return System(
        version=package_version(),
        running_since=running_since(folder),
        model="" if engine is None else f"{engine['model']} {engine['version']}",
        engine="" if engine is None else str(engine["engine"]),
        queue=Queue(
            jobs=queue["jobs"]["queued"] + queue["jobs"]["running"],
            deliveries=queue["deliveries"]["queued"] + queue["deliveries"]["running"],
            oldest_waiting_seconds=queue["oldest_waiting_seconds"],
            waiting_for_a_person=queue["waiting_for_a_person"],
        ),
        hours=_by_hour(last_hours, now),
        days=_by_day(hours, now),
        latencies=[
            _latency("received → reported", reports),
            *(_latency(f"reported → {name}", took) for name, took in deliveries.items()),
        ],
        disk=disk(settings, folder, sum(each.bytes for each in last_hours)),
        destinations=[
            Destination(
                name=name,
                address=address,
                latest=latest[name],
                answered_last_day=answered[name][0],
                asked_last_day=answered[name][1],
            )
            for name, address in _destinations(settings).items()
        ],
        devices=len(devices),
        drifted_devices=sum(each.verdict is Verdict.DRIFTED for each in devices),
    )


def _destinations(settings: Settings) -> dict[str, str]:
    """Return where the destinations are, by name."""
    return {each.name: address_of(each) for each in (*settings.all_destinations, *settings.hl7)}


def _latency(from_to: str, seconds: list[float]) -> Latency:
    p50, p95, p99 = (percentile(seconds, share) for share in (0.5, 0.95, 0.99))
    return Latency(from_to=from_to, number=len(seconds), p50=p50, p95=p95, p99=p99)


def _by_hour(hours: list[Hour], now: float) -> list[Span]:
    this_hour = now // HOUR_SECONDS * HOUR_SECONDS
    begins = [this_hour - HOUR_SECONDS * back for back in range(23, -1, -1)]
    return _summed({begin: [each for each in hours if each.begins_at == begin] for begin in begins})


def _by_day(hours: list[Hour], now: float) -> list[Span]:
    days: dict[float, list[Hour]] = {_midnight(now, back): [] for back in range(DAYS - 1, -1, -1)}
    for hour in hours:
        days.setdefault(_midnight(hour.begins_at, 0), []).append(hour)
    return _summed(days)


def _summed(spans: dict[float, list[Hour]]) -> list[Span]:
    return [
        Span(
            begins_at=begin,
            images=sum(each.images for each in hours),
            studies=sum(each.studies for each in hours),
            reports=sum(each.reports for each in hours),
            deliveries=sum(each.deliveries for each in hours),
        )
        for begin, hours in spans.items()
    ]


def _midnight(at: float, days_back: int) -> float:
    """Return when the day began on this machine's clock, so many days before."""
    year, month, day, *_ = time.localtime(at)
    return time.mktime((year, month, day - days_back, 0, 0, 0, 0, 0, -1))


def charts(spans: list[Span], form: str) -> list[dict[str, Any]]:
    """Return what of each kind is drawn: a bar for each span, in hundredths of the highest, and its words."""
    drawn = []
    for name, words in (
        ("images", "images received"),
        ("studies", "studies received"),
        ("reports", "studies reported"),
        ("deliveries", "objects delivered"),
    ):
        numbers = [cast(int, getattr(each, name)) for each in spans]
        highest = max(numbers, default=0)
        bars = [
            (round(100 * number / highest, 1) if highest else 0.0, number, time.localtime(each.begins_at))
            for number, each in zip(numbers, spans, strict=True)
        ]
        drawn.append(
            {
                "words": words,
                "total": sum(numbers),
                "highest": highest,
                "bars": [(height, f"{time.strftime(form, at)}: {number}") for height, number, at in bars],
            }
        )
    return drawn


@pages.get("/system")
def system_page(request: Request, context: Here, visitor: Looker) -> Response:
    """Show how the node does, or how it does now to a page that shows it."""
    now = context.now()
    told = condition(context, now)
    template = "system_now.html" if is_live(request) else "system.html"
    return page(
        request,
        template,
        told=told,
        now=now,
        by_hour=charts(told.hours, "%H:00"),
        by_day=charts(told.days, "%a %d %b"),
    )


@api.get("/system")
def system(context: Here, visitor: Looker) -> System:
    """Tell how the node does: what comes and goes and how soon, the queue, the disk, the destinations."""
    return condition(context, context.now())
