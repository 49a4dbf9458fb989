"""What a card tells of the training that made it: enough to do it again, and nothing of the machine but its speed."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from inference.films.data import Film
from inference.training.checkpoint import Progress
from inference.training.fitting import Plan


def account_of(
    films: Sequence[Film],
    plan: Plan,
    progress: Progress,
    initial_weights: Path | str | None,
    start: Path | None,
) -> dict[str, Any]:
    """What the card tells of the training; of the machine only what explains how long it took."""
    words = {True: "pneumonia", False: "normal", None: "other"}
    counts = Counter(
        f"{film.source} {words[film.positive]} {'validation' if film.validation else 'training'}"
        for film in films
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
        "machine": torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"{os.cpu_count()} CPU cores",
        "films": dict(sorted(counts.items())),
        "plan": asdict(plan),
        "epochs": progress.epochs,
        "best_epoch": progress.best_epoch,
        "initial_weights": weights,
    }


def _command(plan: Plan, initial_weights: Path | str | None, start: Path | None) -> str:
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
