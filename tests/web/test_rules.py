"""The rule tester, as an administrator uses it before a rule is changed in the PACS."""

from pathlib import Path

import pytest

from dicom_node.results.equipment import MANUFACTURER
from tests.builders import chest_film, encoded, write
from tests.peers import NodeProcess, wait_for
from tests.web.browser import Browser
from tests.web.conftest import PASSWORD, pages_of
from tests.web.pictures import keep
from tests.web.program import Program


def test_an_administrator_sees_what_would_become_of_a_file(administrator: Browser, tmp_path: Path) -> None:
    film = write(chest_film(rows=640, columns=560), tmp_path / "film.dcm")
    administrator.press("Rule tester")
    administrator.bring("DICOM file", film)
    administrator.fill("AE title", "PACS")
    administrator.fill("Address", "127.0.0.1")
    administrator.press("Try it")
    administrator.sees("PACS at 127.0.0.1 is the source pacs")
    for words in (
        "0x0000: it is stored",
        "results to pacs",
        "structured report",
        "0.3 s after the last image",
    ):
        administrator.sees(words)
    assert administrator.violations() == []
    keep(administrator, "rules")


@pytest.fixture(scope="module")
def program(node: NodeProcess) -> Program:
    return Program(pages_of(node), "anna", PASSWORD)


def rules(
    program: Program, content: bytes, ae_title: str = "PACS", address: str = "127.0.0.1"
) -> dict[str, str]:
    answer = program.ask(
        "POST", "/api/rules", files={"file": content}, data={"ae_title": ae_title, "address": address}
    )
    assert answer.status_code == 200, answer.text
    return {each["name"]: f"{each['verdict']}: {each['sentence']}" for each in answer.json()}


def test_a_stranger_would_be_refused_and_the_rest_is_told_all_the_same(program: Program) -> None:
    met = rules(program, encoded(chest_film()), "ELSEWHERE", "127.0.0.1")
    assert met["association"].startswith("refused: no source has this AE title and address")
    assert "results to pacs" in met


@pytest.mark.parametrize(
    ("content", "rule", "said"),
    [
        (b"no DICOM at all", "data set", "refused: 0xC000"),
        (encoded(chest_film(without=["StudyInstanceUID"])), "data set", "refused: 0xC000: StudyInstanceUID"),
        (encoded(chest_film(view="LL")), "analysis", "noted: not analysable: lateral view"),
        (encoded(chest_film(Manufacturer=MANUFACTURER)), "analysis", "noted: it was made by this node"),
    ],
)
def test_what_ends_a_files_way_is_named(program: Program, content: bytes, rule: str, said: str) -> None:
    assert rules(program, content)[rule].startswith(said)


def test_what_is_said_is_what_happens_when_the_file_comes(
    program: Program, node: NodeProcess, tmp_path: Path
) -> None:
    content = encoded(chest_film("real", study="rehearsed", rows=640, columns=560))
    (tmp_path / "film.dcm").write_bytes(content)
    said = rules(program, content)["results to pacs"]
    assert node.send(tmp_path / "film.dcm") == 0
    wait_for(lambda: node.settled(1))
    sent = {each["kind"] for each in node.jobs() if each.get("destination") == "pacs"}
    assert {kind.replace("_", " ") for kind in sent} == set(said.removeprefix("passed: ").split(", "))


def test_only_administrators_may_test_rules(radiologist: Browser) -> None:
    assert "Rule tester" not in radiologist.text
    radiologist.visit("/rules")
    radiologist.sees("Your role does not allow this.")
