"""Whether the classifier looks where the disease is: the peak of its activation, against lungs and known opacities.

The peak is that of the activation as the network gives it, before anything is cut off: the middle of the cell that
speaks most for pneumonia. What is shown in a heatmap is kept to the lungs (`inference.heatmap`), so its peak is asked
for opacities only.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from inference.evaluation.metrics import share_of, with_intervals
from inference.evaluation.scoring import Scored, score_films
from inference.films.data import Film, load_film
from inference.lungs import PICTURE_SIDE
from inference.preprocessing import network_input

if TYPE_CHECKING:
    from inference.classifier import Classifier
    from inference.lungs import LungFinder, Lungs

Point: TypeAlias = tuple[float, float]
"""How far down and how far across the film, 0 to 1."""


def attention(
    classifier: "Classifier", finder: "LungFinder", scored: Scored, films: Sequence[Film], bar: Progress
) -> dict[str, Any]:
    """Where the peak lies in ill films that were flagged.

    Parameters
    ----------
    scored
        Films that were not learnt from; the validation films among them are asked.
    films
        All films, for those of them with boxes: there are few, so those that were learnt from are told too, apart.

    Returns
    -------
    ``lungs``: for each source ``films``, in how many of them ``lungs_found``, and of these the share with the
    ``peak_in_lungs``. ``boxes``: for films ``held_out`` and ``learnt_from``, as far as there are any, ``films`` with
    boxes, how many of them were ``flagged``, and of these the share with the ``peak_in_box`` and with the
    ``shown_peak_in_box``. Shares have intervals.
    """
    threshold = classifier.card.threshold
    flagged = scored.only(
        [
            place
            for place, film in enumerate(scored.films)
            if film.positive and not film.test and scored.scores[place] >= threshold
        ]
    )
    boxed = score_films(classifier, [film for film in films if film.boxes and not film.duplicate], bar)
    told: dict[str, Any] = {"lungs": {}, "boxes": {}}
    for source in flagged.sources:
        told["lungs"][source] = _in_lungs(finder, flagged.of(source, test=False), bar)
    for name, held_out in (("held_out", True), ("learnt_from", False)):
        part = boxed.only(
            [place for place, film in enumerate(boxed.films) if (film.test or film.validation) is held_out]
        )
        if part.films:
            told["boxes"][name] = _in_boxes(finder, part, threshold)
    return told


def _in_lungs(finder: "LungFinder", flagged: Scored, bar: Progress) -> dict[str, Any]:
    found, inside = [], []
    for film, activation in zip(
        bar.track(flagged.films, description="finding lungs"), flagged.activations, strict=True
    ):
        lungs = _lungs(finder, film)
        found.append(lungs.found)
        inside.append(bool(_cell(lungs.both, peak_of(activation))))
    return {
        "films": len(found),
        "lungs_found": int(np.sum(found)),
        **_shares({"peak_in_lungs": inside}, found, flagged.patients),
    }


def _in_boxes(finder: "LungFinder", boxed: Scored, threshold: float) -> dict[str, Any]:
    from inference.heatmap import attention_from  # noqa: PLC0415 - a runtime, through the lungs

    flagged = boxed.scores >= threshold
    raw, shown = [], []
    for film, activation in zip(boxed.films, boxed.activations, strict=True):
        raw.append(_in_box(film, peak_of(activation)))
        kept = attention_from(activation, _lungs(finder, film))
        shown.append(_in_box(film, peak_of(np.reshape(kept.values, (kept.rows, kept.columns)))))
    return {
        "films": len(raw),
        "flagged": int(flagged.sum()),
        **_shares({"peak_in_box": raw, "shown_peak_in_box": shown}, flagged.tolist(), boxed.patients),
    }


def peak_of(cells: NDArray[np.floating]) -> Point:
    """The middle of the highest cell of (rows, columns) over the whole film."""
    row, column = np.unravel_index(int(np.argmax(cells)), cells.shape)
    return (float(row) + 0.5) / cells.shape[0], (float(column) + 0.5) / cells.shape[1]


def _cell(mask: NDArray[np.bool_], point: Point) -> bool:
    down, across = point
    return bool(mask[int(down * mask.shape[0]), int(across * mask.shape[1])])


def _in_box(film: Film, point: Point) -> bool:
    rows, columns = load_film(film.path).pixels.shape
    down, across = point[0] * rows, point[1] * columns
    return any(left <= across < right and top <= down < bottom for left, top, right, bottom in film.boxes)


def _lungs(finder: "LungFinder", film: Film) -> "Lungs":
    return finder.find(network_input(load_film(film.path).pixels, PICTURE_SIDE))


def _shares(
    marks: dict[str, list[bool]], asked: list[bool], patients: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The share of the films asked that are marked; nothing where none is asked."""
    whole = np.array(asked)
    if not whole.any():
        return {}
    figures = {name: share_of(np.array(mark), whole) for name, mark in marks.items()}
    return with_intervals(figures, np.ones_like(whole), patients)
