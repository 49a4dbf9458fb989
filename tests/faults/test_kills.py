"""Kill -9 at every durable step: what was answered with Success is never lost, and every result arrives once."""

import ast
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import storage
from storage.steps import Step
from tests.faults.kill_scenarios import SCENARIOS, play
from tests.faults.stage import Stage
from tests.peers import Pacs


def test_every_step_has_its_kill() -> None:
    killed = Counter(step for scenario in SCENARIOS.values() for step in scenario.steps)
    assert killed == Counter(Step)


def test_nothing_becomes_durable_outside_of_a_step() -> None:
    durable = {"fsync", "begin", "begin_writing"}
    found = set()
    for path in sorted(Path(storage.__path__[0]).glob("*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and durable & called_in(function):
                found.add(f"{path.name}: {function.name}")
    assert found == {
        "engine.py: copy_to",  # a backup's
        "engine.py: read",
        "engine.py: write",
        "objects.py: _write",
        "objects.py: _sync",
        "objects.py: sync_folder",
    }


def called_in(function: ast.FunctionDef) -> set[str]:
    calls = (each.func for each in ast.walk(function) if isinstance(each, ast.Call))
    return {each.attr if isinstance(each, ast.Attribute) else getattr(each, "id", "") for each in calls}


def test_a_node_that_is_killed_over_the_same_report_again_and_again_makes_it_in_the_end(
    tmp_path: Path, pacs: Pacs
) -> None:
    with Stage(tmp_path / "node", pacs) as stage:
        for number in range(4):
            stage.start_to_die(Step.STUDY_REPORTED, "before")
            if number == 0:
                stage.send(stage.film())
            stage.require_killed()
        assert stage.broken_promises() == []


@pytest.mark.parametrize("moment", ["before", "after"])
def test_films_that_share_a_transaction_are_kept_or_sent_again_when_it_is_killed(
    moment: str, tmp_path: Path, pacs: Pacs
) -> None:
    with Stage(tmp_path / "node", pacs) as stage:
        stage.start_to_die(Step.INSTANCE_RECEIVED, moment, times=2)
        films = [stage.film() for _ in range(6)]
        with ThreadPoolExecutor(len(films)) as senders:
            answers = list(senders.map(stage.send, films))
        stage.require_killed()
        assert not all(answers)
        assert stage.broken_promises() == []


# what is killed before a step is mostly what is killed after the one before it: the trial does both
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_node_that_is_killed_keeps_its_promises(name: str, tmp_path: Path, pacs: Pacs) -> None:
    scenario = SCENARIOS[name]
    with Stage(tmp_path / "node", pacs, scenario.settings, scenario.of_pacs) as stage:
        play(name, "after", stage)
        assert stage.broken_promises() == []
