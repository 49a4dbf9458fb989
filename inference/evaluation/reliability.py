"""How far scores are from the shares of ill films that they promise: the expected calibration error.

Films are sorted by score and cut into ten bins of equal weight; in each, the mean score stands against the share of
ill films. The error is the mean distance of the two, bins weighing what is in them (Naeini et al., AAAI 2015; bins of
equal mass after Nguyen and O'Connor, EMNLP 2015).

A score is a probability for some share of ill films only. It was calibrated with ill and healthy films weighing the
same, so that is how it is asked whether it keeps its word: *balanced*, the figure that is told first. As the films
are, their collector's share of ill ones comes in, which says nothing of a hospital's. Both are told.

With few films the error is above 0 for the best of scores, because each bin's share is a matter of chance; `at_best`
says how much.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_BINS: Final = 10
_WORLDS: Final = 200


def calibration_error(
    scores: NDArray[np.float64], truth: NDArray[np.bool_], *, balanced: bool
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Make the figure of films that weigh more or less, (draws, films) to (draws,); the bins stay where they are."""
    bins = _bins(scores, _weights(truth, np.ones(truth.size), balanced=balanced))
    gaps = np.zeros((scores.size, _BINS))
    gaps[np.arange(scores.size), bins] = scores - truth

    def figure(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        even = _weights(truth, weights, balanced=balanced)
        error: NDArray[np.float64] = np.abs(even @ gaps).sum(axis=1)
        return error

    return figure


def at_best(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """What the balanced error would be on average if the scores were perfectly calibrated, by chance alone.

    Labels are drawn by the scores themselves, brought from equal shares to these films' share of ill ones.
    """
    odds = truth.mean() / (1 - truth.mean())
    likely = odds * scores / (odds * scores + 1 - scores)
    random = np.random.default_rng(0)
    worlds = random.random((_WORLDS, scores.size)) < likely
    errors = [
        calibration_error(scores, world, balanced=True)(np.ones((1, world.size)))[0]
        for world in worlds
        if world.any() and not world.all()
    ]
    return round(float(np.mean(errors)), 4)


def reliability(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """The balanced bins, lowest scores first: ``films``, mean ``score``, share ``ill``; empty ones are left out."""
    weights = _weights(truth, np.ones(truth.size), balanced=True)
    bins = _bins(scores, weights)
    table = []
    for number in range(_BINS):
        inside = bins == number
        if inside.any():
            score, ill = (float(np.average(of[inside], weights=weights[inside])) for of in (scores, truth))
            table.append({"films": int(inside.sum()), "score": round(score, 4), "ill": round(ill, 4)})
    return table


def _weights(
    truth: NDArray[np.bool_], weights: NDArray[np.float64], *, balanced: bool
) -> NDArray[np.float64]:
    """Weights (..., films) that sum to 1; balanced: half for ill, half for healthy films."""
    kinds = (truth, ~truth) if balanced else (np.ones_like(truth),)
    even = np.zeros_like(weights)
    for kind in kinds:
        inside = weights * kind
        even += inside / inside.sum(axis=-1, keepdims=True) / len(kinds)
    return even


def _bins(scores: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which bin each film is in, by where the middle of its score lies in the summed weights; ties stay together."""
    _, position = np.unique(scores, return_inverse=True)
    heavy = np.bincount(position, weights)
    middle = np.cumsum(heavy) - heavy / 2
    bins: NDArray[np.int64] = np.minimum((middle * _BINS).astype(np.int64), _BINS - 1)[position]
    return bins
