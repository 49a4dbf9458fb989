"""The parts of a training do what their figures rest on: fair draws, calibrated scores."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.network import FilmNetwork
from inference.training.augmentation import augment
from inference.training.calibration import balanced_weights, calibrate, uncertain_band
from inference.training.fitting import (
    FROM_IMAGENET,
    FROM_NOTHING,
    FilmSet,
    Plan,
    Step,
    _freeze,
    _learning_rate,
    _outside,
    fit,
    validation_auc,
)


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


def film_set(counts: dict[tuple[str, bool, str], int]) -> FilmSet:
    """Blank films of these sources, labels and groups."""
    cells = [cell for cell, count in counts.items() for _ in range(count)]
    truth = np.array([label for _, label, _ in cells])
    return FilmSet(
        torch.zeros((len(cells), 1, 8, 8), dtype=torch.uint8),
        torch.zeros((len(cells), 1, 8, 8), dtype=torch.uint8),
        truth.astype(np.float32),
        truth,
        tuple(group for _, _, group in cells),
        tuple(source for source, _, _ in cells),
    )


def test_knowing_the_source_or_the_view_does_not_tell_the_label_of_a_draw() -> None:
    counts = {("a", True, "AP"): 300, ("a", False, "AP"): 100}
    counts |= {("b", True, "AP"): 30, ("b", True, "PA"): 7, ("b", False, "AP"): 4, ("b", False, "PA"): 40}
    films = film_set(counts)
    drawn = films.draw(400, np.random.default_rng(1))
    assert drawn.size == 400
    told = Counter((films.sources[film], bool(films.truth[film]), films.groups[film]) for film in drawn)
    assert told == {cell: 100 if cell[0] == "a" else 50 for cell in counts}
    # No film is drawn twice before each other of its kind was drawn once.
    assert set(range(400, 437)) <= set(drawn)
    assert len({film for film in drawn if 300 <= film < 400}) == 100


def test_no_source_outvotes_another_in_the_validation_figure() -> None:
    films = film_set(
        {
            ("a", True, ""): 50,
            ("a", False, ""): 50,
            ("b", True, ""): 2,
            ("b", False, ""): 2,
            ("c", False, ""): 9,
        }
    )
    scores = np.where(films.truth, 1.0, 0.0)
    scores[[source == "b" for source in films.sources]] = 0.5
    assert validation_auc(scores, films) == {"auc": 0.75, "auc a": 1.0, "auc b": 0.5}


def noise_films(side: int = 32) -> FilmSet:
    films = film_set({("a", True, ""): 40, ("a", False, ""): 40})
    random = torch.Generator().manual_seed(1)
    pictures = torch.randint(0, 255, (80, 1, side, side), dtype=torch.uint8, generator=random)
    return replace(films, pictures=pictures, lungs=torch.zeros_like(pictures))


def test_going_on_after_an_interruption_is_as_if_there_had_been_none(
    tmp_path: Path,
) -> None:
    films = noise_films()
    plan = Plan("tf_efficientnet_lite0", 32, 3, films_per_epoch=64, seed=1, stages=FROM_IMAGENET)

    def fitted(folder: Path, report: Callable[[Step], None] = lambda _: None) -> list[dict[str, float]]:
        torch.manual_seed(1)
        network = FilmNetwork(plan.architecture)
        return fit(network, plan, films, films, folder, torch.device("cpu"), report).history

    def stop_after_an_epoch(step: Step) -> None:
        if step.line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "interrupted", stop_after_an_epoch)
    whole = fitted(tmp_path / "whole")
    assert len(whole) == 3
    assert fitted(tmp_path / "interrupted") == whole


def test_layers_are_set_free_from_the_last_to_the_first_and_the_first_never() -> None:
    plan = Plan("tf_efficientnet_lite0", 32, 10, films_per_epoch=64, seed=1, stages=FROM_IMAGENET)
    network = FilmNetwork(plan.architecture)
    free = []
    for done in (0.0, 0.05, 0.5):
        _freeze(network, plan.frozen(done))
        free.append({name for name, parameter in network.named_parameters() if parameter.requires_grad})
    assert free[0] == {"classifier.weight", "classifier.bias"}
    assert free[0] < free[1] < free[2]
    assert "backbone.network.conv_stem.weight" not in free[2]
    assert "backbone.network.blocks.2.0.conv_pw.weight" in free[2]


@pytest.mark.parametrize("architecture", ["tf_efficientnet_lite0", "resnet18", "densenet121"])
def test_a_cell_of_the_map_is_a_sixteenth_of_the_film(architecture: str) -> None:
    _, maps, _ = FilmNetwork(architecture).eval()(torch.zeros(1, 1, 224, 224))
    assert maps.shape == (1, 1, 14, 14)


def test_a_network_that_begins_with_nothing_learns_in_all_its_layers() -> None:
    network = FilmNetwork("resnet18")
    plan = Plan("resnet18", 32, 10, films_per_epoch=64, seed=1, stages=FROM_NOTHING)
    assert _freeze(network, plan.frozen(0.0)) == []
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_ill_films_are_taught_to_speak_in_the_lungs_where_these_are_known() -> None:
    lungs = torch.zeros((1, 1, 28, 28))
    lungs[..., 8:20, 8:20] = 1.0
    inside, outside, nowhere = (torch.zeros((1, 7, 7)) for _ in range(3))
    inside[0, 3, 3], outside[0, 0, 0] = 8.0, 8.0
    ill, healthy = torch.ones(1), torch.zeros(1)
    assert (
        _outside(inside, lungs, ill) < 0.1 < _outside(nowhere, lungs, ill) < 3 < _outside(outside, lungs, ill)
    )
    assert _outside(outside, lungs, healthy) == 0
    assert _outside(outside, torch.zeros_like(lungs), ill) == 0


def test_the_learning_rate_warms_up_and_ends_at_nothing() -> None:
    plan = Plan("any", 32, epochs=10, films_per_epoch=64, seed=1, stages=FROM_IMAGENET)
    rates = [_learning_rate(plan, done) for done in np.linspace(0, 1, 101)]
    assert rates[0] < 0.02 * plan.learning_rate
    assert max(rates) == pytest.approx(plan.learning_rate, rel=0.01)
    assert rates[-1] == pytest.approx(0)
    assert np.argmax(rates) <= 6


def test_augmented_films_are_the_same_for_the_same_seed_and_stay_films() -> None:
    pictures = torch.rand((6, 1, 64, 64), generator=torch.Generator().manual_seed(1))
    first, second, other = (
        augment(pictures, pictures, torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.shape == pictures.shape
    assert first.min() >= 0
    assert first.max() <= 1


def test_no_augmentation_puts_the_heart_on_the_other_side() -> None:
    pictures = torch.full((64, 1, 64, 64), 0.2)
    pictures[:, :, 30:50, 40:54] = 0.8
    changed, _ = augment(pictures, pictures, torch.Generator().manual_seed(4))
    left, right = changed[..., :, 6:26].mean(dim=(1, 2, 3)), changed[..., :, 38:58].mean(dim=(1, 2, 3))
    assert (right > left).all()


def test_lungs_move_with_the_film_that_they_are_in() -> None:
    pictures = torch.zeros((16, 1, 64, 64))
    pictures[:, :, 24:44, 20:30] = 1.0
    changed, lungs = augment(pictures, pictures, torch.Generator().manual_seed(4))
    inside, outside = ((changed * part).sum() / part.sum() for part in (lungs, 1.0 - lungs))
    assert inside > outside + 0.3


def test_the_uncertain_band_leaves_one_error_in_twenty_on_each_side() -> None:
    random = np.random.default_rng(3)
    truth = np.arange(4000) < 1000
    scores = np.clip(np.where(truth, random.normal(0.7, 0.2, 4000), random.normal(0.3, 0.2, 4000)), 0, 1)
    cells = [("a", bool(label)) for label in truth]
    lower, upper = uncertain_band(scores, truth, balanced_weights(cells), 0.5)
    assert lower < 0.5 < upper
    assert (scores[truth] < lower).mean() == pytest.approx(0.05, abs=0.02)
    assert (scores[~truth] >= upper).mean() == pytest.approx(0.05, abs=0.02)


def test_films_told_apart_without_fault_leave_the_threshold_in_its_band() -> None:
    scores, truth = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True])
    lower, upper = uncertain_band(scores, truth, np.full(4, 0.25), 0.5)
    assert lower <= 0.5 <= upper
