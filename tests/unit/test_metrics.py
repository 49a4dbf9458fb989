"""What monitors are told: documented name by name, and the dashboard asks for nothing else."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from config.peers import Destination
from config.sections import NodeSettings, StorageSettings
from config.settings import Settings
from dicom_node import vitals
from dicom_node.metrics import METRICS, PREFIX, metrics
from dicom_node.node import Role
from storage import echoes
from storage.folder import DataFolder
from storage.steps import Step
from storage.triggers import LATENCY_BOUNDS
from tests.instances import NOW, analyse, claim_delivery, instance, receive, report, result

REPOSITORY = Path(__file__).parents[2]
DOCUMENT = (REPOSITORY / "docs" / "metrics.md").read_text(encoding="utf-8")
DASHBOARD = json.loads((REPOSITORY / "docker" / "grafana-dashboard.json").read_text(encoding="utf-8"))
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
OF_HISTOGRAMS = ("_bucket", "_count", "_sum")


def samples(folder: DataFolder, settings: Settings | None = None) -> dict[tuple[str, ...], float]:
    """Everything that is told, by name and the labels' values."""
    text = metrics(settings or Settings(), folder).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_metric_is_documented_and_no_other() -> None:
    rows = re.findall(r"^\| `(dicom_node_\w+)` \| (\w+) \| ([^|]*) \| (.+) \|$", DOCUMENT, re.MULTILINE)
    documented = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)), words) for name, kind, labels, words in rows
    }
    assert documented == {
        PREFIX + name: (about.kind.__name__.removesuffix("MetricFamily").lower(), about.labels, about.words)
        for name, about in METRICS.items()
    }


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_dashboard_asks_for_what_there_is_by_labels_that_it_has(expression: str) -> None:
    asked = re.findall(r"\b(dicom_node_\w+)(?:\{([^}]*)\})?", expression)
    assert asked
    for name, conditions in asked:
        about = METRICS.get(name.removeprefix(PREFIX))
        if about is None:
            [base] = [name.removesuffix(end) for end in OF_HISTOGRAMS if name.endswith(end)]
            about = METRICS[base.removeprefix(PREFIX)]
            assert "Histogram" in about.kind.__name__
        labels = {*about.labels, "le"}
        assert set(re.findall(r"(\w+)\s*=", conditions)) <= labels
        for grouped in re.findall(r"by \(([^)]*)\)", expression):
            assert set(grouped.split(", ")) <= labels


def test_the_dashboard_draws_each_question_and_every_alarm_of_the_document_is_on_it() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in DASHBOARD["panels"]:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    alarms = DOCUMENT.partition("## What to be woken for")[2].partition("\n##")[0]
    for name in re.findall(r"dicom_node_\w+", alarms):
        assert any(name in expression for expression in EXPRESSIONS), name


def test_what_was_counted_is_told(folder: DataFolder) -> None:
    settings = Settings(
        destinations=[Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=104)],  # type: ignore[arg-type]
        storage=StorageSettings(minimum_free_megabytes=7),
    )
    receive(folder, instance(1))
    receive(folder, instance(1))
    receive(folder, instance(2))
    analyse(folder)
    analyse(folder)
    report(folder, [result()], ("pacs",), NOW + 10)
    assert claim_delivery(folder, now=NOW + 11)
    with folder.database.write(Step.BY_HAND) as connection:
        echoes.echoed(connection, "pacs", NOW, 20.0, None)
    told = samples(folder, settings)
    assert told["dicom_node_images_received_total",] == 2
    assert told["dicom_node_images_received_again_total",] == 1
    assert told["dicom_node_studies_received_total",] == 1
    assert told["dicom_node_jobs", "done"] == 3
    assert told["dicom_node_deliveries", "pacs", "running"] == 1
    assert told["dicom_node_destination_up", "pacs"] == 1
    assert told["dicom_node_destination_echo_seconds", "pacs"] == 0.02
    assert told["dicom_node_disk_refuses_below_bytes",] == 7_000_000
    assert told["dicom_node_role_up", "receive"] == 0
    assert told["dicom_node_report_latency_seconds_sum",] == 10
    for bound in LATENCY_BOUNDS:
        assert told["dicom_node_report_latency_seconds_bucket", str(bound)] == (bound >= 10)


def test_a_destination_that_is_not_set_any_more_is_not_asked_about(folder: DataFolder) -> None:
    with folder.database.write(Step.BY_HAND) as connection:
        echoes.echoed(connection, "gone", NOW, None, "nobody listens there")
    assert not any(name.startswith("dicom_node_destination") for name, *_ in samples(folder))


def test_the_roles_are_those_of_the_node() -> None:
    assert set(vitals.ROLES) == {str(role) for role in Role}


def test_how_long_the_disk_lasts(folder: DataFolder) -> None:
    settings = Settings(
        node=NodeSettings(data_dir=folder.folder), storage=StorageSettings(minimum_free_megabytes=0)
    )
    free = folder.objects.free_bytes()
    told = vitals.disk(settings, folder, free // 20)
    assert told.lasts_days == pytest.approx(10, rel=0.1)
    assert vitals.disk(settings, folder, 0).lasts_days is None
    full = Settings(
        storage=StorageSettings(minimum_free_megabytes=2 * free // 1_000_000),
        retention={"free_megabytes": 4 * free // 1_000_000},
    )  # type: ignore[arg-type]
    assert vitals.disk(full, folder, 1).lasts_days == 0
