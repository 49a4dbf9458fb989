"""Thresholds for chosen sensitivities: chosen on validation films, then measured on test films."""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from inference.evaluation.metrics import Scores, Truth, at_threshold, confusion, too_few, with_intervals
from inference.evaluation.scoring import Scored

PUBLISHED_SENSITIVITY: Final = 0.932
"""Where Kermany et al. (Cell 2018) put their own threshold."""
SENSITIVITIES: Final = (0.90, PUBLISHED_SENSITIVITY, 0.95, 0.98)


def threshold_for(sensitivity: float, scores: Scores, truth: Truth) -> float:
    """The highest threshold at which at least this share of the ill films is flagged."""
    ill = np.sort(scores[truth])[::-1]
    # Without the rounding 0.9 of 10 films would be 9.000000000000002 and so 10.
    needed = max(1, math.ceil(round(sensitivity * ill.size, 6)))
    return float(ill[needed - 1])


def operating_points(scored: Scored, sensitivities: Sequence[float]) -> dict[str, list[dict[str, Any]]]:
    """Choose thresholds on each source's validation films and measure them there and on its test films.

    Returns
    -------
    For each source with enough validation films, and each sensitivity: ``aimed_at``, ``threshold``, and for
    ``validation`` and ``test`` (where there are such films) the figures of `metrics.at_threshold` and the confusion.
    """
    points = {}
    for source in scored.sources:
        parts = {"validation": scored.of(source, test=False), "test": scored.of(source, test=True)}
        measured = {name: part for name, part in parts.items() if not too_few(part.truth)}
        if "validation" in measured:
            points[source] = [_point(sensitivity, measured) for sensitivity in sensitivities]
    return points


def _point(sensitivity: float, parts: dict[str, Scored]) -> dict[str, Any]:
    chosen_on = parts["validation"]
    threshold = threshold_for(sensitivity, chosen_on.scores, chosen_on.truth)
    return {"aimed_at": sensitivity, "threshold": round(threshold, 6)} | {
        name: with_intervals(at_threshold(part.scores, part.truth, threshold), part.truth, part.patients)
        | {"confusion": confusion(part.scores, part.truth, threshold)}
        for name, part in parts.items()
    }
