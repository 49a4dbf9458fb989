"""The loop that fits a network to films: balanced draws, a cosine schedule, and the best epoch kept."""

import copy
import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from inference.network import class_activation
from inference.training.augmentation import augment
from inference.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from inference.training.metrics import auc

_EVALUATION_BATCH: Final = 64
# The first layers of a network that has seen ImageNet know edges and textures already, and cost half of the training:
# they stay as they are.
_FROZEN: Final = ("conv_stem", "bn1", "blocks.0", "blocks.1")


@dataclass(frozen=True, slots=True)
class Plan:
    """What decides the outcome of a training, besides the films.

    `mean` and `std` normalise pictures in 0..1; `averaging` is the share of each step's weights in their running
    average, which is what is measured and kept: it swings less than the weights themselves.
    """

    architecture: str
    input_size: int
    epochs: int
    films_per_epoch: int
    seed: int
    fine_tuned: bool
    batch: int = 32
    learning_rate: float = 4e-4
    weight_decay: float = 0.05
    warm_up: float = 0.05
    label_smoothing: float = 0.05
    averaging: float = 0.005
    patience: int = 5
    mean: float = 0.5
    std: float = 0.5


@dataclass(frozen=True, slots=True)
class FilmSet:
    """Pictures as (N, 1, side, side) bytes, whether each is positive, and where each comes from."""

    pictures: Tensor
    truth: NDArray[np.bool_]
    sources: tuple[str, ...]

    def cells(self) -> list[NDArray[np.int64]]:
        """The films of each source with each label."""
        names = np.array(self.sources)
        cells = [
            np.flatnonzero((names == source) & (self.truth == label))
            for source in sorted(set(self.sources))
            for label in (False, True)
        ]
        return [cell for cell in cells if cell.size]


Report = Callable[[int, int, str], None]
"""Told after every step: steps done, steps in all, and a line at the end of an epoch (else empty)."""


def fit(
    network: nn.Module, plan: Plan, training: FilmSet, validation: FilmSet, checkpoint: Path, report: Report
) -> Progress:
    """Fit a network; it ends with the weights of its best epoch.

    Every epoch draws its films and its chance from the seed and its own number, so a training that was interrupted
    ends as it would have without.
    """
    frozen = [module for name, module in network.named_modules() if plan.fine_tuned and name in _FROZEN]
    for module in frozen:
        module.requires_grad_(requires_grad=False)
    optimizer = torch.optim.AdamW(
        [parameter for parameter in network.parameters() if parameter.requires_grad],
        lr=plan.learning_rate,
        weight_decay=plan.weight_decay,
    )
    averaged = copy.deepcopy(network)
    networks = {"network": network, "averaged": averaged}
    films = hashlib.sha256(training.pictures.numpy().tobytes()).hexdigest()
    identity = asdict(plan) | {"films": films}
    progress, best = load_checkpoint(checkpoint, identity, networks, optimizer)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # twice as fast on a CPU
    steps = plan.films_per_epoch // plan.batch
    while progress.epochs < plan.epochs and progress.epochs - progress.best_epoch < plan.patience:
        network.train()
        for module in frozen:
            module.eval()
        losses = []
        for loss in _epoch(network, plan, training, optimizer, progress.epochs):
            _follow(averaged, network, plan.averaging)
            losses.append(loss)
            report(progress.epochs * steps + len(losses), plan.epochs * steps, "")
        progress.epochs += 1
        areas = validation_auc(logits(averaged, plan, validation), validation)
        progress.history.append({"loss": float(np.mean(losses))} | areas)
        if areas["auc"] > progress.best_auc:
            progress.best_auc, progress.best_epoch = areas["auc"], progress.epochs
            best = {name: value.clone() for name, value in averaged.state_dict().items()}
        save_checkpoint(checkpoint, identity, progress, networks, best, optimizer)
        line = ", ".join(f"{name} {value:.4f}" for name, value in progress.history[-1].items())
        report(
            progress.epochs * steps, plan.epochs * steps, f"epoch {progress.epochs} of {plan.epochs}: {line}"
        )
    network.load_state_dict(best)
    return progress


def _follow(averaged: nn.Module, network: nn.Module, share: float) -> None:
    """Move the average a little towards the network, its batch statistics included."""
    current = network.state_dict()
    for name, value in averaged.state_dict().items():
        if value.is_floating_point():
            value.lerp_(current[name], share)
        else:
            value.copy_(current[name])


def _epoch(
    network: nn.Module, plan: Plan, films: FilmSet, optimizer: torch.optim.Optimizer, epoch: int
) -> Iterator[float]:
    """One epoch, a loss a step."""
    torch.manual_seed(plan.seed + epoch)  # dropout asks the global generator
    random = torch.Generator().manual_seed(plan.seed + epoch)
    order = _balanced_draw(films.cells(), plan.films_per_epoch, np.random.default_rng([plan.seed, epoch]))
    steps = plan.films_per_epoch // plan.batch
    truth = torch.from_numpy(films.truth).float()
    for step in range(steps):
        rate = _learning_rate(plan, (epoch * steps + step) / (plan.epochs * steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        chosen = torch.from_numpy(order[step * plan.batch : (step + 1) * plan.batch])
        pictures = augment(films.pictures[chosen].float() / 255.0, random)
        predicted, _ = class_activation(network, (pictures - plan.mean) / plan.std)
        wanted = truth[chosen] * (1.0 - plan.label_smoothing) + plan.label_smoothing / 2.0
        loss = functional.binary_cross_entropy_with_logits(predicted, wanted)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield float(loss.detach())


def _balanced_draw(
    cells: list[NDArray[np.int64]], count: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """As many films of each source with each label, so that knowing the source does not help to know the label."""
    share = math.ceil(count / len(cells))
    drawn = []
    for cell in cells:
        rounds = math.ceil(share / cell.size)
        drawn.append(np.concatenate([random.permutation(cell) for _ in range(rounds)])[:share])
    return random.permutation(np.concatenate(drawn))[:count]


def _learning_rate(plan: Plan, done: float) -> float:
    """Up in a line, down in a cosine; `done` is 0 at the start and 1 at the end."""
    if done < plan.warm_up:
        return plan.learning_rate * max(done / plan.warm_up, 0.01)
    return plan.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (done - plan.warm_up) / (1.0 - plan.warm_up)))


def logits(network: nn.Module, plan: Plan, films: FilmSet) -> NDArray[np.float64]:
    """What the network says of films as they are, before any calibration."""
    network.eval()
    told = []
    with torch.inference_mode():
        for pictures in torch.split(films.pictures, _EVALUATION_BATCH):
            answer, _ = class_activation(network, (pictures.float() / 255.0 - plan.mean) / plan.std)
            told.append(answer.numpy())
    return np.concatenate(told).astype(np.float64)


def validation_auc(scores: NDArray[np.float64], films: FilmSet) -> dict[str, float]:
    """The AUC of each source that has both labels, and as `auc` their mean: no source outvotes another."""
    names = np.array(films.sources)
    told = {}
    for source in sorted(set(films.sources)):
        area = auc(scores[names == source], films.truth[names == source])
        if not math.isnan(area):
            told[f"auc {source}"] = area
    return {"auc": float(np.mean(list(told.values())))} | told
