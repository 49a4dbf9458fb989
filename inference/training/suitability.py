"""Fit what a bundle holds for a suitable film. Training does it at its end; alone it is

    python -m inference.training.suitability BUNDLE DATA...

Suitable are the films of DATA, whatever they show. What is not is drawn from them (`mishaps`). Pictures that cannot be
drawn are added where DATA has a folder `suitability`, as `suitability/KIND/ORIGIN/PICTURE`: KIND is the value of a
reason (`lateral_view`, `not_a_chest`, ...), or `suitable` for what is to be read though it is no patient's film, as a
test phantom is; ORIGIN is what its pictures share: a patient, a series.
"""

import argparse
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch.nn import functional

from inference.card import SUITABILITY_NAME, ModelCard, write_card
from inference.classifier import Classifier
from inference.errors import DataUnusable
from inference.evaluation.metrics import share_of, with_intervals
from inference.films.data import Film, load_film, read_films
from inference.prediction import Reason
from inference.radiograph import Radiograph
from inference.suitability import BLOCKS
from inference.suitability_learned import KINDS, Array, LearnedSuitability, described
from inference.training.mishaps import MISHAPS, Picture, another_exposure, no_film

FOLDER: Final = "suitability"
SUITABLE: Final = "suitable"
LOST: Final = 0.005
"""The share of each source's validation films that the classifier may refuse."""
LOST_BY_DISTANCE: Final = 0.005

_LEARNT: Final = 300  # films of a source: enough for a linear classifier, and done in minutes
_ASKED: Final = 250
_CROPS: Final = 2  # of each film: what is cut off varies more than how a film can be turned
_NO_FILMS: Final = 100
_PATTERNS: Final = "patterns"  # their source
_COMPONENTS: Final = 128
_SHRINKAGE: Final = 1e-3
_FOLDS: Final = 5


@dataclass(frozen=True, slots=True)
class _Example:
    pixels: Picture
    kind: Reason | None
    source: str
    patient: str


