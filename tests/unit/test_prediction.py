"""Three answers: where each begins, and that a card whose band makes no sense is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from inference.card import CARD_NAME, SHIPPED, load_card
from inference.errors import ModelDamaged
from inference.prediction import Answer, answer_of
from tests.readings import CARD


@pytest.mark.parametrize(
    ("score", "answer"),
    [
        (0.0, Answer.UNLIKELY),
        (0.3499, Answer.UNLIKELY),
        (0.35, Answer.UNCERTAIN),
        (0.6499, Answer.UNCERTAIN),
        (0.65, Answer.LIKELY),
        (1.0, Answer.LIKELY),
    ],
)
def test_a_score_is_unlikely_below_the_band_likely_from_its_end_on_and_else_uncertain(
    score: float, answer: Answer
) -> None:
    assert answer_of(score, (0.35, 0.65)) is answer


def test_a_band_of_one_number_leaves_no_score_uncertain() -> None:
    assert {answer_of(score, (0.5, 0.5)) for score in (0.0, 0.4999, 0.5, 1.0)} == {
        Answer.LIKELY,
        Answer.UNLIKELY,
    }


def test_the_shipped_card_has_a_band_around_its_threshold() -> None:
    card = load_card(SHIPPED)
    lower, upper = card.uncertain
    assert lower <= card.threshold <= upper


BROKEN = [(0.99, 0.01), (0.0, 0.01), (0.98, 0.99), (-0.1, 0.9), (0.1, 1.1), (float("nan"), 0.9)]


@pytest.mark.parametrize("band", BROKEN, ids=str)
def test_a_band_that_does_not_hold_the_threshold_makes_no_card(band: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="hold the threshold"):
        replace(CARD, uncertain=band)


@pytest.mark.parametrize("band", [*BROKEN, (0.5,), (0.3, 0.5, 0.6), 0.5, None, ("0.3", "0.6")], ids=str)
def test_a_bundle_with_such_a_card_is_refused(band: object, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(SHIPPED, tmp_path / "bundle"))
    card = json.loads((bundle / CARD_NAME).read_text(encoding="utf-8"))
    (bundle / CARD_NAME).write_text(json.dumps(card | {"uncertain": band}), encoding="utf-8")
    with pytest.raises(ModelDamaged, match="model card"):
        load_card(bundle)
