"""Measure a classifier on films that it has not learnt from, with 95 % bootstrap intervals.

These are the films with split test, and the part of the others that training sets aside for validation. The folder
is the one that `dicom-node train --help` describes.
"""

import argparse
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from inference.errors import DataUnusable, InferenceError
from inference.training.data import Film, labels, load_film, read_manifest
from inference.training.metrics import auc, summary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments to its parser."""
    parser.add_argument("bundle", type=Path, help="folder of a trained model")
    parser.add_argument("data", type=Path, help="folder with manifest.csv and the films that it names")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Measure as the command line says; 0 when the figures are printed."""
    try:
        figures = evaluate(arguments.bundle, arguments.data)
    except InferenceError as error:
        Console(stderr=True).print(str(error), markup=False, highlight=False)
        return 1
    if arguments.json:
        print(json.dumps(figures, indent=2))
    else:
        Console().print(_table(figures))
    return 0


def evaluate(bundle: Path, data: Path) -> dict[str, Any]:
    """Measure a bundle on each source's validation and test films, and on groups of them.

    Returns
    -------
    ``groups``: for each group of films its figures (see `metrics.summary`); ``source_auc_of_normals``: for each two
    sources, how well the score tells their normal films apart (0.5: not at all, as it should be).

    Raises
    ------
    DataUnusable
        The films or their manifest cannot be used, or no film was set aside.
    ModelDamaged
        The bundle is not what its card says.
    """
    from inference.classifier import Classifier  # noqa: PLC0415 - imports torch; see the module

    films = [film for film in read_manifest(data) if film.test or (film.validation and not film.duplicate)]
    films = [film for film in films if film.positive is not None]
    groups = {name: chosen for name, chosen in _groups(films).items() if len(set(labels(films)[chosen])) == 2}
    if not groups:
        raise DataUnusable(
            data, "holds no normal and pneumonia films that were set aside for validation or test"
        )
    classifier = Classifier(bundle)
    with Progress(console=Console(stderr=True)) as bar:
        scores = np.array(
            [
                classifier.classify(load_film(film.path)).score
                for film in bar.track(films, description="reading films")
            ]
        )
    truth = labels(films)
    threshold = classifier.card.threshold
    return {
        "threshold": threshold,
        "groups": {
            name: summary(scores[chosen], truth[chosen], threshold) for name, chosen in groups.items()
        },
        "source_auc_of_normals": _told_apart(films, scores),
    }


def _groups(films: Sequence[Film]) -> dict[str, list[int]]:
    """Which films are measured together, by name; a film is in several groups."""
    groups: dict[str, list[int]] = {}
    for index, film in enumerate(films):
        part = f"{film.source} {'test' if film.test else 'validation'}"
        names = [part] + [f"{part}, {trait}" for trait in (film.view, film.sex) if trait]
        if not film.duplicate:
            names.append(f"{part} without duplicates")
        for name in names:
            groups.setdefault(name, []).append(index)
    # A group that holds all of its part says nothing new.
    return {
        name: chosen
        for name, chosen in groups.items()
        if not any(chosen == groups[part] for part in groups if part != name and name.startswith(part))
    }


def _told_apart(films: Sequence[Film], scores: NDArray[np.float64]) -> dict[str, float]:
    normal: dict[str, list[int]] = {}
    for index, film in enumerate(films):
        if not (film.positive or film.test):
            normal.setdefault(film.source, []).append(index)
    apart = {}
    for (first, ours), (second, theirs) in itertools.combinations(normal.items(), 2):
        source = np.array([True] * len(ours) + [False] * len(theirs))
        apart[f"{first} above {second}"] = round(auc(scores[ours + theirs], source), 4)
    return apart


def _table(figures: dict[str, Any]) -> Table:
    table = Table(
        "films", "n", "AUC", "accuracy", "sensitivity", "specificity", title="95 % bootstrap intervals"
    )
    for name, group in figures["groups"].items():
        cells = [
            f"{group[figure]['value']:.3f} ({group[figure]['interval'][0]:.3f}-{group[figure]['interval'][1]:.3f})"
            for figure in ("auc", "accuracy", "sensitivity", "specificity")
        ]
        table.add_row(name, str(group["films"]), *cells)
    return table
