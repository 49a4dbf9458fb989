"""The parts of a training do what their figures rest on: fair draws, honest intervals, calibrated scores."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from inference.training.augmentation import augment
from inference.training.calibration import balanced_weights, calibrate
from inference.training.fitting import FilmSet, Plan, _balanced_draw, _learning_rate, fit, validation_auc
from inference.training.metrics import auc, summary
from inference.vision import create_network


def scores_and_truth(count: int = 400, overlap: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    truth = random.random(count) < 0.3
    return np.round(random.normal(truth * 1.5, overlap), 1), truth


def test_auc_is_scikit_learns_with_ties() -> None:
    scores, truth = scores_and_truth()
    assert auc(scores, truth) == pytest.approx(roc_auc_score(truth, scores))


def test_figures_are_counted_by_hand() -> None:
    scores = np.array([0.9, 0.5, 0.4, 0.6, 0.1, 0.2, 0.3, 0.49])
    truth = np.array([True, True, True, False, False, False, False, False])
    told = summary(scores, truth, 0.5)
    assert told["confusion"] == {
        "true_positive": 2,
        "false_negative": 1,
        "false_positive": 1,
        "true_negative": 4,
    }
    assert told["sensitivity"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert told["specificity"]["value"] == 0.8
    assert told["accuracy"]["value"] == 0.75
    assert (told["films"], told["positive"]) == (8, 3)


def test_intervals_hold_the_value_and_narrow_with_more_films() -> None:
    def width(count: int) -> float:
        figure = summary(*scores_and_truth(count), 0.5)["auc"]
        low, high = figure["interval"]
        assert low <= figure["value"] <= high
        return float(high - low)

    assert width(1600) < 0.7 * width(400)


def test_intervals_are_the_same_every_time() -> None:
    assert summary(*scores_and_truth(), 0.5) == summary(*scores_and_truth(), 0.5)


@pytest.mark.parametrize(("shift", "stretch"), [(3.0, 4.0), (-2.0, 0.5)])
def test_calibration_undoes_overconfidence_and_offset(shift: float, stretch: float) -> None:
    random = np.random.default_rng(2)
    logits = random.normal(0, 2, 20_000)
    truth = random.random(logits.size) < 1 / (1 + np.exp(-logits))
    even = np.full(logits.size, 1 / logits.size)
    found = calibrate(logits * stretch + shift, truth, even)
    assert found.temperature == pytest.approx(stretch, rel=0.05)
    assert -found.shift == pytest.approx(shift, abs=0.2)


def test_films_that_are_told_apart_without_fault_do_not_break_calibration() -> None:
    found = calibrate(
        np.array([-5.0, -4.0, 4.0, 5.0]), np.array([False, False, True, True]), np.full(4, 0.25)
    )
    assert np.isfinite([found.shift, found.temperature]).all()
    assert found.temperature > 0.1


def test_every_source_and_label_weighs_the_same() -> None:
    cells = [("a", True)] * 90 + [("a", False)] * 5 + [("b", True)] * 3 + [("b", False)] * 2
    weights = balanced_weights(cells)
    assert weights.sum() == pytest.approx(1)
    for cell in set(cells):
        assert weights[[other == cell for other in cells]].sum() == pytest.approx(0.25)


def film_set(counts: dict[tuple[str, bool], int]) -> FilmSet:
    cells = [cell for cell, count in counts.items() for _ in range(count)]
    return FilmSet(
        torch.zeros((len(cells), 1, 8, 8), dtype=torch.uint8),
        np.array([label for _, label in cells]),
        tuple(source for source, _ in cells),
    )


def test_knowing_the_source_does_not_tell_the_label_of_a_draw() -> None:
    films = film_set({("a", True): 300, ("a", False): 100, ("b", True): 7, ("b", False): 40})
    drawn = _balanced_draw(films.cells(), 400, np.random.default_rng(1))
    assert drawn.size == 400
    for cell in films.cells():
        assert np.isin(drawn, cell).sum() == 100
    # No film is drawn twice before each other of its kind was drawn once.
    assert set(films.cells()[-2]) <= set(drawn)
    assert np.unique(drawn[np.isin(drawn, films.cells()[1])]).size == 100


def test_no_source_outvotes_another_in_the_validation_figure() -> None:
    films = film_set({("a", True): 50, ("a", False): 50, ("b", True): 2, ("b", False): 2, ("c", False): 9})
    scores = np.where(films.truth, 1.0, 0.0)
    scores[[source == "b" for source in films.sources]] = 0.5
    assert validation_auc(scores, films) == {"auc": 0.75, "auc a": 1.0, "auc b": 0.5}


def test_going_on_after_an_interruption_is_as_if_there_had_been_none(
    tmp_path: Path,
) -> None:
    films = film_set({("a", True): 40, ("a", False): 40})
    films.pictures.random_(generator=torch.Generator().manual_seed(1))
    films = FilmSet(films.pictures.repeat(1, 1, 4, 4), films.truth, films.sources)
    plan = Plan("tf_efficientnet_lite0", 32, epochs=3, films_per_epoch=64, seed=1, fine_tuned=False)

    def fitted(
        folder: Path, report: Callable[[int, int, str], None] = lambda *_: None
    ) -> list[dict[str, float]]:
        torch.manual_seed(1)
        return fit(create_network(plan.architecture), plan, films, films, folder, report).history

    def stop_after_an_epoch(_done: int, _total: int, line: str) -> None:
        if line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "interrupted", stop_after_an_epoch)
    whole = fitted(tmp_path / "whole")
    assert len(whole) == 3
    assert fitted(tmp_path / "interrupted") == whole


def test_the_learning_rate_warms_up_and_ends_at_nothing() -> None:
    plan = Plan("any", 32, epochs=10, films_per_epoch=64, seed=1, fine_tuned=True)
    rates = [_learning_rate(plan, done) for done in np.linspace(0, 1, 101)]
    assert rates[0] < 0.02 * plan.learning_rate
    assert max(rates) == pytest.approx(plan.learning_rate, rel=0.01)
    assert rates[-1] == pytest.approx(0)
    assert np.argmax(rates) <= 6


def test_augmented_films_are_the_same_for_the_same_seed_and_stay_films() -> None:
    pictures = torch.rand((6, 1, 64, 64), generator=torch.Generator().manual_seed(1))
    first, second, other = (augment(pictures, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.shape == pictures.shape
    assert first.min() >= 0
    assert first.max() <= 1


def test_no_augmentation_puts_the_heart_on_the_other_side() -> None:
    pictures = torch.full((64, 1, 64, 64), 0.2)
    pictures[:, :, 30:50, 40:54] = 0.8
    changed = augment(pictures, torch.Generator().manual_seed(4))
    left, right = changed[..., :, 6:26].mean(dim=(1, 2, 3)), changed[..., :, 38:58].mean(dim=(1, 2, 3))
    assert (right > left).all()
