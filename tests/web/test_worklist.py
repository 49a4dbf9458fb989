"""What a radiologist reads first, and looks for."""

from pathlib import Path

import pytest

from tests.builders import NAMES, chest_film, write
from tests.peers import NodeProcess, wait_for
from tests.web.browser import Browser
from tests.web.pictures import keep

FILMS = {
    "anderson": {"opacity": True, "PatientName": "Anderson^Ann", "AccessionNumber": "A-1"},
    "brown": {"PatientName": "Brown^Bo", "PatientID": "B-77", "RequestedProcedurePriority": "STAT"},
    "müller": {"name": NAMES["latin1"], "view": "LL", "AccessionNumber": "A-3"},
}


def send(node: NodeProcess, folder: Path, study: str) -> None:
    film = chest_film(study=study, **FILMS.get(study, {"PatientName": study}))  # type: ignore[arg-type]
    assert node.send(write(film, folder / "film.dcm")) == 0


@pytest.fixture(scope="module", autouse=True)
def films(tmp_path_factory: pytest.TempPathFactory, node: NodeProcess) -> None:
    for study in FILMS:
        send(node, tmp_path_factory.mktemp("films"), study)
    wait_for(lambda: node.settled(len(FILMS)))


def rows(browser: Browser) -> list[str]:
    found = browser.chromium.evaluate(
        "[...document.querySelectorAll('[data-study]')].map(each => each.innerText.replace(/\\s+/g, ' '))"
    )
    return [str(each) for each in found]


def address(browser: Browser) -> str:
    return str(browser.chromium.evaluate("location.pathname + location.search"))


def focused(browser: Browser) -> str:
    return str(browser.chromium.evaluate("document.activeElement.innerText"))


def test_the_list_tells_what_to_read_first_and_why(radiologist: Browser) -> None:
    radiologist.visit("/")
    first, second, third = (words.split(" under 1 min ") for words in rows(radiologist))
    assert first[0].startswith("◆ uncertain 0.")
    assert first[1].startswith("Anderson, Ann MRN-000123, born 1956-07-04 PA ✓ delivered A-1")
    assert second[0] == "○ no answer routine"
    assert (
        "Müller, Jürgen Dr. MRN-000123, born 1956-07-04 lateral ⊘ not analysable lateral view;" in second[1]
    )
    assert third[0].startswith("▽ pneumonia unlikely 0.")
    assert third[0].endswith("⚑ urgent")
    assert third[1].startswith("Brown, Bo B-77, born 1956-07-04 PA ✓ delivered ACC-77")
    keep(radiologist, "worklist")
    assert radiologist.violations() == []


def test_filters_stand_in_the_address_and_whom_somebody_looks_for_does_not(radiologist: Browser) -> None:
    radiologist.visit("/")
    radiologist.choose("Answer", "○ no answer")
    wait_for(lambda: len(rows(radiologist)) == 1)
    assert address(radiologist) == "/?answer=none"
    radiologist.choose("State", "✓ delivered")
    radiologist.sees("No studies.")
    radiologist.choose("State", "⊘ not analysable")
    radiologist.choose("Received in the last", "4 hours")
    radiologist.sees("Studies of the last 4 hours")
    assert address(radiologist) == "/?hours=4&answer=none&state=not_analysable"
    radiologist.visit(address(radiologist))
    assert ["Müller" in each for each in rows(radiologist)] == [True]
    radiologist.choose("Answer", "all")
    radiologist.choose("State", "all")
    wait_for(lambda: len(rows(radiologist)) == 3)
    radiologist.fill("Name", "muller a-3")
    wait_for(lambda: len(rows(radiologist)) == 1)
    radiologist.sees("1 study is shown.")
    assert address(radiologist) == "/?hours=4"
    assert radiologist.chromium.evaluate("history.length") < 20
    radiologist.key("Enter")
    radiologist.fill("Name", "nobody")
    radiologist.sees("No studies.")
    assert radiologist.violations() == []


def test_what_is_new_shows_by_itself_and_is_said(
    radiologist: Browser, node: NodeProcess, tmp_path: Path
) -> None:
    radiologist.visit("/")
    radiologist.sees("Anderson")
    radiologist.chromium.evaluate("document.querySelector('[data-study] a').focus()")
    send(node, tmp_path, "Newton^Nina")
    said: list[str] = []

    def heard(words: str) -> bool:
        said.append(str(radiologist.chromium.evaluate("document.getElementById('news').textContent")))
        return any(words in each for each in said)

    wait_for(lambda: heard("1 new study") and heard("1 new answer"))
    radiologist.sees("Newton, Nina")
    assert focused(radiologist) == "Anderson, Ann"  # where it was, though the list was changed under it


def test_the_list_is_walked_through_by_keys(radiologist: Browser) -> None:
    radiologist.visit("/")
    radiologist.sees("Keys")
    walked = []
    for key in ("ArrowDown", "j", "k"):
        radiologist.key(key)
        walked.append(focused(radiologist))
    assert walked == ["Anderson, Ann", "Müller, Jürgen Dr.", "Anderson, Ann"]
    radiologist.key("/")
    assert radiologist.chromium.evaluate("document.activeElement.id") == "search"
