"""The power goes, and what was not fsynced with it: what was answered with Success is there when it comes back."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import promises
from tests.faults.power import Supply
from tests.peers import Pacs

SYNCED, AND_SOME_OF_THE_REST = "what is synced stays", "and some of the rest"


@pytest.fixture
def supply(tmp_path: Path, pacs: Pacs) -> Iterator[Supply]:
    with Supply(tmp_path / "node", pacs) as made:
        yield made


@pytest.mark.parametrize("mode", [SYNCED, AND_SOME_OF_THE_REST])
def test_after_power_cuts_what_was_answered_is_there_and_every_result_arrives_once(
    supply: Supply, mode: str
) -> None:
    dice = random.Random(mode)
    supply.cut_at_the_start(dice.randint(1, 100), seed=None if mode == SYNCED else 0)
    for number in range(3):
        supply.cut_while_films_come(dice, seed=None if mode == SYNCED else number)
    assert supply.stage.broken_promises() == []


@pytest.mark.parametrize(
    ("forgets", "loss"),
    [("files", "send the image again from the PACS"), ("database", "answered with Success and not known")],
)
def test_a_node_that_does_not_sync_is_found_out(supply: Supply, forgets: str, loss: str) -> None:
    stage = supply.stage
    stage.node.start()
    stage.node.stop()
    stage.node.launch("tests.faults.forgetful_node", forgets)
    assert stage.send(stage.film())
    supply.cut_now()
    broken = promises.broken(stage.node, stage.pacs, stage.answered)
    assert any(loss in each for each in broken), broken
