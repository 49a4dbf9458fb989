"""Measure a classifier on films that it has not learnt from, with 95 % bootstrap intervals.

These are the films with split test, and the part of the others that training sets aside for validation. Folders are
what `dicom-node train --help` describes. Nothing is chosen on test films: where a threshold is chosen, it
is on validation films.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress

from inference.errors import DataUnusable, InferenceError, require_training_packages
from inference.evaluation import robustness, shortcuts
from inference.evaluation.attention import attention
from inference.evaluation.changes import effects, mirrored, sample, score_changed, with_mirrored
from inference.evaluation.demographics import demographics
from inference.evaluation.groups import groups_of
from inference.evaluation.metrics import summary
from inference.evaluation.operating_points import SENSITIVITIES, operating_points
from inference.evaluation.scoring import Scored, score_films
from inference.evaluation.subtypes import subtypes
from inference.evaluation.tables import print_figures
from inference.films.data import Film, read_films

if TYPE_CHECKING:
    from inference.classifier import Classifier

_MIRRORED = "mirrored"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments to its parser."""
    parser.add_argument("bundle", type=Path, help="folder of a trained model")
    parser.add_argument(
        "data",
        type=Path,
        nargs="+",
        help="folder of films, as train --help describes it; several are measured as one",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw them as PNG into this folder")
    parser.add_argument(
        "--full",
        action="store_true",
        help="also robustness, shortcuts, attention, subtypes: some twenty more looks at up to 300 films of a source",
    )
    parser.add_argument(
        "--sensitivities",
        type=_share,
        nargs="+",
        default=SENSITIVITIES,
        metavar="SHARE",
        help="tell what thresholds for these sensitivities would give [%(default)s]",
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure as the command line says; 0 when the figures are printed."""
    try:
        if arguments.plots:
            require_training_packages()
        scored, figures = measure(
            arguments.bundle, arguments.data, full=arguments.full, sensitivities=arguments.sensitivities
        )
    except InferenceError as error:
        Console(stderr=True).print(str(error), markup=False, highlight=False)
        return 1
    if arguments.json:
        print(json.dumps(figures, indent=2))
    else:
        print_figures(figures)
    if arguments.plots:
        from inference.evaluation.figures import draw_evaluation  # noqa: PLC0415 - matplotlib is for training only

        draw_evaluation(scored, figures, arguments.plots)
    return 0


def evaluate(bundle: Path, data: Sequence[Path]) -> dict[str, Any]:
    """Measure a bundle for its card: the figures of `measure`, without the long ones."""
    return measure(bundle, data)[1]


def measure(
    bundle: Path, data: Sequence[Path], *, full: bool = False, sensitivities: Sequence[float] = SENSITIVITIES
) -> tuple[Scored, dict[str, Any]]:
    """Measure a bundle on each source's validation and test films, and on groups of them.

    Returns
    -------
    The films with their scores, and the figures, which are plain JSON: ``model`` (name, version and the weights'
    SHA-256); ``data``, whose films the folders hold, those that were learnt from too (see `demographics`);
    ``threshold`` and ``uncertain`` as in the card; ``groups``, for each group of films its figures (see
    `metrics.summary`); ``operating_points``; ``normals_told_apart``; with `full` also ``robustness`` and ``shortcuts``
    (see `changes.effects`), ``flips``, ``attention`` and ``subtypes``. The functions of these names explain what is in
    each.

    Raises
    ------
    DataUnusable
        The films or their manifest cannot be used, or no film was set aside.
    ModelDamaged
        The bundle is not what its card says.
    """
    from inference.classifier import Classifier  # noqa: PLC0415 - a runtime, half a second; --help needs none

    every = read_films(*data)
    films = [
        film
        for film in every
        if film.positive is not None and (film.test or (film.validation and not film.duplicate))
    ]
    if not {True, False} <= {film.positive for film in films}:
        raise DataUnusable(
            data[0], "holds no normal and pneumonia films that were set aside for validation or test"
        )
    classifier = Classifier(bundle)
    card = classifier.card
    with Progress(console=Console(stderr=True)) as bar:
        scored = score_films(classifier, films, bar)
        long_ones = _long_figures(classifier, scored, every, bar) if full else {}
    groups = {name: scored.only(places) for name, places in groups_of(films).items()}
    return scored, {
        "model": {"name": card.name, "version": card.version, "sha256": card.sha256},
        "data": demographics(every),
        "threshold": card.threshold,
        "uncertain": list(card.uncertain),
        "groups": {
            name: summary(group.scores, group.truth, group.patients, card.threshold, card.uncertain)
            for name, group in groups.items()
        },
        "operating_points": operating_points(scored, sensitivities),
        "normals_told_apart": shortcuts.normals_told_apart(scored),
        **long_ones,
    }


def _long_figures(
    classifier: "Classifier", scored: Scored, films: Sequence[Film], bar: Progress
) -> dict[str, Any]:
    """What takes many looks at a film."""
    from inference.lungs import LungFinder  # noqa: PLC0415 - as above

    finder = LungFinder()
    some = sample(scored)
    occlusions = shortcuts.CHANGES | shortcuts.lung_changes(finder)
    changes = robustness.CHANGES | occlusions | {_MIRRORED: mirrored}
    scores = score_changed(classifier, some, changes, bar)
    return {
        "robustness": effects(some, {name: scores[name] for name in robustness.CHANGES}, classifier.card),
        "shortcuts": effects(some, {name: scores[name] for name in occlusions}, classifier.card),
        "flips": with_mirrored(some, scores[_MIRRORED]),
        "attention": attention(classifier, finder, scored, films, bar),
        "subtypes": subtypes(classifier, films, bar),
    }


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return share
