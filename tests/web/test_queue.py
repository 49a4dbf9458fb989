"""What an administrator does with the queue: finds a study, mends, retries, gives up, pauses and resumes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom import AE, AllStoragePresentationContexts, evt

from dicom_node.demo.archive import AE_TITLE as PACS_AE_TITLE
from tests.builders import chest_film, write
from tests.peers import NodeProcess, Pacs, wait_for
from tests.web.browser import Browser
from tests.web.conftest import PASSWORD, let_in, pages_of
from tests.web.pictures import keep
from tests.web.program import Program

NOT_SUPPORTED = 0x0122


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pacs]:
    """A PACS that is not started yet."""
    made = Pacs(tmp_path_factory.mktemp("pacs") / "orthanc")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: Pacs) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path_factory.mktemp("node"), pacs.port, web="port = 0") as made:
        let_in(made)
        yield made


@pytest.fixture(scope="module")
def refused(node: NodeProcess, pacs: Pacs, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The study whose report, and one whose report, too, a PACS refused that takes none; a real one is there since."""
    entity = AE(PACS_AE_TITLE)
    entity.supported_contexts = AllStoragePresentationContexts
    refusing = entity.start_server(
        ("127.0.0.1", pacs.port), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda _event: NOT_SUPPORTED)]
    )
    studies = [send(node, tmp_path_factory.mktemp("films"), f"REFUSED-{number}") for number in (1, 2)]
    wait_for(lambda: node.status()["deliveries"]["rejected"] == 2)
    refusing.shutdown()
    for association in entity.active_associations:
        association.abort()
    pacs.start()
    return studies[0]


def send(node: NodeProcess, folder: Path, accession_number: str, view: str = "PA") -> str:
    """Send a film whose report is all that is made of it, and return its study."""
    film = chest_film(
        study=accession_number, view=view, rows=640, columns=560, AccessionNumber=accession_number
    )
    assert node.send(write(film, folder / "film.dcm")) == 0
    return str(film.StudyInstanceUID)


def show(browser: Browser, asked: str) -> None:
    """Have a list shown, and wait until the page has come to rest at it."""
    browser.press("Show")
    where = f"location.search.includes('{asked}') && document.readyState === 'complete'"
    wait_for(lambda: browser.chromium.evaluate(where))


def test_a_delivery_that_was_refused_says_why_and_arrives_after_a_retry(
    administrator: Browser, refused: str, pacs: Pacs
) -> None:
    administrator.visit("/queue")
    administrator.sees("Waits for a person: 2")
    administrator.sees("C-STORE answered 0x0122: it takes no objects of this kind.")
    administrator.sees("Let it take them, or leave them out of its objects ([[destinations]]).")
    assert administrator.violations() == []
    keep(administrator, "queue")
    administrator.press("Retry d1")
    wait_for(lambda: pacs.results(refused)[0])
    administrator.sees("Waits for a person: 1")  # by itself: nobody has loaded the page again


def test_what_need_not_arrive_is_given_up_after_a_question(
    administrator: Browser, refused: str, node: NodeProcess
) -> None:
    administrator.visit("/queue")
    administrator.press("Give up d2")
    administrator.sees("Give up d2?")
    administrator.press("Leave it as it is")
    administrator.sees("Waits for a person: 1")
    administrator.press("Give up d2")
    administrator.sees("Give up d2?")
    assert administrator.violations() == []
    administrator.press("Give up")
    administrator.sees("Nothing waits for a person")
    administrator.visit("/queue/d2")
    administrator.sees("Was given up by a person")
    events = node.command("audit", "list").stdout
    assert "operator_retried" in events and "operator_dismissed" in events


def test_a_destination_is_paused_until_it_is_resumed_whatever_happens_to_the_node(
    administrator: Browser, node: NodeProcess, pacs: Pacs, refused: str, tmp_path: Path
) -> None:
    administrator.visit("/queue")
    administrator.press("Pause")
    administrator.press("Pause")
    administrator.sees("It must have 1 to 200 characters")
    assert administrator.violations() == []
    administrator.choose("What", "what goes to pacs")
    administrator.fill("Why", "its disks are changed")
    administrator.press("Pause")
    administrator.sees("paused: what goes to pacs, since")
    administrator.sees("by anna: its disks are changed")
    study = send(node, tmp_path, "PAUSED")
    wait_for(lambda: node.story(study)["deliveries"])
    assert node.stop() == 0
    node.start()
    administrator.url = pages_of(node)
    administrator.visit("/queue")
    administrator.sees("by anna: its disks are changed")
    assert administrator.violations() == []
    administrator.fill("Where is it?", "PAUSED")
    administrator.press("Find")
    administrator.sees("Waits to be delivered to pacs; paused: what goes to pacs")
    assert "paused: what goes to pacs" in node.command("status").stdout
    # whatever else is sent meanwhile, nothing is begun of it
    assert node.story(study)["deliveries"][0]["attempts"] == 0
    assert pacs.uids(study) == []
    administrator.press("Resume pacs")
    administrator.sees_no_more("its disks are changed")
    wait_for(lambda: pacs.results(study)[0])
    administrator.visit(f"/queue/{study}")
    administrator.sees("Delivered to pacs")


