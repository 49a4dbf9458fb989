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
import copy
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

from inference.card import CARD_NAME, GRAPH_NAME, WEIGHTS_NAME, ModelCard, load_card
from inference.errors import DataUnusable, InferenceError
from inference.training.data import Film, load_film, read_manifest
from inference.training.evaluate import evaluate

if TYPE_CHECKING:
    from inference.network import FilmNetwork
    from inference.training.checkpoint import Progress as TrainingProgress
    from inference.training.fitting import FilmSet, Plan, Step

ARCHITECTURE: Final = "tf_efficientnet_lite0"
IMAGENET: Final = "imagenet"
CHECKPOINT: Final = "checkpoint"
# A bundle that is adapted knows chests already: it goes slowly, and ends half-way between what it was and what the new
# films made of it, which keeps most of both (Wortsman et al., CVPR 2022).
_ADAPTATION_RATE: Final = 1e-4
_ADAPTED_SHARE: Final = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments to its parser."""
    parser.add_argument(
        "data", type=Path, nargs="+", help="folder of films; several are learnt from together, each a source"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="BUNDLE", help="folder for the trained model"
    )
    parser.add_argument(
        "--from",
        dest="start",
        type=Path,
        metavar="BUNDLE",
        help="adapt this bundle to the films; name its own films as a further folder where they are at hand, and the"
        " figures are told before and after on both",
    )
    parser.add_argument(
        "--architecture",
        default=ARCHITECTURE,
        help="a classifier of torchvision (resnet18) or timm that ends in a feature map [%(default)s]",
    )
    parser.add_argument(
        "--initial-weights",
        metavar="FILE",
        help=f"safetensors of the architecture, or the word {IMAGENET} to fetch torchvision's or timm's (needs"
        " internet); without, training begins with nothing",
    )
    parser.add_argument("--name", default="pneumonia-cxr", help="name in the model card [%(default)s]")
    parser.add_argument("--version", default="0.1.0", help="version in the model card [%(default)s]")
    parser.add_argument("--epochs", type=int, default=20, help="at most so many [%(default)s]")
    parser.add_argument(
        "--films-per-epoch", type=int, default=3520, help="drawn anew each epoch [%(default)s]"
    )
    parser.add_argument(
        "--input-size", type=int, default=224, help="side of the square input, pixels [%(default)s]"
    )
    parser.add_argument("--seed", type=int, default=1, help="where all chance comes from [%(default)s]")


def run(arguments: argparse.Namespace) -> int:
    """Train as the command line says; 0 when the bundle is written."""
    weights = arguments.initial_weights
    try:
        train(
            arguments.data,
            arguments.out,
            start=arguments.start,
            architecture=arguments.architecture,
            initial_weights=IMAGENET if weights == IMAGENET else Path(weights) if weights else None,
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
    data: Sequence[Path],
    out: Path,
    *,
    start: Path | None = None,
    architecture: str = ARCHITECTURE,
    initial_weights: Path | str | None = None,
    name: str = "pneumonia-cxr",
    version: str = "0.1.0",
    epochs: int = 20,
    films_per_epoch: int = 3520,
    input_size: int = 224,
    seed: int = 1,
) -> ModelCard:
    """Train a classifier and write its bundle to `out`; the same call again goes on where it was interrupted.

    With `start`, the bundle there is adapted: its architecture and input size hold, and `initial_weights` is not asked.

    Raises
    ------
    DataUnusable
        The films, their manifest or the checkpoint in `out` cannot be used.
    ModelDamaged
        The initial weights are not this architecture's, or the bundle to start from is not what its card says.
    ArchitectureUnusable
        No classifier can be made of that name, or its ImageNet weights cannot be fetched.
    """
    import torch  # noqa: PLC0415 - a second; see the module

    from inference.network import FilmNetwork, load_network, save_weights, start_from  # noqa: PLC0415
    from inference.training.calibration import balanced_weights, calibrate, uncertain_band  # noqa: PLC0415
    from inference.training.export import write_graph  # noqa: PLC0415
    from inference.training.figures import draw_confusion, draw_curves  # noqa: PLC0415
    from inference.training.fitting import FROM_BUNDLE, FROM_IMAGENET, FROM_NOTHING, Plan, fit, logits  # noqa: PLC0415
    from inference.vision import imagenet_weights  # noqa: PLC0415

    films = [
        film
        for folder in data
        for film in read_manifest(folder)
        if not (film.test or film.duplicate or film.target is None)
    ]
    learnt = [film for film in films if not film.validation]
    asked = [film for film in films if film.validation and film.positive is not None]
    for part, word in ((learnt, "training"), (asked, "validation")):
        normal, ill = ({film.source for film in part if film.positive is label} for label in (False, True))
        if not normal & ill:
            raise DataUnusable(data[0], f"the {word} part has no source with both normal and pneumonia films")
    torch.manual_seed(seed)
    old = load_card(start) if start is not None else None
    if old is not None and start is not None:
        architecture, input_size = old.architecture, old.input_size
        network = load_network(architecture, len(old.labels), start / WEIGHTS_NAME)
        plan = Plan(
            architecture, input_size, epochs, films_per_epoch, seed, FROM_BUNDLE, learning_rate=_ADAPTATION_RATE
        )
    else:
        network = FilmNetwork(architecture)
        if isinstance(initial_weights, Path):
            start_from(network, initial_weights)
        elif initial_weights is not None:
            start_from(network, imagenet_weights(architecture))
        stages = FROM_NOTHING if initial_weights is None else FROM_IMAGENET
        plan = Plan(architecture, input_size, epochs, films_per_epoch, seed, stages)
    before = copy.deepcopy(network)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with _bar() as bar:
        training = _film_set(learnt, input_size, bar, "reading training films")
        validation = _film_set(asked, input_size, bar, "reading validation films")
        task = bar.add_task("training", total=None, auc="")

        def report(step: Step) -> None:
            best = f"best validation AUC {step.best_auc:.4f}" if step.best_auc else ""
            bar.update(task, completed=step.done, total=step.total, auc=best)
            if step.line:
                bar.console.print(step.line, highlight=False)

        progress = fit(network, plan, training, validation, out / CHECKPOINT, device, report)
    if start is not None:
        _mix(network, before.to(device), _ADAPTED_SHARE)
    cells = list(zip(validation.sources, validation.truth.tolist(), strict=True))
    weights = balanced_weights(cells)
    raw = logits(network, plan, validation)
    calibration = calibrate(raw, validation.truth, weights)
    network.classifier.bias.data += calibration.shift
    save_weights(network.cpu(), out / WEIGHTS_NAME)
    write_graph(network, out / GRAPH_NAME, input_size)
    scores = 1.0 / (1.0 + np.exp(-(raw + calibration.shift) / calibration.temperature))
    threshold = 0.5  # where both errors cost the same, by the calibration
    card = ModelCard(
        name=name,
        version=version,
        architecture=architecture,
        sha256=hashlib.sha256((out / WEIGHTS_NAME).read_bytes()).hexdigest(),
        graph_sha256=hashlib.sha256((out / GRAPH_NAME).read_bytes()).hexdigest(),
        labels=("pneumonia",),
        input_size=input_size,
        mean=plan.mean,
        std=plan.std,
        temperature=calibration.temperature,
        threshold=threshold,
        uncertain=uncertain_band(scores, validation.truth, weights, threshold),
        training=_account(films, plan, progress, initial_weights, start),
        figures={},
    )
    write_card(out, card)
    card = replace(card, figures=evaluate(out, data[0]))
    if start is not None:
        told = {folder.name: {"before": evaluate(start, folder), "after": evaluate(out, folder)} for folder in data}
        card = replace(card, training=card.training | {"adaptation": told})
    write_card(out, card)
    draw_curves(progress.history, progress.best_epoch, out / "curves.png")
    draw_confusion(card.figures, out / "confusion.png")
    shutil.rmtree(out / CHECKPOINT)
    return card


def _mix(network: "FilmNetwork", before: "FilmNetwork", share: float) -> None:
    """Move the network back towards what it was before; `share` is what remains of the new."""
    old = before.state_dict()
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.lerp_(old[name], 1.0 - share)


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
        TextColumn("{task.fields[auc]}"),
        console=Console(stderr=True),
    )


def _film_set(films: Sequence[Film], side: int, bar: Progress, description: str) -> "FilmSet":
    """Read films once, as bytes: 50 KB each instead of a decoder's work in every epoch."""
    import torch  # noqa: PLC0415

    from inference.lungs import CELLS, INPUT_SIDE, LungFinder  # noqa: PLC0415
    from inference.preprocessing import network_input  # noqa: PLC0415
    from inference.training.fitting import FilmSet  # noqa: PLC0415

    finder = LungFinder()
    pictures = np.empty((len(films), 1, side, side), np.uint8)
    lungs = np.empty((len(films), 1, CELLS, CELLS), np.uint8)
    task = bar.add_task(description, total=len(films), auc="")
    for index, film in enumerate(films):
        pixels = load_film(film.path).pixels
        pictures[index, 0] = np.rint(network_input(pixels, side) * 255.0)
        lungs[index, 0] = finder.find(network_input(pixels, 2 * INPUT_SIDE)).both * np.uint8(255)
        bar.advance(task)
    targets = [film.target or 0.0 for film in films]
    truth = [
        film.positive if film.positive is not None else target >= 0.5
        for film, target in zip(films, targets, strict=True)
    ]
    return FilmSet(
        torch.from_numpy(pictures),
        torch.nn.functional.interpolate(torch.from_numpy(lungs), (side, side)),
        np.array(targets, np.float32),
        np.array(truth),
        tuple(film.view for film in films),
        tuple(film.source for film in films),
    )


