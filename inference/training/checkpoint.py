"""A training that was interrupted goes on where its last epoch ended: tensors as safetensors, the rest as JSON."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from inference.errors import DataUnusable

_STATE: Final = "state.json"
_TENSORS: Final = "tensors.safetensors"


@dataclass(slots=True)
class Progress:
    """How far a training has come; `history` holds one entry an epoch, `best_epoch` counts from 1."""

    epochs: int = 0
    best_epoch: int = 0
    best_auc: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def save_checkpoint(
    folder: Path,
    plan: dict[str, Any],
    progress: Progress,
    networks: dict[str, nn.Module],
    best: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write everything that the next epoch needs; to go on, `plan` must be the same as it was."""
    tensors: dict[str, Tensor] = {}
    for group, network in networks.items():
        tensors |= {f"{group}.{name}": value.contiguous() for name, value in network.state_dict().items()}
    tensors |= {f"best.{name}": value.contiguous() for name, value in best.items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value.contiguous() for name, value in values.items()}
    folder.mkdir(parents=True, exist_ok=True)
    # Two files cannot change in one step; the state names its tensors by epoch, and is replaced last.
    tensors_name = f"{progress.epochs}-{_TENSORS}"
    save_file(tensors, folder / tensors_name)
    state = folder / f"{_STATE}.new"
    state.write_text(
        json.dumps({"plan": plan, "progress": asdict(progress), "tensors": tensors_name}), encoding="utf-8"
    )
    state.replace(folder / _STATE)
    for old in folder.glob(f"*-{_TENSORS}"):
        if old.name != tensors_name:
            old.unlink()


def load_checkpoint(
    folder: Path, plan: dict[str, Any], networks: dict[str, nn.Module], optimizer: torch.optim.Optimizer
) -> tuple[Progress, dict[str, Tensor]]:
    """Put networks and optimizer where they were; a folder without a checkpoint leaves them at the start.

    Raises
    ------
    DataUnusable
        The checkpoint belongs to another plan or other films.
    """
    try:
        state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Progress(), {}
    if state["plan"] != plan:
        raise DataUnusable(
            folder, "is the checkpoint of another training; remove it, or write to another bundle"
        )
    groups: dict[str, dict[str, Tensor]] = {"best": {}, "optimizer": {}}
    for name, tensor in load_file(folder / state["tensors"]).items():
        group, _, rest = name.partition(".")
        groups.setdefault(group, {})[rest] = tensor
    for group, network in networks.items():
        network.load_state_dict(groups[group])
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in groups["optimizer"].items():
        index, _, moment = name.partition(".")
        moments.setdefault(int(index), {})[moment] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return Progress(**state["progress"]), groups["best"]
