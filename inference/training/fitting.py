"""The loop that fits a network to films: balanced draws, layers set free by and by, and the best epoch kept."""

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

from inference.evaluation.metrics import auc
from inference.network import FilmNetwork
from inference.training.augmentation import augment
from inference.training.checkpoint import Progress, load_checkpoint, save_checkpoint

_EVALUATION_BATCH: Final = 64
_NOWHERE: Final = -1e4  # of a logit


@dataclass(frozen=True, slots=True)
class Stage:
    """From `begin` (a share of the training) on, the first `frozen` of the backbone's layers stay as they are."""

    begin: float
    frozen: float


# The last layer is new and would throw the others about, so it learns alone at first. The first layers of a network
# that has seen ImageNet know edges and textures already, and cost half of the training: they are never set free.
FROM_IMAGENET: Final = (Stage(0.0, 1.0), Stage(0.03, 0.6), Stage(0.15, 0.26))
FROM_BUNDLE: Final = (Stage(0.0, 0.26),)
FROM_NOTHING: Final = (Stage(0.0, 0.0),)


@dataclass(frozen=True, slots=True)
class Plan:
    """What decides the outcome of a training, besides the films.

    `mean` and `std` normalise pictures in 0..1; `averaging` is the share of each step's weights in their running
    average, which is what is measured and kept: it swings less than the weights themselves. `outside_lungs` weighs what
    an activation outside the lungs costs against what a wrong answer costs (Ross et al., IJCAI 2017: right for the
    right reasons).
    """

    architecture: str
    input_size: int
    epochs: int
    films_per_epoch: int
    seed: int
    stages: tuple[Stage, ...]
    batch: int = 32
    learning_rate: float = 4e-4
    weight_decay: float = 0.05
    warm_up: float = 0.05
    label_smoothing: float = 0.05
    averaging: float = 0.005
    outside_lungs: float = 0.1
    patience: int = 6
    mean: float = 0.5
    std: float = 0.5

    def frozen(self, done: float) -> float:
        """The share of the backbone's layers that stay as they are when this share of the training is done."""
        return next(stage.frozen for stage in reversed(self.stages) if stage.begin <= done)


@dataclass(frozen=True, slots=True)
class FilmSet:
    """Pictures as (N, 1, side, side) bytes, the lungs in them as (N, 1, CELLS, CELLS), and what is known of each film.

    `target` is what is learnt, 0 to 1; `truth` is the label that figures use; `groups` holds a name for each film:
    films of one group and label are drawn as often as those of another; `sources` is where each comes from.
    """

    pictures: Tensor
    lungs: Tensor
    target: NDArray[np.float32]
    truth: NDArray[np.bool_]
    groups: tuple[str, ...]
    sources: tuple[str, ...]

    def draw(self, count: int, random: np.random.Generator) -> NDArray[np.int64]:
        """Draw films so that knowing the source or the group does not help to know the label.

        Every source gives as many films as another, each of its labels as many as the other, and so each of their
        groups. Within one no film is drawn twice before each other was drawn once.
        """
        sources, groups = np.array(self.sources), np.array(self.groups)
        drawn = []
        for source in np.unique(sources):
            for label in (False, True):
                cell = (sources == source) & (self.truth == label)
                names = np.unique(groups[cell])
                share = math.ceil(count / (np.unique(sources).size * 2 * max(1, names.size)))
                for name in names:
                    films = np.flatnonzero(cell & (groups == name))
                    rounds = math.ceil(share / films.size)
                    drawn.append(np.concatenate([random.permutation(films) for _ in range(rounds)])[:share])
        return random.permutation(np.concatenate(drawn))[:count]


@dataclass(frozen=True, slots=True)
class Step:
    """How far a training is: steps done and in all, the best validation AUC, and a line at the end of an epoch."""

    done: int
    total: int
    best_auc: float
    line: str


Report = Callable[[Step], None]
"""Told after every step."""


