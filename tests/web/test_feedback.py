"""A radiologist says whether the node was right, and everybody sees how often it was."""

import csv
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicom_node.web.passwords import hashed
from storage import people
from storage.engine import Database
from storage.folder import DATABASE_NAME
from storage.people import Role
from storage.steps import Step
from tests.builders import NAMES, chest_film, write
from tests.peers import NodeProcess, wait_for
from tests.web.browser import Browser
from tests.web.conftest import PASSWORD, let_in, pages_of
from tests.web.judged_year import STUDIES_A_MONTH, judged_year
from tests.web.pictures import keep
from tests.web.program import Program


def ask(node: NodeProcess, name: str, method: str, path: str, content: object = None) -> tuple[int, Any]:
    """Ask the JSON interface as somebody; return status and answer."""
    program = Program(pages_of(node), name, PASSWORD)
    answer = program.ask(method, path, **({} if content is None else {"json": content}))
    is_json = answer.headers["Content-Type"] == "application/json"
    return answer.status_code, answer.json() if is_json else answer.text


@pytest.fixture(scope="module")
def studies(node: NodeProcess, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Studies that are answered, and one that is not analysable: their UIDs by what is on them."""
    folder = tmp_path_factory.mktemp("films")
    films = {
        "opacity": chest_film(study="feedback opacity", opacity=True, name=NAMES["ascii"]),
        "clear": chest_film(study="feedback clear"),
        "lateral": chest_film(study="feedback lateral", view="LL"),
    }
    node.send(*(write(film, folder / f"{name}.dcm") for name, film in films.items()))
    wait_for(lambda: node.settled(len(films)), 180)
    return {name: str(film.StudyInstanceUID) for name, film in films.items()}


@pytest.fixture(scope="module")
def film(studies: dict[str, str]) -> str:
    return str(chest_film(study="feedback opacity", opacity=True).SOPInstanceUID)


def test_what_a_program_says_of_a_study_counts_once_for_each_person(
    node: NodeProcess, studies: dict[str, str], film: str
) -> None:
    path = f"/api/studies/{studies['opacity']}/verdicts"
    region = {"sop_instance_uid": film, "left": 1, "top": 2, "right": 30, "bottom": 40}
    assert ask(node, "ralf", "GET", path) == (200, [])
    status, said = ask(
        node, "ralf", "POST", path, {"verdict": "agree", "comment": " seen ", "region": region}
    )
    assert (status, said[0]["person"], said[0]["comment"]) == (201, "ralf", "seen")
    assert said[0]["region"] == region
    status, said = ask(node, "ralf", "POST", path, {"verdict": "disagree"})
    assert [(each["verdict"], each["replaced_at"] is None) for each in said] == [
        ("disagree", True),
        ("agree", False),
    ]
    assert ask(node, "ralf", "GET", path) == (200, said)
    _, found = ask(node, "ralf", "GET", "/api/feedback")
    everything, month = found["months"][:2]
    assert sum(everything["judged"].values()) == sum(month["judged"].values()) == 1
    assert [each["study_instance_uid"] for each in found["disagreements"]] == [studies["opacity"]]
    _, table = ask(node, "ralf", "GET", "/api/feedback.csv")
    first, *lines = csv.DictReader(io.StringIO(table))
    assert (first["month"], len(lines)) == ("all", 12)
    assert first["ppv_of"] == str(everything["ppv"]["of"])


@pytest.mark.parametrize(
    ("study", "said", "status"),
    [
        ("lateral", {"verdict": "agree"}, 409),
        ("1.2.3", {"verdict": "agree"}, 404),
        ("no UID", {"verdict": "agree"}, 422),
        ("clear", {"verdict": "perhaps"}, 422),
        ("clear", {"verdict": "agree", "comment": "x" * 2001}, 422),
        (
            "clear",
            {
                "verdict": "agree",
                "region": {"sop_instance_uid": "1.2", "left": 0, "top": 0, "right": 1, "bottom": 1},
            },
            422,
        ),
    ],
)
def test_what_cannot_be_judged_is_refused_and_nothing_is_kept(
    node: NodeProcess, studies: dict[str, str], study: str, said: dict[str, Any], status: int
) -> None:
    path = f"/api/studies/{studies.get(study, study).replace(' ', '%20')}/verdicts"
    before = ask(node, "ralf", "GET", path)
    assert ask(node, "ralf", "POST", path, said)[0] == status
    assert ask(node, "ralf", "GET", path) == before


@pytest.mark.parametrize("name", ["anna", "vera"])
def test_nobody_but_radiologists_may_judge(node: NodeProcess, studies: dict[str, str], name: str) -> None:
    path = f"/api/studies/{studies['clear']}/verdicts"
    assert ask(node, name, "POST", path, {"verdict": "agree"})[0] == 403
    assert ask(node, name, "GET", path)[0] == 200


@pytest.fixture
def year(browser: Browser, tmp_path: Path) -> Iterator[NodeProcess]:
    """The pages of a node that has answered for a year."""
    node = NodeProcess(tmp_path, None, web="port = 0")
    node.start("web")
    database = Database(node.folder / "data" / DATABASE_NAME)
    with database.write(Step.BY_HAND) as connection:
        judged_year(connection, time.time())
    database.close()
    let_in(node)
    browser.url = pages_of(node)
    yield node
    node.stop()


def test_figures_of_a_year_and_what_they_are_of(browser: Browser, year: NodeProcess) -> None:
    browser.log_in("vera", PASSWORD)
    browser.visit("/feedback")
    _, found = ask(year, "vera", "GET", "/api/feedback")
    everything, *months = found["months"]
    judged, ppv = sum(everything["judged"].values()), everything["ppv"]
    browser.sees(f"{judged} of {12 * STUDIES_A_MONTH} studies that were answered")
    browser.sees("Who judges chooses")
    browser.sees(f"{100 * ppv['share']:.0f} % ({100 * ppv['low']:.0f} to {100 * ppv['high']:.0f})")
    browser.sees(f"{ppv['part']} of {ppv['of']}")
    assert [each["month"] in browser.text for each in months] == [True] * 12
    assert browser.violations() == []
    keep(browser, "feedback")
    wrong = found["disagreements"][0]
    assert len(found["disagreements"]) > 10
    assert wrong["accession_number"] in browser.text
    browser.press(f"Open the study {wrong['accession_number']}")
    wait_for(lambda: browser.path == f"/studies/{wrong['study_instance_uid']}")


def test_the_page_says_how_many_were_judged_and_what_counts_as_what(
    viewer: Browser, studies: dict[str, str]
) -> None:
    viewer.visit("/feedback")
    viewer.sees("studies that were answered in the last twelve months have a verdict")
    viewer.sees("What counts as what")
    assert viewer.violations() == []


def open_panel(browser: Browser, study: str) -> None:
    browser.visit(f"/studies/{study}")
    browser.sees("Is the answer right?")


def pressed(browser: Browser) -> list[str]:
    """The verdicts that the panel shows as one's own."""
    found = browser.chromium.evaluate(
        "[...document.querySelectorAll('#verdict-form [aria-pressed=true]')].map(each => each.value).join()"
    )
    return str(found).split(",") if found else []


def test_a_radiologist_judges_by_one_key_and_changes_their_mind_by_another(
    radiologist: Browser, studies: dict[str, str]
) -> None:
    open_panel(radiologist, studies["clear"])
    radiologist.sees("You have not judged this study yet.")
    assert radiologist.violations() == []
    for key, verdict, words in (
        ("a", "agree", "agree"),
        ("d", "disagree", "disagree"),
        ("c", "cannot_tell", "cannot tell"),
    ):
        radiologist.key(key)
        radiologist.sees(f": {words}")
        wait_for(lambda verdict=verdict: pressed(radiologist) == [verdict])  # type: ignore[misc]
    assert radiologist.text.count("(replaced)") == 2
    assert radiologist.violations() == []


def test_a_key_in_the_comment_is_a_letter_of_it(radiologist: Browser, studies: dict[str, str]) -> None:
    open_panel(radiologist, studies["clear"])
    before = pressed(radiologist)
    radiologist.fill("Comment", "")
    radiologist.key("d")
    assert radiologist.chromium.evaluate("document.getElementById('verdict-comment').value") == "d"
    assert pressed(radiologist) == before


def test_a_region_is_drawn_or_written_and_kept_with_the_comment(
    node: NodeProcess, radiologist: Browser, studies: dict[str, str], film: str
) -> None:
    open_panel(radiologist, studies["opacity"])
    wait_for(lambda: radiologist.chromium.evaluate("'ready' in document.getElementById('stage').dataset"))
    radiologist.key("m")
    box = json.loads(
        radiologist.chromium.evaluate(
            "JSON.stringify(document.getElementById('stage').getBoundingClientRect())"
        )
    )
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    drag(radiologist, (x + 70, y - 130), (x + 170, y + 100))
    radiologist.sees("No region")
    radiologist.fill("Comment", "Air bronchogram, seen on the lateral view, too.")
    radiologist.press("Agree")
    radiologist.sees("with a region")
    radiologist.chromium.evaluate("document.getElementById('feedback').scrollIntoView({block: 'nearest'})")
    keep(radiologist, "verdict")
    _, said = ask(node, "ralf", "GET", f"/api/studies/{studies['opacity']}/verdicts")
    region = said[0]["region"]
    assert region["sop_instance_uid"] == film
    assert 140 < region["left"] < region["right"] < 280
    assert 0 < region["top"] < 160 < region["bottom"] < 320
    radiologist.fill("Left", "300000")
    radiologist.press("Disagree")
    radiologist.sees("Nothing was kept yet: see below.")
    radiologist.sees("The region needs four whole numbers")
    assert radiologist.violations() == []
    radiologist.press("No region")
    radiologist.fill("Comment", "<b>not</b> really")
    radiologist.press("Disagree")
    radiologist.sees("<b>not</b> really")
    assert ask(node, "ralf", "GET", f"/api/studies/{studies['opacity']}/verdicts")[1][0]["region"] is None


def drag(browser: Browser, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw with the mouse."""
    for kind, (x, y) in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
        browser.chromium.command(
            "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1
        )


def test_who_only_looks_sees_what_was_said_and_can_say_nothing(
    viewer: Browser, node: NodeProcess, studies: dict[str, str]
) -> None:
    ask(node, "ralf", "POST", f"/api/studies/{studies['opacity']}/verdicts", {"verdict": "agree"})
    open_panel(viewer, studies["opacity"])
    viewer.sees("ralf agrees")
    assert not viewer.chromium.evaluate("document.querySelector('#verdict-form')")
    assert viewer.violations() == []


def test_nobody_is_led_by_what_others_said(
    browser: Browser, node: NodeProcess, studies: dict[str, str]
) -> None:
    ask(node, "ralf", "POST", f"/api/studies/{studies['opacity']}/verdicts", {"verdict": "disagree"})
    rita = people_with(node, "rita")
    browser.log_in(rita, PASSWORD)
    open_panel(browser, studies["opacity"])
    browser.sees("What others said is shown when you have judged.")
    assert "ralf" not in browser.text
    browser.key("a")
    browser.sees("ralf disagrees")


def people_with(node: NodeProcess, name: str) -> str:
    """Let one more radiologist in."""
    database = Database(node.folder / "data" / DATABASE_NAME)
    with database.write(Step.BY_HAND) as connection:
        secret = people.invite(connection, Role.RADIOLOGIST, name, time.time(), 60)
        people.accept(connection, secret, name, hashed(PASSWORD), time.time())
    database.close()
    return name


def test_a_study_without_an_answer_says_so(radiologist: Browser, studies: dict[str, str]) -> None:
    open_panel(radiologist, studies["lateral"])
    radiologist.sees("there is nothing to judge")
    assert radiologist.violations() == []


def test_a_comment_is_in_the_database_and_nowhere_else(node: NodeProcess, studies: dict[str, str]) -> None:
    path = f"/api/studies/{studies['opacity']}/verdicts"
    ask(node, "ralf", "POST", path, {"verdict": "agree", "comment": "canary in a comment"})
    trail = node.command("audit", "list", "--json").stdout
    assert '"verdict_given"' in trail
    assert "canary in a comment" not in trail + node.log