def test_the_analysis_is_paused_by_a_command_and_everybody_is_told(
    viewer: Browser, node: NodeProcess, refused: str, tmp_path: Path
) -> None:
    viewer.visit("/")
    assert node.command("pause", "--analysis", "--reason", "another model").returncode == 0
    assert node.command("pause", "--analysis", "--reason", "another model").returncode == 1
    assert node.command("pause", "--destination", "elsewhere", "--reason", "gone").returncode == 2
    viewer.sees("paused: the analysis")
    assert "Resume" not in viewer.text
    study = send(node, tmp_path, "NOT YET")
    viewer.visit("/queue")
    viewer.fill("Where is it?", "NOT YET")
    viewer.press("Find")
    viewer.sees("Waits to be analysed; paused: the analysis")
    assert node.story(study)["instances"][0]["attempts"] == 0
    assert node.command("resume", "--analysis").returncode == 0
    viewer.sees("Delivered to pacs")  # by itself
    viewer.sees_no_more("another model")
    assert node.command("resume", "--analysis").returncode == 1


def test_a_study_is_found_by_whatever_names_it_and_tells_its_times(
    viewer: Browser, node: NodeProcess, refused: str, tmp_path: Path
) -> None:
    study = send(node, tmp_path, "A/77", view="LL")
    wait_for(lambda: node.story(study)["deliveries"] and node.story(study)["deliveries"][0]["delivered_at"])
    [film], [report] = node.story(study)["instances"], node.story(study)["deliveries"]
    for name in (
        "A/77",
        study,
        film["sop_instance_uid"],
        report["sop_instance_uid"],
        f"d{report['delivery']}",
    ):
        viewer.visit("/queue")
        viewer.fill("Where is it?", name)
        viewer.press("Find")
        viewer.sees("Accession number A/77")
        assert viewer.path == f"/queue/{study}"  # and nobody's number stands in an address
    for words in (
        "Received",
        "Analysed",
        "Reported",
        "Sent",
        "ms after it came",
        "image 1: analysis rejected",
    ):
        viewer.sees(words)
    assert viewer.violations() == []
    assert "Report again" not in viewer.text
    viewer.visit("/queue/A/77")
    viewer.sees("Accession number A/77")
    viewer.fill("Where is it?", "NEVER SEEN")
    viewer.press("Find")
    viewer.sees("This node has received nothing of it since 2")
    assert viewer.violations() == []


def test_a_study_is_reported_again(administrator: Browser, pacs: Pacs, refused: str) -> None:
    administrator.visit(f"/queue/{refused}")
    administrator.press("Report again")
    administrator.sees("structured report 2 to pacs")
    wait_for(lambda: len(pacs.results(refused)[0]) == 2)
    keep(administrator, "timeline")


def test_lists_are_filtered_and_read_page_by_page(viewer: Browser, node: NodeProcess, refused: str) -> None:
    viewer.visit("/queue")
    viewer.choose("List", "deliveries")
    viewer.choose("State", "✕ given up")
    viewer.choose("Destination", "pacs")
    show(viewer, "destination=pacs")
    viewer.sees("structured report 1 to pacs")
    viewer.choose("Kind", "heatmap")
    show(viewer, "kind=heatmap")
    viewer.sees("None.")
    program = Program(pages_of(node), "vera", PASSWORD)
    rows = program.ask("GET", "/api/queue/rows?of=jobs").json()["rows"]
    older = program.ask("GET", f"/api/queue/rows?of=jobs&before={rows[1]['id'][1:]}").json()["rows"]
    assert older == rows[2:]


def test_a_viewer_changes_nothing(viewer: Browser, node: NodeProcess, refused: str) -> None:
    viewer.visit("/queue")
    for button in ("Retry", "Give up", "Pause"):
        assert button not in viewer.text
    viewer.visit("/pause")
    viewer.sees("Your role does not allow this.")
    program = Program(pages_of(node), "vera", PASSWORD)
    for method, path, sent in (
        ("POST", "/api/queue/retry", {"everything": True}),
        ("POST", "/api/queue/give-up", {"ids": ["d1"]}),
        ("POST", "/api/pauses", {"scope": "everything", "reason": "why not"}),
        ("DELETE", "/api/pauses/everything", None),
        ("POST", f"/api/queue/studies/{refused}/report", None),
    ):
        assert program.ask(method, path, json=sent).status_code == 403


def test_programs_do_what_the_pages_do(node: NodeProcess, refused: str) -> None:
    program = Program(pages_of(node), "anna", PASSWORD)
    wish = {"scope": "destination", "destination": "pacs", "reason": "an upgrade"}
    assert program.ask("POST", "/api/pauses", json=wish).json()[0]["user"] == "anna"
    assert program.ask("POST", "/api/pauses", json=wish).status_code == 409
    assert program.ask("POST", "/api/pauses", json=wish | {"destination": "nobody"}).status_code == 422
    assert program.ask("GET", "/api/queue").json()["paused"][0]["reason"] == "an upgrade"
    assert program.ask("DELETE", "/api/pauses/destination?destination=pacs").status_code == 204
    assert program.ask("DELETE", "/api/pauses/destination?destination=pacs").status_code == 404
    assert program.ask("POST", "/api/queue/retry", json={"ids": ["d2"]}).json() == {"ids": ["d2"]}
    wait_for(
        lambda: (
            program.ask("GET", "/api/queue/studies/d2").json()["whereabouts"].startswith("delivered to pacs")
        )
    )
    assert program.ask("POST", "/api/queue/give-up", json={"ids": ["d2", "j1"]}).json() == {"ids": []}
    assert program.ask("GET", "/api/queue/for-a-person").json() == []
    for unknown in ("nothing", "%20", ""):
        assert program.ask("GET", f"/api/queue/studies/{unknown}").status_code == 404
    assert program.ask("POST", f"/api/queue/studies/{refused}/report").status_code == 202
    assert program.ask("POST", "/api/queue/studies/1.2.3/report").status_code == 409