def fit(
    network: FilmNetwork,
    plan: Plan,
    training: FilmSet,
    validation: FilmSet,
    checkpoint: Path,
    device: torch.device,
    report: Report,
) -> Progress:
    """Fit a network; it ends on `device` with the weights of its best epoch.

    Every epoch draws its films and its chance from the seed and its own number, so a training that was interrupted
    ends as it would have without.
    """
    network.to(device)
    averaged = copy.deepcopy(network)
    networks: dict[str, nn.Module] = {"network": network, "averaged": averaged}
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
    identity = asdict(plan) | {
        "stages": [list(asdict(stage).values()) for stage in plan.stages],
        "begun with": _digest(network, training, validation),
    }
    progress, best = load_checkpoint(checkpoint, identity, networks, optimizer)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # twice as fast on a CPU
    steps = max(1, plan.films_per_epoch // plan.batch)
    total = plan.epochs * steps
    while progress.epochs < plan.epochs and progress.epochs - progress.best_epoch < plan.patience:
        losses = []
        for loss in _epoch(network, plan, training, optimizer, progress.epochs):
            _follow(averaged, network, plan.averaging)
            losses.append(loss)
            report(Step(progress.epochs * steps + len(losses), total, progress.best_auc, ""))
        progress.epochs += 1
        areas = validation_auc(logits(averaged, plan, validation), validation)
        progress.history.append({"loss": float(np.mean(losses))} | areas)
        if areas["auc"] > progress.best_auc or not best:
            progress.best_auc, progress.best_epoch = areas["auc"], progress.epochs
            best = {name: value.clone() for name, value in averaged.state_dict().items()}
        save_checkpoint(checkpoint, identity, progress, networks, best, optimizer)
        line = ", ".join(f"{name} {value:.4f}" for name, value in progress.history[-1].items())
        line = f"epoch {progress.epochs} of {plan.epochs}: {line}"
        report(Step(progress.epochs * steps, total, progress.best_auc, line))
    network.load_state_dict(best)
    return progress


def _digest(network: FilmNetwork, *sets: FilmSet) -> str:
    """What a training begins with and goes by: weights and films, as one hash."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy())
    for films in sets:
        for array in (films.pictures.numpy(), films.lungs.numpy(), films.target, films.truth):
            digest.update(array.data)
        digest.update(repr((films.groups, films.sources)).encode())
    return digest.hexdigest()


def _freeze(network: FilmNetwork, share: float) -> list[nn.Module]:
    """Keep the first layers of the backbone as they are; returns them, whose batch statistics must not move either."""
    layers = [module for module in network.backbone.modules() if list(module.parameters(recurse=False))]
    frozen = layers[: round(share * len(layers))]
    for layer in layers:
        layer.requires_grad_(layer not in frozen)
    return frozen


def _follow(averaged: nn.Module, network: nn.Module, share: float) -> None:
    """Move the average a little towards the network, its batch statistics included."""
    current = network.state_dict()
    for name, value in averaged.state_dict().items():
        if value.is_floating_point():
            value.lerp_(current[name], share)
        else:
            value.copy_(current[name])


def _epoch(
    network: FilmNetwork, plan: Plan, films: FilmSet, optimizer: torch.optim.Optimizer, epoch: int
) -> Iterator[float]:
    """One epoch, a loss a step."""
    torch.manual_seed(plan.seed + epoch)  # dropout asks the global generator
    random = torch.Generator().manual_seed(plan.seed + epoch)
    order = films.draw(plan.films_per_epoch, np.random.default_rng([plan.seed, epoch]))
    steps = max(1, plan.films_per_epoch // plan.batch)
    device = next(network.parameters()).device
    target = torch.from_numpy(films.target)
    network.train()
    frozen: list[nn.Module] = []
    share = -1.0
    for step in range(steps):
        done = (epoch * steps + step) / (plan.epochs * steps)
        if plan.frozen(done) != share:
            share = plan.frozen(done)
            network.train()
            frozen = _freeze(network, share)
            for layer in frozen:
                layer.eval()
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(plan, done)
        chosen = torch.from_numpy(order[step * plan.batch : (step + 1) * plan.batch])
        pictures, lungs = augment(
            films.pictures[chosen].to(device).float() / 255.0,
            functional.interpolate(films.lungs[chosen].to(device).float() / 255.0, films.pictures.shape[-2:]),
            random,
        )
        predicted, maps, _ = network((pictures - plan.mean) / plan.std)
        wanted = target[chosen].to(device) * (1.0 - plan.label_smoothing) + plan.label_smoothing / 2.0
        loss = functional.binary_cross_entropy_with_logits(predicted[:, 0], wanted)
        loss = loss + plan.outside_lungs * _outside(maps[:, 0], lungs, wanted)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield float(loss.detach())


def _outside(maps: Tensor, lungs: Tensor, wanted: Tensor) -> Tensor:
    """The cross-entropy of a map's softmax against *somewhere in the lungs*, of ill films in which these are known."""
    inside = functional.adaptive_avg_pool2d(lungs, (maps.shape[-2], maps.shape[-1])).flatten(1) >= 0.5
    known = inside.any(dim=1) * wanted
    everywhere = maps.flatten(1)
    outside = everywhere.logsumexp(dim=1) - everywhere.masked_fill(~inside, _NOWHERE).logsumexp(dim=1)
    return (known * outside).sum() / (known.sum() + 1e-6)


def _learning_rate(plan: Plan, done: float) -> float:
    """Up in a line, down in a cosine; `done` is 0 at the start and 1 at the end."""
    if done < plan.warm_up:
        return plan.learning_rate * max(done / plan.warm_up, 0.01)
    return plan.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (done - plan.warm_up) / (1.0 - plan.warm_up)))


def logits(network: FilmNetwork, plan: Plan, films: FilmSet) -> NDArray[np.float64]:
    """What the network says of films as they are, before any calibration: the first label's logits, (N,)."""
    network.eval()
    device = next(network.parameters()).device
    told = []
    with torch.inference_mode():
        for pictures in torch.split(films.pictures, _EVALUATION_BATCH):
            answer, _, _ = network((pictures.to(device).float() / 255.0 - plan.mean) / plan.std)
            told.append(answer[:, 0].cpu().numpy())
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
