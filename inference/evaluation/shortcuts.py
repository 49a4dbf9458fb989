"""Whether the score knows its films by something else than the disease: their source or view, borders, markers.

A film's borders and markers are taken away, or a marker is drawn in: the score should hold. With all but the lungs
greyed it should still tell ill from healthy; with the lungs greyed it should not.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from inference.evaluation.changes import Change, Pixels
from inference.evaluation.metrics import auc_of, too_few, with_intervals
from inference.evaluation.scoring import Scored
from inference.films.data import Film
from inference.lungs import PICTURE_SIDE
from inference.preprocessing import network_input

if TYPE_CHECKING:
    from inference.lungs import LungFinder

_RING: Final = 0.08  # of each side
_CORNER: Final = 0.2  # of each side: where letters, labels and the patient's name stand
_LETTER: Final = 0.07  # of the rows
_STROKE: Final = 0.005  # of the rows, added around: lead is bolder than print
_MARGIN: Final = 0.05  # of each side


def _without_ring(pixels: Pixels) -> Pixels:
    """Blank the outer ring with the film's median."""
    rows, columns = (round(side * _RING) for side in pixels.shape)
    changed = np.full_like(pixels, np.median(pixels))
    inside = np.s_[rows : pixels.shape[0] - rows, columns : pixels.shape[1] - columns]
    changed[inside] = pixels[inside]
    return changed


def _without_upper_corners(pixels: Pixels) -> Pixels:
    """Cover each upper corner with its own median."""
    rows, columns = (round(side * _CORNER) for side in pixels.shape)
    changed = pixels.copy()
    for corner in (np.s_[:rows, :columns], np.s_[:rows, -columns:]):
        changed[corner] = np.median(pixels[corner])
    return changed


def _with_letter(letter: str, *, left: bool) -> Change:
    """Draw a lead letter into the picture's upper left or right corner."""

    def change(pixels: Pixels) -> Pixels:
        rows, columns = pixels.shape
        mask = Image.new("1", (columns, rows))
        place = ((_MARGIN if left else 1 - _MARGIN) * columns, _MARGIN * rows)
        font = ImageFont.load_default(max(8.0, 1.4 * _LETTER * rows))  # capitals are 0.7 of a font's size
        ImageDraw.Draw(mask).text(
            place,
            letter,
            fill=1,
            font=font,
            anchor="lt" if left else "rt",
            stroke_width=round(_STROKE * rows),
        )
        return np.where(np.asarray(mask), np.float32(1), pixels)

    return change


CHANGES: Final[dict[str, Change]] = {
    "outer 8 % blanked": _without_ring,
    "upper corners covered": _without_upper_corners,
    "letter R drawn in": _with_letter("R", left=True),
    "letter L drawn in": _with_letter("L", left=False),
}
"""By name; scores should hold under each."""


def lung_changes(finder: "LungFinder") -> dict[str, Change]:
    """Make the changes that need to know where the lungs are; a film without lungs stays as it is.

    What is greyed gets its own median. Ill should be told from healthy by the lungs alone, and no more without them.
    """

    def greyed(pixels: Pixels, *, inside: bool) -> Pixels:
        lungs = finder.find(network_input(pixels, PICTURE_SIDE))
        if not lungs.found:
            return pixels
        size = pixels.shape[1], pixels.shape[0]
        mask = np.asarray(Image.fromarray(lungs.both).resize(size, Image.Resampling.NEAREST)) == inside
        return np.where(mask, np.median(pixels[mask]), pixels)

    return {
        "all but the lungs greyed": lambda pixels: greyed(pixels, inside=False),
        "lungs greyed": lambda pixels: greyed(pixels, inside=True),
    }


def normals_told_apart(scored: Scored) -> dict[str, Any]:
    """How well the score tells healthy validation films of two sources apart, or of two views of one source.

    Returns
    -------
    For each pair, named ``A above B``, the share of times that a film of A scores above one of B, with its interval.
    0.5 is not at all, as it should be.
    """
    healthy = scored.only(
        [place for place, film in enumerate(scored.films) if not (film.positive or film.test)]
    )
    told = _told_apart(healthy, lambda film: film.source)
    for source in healthy.sources:
        told |= _told_apart(
            healthy.of(source, test=False), lambda film: f"{film.source} {film.view}" if film.view else ""
        )
    return told


def _told_apart(scored: Scored, kind_of: Callable[[Film], str]) -> dict[str, Any]:
    kinds = [kind_of(film) for film in scored.films]
    told: dict[str, Any] = {}
    for first, second in itertools.combinations(sorted(set(kinds) - {""}), 2):
        two = scored.only(_places(kinds, (first, second)))
        is_first = np.array([kind_of(film) == first for film in two.films])
        if not too_few(is_first):
            name = f"{first} above {second}"
            told |= with_intervals({name: auc_of(two.scores, is_first)}, is_first, two.patients)
    return told


def _places(kinds: Sequence[str], wanted: Sequence[str]) -> list[int]:
    return [place for place, kind in enumerate(kinds) if kind in wanted]
