"""Three answers: where each begins, and that a card whose band makes no sense is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from inference.card import CARD_NAME, SHIPPED, load_card
from inference.errors import ModelDamaged
from inference.prediction import Answer, answer_of
from tests.readings import CARD, unlikely


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


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -0.1, 1.1])
def test_what_is_no_score_gets_no_answer(score: float) -> None:
    with pytest.raises(ValueError, match="0 to 1"):
        unlikely(score)


BROKEN = [(0.99, 0.01), (0.0, 0.01), (0.98, 0.99), (-0.1, 0.9), (0.1, 1.1), (float("nan"), 0.9)]


@pytest.mark.parametrize("band", BROKEN, ids=str)
def test_a_band_that_does_not_hold_the_threshold_makes_no_card(band: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="hold the threshold"):
        replace(CARD, uncertain=band)


IMPOSSIBLE = [
    *(("uncertain", band) for band in (*BROKEN, (0.5,), (0.3, 0.5, 0.6), 0.5, None, ("0.3", "0.6"))),
    *(("temperature", number) for number in (0, -1, float("nan"), float("inf"), 10**400, "x", None)),
    *(("std", number) for number in (0, -0.5, float("nan"), "x")),
    *(("mean", number) for number in (float("nan"), "x", [0.5])),
    *(("input_size", side) for side in ("a", 0, -224, 224.0, None)),
    *(("labels", labels) for labels in ([], [1], [""], 5, None)),
    *((name, value) for name in ("name", "version", "architecture", "sha256") for value in (None, "", 1)),
    ("threshold", "0.5"),
    ("training", []),
    ("figures", None),
]


@pytest.mark.parametrize(("name", "value"), IMPOSSIBLE, ids=lambda written: str(written)[:12])
def test_a_bundle_whose_card_says_what_none_can_is_refused(name: str, value: object, tmp_path: Path) -> None:
    card = json.loads((SHIPPED / CARD_NAME).read_text(encoding="utf-8"))
    (tmp_path / CARD_NAME).write_text(json.dumps(card | {name: value}), encoding="utf-8")
    with pytest.raises(ModelDamaged, match="model card"):
        load_card(tmp_path)


def test_a_card_nested_too_deep_is_refused(tmp_path: Path) -> None:
    (tmp_path / CARD_NAME).write_text("[" * 200_000, encoding="utf-8")
    with pytest.raises(ModelDamaged, match="model card"):
        load_card(tmp_path)
