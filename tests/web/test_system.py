"""How the node does, for whoever may look: what comes and goes, the destinations, scores by device, the model."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, update

from dicom_node.metrics import METRICS, PREFIX
from inference.card import SHIPPED, load_card
from storage import echoes
from storage.engine import Database
from storage.folder import DATABASE_NAME
from storage.schema import predictions, score_counts
from storage.steps import Step
from tests.builders import PATIENT_DATA, chest_film, write
from tests.peers import NodeProcess, wait_for
from tests.web import history
from tests.web.browser import Browser
from tests.web.conftest import PASSWORD, pages_of
from tests.web.pictures import keep
from tests.web.program import Program

TOOK = [1 + each / 100 for each in range(200)]


@contextmanager
def written(node: NodeProcess) -> Iterator[Connection]:
    database = Database(node.folder / "data" / DATABASE_NAME)
    with database.write(Step.BY_HAND) as connection:
        yield connection
    database.close()


@pytest.fixture(scope="module", autouse=True)
def month(node: NodeProcess, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One real film, and a month that is made up."""
    film = write(chest_film(study="system"), tmp_path_factory.mktemp("film") / "film.dcm")
    assert node.send(film) == 0
    wait_for(lambda: node.settled(1))
    with written(node) as connection:
        now = time.time()
        connection.execute(score_counts.delete())
        connection.execute(update(predictions).values(model_sha256=history.MODEL))
        history.busy_month(connection, now - 3600)
        history.reports(connection, now, TOOK)
        history.asked(connection, now, "pacs", refused={9, 10, 11})
        history.scored(connection, now)


@pytest.fixture(scope="module")
def viewing(node: NodeProcess) -> Program:
    return Program(pages_of(node), "vera", PASSWORD)


@pytest.fixture(scope="module")
def administering(node: NodeProcess) -> Program:
    return Program(pages_of(node), "anna", PASSWORD)


def test_somebody_sees_how_the_node_does(viewer: Browser, viewing: Program) -> None:
    viewer.visit("/system")
    viewer.sees("The scores of 1 of 3 devices have drifted.")
    for words in (
        "nothing waits",
        "GB free",
        "at the last day's rate, if nothing is removed",
        "run by onnxruntime on cpu; card and figures",
        "✓ answers in",
        "answered 22 of 25",
        "analyse, deliver, receive, web since",
    ):
        assert words in viewer.text
    assert viewer.violations() == []
    keep(viewer, "system")
    told = viewing.ask("GET", "/api/system").json()
    assert (len(told["hours"]), len(told["days"])) == (24, 30)
    month = sum(each["studies"] for each in told["days"])
    assert 2000 < month == sum(each["reports"] for each in told["days"])
    assert f"{month:,} studies reported" in viewer.text
    assert sum(each["studies"] for each in told["hours"]) < month
    viewer.press("The last 24 hours and 30 days as tables")
    viewer.sees("By day of the last month")
    assert viewer.violations() == []


def test_percentiles_are_those_of_the_rows(viewing: Program) -> None:
    told = {each["from_to"]: each for each in viewing.ask("GET", "/api/system").json()["latencies"]}
    to_ris = told["reported → ris"]
    assert to_ris["number"] == len(TOOK)
    for share in (50, 95, 99):
        expected = np.percentile(TOOK, share, method="inverted_cdf") / 10
        assert to_ris[f"p{share}"] == pytest.approx(expected, abs=1e-3)
    assert told["received → reported"]["number"] == len(TOOK) + 1  # and that of the real film


def test_a_destination_that_refuses_shows_without_reloading(node: NodeProcess, viewer: Browser) -> None:
    viewer.visit("/system")
    viewer.sees("✓ answers in")
    with written(node) as connection:
        echoes.echoed(connection, "pacs", time.time(), None, "nobody listens there")
    viewer.sees("✕ nobody listens there")
    assert viewer.violations() == []


def test_scores_stand_beside_those_of_the_first_films_the_worst_first(viewer: Browser) -> None:
    viewer.visit("/system/scores")
    viewer.sees("▲ drifted")
    names = viewer.chromium.evaluate("[...document.querySelectorAll('.device h2')].map(e => e.innerText)")
    assert [name.partition(" device ")[0] for name in names] == [
        history.DRIFTED,
        history.STEADY,
        history.NEW,
    ]
    assert "✓ as at first" in viewer.text
    assert "the first films are still coming: 140 of 500" in viewer.text
    assert "Begin anew" not in viewer.text
    assert viewer.violations() == []
    keep(viewer, "scores")
    viewer.press("As a table")
    viewer.sees("By chance up to")
    assert viewer.violations() == []


def test_the_alarm_is_in_the_command_too(node: NodeProcess) -> None:
    assert node.json("status")["devices_drifted"] == [history.DRIFTED]
    assert f"scores have drifted: {history.DRIFTED}" in node.command("status").stdout


