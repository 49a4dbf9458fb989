"""Films and what a classifier says of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from inference.films.data import Film, labels, load_film

if TYPE_CHECKING:
    from inference.classifier import Classifier


@dataclass(frozen=True, slots=True)
class Scored:
    """Films with a label, film by film with their score and activation (films, rows, columns)."""

    films: tuple[Film, ...]
    scores: NDArray[np.float64]
    activations: NDArray[np.float32]

    @property
    def truth(self) -> NDArray[np.bool_]:
        """Whether each film is ill."""
        return labels(self.films)

    @property
    def patients(self) -> tuple[str, ...]:
        """Whose each film is; two sources may use the same names."""
        return tuple(f"{film.source}/{film.patient}" for film in self.films)

    def only(self, places: Sequence[int]) -> "Scored":
        """The films at these places, in this order."""
        chosen = np.array(places, np.intp)
        return Scored(
            tuple(self.films[place] for place in places), self.scores[chosen], self.activations[chosen]
        )

    def of(self, source: str, *, test: bool) -> "Scored":
        """A source's validation or test films."""
        return self.only(
            [place for place, film in enumerate(self.films) if film.source == source and film.test is test]
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """Where the films come from, each place once, sorted."""
        return tuple(sorted({film.source for film in self.films}))


def score_films(classifier: "Classifier", films: Sequence[Film], bar: Progress) -> Scored:
    """Ask about each film as the node would.

    Raises
    ------
    DataUnusable
        A film cannot be read.
    """
    found = [
        classifier.classify(load_film(film.path)) for film in bar.track(films, description="reading films")
    ]
    return Scored(
        tuple(films),
        np.array([each.score for each in found], np.float64),
        np.array([each.activation for each in found]),
    )