def _command(plan: "Plan", initial_weights: Path | str | None, start: Path | None) -> str:
    """What was typed, without the places of this machine."""
    begin = f" --architecture {plan.architecture}"
    if start is not None:
        begin = f" --from {start.name}"
    elif initial_weights is not None:
        word = initial_weights.name if isinstance(initial_weights, Path) else initial_weights
        begin += f" --initial-weights {word}"
    return (
        f"dicom-node train DATA --out BUNDLE{begin} --epochs {plan.epochs}"
        f" --films-per-epoch {plan.films_per_epoch} --input-size {plan.input_size} --seed {plan.seed}"
    )


def _account(
    films: Sequence[Film],
    plan: "Plan",
    progress: "TrainingProgress",
    initial_weights: Path | str | None,
    start: Path | None,
) -> dict[str, Any]:
    """What the card tells of the training; of the machine only what explains how long it took."""
    words = {True: "pneumonia", False: "normal", None: "other"}
    counts = Counter(
        f"{film.source} {words[film.positive]} {'validation' if film.validation else 'training'}" for film in films
    )
    weights: dict[str, str] | str | None = None
    if isinstance(initial_weights, Path):
        digest = hashlib.sha256(initial_weights.read_bytes()).hexdigest()
        weights = {"file": initial_weights.name, "sha256": digest}
    elif initial_weights is not None:
        weights = initial_weights
    return {
        "command": _command(plan, initial_weights, start),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} CPU cores",
        "films": dict(sorted(counts.items())),
        "plan": asdict(plan),
        "epochs": progress.epochs,
        "best_epoch": progress.best_epoch,
        "initial_weights": weights,
    }