@dataclass(frozen=True, slots=True)
class _Examples:
    """Descriptions (N, described), and N indices into `KINDS`, sources and patients."""

    descriptions: Array
    kinds: NDArray[np.int64]
    sources: NDArray[np.str_]
    patients: NDArray[np.str_]

    def only(self, chosen: NDArray[np.bool_]) -> "_Examples":
        return _Examples(
            self.descriptions[chosen], self.kinds[chosen], self.sources[chosen], self.patients[chosen]
        )

    def with_(self, other: "_Examples") -> "_Examples":
        return _Examples(
            np.concatenate([self.descriptions, other.descriptions]),
            np.concatenate([self.kinds, other.kinds]),
            np.concatenate([self.sources, other.sources]),
            np.concatenate([self.patients, other.patients]),
        )

    def by_source(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        for source in np.unique(self.sources):
            yield str(source), self.sources == source


def fit_suitability(bundle: Path, data: Sequence[Path], seed: int = 1) -> ModelCard:
    """Fit and measure; write the bundle's `suitability.safetensors`, and its hash and figures into the card.

    Raises
    ------
    DataUnusable
        The films cannot be read, or a folder of pictures has no kind's name.
    ModelDamaged
        The bundle cannot be used.
    """
    classifier = Classifier(bundle)
    random = np.random.default_rng(seed)
    films = [film for film in read_films(*data) if not (film.test or film.duplicate)]
    learnt_films = _some([film for film in films if not film.validation], _LEARNT, random)
    asked_films = _some([film for film in films if film.validation], _ASKED, random)
    if not (learnt_films and asked_films):
        raise DataUnusable(
            data[0], "holds too few films: some must be learnt from, and others set the limits"
        )

    def describe(examples: Iterable[_Example], what: str) -> _Examples:
        return _describe(classifier, examples, what)

    learnt = describe(_drawn(learnt_films, random, _CROPS), "training films")
    asked = describe(_drawn(asked_films, random, crops=1), "validation films")
    supplied = describe(_supplied(data, random), "pictures of other kinds")
    learned = _fit(learnt.with_(supplied))
    figures = _figures(learned, learnt, asked, supplied)
    path = bundle / SUITABILITY_NAME
    _calibrated(learned, asked).save(path)
    card = replace(
        classifier.card,
        suitability_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        figures=classifier.card.figures | {"suitability": figures},
    )
    write_card(bundle, card)
    return card


def _some(films: Sequence[Film], most: int, random: np.random.Generator) -> list[Film]:
    """At most so many films of each source, by chance."""
    chosen: list[Film] = []
    for source in sorted({film.source for film in films}):
        own = [film for film in films if film.source == source]
        chosen += [own[index] for index in random.permutation(len(own))[:most]]
    return chosen


def _drawn(films: Iterable[Film], random: np.random.Generator, crops: int) -> Iterator[_Example]:
    """Each film as it is, otherwise exposed, and with each mishap."""
    for film in films:
        pixels = load_film(film.path).pixels
        yield from _exposures(pixels, None, film.source, film.patient, random)
        yield from _mishaps(pixels, film.source, film.patient, random, crops)


def _supplied(data: Iterable[Path], random: np.random.Generator) -> Iterator[_Example]:
    """Each supplied picture as it is and otherwise exposed; and patterns that are no films.

    Suitable pictures come with their mishaps too.
    """
    names = {kind.value if kind else SUITABLE: kind for kind in KINDS}
    for path in (path for folder in data for path in sorted((folder / FOLDER).glob("*/*/*"))):
        name, origin = path.parts[-3:-1]
        if name not in names:
            raise DataUnusable(path, f"its kind is not one of {', '.join(sorted(names))}")
        pixels = load_film(path).pixels
        yield from _exposures(pixels, names[name], origin, origin, random)
        if name == SUITABLE:
            yield from _mishaps(pixels, origin, origin, random, crops=1)
    for number in range(_NO_FILMS):
        yield _Example(no_film(random), Reason.NOT_A_CHEST, _PATTERNS, f"pattern {number}")


def _exposures(
    pixels: Picture, kind: Reason | None, source: str, patient: str, random: np.random.Generator
) -> Iterator[_Example]:
    yield _Example(pixels, kind, source, patient)
    yield _Example(another_exposure(pixels, random), kind, source, patient)


def _mishaps(
    pixels: Picture, source: str, patient: str, random: np.random.Generator, crops: int
) -> Iterator[_Example]:
    for kind, mishap in MISHAPS.items():
        for _ in range(crops if kind is Reason.CROPPED else 1):
            yield _Example(mishap(another_exposure(pixels, random), random), kind, source, patient)


def _describe(classifier: Classifier, examples: Iterable[_Example], what: str) -> _Examples:
    rows: list[tuple[Array, int, str, str]] = []
    for example in track(examples, description=what, console=Console(stderr=True)):
        film = Radiograph(np.ascontiguousarray(example.pixels))
        description = described(film, classifier.classify(film).features)
        rows.append((description, KINDS.index(example.kind), example.source, example.patient))
    descriptions, kinds, sources, patients = zip(*rows, strict=True)
    return _Examples(np.stack(descriptions), np.array(kinds), np.array(sources), np.array(patients))


def _fit(examples: _Examples) -> LearnedSuitability:
    """Fit classifier and distance; where they refuse is not yet set."""
    suitable = examples.only(examples.kinds == 0)
    channels = suitable.descriptions.shape[1] - BLOCKS**2
    features = suitable.descriptions[:, :channels]
    axes, variances, remainder = _covariance(features, suitable)
    learned = LearnedSuitability(
        centre=examples.descriptions.mean(axis=0),
        scale=examples.descriptions.std(axis=0) + np.float32(1e-3),
        weights=np.empty(0, np.float32),
        biases=np.empty(0, np.float32),
        sources=np.stack([features[own].mean(axis=0) for _, own in suitable.by_source()]),
        axes=axes,
        variances=variances,
        remainder=remainder,
        limit=np.ones(1, np.float32),
    )
    return _with_classifier(learned, examples)


def _with_classifier(learned: LearnedSuitability, examples: _Examples) -> LearnedSuitability:
    inputs: Array = np.divide(examples.descriptions - learned.centre, learned.scale)
    weights, biases = _classifier(inputs, examples.kinds)
    return replace(learned, weights=weights, biases=biases)


def _classifier(inputs: Array, kinds: NDArray[np.int64]) -> tuple[Array, Array]:
    """Softmax regression: all kinds weigh the same, large weights cost."""
    given, wanted = torch.from_numpy(inputs), torch.from_numpy(kinds)
    counts = torch.bincount(wanted, minlength=len(KINDS))
    weighing = len(kinds) / (len(KINDS) * counts.clamp(min=1))
    weights = torch.zeros(len(KINDS), inputs.shape[1], requires_grad=True)
    biases = torch.zeros(len(KINDS), requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, biases], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = functional.cross_entropy(given @ weights.T + biases, wanted, weight=weighing)
        value = value + _SHRINKAGE * weights.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    fitted = biases.detach().masked_fill(counts == 0, -torch.inf)  # a kind never seen is never told
    return weights.detach().numpy(), fitted.numpy()


def _covariance(features: Array, suitable: _Examples) -> tuple[Array, Array, Array]:
    """Principal components of the films around their source's mean: axes, variances along, mean variance across."""
    offsets = features.copy()
    for _, own in suitable.by_source():
        offsets[own] -= features[own].mean(axis=0)
    _, spread, directions = np.linalg.svd(offsets, full_matrices=False)
    variances = np.square(spread) / len(offsets)
    kept = min(_COMPONENTS, len(offsets) // 4)
    across = max(float(variances[kept:].sum()) / max(offsets.shape[1] - kept, 1), 1e-6)
    return (
        directions[:kept],
        np.maximum(variances[:kept], np.float32(across)),
        np.array([across], np.float32),
    )


def _calibrated(learned: LearnedSuitability, asked: _Examples) -> LearnedSuitability:
    """Move the bias of suitable films, and the limit of the distance, to where no source loses more than it may."""
    suitable = asked.only(asked.kinds == 0)
    answers = learned.answers(suitable.descriptions)
    lead = answers[:, 0] - answers[:, 1:].max(axis=1)
    distances = learned.distances(suitable.descriptions)
    least = min(np.quantile(lead[own], LOST) for _, own in suitable.by_source())
    farthest = max(np.quantile(distances[own], 1 - LOST_BY_DISTANCE) for _, own in suitable.by_source())
    biases = learned.biases.copy()
    biases[0] -= np.float32(least)
    return replace(learned, biases=biases, limit=np.array([farthest], np.float32))


def _refused(learned: LearnedSuitability, examples: _Examples) -> NDArray[np.bool_]:
    refused: NDArray[np.bool_] = (learned.answers(examples.descriptions).argmax(axis=1) != 0) | (
        learned.distances(examples.descriptions) > learned.limit
    )
    return refused


def _figures(
    learned: LearnedSuitability, learnt: _Examples, asked: _Examples, supplied: _Examples
) -> dict[str, Any]:
    """How many suitable films are lost and how many others refused, none of them having helped to decide it.

    Half of the validation patients calibrate for the other half. Supplied pictures are judged by fits that lack their
    origin, but for the mean and scale that all pictures share.
    """
    halves = _halves(asked.patients)
    refused = np.zeros(len(asked.kinds), np.bool_)
    for half in (halves, ~halves):
        refused[half] = _refused(_calibrated(learned, asked.only(~half)), asked.only(half))
    figures: dict[str, Any] = {"lost": {}, "refused": {}}
    for source, own in asked.by_source():
        for index, kind in enumerate(KINDS):
            chosen = own & (asked.kinds == index)
            if chosen.any():
                group = "lost" if kind is None else "refused"
                name = source if kind is None else f"{kind.value}, {source}"
                figures[group][name] = _share(refused[chosen], asked.patients[chosen])
    refused = _refused_by_others(learned, learnt, asked, supplied)
    for index, kind in enumerate(KINDS):
        chosen = (supplied.kinds == index) & (supplied.sources != _PATTERNS) & ~_of_suitable_origin(supplied)
        if kind is not None and chosen.any():
            figures["refused"][f"{kind.value}, supplied"] = _share(refused[chosen], supplied.patients[chosen])
    return figures


def _refused_by_others(
    learned: LearnedSuitability, learnt: _Examples, asked: _Examples, supplied: _Examples
) -> NDArray[np.bool_]:
    """Which supplied pictures a fit without their origin refuses; origins of suitable ones are in every fit."""
    _, origin = np.unique(supplied.sources, return_inverse=True)
    folds = np.where(_of_suitable_origin(supplied), -1, origin % _FOLDS)
    refused = np.zeros(len(folds), np.bool_)
    for fold in range(_FOLDS):
        left_out = folds == fold
        without = _with_classifier(learned, learnt.with_(supplied.only(~left_out)))
        refused[left_out] = _refused(_calibrated(without, asked), supplied.only(left_out))
    return refused


def _of_suitable_origin(supplied: _Examples) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.isin(supplied.sources, supplied.sources[supplied.kinds == 0])
    return found


def _halves(patients: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Which patients are in the first half."""
    _, number = np.unique(patients, return_inverse=True)
    first: NDArray[np.bool_] = number % 2 == 0
    return first


def _share(refused: NDArray[np.bool_], patients: NDArray[np.str_]) -> dict[str, Any]:
    every = np.ones_like(refused)
    told = with_intervals({"share": share_of(refused, every)}, ~every, patients.tolist())
    return {"films": int(refused.size), "origins": len(set(patients)), **told["share"]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit a bundle as the command line says, and print the figures."""
    parser = argparse.ArgumentParser(description="Fit what a bundle holds for a suitable film.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", type=Path, nargs="+")
    given = parser.parse_args(arguments)
    figures = fit_suitability(given.bundle, given.data).figures["suitability"]
    for group, shares in figures.items():
        for name, told in shares.items():
            low, high = told["interval"]
            print(f"{group} {name}: {told['value']:.1%} of {told['films']} ({low:.1%} to {high:.1%})")


if __name__ == "__main__":
    main()
