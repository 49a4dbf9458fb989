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

from inference.card import GRAPH_NAME, WEIGHTS_NAME, ModelCard, load_card, write_card
from inference.errors import DataUnusable, InferenceError
from inference.evaluation.evaluate import evaluate
from inference.films import data as data_room
from inference.films.data import Film, load_film, read_films

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
_THRESHOLD: Final = 0.5  # where both errors cost the same, by the calibration


class ModelName(NamedTuple):
    """What a model is called in its card."""

    name: str
    version: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments to its parser."""
    parser.epilog = data_room.__doc__
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
    from inference.evaluation.figures import draw_confusion, draw_curves  # noqa: PLC0415
    from inference.training.account import account_of  # noqa: PLC0415 - torch, a second; see the module
    from inference.training.suitability import fit_suitability  # noqa: PLC0415

    films = [
        film
        for folder in data
        for film in read_films(folder)
        if not (film.test or film.duplicate or film.target is None)
    ]
    learnt = [film for film in films if not film.validation]
    asked = [film for film in films if film.validation and film.positive is not None]
    for part, word in ((learnt, "training"), (asked, "validation")):
        normal, ill = ({film.source for film in part if film.positive is label} for label in (False, True))
        if not normal & ill:
            raise DataUnusable(data[0], f"the {word} part has no source with both normal and pneumonia films")
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
        _mix(network, before, _ADAPTED_SHARE)
    account = account_of(films, plan, progress, initial_weights, start)
    card = _write_bundle(out, network, plan, validation, ModelName(name, version), account)
    card = replace(card, figures=evaluate(out, data[0]))
    if start is not None:
        told = {
            folder.name: {"before": _figures(start, folder), "after": _figures(out, folder)}
            for folder in data
        }
        card = replace(card, training=card.training | {"adaptation": told})
    write_card(out, card)
    draw_curves(progress.history, progress.best_epoch, out / "curves.png")
    draw_confusion(card.figures, out / "confusion.png")
    card = fit_suitability(out, data, seed)
    shutil.rmtree(out / CHECKPOINT)
    return card


def _begin(
    architecture: str,
    initial_weights: Path | str | None,
    input_size: int,
    epochs: int,
    films_per_epoch: int,
    seed: int,
) -> "tuple[FilmNetwork, Plan]":
    """A network that knows nothing of chests yet."""
    import torch  # noqa: PLC0415 - a second; see the module

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
    from inference.network import load_network  # noqa: PLC0415 - torch; see the module
    from inference.training.fitting import FROM_BUNDLE, Plan  # noqa: PLC0415

    card = load_card(start)
    network = load_network(card.architecture, len(card.labels), start / WEIGHTS_NAME)
    rate = _ADAPTATION_RATE
    return network, Plan(
        card.architecture, card.input_size, epochs, films_per_epoch, seed, FROM_BUNDLE, learning_rate=rate
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
    import torch  # noqa: PLC0415 - a second; see the module

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


def _mix(network: "FilmNetwork", before: "FilmNetwork", share: float) -> None:
    """Move the network back towards what it was before; `share` is what remains of the new."""
    old = before.state_dict()
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.lerp_(old[name], 1.0 - share)


def _write_bundle(
    out: Path,
    network: "FilmNetwork",
    plan: "Plan",
    validation: "FilmSet",
    model: ModelName,
    account: dict[str, Any],
) -> ModelCard:
    """Calibrate on the validation films, and write weights, graph and a card that has no figures yet."""
    from inference.network import save_weights  # noqa: PLC0415 - torch; see the module
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


def _figures(bundle: Path, data: Path) -> dict[str, Any]:
    """What an adaptation is judged by: AUC, sensitivity and specificity of each source's films and of their groups."""
    groups = evaluate(bundle, data)["groups"]
    return {
        name: {
            figure: group[figure]
            for figure in ("films", "auc", "sensitivity", "specificity")
            if figure in group
        }
        for name, group in groups.items()
    }


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
