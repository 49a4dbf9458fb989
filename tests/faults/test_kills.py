"""Kill -9 at every durable step: what was answered with Success is never lost, and every result arrives once."""

from collections import Counter
from pathlib import Path

import pytest

from storage.steps import Step
from tests.faults.kill_scenarios import SCENARIOS, play
from tests.faults.stage import Stage
from tests.peers import Pacs


def test_every_step_has_its_kill() -> None:
    killed = Counter(step for scenario in SCENARIOS.values() for step in scenario.steps)
    assert killed == Counter(Step)


# what is killed before a step is mostly what is killed after the one before it: all of both is in the trial
@pytest.mark.parametrize(
    ("name", "moment"), [("radiograph", "before"), *((name, "after") for name in SCENARIOS)]
)
def test_a_node_that_is_killed_keeps_its_promises(name: str, moment: str, tmp_path: Path, pacs: Pacs) -> None:
    scenario = SCENARIOS[name]
    with Stage(tmp_path / "node", pacs, scenario.settings, scenario.of_pacs) as stage:
        play(name, moment, stage)
        assert stage.broken_promises() == []