def test_an_administrator_who_has_looked_into_it_begins_anew(
    administrator: Browser, viewing: Program, administering: Program
) -> None:
    [drifted] = [each for each in viewing.ask("GET", "/api/scores").json() if each["verdict"] == "drifted"]
    path = f"/scores/{drifted['device']}/reference"
    assert viewing.ask("POST", f"/api{path}").status_code == 403
    assert viewing.ask("POST", f"/system{path}").status_code == 403
    administrator.visit("/system/scores")
    administrator.press("Compare with its next films instead")
    administrator.sees("It stands in the audit trail.")
    assert administrator.violations() == []
    administrator.press(f"Begin anew with {history.DRIFTED}")
    administrator.sees_no_more(history.DRIFTED)
    assert administrator.path == "/system/scores"
    administrator.visit("/system")
    administrator.sees("nothing waits")
    assert "have drifted" not in administrator.text
    assert administering.ask("POST", f"/api{path}").status_code == 404


def test_that_somebody_began_anew_is_in_the_audit_trail(node: NodeProcess, administering: Program) -> None:
    steady = next(
        each for each in administering.ask("GET", "/api/scores").json() if each["name"] == history.STEADY
    )
    answer = administering.ask("POST", f"/api/scores/{steady['device']}/reference")
    assert answer.json() == {"films": 500 + 11 * 230 + 60}
    listed = [json.loads(line) for line in node.command("audit", "list", "--json").stdout.splitlines()]
    last = [each for each in listed if each["event"] == "score_reference_renewed"][-1]
    assert (last["detail"]["user"], last["detail"]["device"]) == ("anna", steady["device"])


def test_the_model_says_what_it_is_and_how_good(viewer: Browser, viewing: Program) -> None:
    viewer.visit("/system/model")
    viewer.sees("Not a medical device")
    card = load_card(SHIPPED)
    assert card.sha256 in viewer.text
    evaluation = json.loads((SHIPPED / "evaluation.json").read_text(encoding="utf-8"))
    assert f"{evaluation['groups']['kermany test']['auc']['value']:.3f} (" in viewer.text
    widths = "[...document.images].map(each => each.complete && each.naturalWidth)"
    wait_for(lambda: all(viewer.chromium.evaluate(widths)))
    assert len(viewer.chromium.evaluate(widths)) == 2
    assert viewer.violations() == []
    keep(viewer, "model")
    told = viewing.ask("GET", "/api/model").json()
    assert (told["version"], told["likely_from"]) == (card.version, card.uncertain[1])
    assert viewing.ask("GET", "/system/model/card.png").status_code == 422


def test_prometheus_reads_all_that_is_named_and_nothing_of_a_patient(node: NodeProcess) -> None:
    answer = requests.get(f"{pages_of(node)}/metrics", timeout=60)
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    families = {each.name: each for each in text_string_to_metric_families(answer.text)}
    named = {PREFIX + name.removesuffix("_total"): about for name, about in METRICS.items()}
    assert families.keys() == named.keys()
    for name, family in families.items():
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} == set(named[name].labels)
    assert [each for each in (*PATIENT_DATA, history.DRIFTED) if each in answer.text] == []
    latency = families["dicom_node_report_latency_seconds"].samples
    [count] = [each.value for each in latency if each.name.endswith("_count")]
    assert count >= 1
    assert count == max(each.value for each in latency if each.name.endswith("_bucket"))


def test_who_asks_from_elsewhere_logs_in_for_metrics_and_nobody_else(
    node: NodeProcess, viewing: Program
) -> None:
    url, proxied = f"{pages_of(node)}/metrics", {"X-Forwarded-For": "192.0.2.7"}
    refused = requests.get(url, headers=proxied, timeout=60, allow_redirects=False)
    assert (refused.status_code, refused.headers["Location"]) == (303, "/login?to=%2Fmetrics")
    token = {"Authorization": f"Bearer {viewing.token}"}
    assert requests.get(url, headers=proxied | token, timeout=60).ok


def test_a_monitor_hears_that_the_node_lives_and_is_ready(node: NodeProcess, viewing: Program) -> None:
    assert requests.get(f"{pages_of(node)}/live", timeout=60).text == "live\n"
    ready = requests.get(f"{pages_of(node)}/ready", timeout=60)
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    parts = {"database", "disk", "receive", "analyse", "deliver", "web"}
    assert ready.json()["parts"] == dict.fromkeys(parts, "ok")
    assert viewing.ask("GET", "/api/ready").json() == ready.json()


def test_counters_go_on_where_they_were_when_the_node_is_started_again(node: NodeProcess) -> None:
    def received() -> str:
        text = requests.get(f"{pages_of(node)}/metrics", timeout=60).text
        return re.findall(r"^dicom_node_images_received_total (\S+)", text, re.MULTILINE)[0]

    before = received()
    node.stop()
    node.start()
    assert received() == before == "1.0"
