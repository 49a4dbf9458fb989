"""Whose films a folder holds, by source, part and label: what a reader of figures asks first (CLAIM 2024 does too)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from inference.evaluation.metrics import FEWEST
from inference.films.data import Film

_LABELS: Final = {"pneumonia": True, "normal": False, "other": None}
UNTOLD: Final = "not told"


def demographics(films: Sequence[Film]) -> dict[str, Any]:
    """Count films and patients; no value of a single patient is told.

    Returns
    -------
    For each source, of its parts ``training``, ``validation`` and ``test`` those that it has, and of their labels
    ``pneumonia``, ``normal`` and ``other`` (other findings only): ``films``, ``patients``, ``views``, ``sexes`` and
    ``subtypes`` with their numbers of films, ``ages`` (of how many films one is told, and the quartiles in years where
    these are `metrics.FEWEST` or more), ``probabilities`` (films with a probability beside or instead of the label) and
    ``boxes`` (films with known opacities). Duplicates count in the test part only, as in the figures.
    """
    told: dict[str, Any] = {}
    for source in sorted({film.source for film in films}):
        mine = [film for film in films if film.source == source and (film.test or not film.duplicate)]
        parts = {
            "training": [film for film in mine if not (film.test or film.validation)],
            "validation": [film for film in mine if film.validation],
            "test": [film for film in mine if film.test],
        }
        told[source] = {name: _labels(part) for name, part in parts.items() if part}
    return told


def _labels(films: Sequence[Film]) -> dict[str, Any]:
    kinds = {
        label: [film for film in films if film.positive is positive] for label, positive in _LABELS.items()
    }
    return {label: _account(kind) for label, kind in kinds.items() if kind}


def _account(films: Sequence[Film]) -> dict[str, Any]:
    ages = [film.age for film in films if film.age is not None]
    told: dict[str, Any] = {"films": len(ages)}
    if len(ages) >= FEWEST:
        told["quartiles"] = [round(float(age), 1) for age in np.percentile(ages, (25, 50, 75))]
    return {
        "films": len(films),
        "patients": len({film.patient for film in films}),
        "views": _counts(film.view for film in films),
        "sexes": _counts(film.sex for film in films),
        "subtypes": _counts(film.subtype for film in films),
        "ages": told,
        "probabilities": sum(film.probability is not None for film in films),
        "boxes": sum(bool(film.boxes) for film in films),
    }


def _counts(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(word or UNTOLD for word in words).items()))
