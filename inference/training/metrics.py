"""Figures of a classifier, each with its 95 % bootstrap interval."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

_DRAWS: Final = 1000
_INTERVAL: Final = (2.5, 97.5)

Scores = NDArray[np.float64]
Truth = NDArray[np.bool_]


def auc(scores: Scores, truth: Truth) -> float:
    """Area under the ROC curve: how often an ill film scores above a healthy one (Mann-Whitney); ties count half."""
    positives = int(truth.sum())
    negatives = truth.size - positives
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def confusion(scores: Scores, truth: Truth, threshold: float) -> dict[str, int]:
    """True and false positives and negatives, where a film is flagged at or above the threshold."""
    flagged = scores >= threshold
    return {
        "true_positive": int((flagged & truth).sum()),
        "false_negative": int((~flagged & truth).sum()),
        "false_positive": int((flagged & ~truth).sum()),
        "true_negative": int((~flagged & ~truth).sum()),
    }


def summary(scores: Scores, truth: Truth, threshold: float, seed: int = 0) -> dict[str, Any]:
    """Number of films, AUC, accuracy, sensitivity, specificity (each with its interval) and the confusion matrix.

    The intervals come from drawing ill and healthy films again, each group on its own, so that no draw lacks one.
    """
    figures: dict[str, Callable[[Scores, Truth], float]] = {
        "auc": auc,
        "accuracy": lambda s, t: float(((s >= threshold) == t).mean()),
        "sensitivity": lambda s, t: float((s[t] >= threshold).mean()),
        "specificity": lambda s, t: float((s[~t] < threshold).mean()),
    }
    random = np.random.default_rng(seed)
    groups = np.flatnonzero(truth), np.flatnonzero(~truth)
    draws = [np.concatenate([random.choice(group, group.size) for group in groups]) for _ in range(_DRAWS)]
    told: dict[str, Any] = {"films": int(truth.size), "positive": int(truth.sum())}
    for name, figure in figures.items():
        spread = [figure(scores[draw], truth[draw]) for draw in draws]
        told[name] = {
            "value": round(figure(scores, truth), 4),
            "interval": [round(float(bound), 4) for bound in np.percentile(spread, _INTERVAL)],
        }
    return told | {"confusion": confusion(scores, truth, threshold)}
