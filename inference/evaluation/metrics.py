"""Figures of a classifier, each with its 95 % bootstrap interval.

Films of one patient resemble each other, so the intervals come from drawing patients, not films, again: those with
ill films, those with healthy ones and those with both each on their own, so that no draw lacks one or the other
(the stratified cluster bootstrap; Davison and Hinkley, "Bootstrap Methods and their Application", 1997, 3.8). A draw
is a weight for each film, how often it was drawn, and every figure is a function of such weights.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.reliability import at_best, calibration_error
from inference.prediction import Answer, Band, answer_of

FEWEST: Final = 10
"""Films of each label below which a group is counted and no figure is told: an interval would hold almost anything."""

_DRAWS: Final = 1000
_BLOCK: Final = 100  # draws at a time, so that 50,000 films need megabytes and not gigabytes
_INTERVAL: Final = (2.5, 97.5)

Scores: TypeAlias = NDArray[np.float64]
Truth: TypeAlias = NDArray[np.bool_]
Weights: TypeAlias = NDArray[np.float64]
Figure: TypeAlias = Callable[[Weights], NDArray[np.float64]]
"""From weights (draws, films) to the figure of each draw (draws,)."""


def auc(scores: Scores, truth: Truth) -> float:
    """Area under the ROC curve: how often an ill film scores above a healthy one (Mann-Whitney); ties count half.

    Not a number where one of them is missing.
    """
    if truth.all() or not truth.any():
        return float("nan")
    return float(auc_of(scores, truth)(np.ones((1, truth.size)))[0])


def auc_of(scores: Scores, truth: Truth) -> Figure:
    """Make the figure `auc` of weighted films."""
    order = np.argsort(scores)
    ordered = scores[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    ill = truth[order]

    def figure(weights: Weights) -> NDArray[np.float64]:
        drawn = weights[:, order]
        above = np.add.reduceat(drawn * ill, starts, axis=1)
        level = np.add.reduceat(drawn * ~ill, starts, axis=1)
        below = np.cumsum(level, axis=1) - level / 2
        area: NDArray[np.float64] = (above * below).sum(axis=1) / (above.sum(axis=1) * level.sum(axis=1))
        return area

    return figure


def share_of(part: Truth, whole: Truth) -> Figure:
    """Make the figure *share of the films in `whole` that are in `part`*; 0 where there is no film in `whole`."""
    counted = np.stack([part & whole, whole], axis=1).astype(np.float64)

    def figure(weights: Weights) -> NDArray[np.float64]:
        counts = weights @ counted
        share: NDArray[np.float64] = counts[:, 0] / np.maximum(counts[:, 1], 1.0)
        return share

    return figure


def with_intervals(
    figures: Mapping[str, Figure], truth: Truth, patients: Sequence[str], *, centred: bool = False
) -> dict[str, dict[str, Any]]:
    """Tell figures with the middle 95 % of what they are in 1000 draws, which are the same every time.

    Parameters
    ----------
    centred
        For errors, which drawing again raises by itself: the draws are moved so that their mean is the value, and none
        below 0.

    Returns
    -------
    For each name its ``value`` and its ``interval`` [low, high], to four places.
    """
    drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in figures}
    for weights in _draws(truth, patients):
        for name, figure in figures.items():
            drawn[name].append(figure(weights))
    even = np.ones((1, truth.size))
    told = {}
    for name, figure in figures.items():
        value, draws = float(figure(even)[0]), np.concatenate(drawn[name])
        if centred:
            draws = np.maximum(draws - draws.mean() + value, 0.0)
        bounds = [round(float(bound), 4) for bound in np.percentile(draws, _INTERVAL)]
        told[name] = {"value": round(value, 4), "interval": bounds}
    return told


def _draws(truth: Truth, patients: Sequence[str]) -> Iterator[Weights]:
    """How often each film is in each of a block of draws, (draws, films)."""
    names, patient = np.unique(np.asarray(patients), return_inverse=True)
    ill, films = np.bincount(patient, truth), np.bincount(patient)
    kind = np.where(ill == films, 2, np.where(ill > 0, 1, 0))
    random = np.random.default_rng(0)
    for _ in range(_DRAWS // _BLOCK):
        counts = np.empty((_BLOCK, names.size))
        for alike in (kind == number for number in range(3)):
            size = int(alike.sum())
            if size:
                counts[:, alike] = random.multinomial(size, np.full(size, 1 / size), size=_BLOCK)
        yield counts[:, patient]


def confusion(scores: Scores, truth: Truth, threshold: float) -> dict[str, int]:
    """True and false positives and negatives, where a film is flagged at or above the threshold."""
    flagged = scores >= threshold
    return {
        "true_positive": int((flagged & truth).sum()),
        "false_negative": int((~flagged & truth).sum()),
        "false_positive": int((flagged & ~truth).sum()),
        "true_negative": int((~flagged & ~truth).sum()),
    }


def at_threshold(scores: Scores, truth: Truth, threshold: float) -> dict[str, Figure]:
    """Make the figures that depend on a threshold; sensitivity is also called recall.

    Precision is 0 where no film is flagged.
    """
    flagged = scores >= threshold
    every = np.ones_like(truth)
    counted = np.stack([flagged & truth, flagged, truth], axis=1).astype(np.float64)

    def f1(weights: Weights) -> NDArray[np.float64]:
        hits, answers, ill = (weights @ counted).T
        balance: NDArray[np.float64] = 2 * hits / (answers + ill)
        return balance

    return {
        "accuracy": share_of(flagged == truth, every),
        "sensitivity": share_of(flagged, truth),
        "specificity": share_of(~flagged, ~truth),
        "precision": share_of(truth, flagged),
        "f1": f1,
    }


def summary(
    scores: Scores, truth: Truth, patients: Sequence[str], threshold: float, uncertain: Band
) -> dict[str, Any]:
    """All that is told of a group of films.

    Returns
    -------
    ``films``, ``patients``, ``positive`` and ``confusion`` are counts; ``answers`` counts the three answers to ill and
    to healthy films. With ``value`` and ``interval``: ``auc``; `at_threshold`'s; ``calibration_error`` with ill and
    healthy films weighing the same, as they did when the score was calibrated, and ``calibration_error_as_is`` as these
    films are (see `reliability`, also for the plain number ``calibration_error_at_best``); ``decided``, the share of
    films outside the uncertain band, and ``wrong_of_decided``, the share of those with the wrong answer. A group with
    fewer than `FEWEST` ill or healthy films has counts only.
    """
    answers = np.array([answer_of(score, uncertain) for score in scores])
    counts: dict[str, Any] = {
        "films": int(truth.size),
        "patients": len(set(patients)),
        "positive": int(truth.sum()),
        "confusion": confusion(scores, truth, threshold),
        "answers": {
            word: {answer.value: int((answers[kind] == answer).sum()) for answer in Answer}
            for word, kind in (("ill", truth), ("healthy", ~truth))
        },
    }
    if too_few(truth):
        return counts
    decided = answers != Answer.UNCERTAIN
    figures = {
        "auc": auc_of(scores, truth),
        **at_threshold(scores, truth, threshold),
        "decided": share_of(decided, np.ones_like(truth)),
        "wrong_of_decided": share_of((answers == Answer.LIKELY) != truth, decided),
    }
    errors = {
        "calibration_error": calibration_error(scores, truth, balanced=True),
        "calibration_error_as_is": calibration_error(scores, truth, balanced=False),
    }
    return (
        counts
        | with_intervals(figures, truth, patients)
        | with_intervals(errors, truth, patients, centred=True)
        | {"calibration_error_at_best": at_best(scores, truth)}
    )


def too_few(truth: Truth) -> bool:
    """Whether there are fewer than `FEWEST` films of a label."""
    return min(int(truth.sum()), int((~truth).sum())) < FEWEST
