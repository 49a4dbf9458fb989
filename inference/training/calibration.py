"""Logits made into probabilities that mean what they say (Guo et al., ICML 2017), on validation films only."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

_ERRORS: Final = 0.05  # of ill films that may be called unlikely, of healthy ones that may be called likely


@dataclass(frozen=True, slots=True)
class Calibration:
    """`probability = sigmoid((logit + shift) / temperature)`; the shift goes into the last layer's bias."""

    shift: float
    temperature: float


def balanced_weights(cells: list[tuple[str, bool]]) -> NDArray[np.float64]:
    """A weight for each film, so that every (source, label) weighs the same.

    Otherwise the largest hospital and its share of ill patients would be the yardstick for all others.
    """
    kinds, inverse, counts = np.unique(
        [f"{source}/{label}" for source, label in cells], return_inverse=True, return_counts=True
    )
    return 1.0 / (len(kinds) * counts[inverse])


def calibrate(
    logits: NDArray[np.float64], truth: NDArray[np.bool_], weights: NDArray[np.float64]
) -> Calibration:
    """Find the shift and temperature with the least weighted cross-entropy.

    With balanced weights a probability of 0.5 is then where both errors cost the same: the threshold.
    """
    signs = np.where(truth, 1.0, -1.0)

    def loss(parameters: NDArray[np.float64]) -> float:
        shift, log_temperature = parameters
        return float(weights @ np.logaddexp(0.0, -signs * (logits + shift) / np.exp(log_temperature)))

    # Bounds, because films that are told apart without a fault would have a temperature of 0.
    best = minimize(loss, x0=np.zeros(2), bounds=[(-20.0, 20.0), (-2.0, 3.0)], method="L-BFGS-B")
    shift, log_temperature = best.x
    return Calibration(shift=float(shift), temperature=float(np.exp(log_temperature)))


def uncertain_band(
    scores: NDArray[np.float64], truth: NDArray[np.bool_], weights: NDArray[np.float64], threshold: float
) -> tuple[float, float]:
    """The scores that are called uncertain: below them one ill film in twenty, above them one healthy film in twenty.

    Returns
    -------
    The lower and the upper end, with the threshold between them; rounded outwards to hundredths.
    """
    lower = _weighted_quantile(scores[truth], weights[truth], _ERRORS)
    upper = _weighted_quantile(scores[~truth], weights[~truth], 1.0 - _ERRORS)
    return (
        min(threshold, math.floor(lower * 100.0) / 100.0),
        max(threshold, math.ceil(upper * 100.0) / 100.0),
    )


def _weighted_quantile(values: NDArray[np.float64], weights: NDArray[np.float64], share: float) -> float:
    order = np.argsort(values)
    below = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][np.searchsorted(below, share)])
