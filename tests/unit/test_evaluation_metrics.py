"""Figures are what they are called, their intervals honest, and nothing is chosen on the films that it is told for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, roc_auc_score

from inference.evaluation.groups import groups_of
from inference.evaluation.metrics import auc, auc_of, share_of, summary, with_intervals
from inference.evaluation.operating_points import operating_points, threshold_for
from inference.evaluation.reliability import at_best, calibration_error, reliability
from inference.evaluation.scoring import Scored
from inference.evaluation.shortcuts import normals_told_apart
from inference.films.data import Film

BAND = (0.35, 0.65)


def some(count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    truth = random.random(count) < 0.3
    return np.clip(np.round(random.normal(0.3 + 0.3 * truth, 0.2), 2), 0, 1), truth


def names(count: int) -> list[str]:
    return [f"p{number}" for number in range(count)]


def told(scores: Any, truth: Any, patients: list[str] | None = None) -> dict[str, Any]:
    return summary(np.array(scores), np.array(truth), patients or names(len(truth)), 0.5, BAND)


def film(number: int = 0, **known: Any) -> Film:
    nothing: dict[str, Any] = {
        "path": Path(f"{number}.png"),
        "patient": f"p{number}",
        "source": "site",
        "positive": False,
        "test": False,
        "duplicate": False,
        "view": "",
        "sex": "",
        "age": None,
        "subtype": "",
        "boxes": (),
        "probability": None,
    }
    return Film(**(nothing | known))


def scored(films: list[Film], scores: Any) -> Scored:
    return Scored(tuple(films), np.array(scores, np.float64), np.zeros((len(films), 2, 2), np.float32))


# --- figures ---------------------------------------------------------------------------------------------------------


def test_auc_is_scikit_learns_with_ties_and_weights() -> None:
    scores, truth = some()
    weights = np.random.default_rng(1).integers(0, 4, truth.size)
    assert auc(scores, truth) == pytest.approx(roc_auc_score(truth, scores))
    assert auc_of(scores, truth)(weights[None].astype(float))[0] == pytest.approx(
        roc_auc_score(truth, scores, sample_weight=weights)
    )


def test_auc_of_one_label_is_not_a_number() -> None:
    assert np.isnan(auc(np.array([0.1, 0.2]), np.array([True, True])))


def test_figures_are_counted_by_hand() -> None:
    scores = [0.9, 0.5, 0.4, 0.6, 0.1, 0.2, 0.3, 0.7] * 4
    truth = [True, True, True, False, False, False, False, False] * 4
    group = told(scores, truth)
    assert group["confusion"] == {
        "true_positive": 8,
        "false_negative": 4,
        "false_positive": 8,
        "true_negative": 12,
    }
    assert group["sensitivity"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert group["specificity"]["value"] == 0.6
    assert group["accuracy"]["value"] == 0.625
    assert group["precision"]["value"] == 0.5
    assert group["f1"]["value"] == pytest.approx(4 / 7, abs=1e-4)
    assert (group["films"], group["patients"], group["positive"]) == (32, 32, 12)


def test_the_three_answers_are_counted_by_hand() -> None:
    # At the ends of the band: from its lower end on uncertain, from its upper end on likely.
    group = told([0.65, 0.64, 0.35, 0.34, 0.9, 0.5] * 5, [True, True, True, True, False, False] * 5)
    assert group["answers"] == {
        "ill": {"likely": 5, "uncertain": 10, "unlikely": 5},
        "healthy": {"likely": 5, "uncertain": 5, "unlikely": 0},
    }
    assert group["decided"]["value"] == 0.5
    assert group["wrong_of_decided"]["value"] == pytest.approx(2 / 3, abs=1e-4)


def test_precision_and_f1_are_scikit_learns() -> None:
    scores, truth = some()
    group = told(scores, truth)
    assert group["precision"]["value"] == pytest.approx(precision_score(truth, scores >= 0.5), abs=1e-4)
    assert group["f1"]["value"] == pytest.approx(f1_score(truth, scores >= 0.5), abs=1e-4)


def test_a_classifier_that_never_flags_has_no_precision_and_no_fault() -> None:
    group = told(np.linspace(0.1, 0.2, 30), [True, False] * 15)
    assert group["precision"] == {"value": 0.0, "interval": [0.0, 0.0]}


@pytest.mark.parametrize("ill", [0, 9, 91, 100])
def test_a_group_with_too_few_of_a_label_has_counts_and_no_figures(ill: int) -> None:
    group = told(np.linspace(0, 1, 100), np.arange(100) < ill)
    assert group.keys() == {"films", "patients", "positive", "confusion", "answers"}


# --- intervals -------------------------------------------------------------------------------------------------------


def width(figure: dict[str, Any]) -> float:
    low, high = figure["interval"]
    assert low <= figure["value"] <= high
    return float(high - low)


def test_intervals_hold_the_value_and_narrow_with_more_films() -> None:
    few, many = told(*some(400)), told(*some(1600))
    for name in ("auc", "accuracy", "sensitivity", "specificity", "precision", "f1"):
        assert width(many[name]) < 0.7 * width(few[name])
    width(few["calibration_error"])


def test_intervals_are_the_same_every_time() -> None:
    assert told(*some()) == told(*some())


def test_intervals_hold_the_truth_nineteen_times_in_twenty() -> None:
    random = np.random.default_rng(8)
    held = 0
    for _ in range(100):
        truth = random.random(150) < 0.5
        flagged = random.random(150) < np.where(truth, 0.8, 0.3)
        figure = with_intervals({"sensitivity": share_of(flagged, truth)}, truth, names(150))
        low, high = figure["sensitivity"]["interval"]
        held += low <= 0.8 <= high
    assert held >= 88


def test_more_films_of_the_same_patients_do_not_narrow_an_interval() -> None:
    scores, truth = some(200)
    once = told(scores, truth)
    again = told(np.tile(scores, 4), np.tile(truth, 4), names(200) * 4)
    assert again["auc"]["value"] == once["auc"]["value"]
    assert width(again["auc"]) == pytest.approx(width(once["auc"]), rel=0.01)


def test_no_draw_lacks_a_label_even_where_patients_have_both() -> None:
    # One patient has all ill films, and a healthy one.
    truth = np.array([True] * 12 + [False] * 30)
    group = told(np.linspace(1, 0, 42), truth, ["ill"] * 13 + names(29))
    assert group["auc"]["interval"] == [1.0, 1.0]


# --- calibration -----------------------------------------------------------------------------------------------------


def error(scores: np.ndarray, truth: np.ndarray, *, balanced: bool) -> float:
    return float(calibration_error(scores, truth, balanced=balanced)(np.ones((1, truth.size)))[0])


def test_scores_that_promise_too_much_are_in_error_by_so_much() -> None:
    random = np.random.default_rng(3)
    chance = random.random(50_000) * 0.7
    truth = random.random(chance.size) < chance
    assert error(chance, truth, balanced=False) < 0.01
    assert error(chance + 0.2, truth, balanced=False) == pytest.approx(0.2, abs=0.01)


def test_the_balanced_error_does_not_depend_on_how_many_ill_films_were_collected() -> None:
    random = np.random.default_rng(4)
    chance = random.random(60_000)
    truth = random.random(chance.size) < chance  # as many ill as healthy: the scores are right
    kept = truth | (random.random(chance.size) < 0.1)  # then nine of ten healthy films are left out
    assert error(chance[kept], truth[kept], balanced=True) < 0.015
    assert error(chance[kept], truth[kept], balanced=False) > 0.2


def test_equal_scores_share_a_bin_whatever_their_order() -> None:
    scores = np.full(100, 0.5)
    truth = np.arange(100) < 50
    assert error(scores, truth, balanced=True) == pytest.approx(0)
    assert reliability(scores, truth) == [{"films": 100, "score": 0.5, "ill": 0.5}]


def test_the_reliability_table_shows_every_film_once_with_scores_rising() -> None:
    table = reliability(*some())
    assert len(table) == 10
    assert sum(each["films"] for each in table) == 400
    assert [each["score"] for each in table] == sorted(each["score"] for each in table)


def test_what_chance_alone_does_is_what_perfect_scores_show() -> None:
    random = np.random.default_rng(6)
    errors, chances = [], []
    for number in range(400):
        scores = random.random(200)
        truth = random.random(200) < scores
        errors.append(error(scores, truth, balanced=True))
        if number < 10:
            chances.append(at_best(scores, truth))
    assert np.mean(chances) == pytest.approx(np.mean(errors), abs=0.003)


# --- thresholds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sensitivity", "flagged"), [(0.9, 9), (0.91, 10), (0.5, 5), (0.01, 1), (1.0, 10)])
def test_a_threshold_flags_as_many_ill_films_as_asked_for_and_no_more(
    sensitivity: float, flagged: int
) -> None:
    scores = np.array([*np.linspace(0.1, 1, 10), 0.05, 0.999])
    truth = np.arange(12) < 10
    assert int((scores[truth] >= threshold_for(sensitivity, scores, truth)).sum()) == flagged


def two_parts(test_scores: np.ndarray) -> Scored:
    values = np.linspace(0, 1, 40)
    films = [film(number, positive=number >= 18, test=False) for number in range(40)]
    films += [film(100 + number, positive=number >= 20, test=True) for number in range(40)]
    return scored(films, [*values, *test_scores])


def test_thresholds_are_chosen_on_validation_and_measured_on_test() -> None:
    points = operating_points(two_parts(np.linspace(0, 1, 40)), (0.9, 0.5))["site"]
    assert [point["aimed_at"] for point in points] == [0.9, 0.5]
    assert points[0]["validation"]["sensitivity"]["value"] == pytest.approx(20 / 22, abs=1e-4)
    assert points[0]["test"]["sensitivity"]["value"] == 1.0
    assert points[0]["test"]["confusion"]["false_positive"] == 0
    others = operating_points(two_parts(np.linspace(1, 0, 40)), (0.9, 0.5))["site"]
    assert [point["threshold"] for point in others] == [point["threshold"] for point in points]
    assert others[0]["test"]["sensitivity"]["value"] == 0.0


def test_a_source_without_test_films_has_thresholds_too() -> None:
    whole = two_parts(np.linspace(0, 1, 40))
    (point,) = operating_points(whole.of("site", test=False), (0.9,))["site"]
    assert "test" not in point
    assert operating_points(whole.of("site", test=True), (0.9,)) == {}


# --- groups ----------------------------------------------------------------------------------------------------------


def test_films_are_measured_by_source_view_sex_and_age_and_together() -> None:
    films = [
        film(0, view="PA", sex="F", age=17.9),
        film(1, view="AP", sex="M", age=18.0),
        film(2, view="AP", sex="F", age=59.0),
        film(3, view="AP", sex="F", age=60.0, test=True),
        film(4, source="other"),
    ]
    groups = groups_of(films)
    assert groups == {
        "other validation": [4],
        "site test": [3],
        "site validation": [0, 1, 2],
        "site validation, AP": [1, 2],
        "site validation, PA": [0],
        "site validation, F": [0, 2],
        "site validation, M": [1],
        "site validation, under 18 years": [0],
        "site validation, 18 to 39 years": [1],
        "site validation, 40 to 59 years": [2],
        "all validation": [0, 1, 2, 4],
    }
    assert list(groups)[-1] == "all validation"


def test_test_films_are_measured_with_and_without_duplicates() -> None:
    films = [film(0, test=True), film(1, test=True), film(2, test=True, duplicate=True)]
    assert groups_of(films) == {"site test": [0, 1, 2], "site test without duplicates": [0, 1]}


# --- what the score should not know ----------------------------------------------------------------------------------


def test_healthy_films_are_told_apart_by_source_and_view_and_ill_ones_are_not_asked() -> None:
    films = [film(number, source="a", view="PA" if number % 2 else "AP") for number in range(40)]
    films += [film(number, source="b") for number in range(40)]
    films += [film(number, source="b", positive=True) for number in range(100, 140)]
    apart = normals_told_apart(
        scored(films, [*(0.5 + 0.1 * (number % 2) for number in range(40)), *[0.4] * 40, *[0.9] * 40])
    )
    assert {name: figure["value"] for name, figure in apart.items()} == {
        "a above b": 1.0,
        "a AP above a PA": 0.0,
    }


def test_shares_of_films_that_are_all_ill_have_intervals_too() -> None:
    figure = with_intervals(
        {"half": lambda weights: weights[:, :20].sum(1) / 40}, np.ones(40, bool), names(40)
    )
    assert 0.3 < figure["half"]["interval"][0] < 0.5 < figure["half"]["interval"][1] < 0.7
