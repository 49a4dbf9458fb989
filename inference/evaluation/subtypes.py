"""Whether the features could also tell bacterial from viral pneumonia, where a set names the subtype.

The classifier was not taught it. A logistic regression on its pooled features learns it from the ill training films,
and is asked about the ill films that were set aside. It is measured and not kept: no bundle answers this question.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress
from scipy.optimize import minimize
from scipy.special import expit

from inference.evaluation.metrics import at_threshold, auc_of, too_few, with_intervals
from inference.films.data import Film, load_film

if TYPE_CHECKING:
    from inference.classifier import Classifier

_BACTERIA: Final = "bacteria"
_DECAY: Final = 0.01  # of the squared weights, for features of unit variance
_THRESHOLD: Final = 0.5


def subtypes(classifier: "Classifier", films: Sequence[Film], bar: Progress) -> dict[str, Any]:
    """For each source that names subtypes, how well bacterial pneumonia is told from viral.

    Returns
    -------
    ``learnt_from``, the number of films of each subtype; ``validation`` and ``test``, with the numbers of ``films`` and
    of ``bacteria`` among them, ``auc``, ``accuracy``, ``sensitivity`` to bacteria and ``specificity`` where both errors
    weigh the same, with intervals. A source with fewer than `metrics.FEWEST` films of a subtype in a part is not told.
    """
    named = [film for film in films if film.positive and film.subtype and (film.test or not film.duplicate)]
    told: dict[str, Any] = {}
    for source in sorted({film.source for film in named}):
        mine = [film for film in named if film.source == source]
        parts = {
            "training": [film for film in mine if not (film.test or film.validation)],
            "validation": [film for film in mine if film.validation],
            "test": [film for film in mine if film.test],
        }
        truths = {
            name: np.array([film.subtype == _BACTERIA for film in part], np.bool_)
            for name, part in parts.items()
        }
        if any(too_few(truth) for truth in truths.values()):
            continue
        features = {name: _features(classifier, part, bar) for name, part in parts.items()}
        weights = _learn(features["training"], truths["training"])
        told[source] = {
            "learnt_from": {
                "bacteria": int(truths["training"].sum()),
                "virus": int((~truths["training"]).sum()),
            }
        }
        for name in ("validation", "test"):
            scores = _scores(weights, features["training"], features[name])
            told[source][name] = _figures(scores, truths[name], parts[name])
    return told


def _figures(scores: NDArray[np.float64], truth: NDArray[np.bool_], films: Sequence[Film]) -> dict[str, Any]:
    asked = at_threshold(scores, truth, _THRESHOLD)
    figures = {"auc": auc_of(scores, truth)} | {
        name: asked[name] for name in ("accuracy", "sensitivity", "specificity")
    }
    patients = [film.patient for film in films]
    return {"films": len(films), "bacteria": int(truth.sum())} | with_intervals(figures, truth, patients)


def _features(classifier: "Classifier", films: Sequence[Film], bar: Progress) -> NDArray[np.float64]:
    """Pooled features, (films, channels)."""
    looked = bar.track(films, description="reading ill films")
    return np.array([classifier.classify(load_film(film.path)).features for film in looked], np.float64)


def _learn(features: NDArray[np.float64], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights and, last, the bias of a logistic regression in which both subtypes weigh the same."""
    inputs = _standard(features, features)
    share = np.where(truth, 0.5 / truth.sum(), 0.5 / (~truth).sum())
    signs = np.where(truth, 1.0, -1.0)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margins = signs * (inputs @ weights[:-1] + weights[-1])
        slopes = -share * signs * expit(-margins)
        decay = np.append(_DECAY * weights[:-1], 0.0)
        value = float(share @ np.logaddexp(0.0, -margins) + 0.5 * weights @ decay)
        return value, np.append(slopes @ inputs, slopes.sum()) + decay

    found = minimize(loss, np.zeros(inputs.shape[1] + 1), jac=True, method="L-BFGS-B")
    weights: NDArray[np.float64] = found.x
    return weights


def _scores(
    weights: NDArray[np.float64], learnt: NDArray[np.float64], features: NDArray[np.float64]
) -> NDArray[np.float64]:
    scores: NDArray[np.float64] = expit(_standard(learnt, features) @ weights[:-1] + weights[-1])
    return scores


def _standard(learnt: NDArray[np.float64], features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Features with the mean 0 and the variance 1 of those that were learnt from."""
    scaled: NDArray[np.float64] = (features - learnt.mean(axis=0)) / (learnt.std(axis=0) + 1e-6)
    return scaled
