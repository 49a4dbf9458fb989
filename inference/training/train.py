"""Train a classifier: from folders of films to a bundle (weights, graph, card, curves) that the node can run.

An interrupted training goes on where it was when it is started again with the same --out. With internet the usual
start is

  dicom-node train FILMS --out BUNDLE --architecture resnet18 --initial-weights imagenet

and to adapt a bundle to a hospital's own films, without forgetting those that it was trained on where they are at hand,

  dicom-node train OWN_FILMS [EARLIER_FILMS] --out CANDIDATE --from BUNDLE
"""

import argparse
import copy
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from inference.card import CARD_NAME, GRAPH_NAME, WEIGHTS_NAME, ModelCard, load_card, write_card
from inference.errors import DataUnusable, InferenceError, require_training_packages
from inference.evaluation.evaluate import evaluate
from inference.films import data as data_room
from inference.films.data import Film, load_film, read_films
from inference.training.adaptation import LEARNING_RATE, mix, print_adaptation, told

# torch takes a second to import, so it is imported where it is needed: --help and a wrong argument do not wait for it
if TYPE_CHECKING:
    from inference.network import FilmNetwork
    from inference.training.checkpoint import Progress as TrainingProgress
    from inference.training.fitting import FilmSet, Plan, Step

ARCHITECTURE: Final = "tf_efficientnet_lite0"
IMAGENET: Final = "imagenet"
INPUT_SIZE: Final = 224
CHECKPOINT: Final = "checkpoint"
_THRESHOLD: Final = 0.5  # where both errors cost the same, by the calibration


