"""What a monitor may know of the node, as Prometheus reads it (docs/metrics.md names all of it).

Everything is asked of the database when it is scraped: so it is the same whichever process answers, counters go on
where they were after a restart, and nothing is counted twice. No label holds anything of a patient, nor what senders
write into a header: a device goes by its number.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from config.settings import Settings
from dicom_node import drift
from dicom_node.drift import Verdict
from dicom_node.version import package_version
from dicom_node.vitals import ROLES, disk, running_since
from storage import echoes, throughput, views
from storage.folder import DataFolder
from storage.throughput import Latencies, Tallied
from storage.triggers import LATENCY_BOUNDS

PREFIX = "dicom_node_"


@dataclass(frozen=True, slots=True)
class Named:
    """A metric: its kind in Prometheus, what it is, and its labels."""

    kind: type[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]
    words: str
    labels: tuple[str, ...] = ()


_COUNTER, _GAUGE, _HISTOGRAM = CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
METRICS = {
    "info": Named(_GAUGE, "Always 1; what runs.", ("version", "model", "model_version", "engine")),
    "role_up": Named(_GAUGE, "1 where a process has the role on this data folder.", ("role",)),
    "role_started_timestamp_seconds": Named(_GAUGE, "When the role was started last.", ("role",)),
    "images_received_total": Named(
        _COUNTER, "Images that are kept, earlier films that were fetched included."
    ),
    "images_received_again_total": Named(_COUNTER, "Images that came once more."),
    "images_corrected_total": Named(_COUNTER, "Images that came with the same pixels and other data."),
    "images_kept_aside": Named(_GAUGE, "Images that came with other pixels under a known UID."),
    "studies_received_total": Named(_COUNTER, "Studies of which an image came."),
    "jobs": Named(_GAUGE, "Analyses and reports by state.", ("state",)),
    "deliveries": Named(_GAUGE, "Deliveries by destination and state.", ("destination", "state")),
    "waiting_for_a_person": Named(_GAUGE, "Jobs and deliveries that failed or were refused."),
    "oldest_waiting_seconds": Named(_GAUGE, "For how long the oldest open job or delivery has been due."),
    "associations_refused_last_day": Named(_GAUGE, "Associations refused in 24 hours.", ("reason",)),
    "report_latency_seconds": Named(_HISTOGRAM, "From a study's first image until its report."),
    "delivery_latency_seconds": Named(
        _HISTOGRAM, "From a report until a destination has an object of it.", ("destination",)
    ),
    "destination_up": Named(_GAUGE, "1 where the destination answered when asked last.", ("destination",)),
    "destination_echo_seconds": Named(_GAUGE, "How long that answer took.", ("destination",)),
    "disk_free_bytes": Named(_GAUGE, "Room on the data folder's disk."),
    "disk_refuses_below_bytes": Named(_GAUGE, "With less room nothing is received."),
    "score_stability_index": Named(
        _GAUGE, "Scores of a device's last week with enough films, beside its first films'.", ("device",)
    ),
    "score_drifted": Named(_GAUGE, "1 where the scores of a device have drifted.", ("device",)),
}
"""By name, without the prefix."""


def metrics(settings: Settings, folder: DataFolder) -> bytes:
    """Return all metrics in Prometheus' text format. Raises StorageUnavailable."""
    registry = CollectorRegistry()
    registry.register(_Collected(list(_families(settings, folder, time.time()))))
    return generate_latest(registry)


class _Collected(Collector):
    """Families that were collected before, so that an error is no half answer."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _families(settings: Settings, folder: DataFolder, now: float) -> Iterator[Metric]:
    """Yield every metric of `METRICS` once."""
    with folder.database.read() as connection:
        status = views.status(connection, now)
        engine = views.engine_in_use(connection) or {}
        studies = throughput.total(connection, Tallied.STUDIES)
        latencies = throughput.latencies(connection)
        names = [each.name for each in (*settings.all_destinations, *settings.hl7)]
        echoed = {name: last for name in names for last in echoes.latest(connection, name, 1)}
    since = running_since(folder)
    devices = drift.devices(folder.database, now)
    about = (package_version(), *(str(engine.get(key, "")) for key in ("model", "version", "engine")))
    yield _family("info", (about, 1))
    yield _family("role_up", *(((role,), role in since) for role in ROLES))
    started = (((role,), at) for role, at in since.items() if at is not None)
    yield _family("role_started_timestamp_seconds", *started)
    for name, key in (
        ("images_received_total", "instances_received"),
        ("images_received_again_total", "instances_received_again"),
        ("images_corrected_total", "instances_corrected"),
        ("images_kept_aside", "instances_kept_aside"),
        ("waiting_for_a_person", "waiting_for_a_person"),
        ("oldest_waiting_seconds", "oldest_waiting_seconds"),
    ):
        yield _family(name, ((), status[key]))
    yield _family("studies_received_total", ((), studies))
    yield _family("jobs", *(((state,), number) for state, number in status["jobs"].items()))
    yield _family(
        "deliveries",
        *(
            ((destination, state), number)
            for destination, states in status["deliveries_by_destination"].items()
            for state, number in states.items()
        ),
    )
    refused = status["refused_last_day"]
    yield _family("associations_refused_last_day", *(((reason,), many) for reason, many in refused.items()))
    yield _histogram("report_latency_seconds", [each for each in latencies if each.what is Tallied.REPORTS])
    arrived = [each for each in latencies if each.what is Tallied.DELIVERIES]
    yield _histogram("delivery_latency_seconds", arrived)
    yield _family("destination_up", *(((name,), each.reason is None) for name, each in echoed.items()))
    answered = (
        ((name,), each.milliseconds / 1000) for name, each in echoed.items() if each.milliseconds is not None
    )
    yield _family("destination_echo_seconds", *answered)
    room = disk(settings, folder, 0)
    yield _family("disk_free_bytes", ((), room.free_bytes))
    yield _family("disk_refuses_below_bytes", ((), room.refuses_below))
    indexes = (((str(each.id),), each.index) for each in devices if each.index is not None)
    yield _family("score_stability_index", *indexes)
    drifted = (((str(each.id),), each.verdict is Verdict.DRIFTED) for each in devices)
    yield _family("score_drifted", *drifted)


def _family(name: str, *values: tuple[Sequence[str], float]) -> Metric:
    named = METRICS[name]
    family: Any = named.kind(PREFIX + name, named.words, labels=named.labels)
    for labels, value in values:
        family.add_metric(labels, float(value))
    made: Metric = family
    return made


def _histogram(name: str, latencies: list[Latencies]) -> Metric:
    named = METRICS[name]
    family = HistogramMetricFamily(PREFIX + name, named.words, labels=named.labels)
    for each in latencies:
        buckets, reached = [], 0
        for bound, number in zip((*map(str, LATENCY_BOUNDS), "+Inf"), each.numbers, strict=True):
            reached += number
            buckets.append((bound, reached))
        labels = [each.destination] if named.labels else []
        family.add_metric(labels, buckets, each.seconds)
    return family
