"""A radiologist says whether the node was right, and everybody sees how often it was."""

import csv
import io
from typing import Any

import pytest

from tests.builders import chest_film, write
from tests.peers import NodeProcess, wait_for
from tests.web.browser import Browser
from tests.web.conftest import PASSWORD, pages_of
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
        "opacity": chest_film(study="feedback opacity", opacity=True),
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


def test_the_page_says_how_many_were_judged_and_what_counts_as_what(
    viewer: Browser, studies: dict[str, str]
) -> None:
    viewer.visit("/feedback")
    viewer.sees("studies that were answered in the last twelve months have a verdict")
    viewer.sees("What counts as what")
    assert viewer.violations() == []


def test_a_comment_is_in_the_database_and_nowhere_else(node: NodeProcess, studies: dict[str, str]) -> None:
    path = f"/api/studies/{studies['opacity']}/verdicts"
    ask(node, "ralf", "POST", path, {"verdict": "agree", "comment": "canary in a comment"})
    trail = node.command("audit", "list", "--json").stdout
    assert '"verdict_given"' in trail
    assert "canary in a comment" not in trail + node.log
