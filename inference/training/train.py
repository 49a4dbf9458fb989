"""Train a classifier: from a folder of films to a bundle (weights, card, curves) that the node can run.

The folder holds pictures or DICOM files and a manifest.csv with a line for each. Its columns:

  file      path relative to the folder
  label     normal, pneumonia, or other (other findings: nothing is learnt from these)
  patient   who it is; a patient's films are never on both sides of a split
  source    optional: which hospital or set; the figures are told for each
  split     optional: test keeps a film for the final figures, anything else is for training
  findings, view, sex   optional: for what counts as an opacity, and for figures by group

An interrupted training goes on where it was when it is started again with the same --out.
"""

import argparse
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from inference.card import CARD_NAME, WEIGHTS_NAME, ModelCard
from inference.errors import DataUnusable, InferenceError
from inference.training.data import Film, labels, load_film, read_manifest

if TYPE_CHECKING:
    from inference.training.fitting import FilmSet, Plan

ARCHITECTURE: Final = "tf_efficientnet_lite0"
CHECKPOINT: Final = "checkpoint"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments to its parser."""
    parser.add_argument("data", type=Path, help="folder with manifest.csv and the films that it names")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="BUNDLE", help="folder for the trained model"
    )
    parser.add_argument(
        "--initial-weights",
        type=Path,
        metavar="FILE",
        help=f"safetensors of a {ARCHITECTURE} that knows pictures",
    )
    parser.add_argument("--name", default="pneumonia-cxr", help="name in the model card [%(default)s]")
    parser.add_argument("--version", default="0.1.0", help="version in the model card [%(default)s]")
    parser.add_argument("--epochs", type=int, default=10, help="at most so many [%(default)s]")
    parser.add_argument(
        "--films-per-epoch", type=int, default=3520, help="drawn anew each epoch [%(default)s]"
    )
    parser.add_argument(
        "--input-size", type=int, default=224, help="side of the square input, pixels [%(default)s]"
    )
    parser.add_argument("--seed", type=int, default=1, help="where all chance comes from [%(default)s]")


def run(arguments: argparse.Namespace) -> int:
    """Train as the command line says; 0 when the bundle is written."""
    try:
        train(
            arguments.data,
            arguments.out,
            initial_weights=arguments.initial_weights,
            name=arguments.name,
            version=arguments.version,
            epochs=arguments.epochs,
            films_per_epoch=arguments.films_per_epoch,
            input_size=arguments.input_size,
            seed=arguments.seed,
        )
    except InferenceError as error:
        Console(stderr=True).print(str(error), markup=False, highlight=False)
        return 1
    return 0


def train(
    data: Path,
    out: Path,
    *,
    initial_weights: Path | None = None,
    name: str = "pneumonia-cxr",
    version: str = "0.1.0",
    epochs: int = 10,
    films_per_epoch: int = 3520,
    input_size: int = 224,
    seed: int = 1,
) -> ModelCard:
    """Train a classifier and write its bundle to `out`; the same call again goes on where it was interrupted.

    Raises
    ------
    DataUnusable
        The films, their manifest or the checkpoint in `out` cannot be used.
    ModelDamaged
        The initial weights are not this architecture's.
    """
    import torch  # noqa: PLC0415 - a second; see the module

    from inference.network import save_weights, start_from  # noqa: PLC0415
    from inference.training.calibration import balanced_weights, calibrate  # noqa: PLC0415
    from inference.training.evaluate import evaluate  # noqa: PLC0415
    from inference.training.figures import draw_confusion, draw_curves  # noqa: PLC0415
    from inference.training.fitting import Plan, fit, logits  # noqa: PLC0415
    from inference.vision import create_network  # noqa: PLC0415

    films = [
        film for film in read_manifest(data) if not (film.test or film.duplicate or film.positive is None)
    ]
    learnt = [film for film in films if not film.validation]
    asked = [film for film in films if film.validation]
    for part, word in ((learnt, "training"), (asked, "validation")):
        normal, ill = ({film.source for film in part if film.positive is label} for label in (False, True))
        if not normal & ill:
            raise DataUnusable(data, f"the {word} part has no source with both normal and pneumonia films")
    plan = Plan(
        ARCHITECTURE, input_size, epochs, films_per_epoch, seed, fine_tuned=initial_weights is not None
    )
    torch.manual_seed(seed)
    network = create_network(ARCHITECTURE)
    if initial_weights is not None:
        start_from(network, initial_weights)
    with _bar() as bar:
        training = _film_set(learnt, input_size, bar, "reading training films")
        validation = _film_set(asked, input_size, bar, "reading validation films")
        task = bar.add_task("training", total=None)

        def report(done: int, total: int, line: str) -> None:
            bar.update(task, completed=done, total=total)
            if line:
                bar.console.print(line, highlight=False)

        progress = fit(network, plan, training, validation, out / CHECKPOINT, report)
    cells = list(zip(validation.sources, validation.truth.tolist(), strict=True))
    calibration = calibrate(logits(network, plan, validation), validation.truth, balanced_weights(cells))
    network.get_parameter("classifier.bias").data += calibration.shift
    save_weights(network, out / WEIGHTS_NAME)
    card = ModelCard(
        name=name,
        version=version,
        architecture=ARCHITECTURE,
        sha256=hashlib.sha256((out / WEIGHTS_NAME).read_bytes()).hexdigest(),
        labels=("pneumonia",),
        input_size=input_size,
        mean=plan.mean,
        std=plan.std,
        temperature=calibration.temperature,
        threshold=0.5,  # where both errors cost the same, by the calibration
        training=_account(films, plan, progress.best_epoch, initial_weights),
        figures={},
    )
    write_card(out, card)
    evaluation = evaluate(out, data)
    card = replace(card, figures=evaluation)
    write_card(out, card)
    draw_curves(progress.history, progress.best_epoch, out / "curves.png")
    draw_confusion(evaluation, out / "confusion.png")
    shutil.rmtree(out / CHECKPOINT)
    return card


def write_card(bundle: Path, card: ModelCard) -> None:
    """Write a bundle's card, for people and for `load_card`."""
    text = json.dumps(asdict(card), indent=2, ensure_ascii=False)
    (bundle / CARD_NAME).write_text(text + "\n", encoding="utf-8")


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def _film_set(films: Sequence[Film], side: int, bar: Progress, description: str) -> "FilmSet":
    """Read films once, as bytes: 50 KB each instead of a decoder's work in every epoch."""
    import torch  # noqa: PLC0415

    from inference.preprocessing import network_input  # noqa: PLC0415
    from inference.training.fitting import FilmSet  # noqa: PLC0415

    pictures = np.empty((len(films), 1, side, side), np.uint8)
    for index, film in enumerate(bar.track(films, description=description)):
        pictures[index, 0] = np.rint(network_input(load_film(film.path).pixels, side) * 255.0)
    return FilmSet(torch.from_numpy(pictures), labels(films), tuple(film.source for film in films))


