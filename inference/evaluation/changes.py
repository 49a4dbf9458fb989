"""What a classifier says of films that were changed on purpose, against what it says of them as they are."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from inference.errors import DataUnusable, ImageRejected
from inference.evaluation.metrics import Figure, auc_of, too_few, with_intervals
from inference.evaluation.scoring import Scored
from inference.films.data import load_film
from inference.prediction import Answer, answer_of
from inference.radiograph import Radiograph

if TYPE_CHECKING:
    from inference.card import ModelCard
    from inference.classifier import Classifier

MOST_FILMS: Final = 300
"""Of each source: a film is read some twenty times."""

Pixels: TypeAlias = NDArray[np.float32]
Change: TypeAlias = Callable[[Pixels], Pixels]
"""Makes another picture of a film's pixels, 0 to 1, and leaves those as they are."""


def sample(scored: Scored) -> Scored:
    """At most `MOST_FILMS` validation films of each source, the same ones every time."""
    random = np.random.default_rng(0)
    places: list[int] = []
    for source in scored.sources:
        mine = [place for place, film in enumerate(scored.films) if film.source == source and not film.test]
        places += random.permutation(mine).tolist()[:MOST_FILMS] if len(mine) > MOST_FILMS else mine
    return scored.only(sorted(places))


def score_changed(
    classifier: "Classifier", scored: Scored, changes: Mapping[str, Change], bar: Progress
) -> dict[str, NDArray[np.float64]]:
    """Ask about each film under each change: for each change the scores, film by film.

    Raises
    ------
    DataUnusable
        A film cannot be read, or is none that the node would look at.
    """
    scores = {name: np.empty(len(scored.films)) for name in changes}
    for place, film in enumerate(bar.track(scored.films, description="reading them changed")):
        pixels = load_film(film.path).pixels
        for name, change in changes.items():
            try:
                changed = Radiograph(change(pixels))
            except ImageRejected as rejection:
                raise DataUnusable(film.path, f"the node would not look at it: {rejection}") from rejection
            scores[name][place] = classifier.classify(changed).score
    return scores


def effects(
    scored: Scored, changed: Mapping[str, NDArray[np.float64]], card: "ModelCard"
) -> dict[str, dict[str, Any]]:
    """How each change moves scores and answers, for each source.

    Returns
    -------
    For each source ``films``, their ``auc`` as they are, and for each of the ``changes``: ``median`` and ``p95`` of the
    absolute change of the score, ``other_answer``, the share of films with another of the three answers,
    ``opposite_answer``, the share that went from likely to unlikely or back, and the ``auc`` that is left. No AUC
    where a label has too few films.
    """
    told: dict[str, dict[str, Any]] = {}
    for source in scored.sources:
        places = [place for place, film in enumerate(scored.films) if film.source == source]
        mine = scored.only(places)
        scores = {name: of_all[places] for name, of_all in changed.items()}
        areas = {}
        if not too_few(mine.truth):
            figures = {name: auc_of(each, mine.truth) for name, each in scores.items()}
            figures[""] = auc_of(mine.scores, mine.truth)
            areas = {
                name: {"auc": area}
                for name, area in with_intervals(figures, mine.truth, mine.patients).items()
            }
        told[source] = (
            {"films": len(places)}
            | areas.get("", {})
            | {
                "changes": {
                    name: _moved(mine.scores, each, card) | areas.get(name, {})
                    for name, each in scores.items()
                }
            }
        )
    return told


def _moved(before: NDArray[np.float64], after: NDArray[np.float64], card: "ModelCard") -> dict[str, float]:
    median, p95 = np.percentile(np.abs(after - before), (50, 95))
    answers = [
        (answer_of(was, card.uncertain), answer_of(now, card.uncertain))
        for was, now in zip(before, after, strict=True)
    ]
    return {
        "median": round(float(median), 4),
        "p95": round(float(p95), 4),
        "other_answer": round(float(np.mean([was != now for was, now in answers])), 4),
        "opposite_answer": round(
            float(np.mean([{was, now} == {Answer.LIKELY, Answer.UNLIKELY} for was, now in answers])), 4
        ),
    }


def mirrored(pixels: Pixels) -> Pixels:
    """Put the heart on the other side."""
    return np.ascontiguousarray(pixels[:, ::-1])


def with_mirrored(scored: Scored, scores: NDArray[np.float64]) -> dict[str, Any]:
    """Whether the mean score of a film and its mirror image, `scores`, is better than that of the film alone.

    Returns
    -------
    For each source with enough films ``auc_as_is``, ``auc_with_mirrored`` and their ``difference``, with intervals.
    """
    told = {}
    for source in scored.sources:
        places = [place for place, film in enumerate(scored.films) if film.source == source]
        mine = scored.only(places)
        if too_few(mine.truth):
            continue
        alone = auc_of(mine.scores, mine.truth)
        both = auc_of((mine.scores + scores[places]) / 2, mine.truth)
        figures = {"auc_as_is": alone, "auc_with_mirrored": both, "difference": _difference(both, alone)}
        told[source] = with_intervals(figures, mine.truth, mine.patients)
    return told


def _difference(first: Figure, second: Figure) -> Figure:
    return lambda weights: first(weights) - second(weights)