class ModelName(NamedTuple):
    """What a model is called in its card."""

    name: str
    version: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments to its parser."""
    parser.epilog = data_room.__doc__
    parser.add_argument(
        "data",
        type=Path,
        nargs="+",
        help="folder of films; several are learnt from together, and measured together",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="BUNDLE", help="folder for the trained model"
    )
    parser.add_argument(
        "--from",
        dest="start",
        type=Path,
        metavar="BUNDLE",
        help="adapt this bundle, its architecture and its input size; name its own films as a further folder where they"
        " are at hand: figures are told before and after on the films of each source",
    )
    parser.add_argument(
        "--architecture",
        help="a convolutional classifier of torchvision (resnet18) or timm; it is cut where its maps have a sixteenth"
        f" of the picture's side [{ARCHITECTURE}]",
    )
    parser.add_argument(
        "--initial-weights",
        metavar="FILE",
        help=f"safetensors of the architecture, or the word {IMAGENET} to fetch torchvision's or timm's (needs"
        " internet); without, training begins with nothing",
    )
    parser.add_argument("--name", default="pneumonia-cxr", help="name in the model card [%(default)s]")
    parser.add_argument("--version", default="0.1.0", help="version in the model card [%(default)s]")
    parser.add_argument("--epochs", type=_count, default=20, help="at most so many [%(default)s]")
    parser.add_argument(
        "--films-per-epoch", type=_count, default=3520, help="drawn anew each epoch [%(default)s]"
    )
    parser.add_argument("--input-size", type=_count, help=f"side of the square input, pixels [{INPUT_SIZE}]")
    parser.add_argument("--seed", type=int, default=1, help="where all chance comes from [%(default)s]")


def run(arguments: argparse.Namespace) -> int:
    """Train as the command line says; 0 when the bundle is written."""
    weights = arguments.initial_weights
    console = Console(stderr=True)
    if arguments.start and (arguments.architecture or weights or arguments.input_size):
        console.print(
            "--from begins with its bundle: leave out --architecture, --initial-weights, --input-size"
        )
        return 1
    try:
        require_training_packages()
        card = train(
            arguments.data,
            arguments.out,
            start=arguments.start,
            architecture=arguments.architecture or ARCHITECTURE,
            initial_weights=IMAGENET if weights == IMAGENET else Path(weights) if weights else None,
            name=arguments.name,
            version=arguments.version,
            epochs=arguments.epochs,
            films_per_epoch=arguments.films_per_epoch,
            input_size=arguments.input_size or INPUT_SIZE,
            seed=arguments.seed,
        )
    except InferenceError as error:
        console.print(str(error), markup=False, highlight=False)
        return 1
    if arguments.start:
        print_adaptation(card)
    return 0


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return count


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
    input_size: int = INPUT_SIZE,
    seed: int = 1,
) -> ModelCard:
    """Train a classifier and write its bundle to `out`; the same call again goes on where it was interrupted.

    With `start`, the bundle there is adapted: its architecture and input size hold, and the arguments of these names
    and `initial_weights` are not asked.

    Raises
    ------
    DataUnusable
        The films, their manifest, the initial weights or the checkpoint in `out` cannot be used, or `out` holds a
        finished bundle.
    ModelDamaged
        The bundle to start from is not what its card says.
    ArchitectureUnusable
        No classifier can be made of that name, or its ImageNet weights cannot be fetched.
    """
    from inference.evaluation.figures import draw_confusion, draw_curves  # noqa: PLC0415
    from inference.training.account import account_of  # noqa: PLC0415 - see the module
    from inference.training.suitability import fit_suitability  # noqa: PLC0415

    if (out / CARD_NAME).exists() and not (out / CHECKPOINT).exists():
        raise DataUnusable(out, "holds a bundle already; write to another folder")
    films = [film for film in read_films(*data) if not (film.test or film.duplicate or film.target is None)]
    learnt = [film for film in films if not film.validation]
    asked = [film for film in films if film.validation and film.positive is not None]
    _check(data[0], learnt, asked)
    if start is None:
        network, plan = _begin(architecture, initial_weights, input_size, epochs, films_per_epoch, seed)
    else:
        network, plan = _begin_from(start, epochs, films_per_epoch, seed)
    before = copy.deepcopy(network)
    with _bar() as bar:
        training = _film_set(learnt, plan.input_size, bar, "reading training films")
        validation = _film_set(asked, plan.input_size, bar, "reading validation films")
        progress = _fit(network, plan, training, validation, out / CHECKPOINT, bar)
    if start is not None:
        mix(network, before)
    account = account_of([*learnt, *asked], plan, progress, initial_weights, start)
    card = _write_bundle(out, network, plan, validation, ModelName(name, version), account)
    card = replace(card, figures=evaluate(out, data))
    if start is not None:
        adaptation = told(evaluate(start, data), card.figures)
        card = replace(card, training=card.training | {"adaptation": adaptation})
    write_card(out, card)
    draw_curves(progress.history, progress.best_epoch, out / "curves.png")
    draw_confusion(card.figures, out / "confusion.png")
    card = fit_suitability(out, data, seed)
    shutil.rmtree(out / CHECKPOINT)
    return card


def _check(folder: Path, learnt: Sequence[Film], asked: Sequence[Film]) -> None:
    """Refuse films from which the source would be learnt instead of the disease, or which choose no epoch."""
    for source in sorted({film.source for film in learnt}):
        labels = {film.positive for film in learnt if film.source == source}
        if not labels >= {True, False}:
            raise DataUnusable(
                folder,
                f"source {source} has not both normal and pneumonia films to learn from: add such, or, where they are"
                " the same hospital's, give them the source of others",
            )
    normal, ill = ({film.source for film in asked if film.positive is label} for label in (False, True))
    if not normal & ill:
        raise DataUnusable(
            folder,
            "no source has both normal and pneumonia films for validation, which takes a fifth of the patients by"
            " chance: add films",
        )


def _begin(
    architecture: str,
    initial_weights: Path | str | None,
    input_size: int,
    epochs: int,
    films_per_epoch: int,
    seed: int,
) -> "tuple[FilmNetwork, Plan]":
    """A network that knows nothing of chests yet."""
    import torch  # noqa: PLC0415 - see the module

    from inference.network import FilmNetwork, start_from  # noqa: PLC0415
    from inference.training.fitting import FROM_IMAGENET, FROM_NOTHING, Plan  # noqa: PLC0415
    from inference.vision import imagenet_weights  # noqa: PLC0415

    torch.manual_seed(seed)
    network = FilmNetwork(architecture)
    if isinstance(initial_weights, Path):
        start_from(network, initial_weights)
    elif initial_weights is not None:
        start_from(network, imagenet_weights(architecture))
    stages = FROM_NOTHING if initial_weights is None else FROM_IMAGENET
    return network, Plan(architecture, input_size, epochs, films_per_epoch, seed, stages)


def _begin_from(start: Path, epochs: int, films_per_epoch: int, seed: int) -> "tuple[FilmNetwork, Plan]":
    """The network of a bundle, to be adapted."""
    from inference.network import load_network  # noqa: PLC0415 - see the module
    from inference.training.fitting import FROM_BUNDLE, Plan  # noqa: PLC0415

    card = load_card(start)
    network = load_network(card.architecture, len(card.labels), start / WEIGHTS_NAME)
    return network, Plan(
        architecture=card.architecture,
        input_size=card.input_size,
        epochs=epochs,
        films_per_epoch=films_per_epoch,
        seed=seed,
        stages=FROM_BUNDLE,
        learning_rate=LEARNING_RATE,
        mean=card.mean,
        std=card.std,
    )


def _fit(
    network: "FilmNetwork",
    plan: "Plan",
    training: "FilmSet",
    validation: "FilmSet",
    checkpoint: Path,
    bar: Progress,
) -> "TrainingProgress":
    """Fit where the machine is fastest, and show how far it is; the network ends on the CPU."""
    import torch  # noqa: PLC0415 - see the module

    from inference.training.fitting import fit  # noqa: PLC0415

    task = bar.add_task("training", total=None, auc="")

    def report(step: "Step") -> None:
        best = f"best validation AUC {step.best_auc:.4f}" if step.best_auc else ""
        bar.update(task, completed=step.done, total=step.total, auc=best)
        if step.line:
            bar.console.print(step.line, highlight=False)

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    progress = fit(network, plan, training, validation, checkpoint, device, report)
    network.cpu()
    return progress


def _write_bundle(
    out: Path,
    network: "FilmNetwork",
    plan: "Plan",
    validation: "FilmSet",
    model: ModelName,
    account: dict[str, Any],
) -> ModelCard:
    """Calibrate on the validation films, and write weights, graph and a card that has no figures yet."""
    from inference.network import save_weights  # noqa: PLC0415 - see the module
    from inference.training.calibration import balanced_weights, calibrate, uncertain_band  # noqa: PLC0415
    from inference.training.export import write_graph  # noqa: PLC0415
    from inference.training.fitting import logits  # noqa: PLC0415

    weights = balanced_weights(list(zip(validation.sources, validation.truth.tolist(), strict=True)))
    raw = logits(network, plan, validation)
    calibration = calibrate(raw, validation.truth, weights)
    scores = 1.0 / (1.0 + np.exp(-(raw + calibration.shift) / calibration.temperature))
    network.classifier.bias.data += calibration.shift
    save_weights(network, out / WEIGHTS_NAME)
    write_graph(network, out / GRAPH_NAME, plan.input_size)
    card = ModelCard(
        name=model.name,
        version=model.version,
        architecture=plan.architecture,
        sha256=hashlib.sha256((out / WEIGHTS_NAME).read_bytes()).hexdigest(),
        graph_sha256=hashlib.sha256((out / GRAPH_NAME).read_bytes()).hexdigest(),
        labels=("pneumonia",),
        input_size=plan.input_size,
        mean=plan.mean,
        std=plan.std,
        temperature=calibration.temperature,
        threshold=_THRESHOLD,
        uncertain=uncertain_band(scores, validation.truth, weights, _THRESHOLD),
        training=account,
        figures={},
    )
    write_card(out, card)
    return card


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

    from inference.lungs import CELLS, PICTURE_SIDE, LungFinder  # noqa: PLC0415
    from inference.preprocessing import network_input  # noqa: PLC0415
    from inference.training.fitting import FilmSet  # noqa: PLC0415

    finder = LungFinder()
    pictures = np.empty((len(films), 1, side, side), np.uint8)
    lungs = np.empty((len(films), 1, CELLS, CELLS), np.uint8)
    task = bar.add_task(description, total=len(films), auc="")
    for index, film in enumerate(films):
        pixels = load_film(film.path).pixels
        pictures[index, 0] = np.rint(network_input(pixels, side) * 255.0)
        lungs[index, 0] = finder.find(network_input(pixels, PICTURE_SIDE)).both * np.uint8(255)
        bar.advance(task)
    targets = [film.target or 0.0 for film in films]
    truth = [
        film.positive if film.positive is not None else target >= 0.5
        for film, target in zip(films, targets, strict=True)
    ]
    return FilmSet(
        torch.from_numpy(pictures),
        torch.from_numpy(lungs),
        np.array(targets, np.float32),
        np.array(truth),
        tuple(film.view for film in films),
        tuple(film.source for film in films),
    )