def _command(plan: "Plan", initial_weights: Path | None) -> str:
    """What was typed, without the places of this machine."""
    start = f" --initial-weights {initial_weights.name}" if initial_weights is not None else ""
    return (
        f"dicom-node train DATA --out BUNDLE{start} --epochs {plan.epochs}"
        f" --films-per-epoch {plan.films_per_epoch} --input-size {plan.input_size} --seed {plan.seed}"
    )


def _account(
    films: Sequence[Film], plan: "Plan", best_epoch: int, initial_weights: Path | None
) -> dict[str, Any]:
    """What the card tells of the training; of the machine only what explains how long it took."""
    counts = Counter(
        f"{film.source} {'pneumonia' if film.positive else 'normal'} {'validation' if film.validation else 'training'}"
        for film in films
    )
    weights = None
    if initial_weights is not None:
        digest = hashlib.sha256(initial_weights.read_bytes()).hexdigest()
        weights = {"file": initial_weights.name, "sha256": digest}
    return {
        "command": _command(plan, initial_weights),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} CPU cores",
        "films": dict(sorted(counts.items())),
        "left_out": "duplicates, and films whose only findings are neither normal nor opacities",
        "plan": asdict(plan),
        "best_epoch": best_epoch,
        "initial_weights": weights,
    }
