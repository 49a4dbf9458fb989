"""Pictures for the model card: how the training went, and what it confuses."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure


def draw_curves(history: list[dict[str, float]], best_epoch: int, path: Path) -> None:
    """Draw loss and validation AUC by epoch, with the epoch that was kept."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = range(1, len(history) + 1)
    left.plot(epochs, [epoch["loss"] for epoch in history])
    left.set(title="training loss", xlabel="epoch")
    for name in sorted(history[0].keys() - {"loss"}):
        right.plot(
            epochs, [epoch[name] for epoch in history], label="mean of sources" if name == "auc" else name
        )
    right.axvline(best_epoch, color="grey", linestyle=":", label="kept")
    right.set(title="validation AUC", xlabel="epoch")
    right.legend()
    figure.savefig(path, dpi=100)


def draw_confusion(evaluation: dict[str, Any], path: Path) -> None:
    """Draw the confusion matrix of each source's validation and test films."""
    groups = {
        name: group for name, group in evaluation["groups"].items() if name.endswith(("validation", "test"))
    }
    figure = Figure(figsize=(3.2 * len(groups), 3.4), layout="constrained")
    for axes, (name, group) in zip(
        figure.subplots(1, len(groups), squeeze=False)[0], groups.items(), strict=True
    ):
        counts = group["confusion"]
        matrix = [
            [counts["true_negative"], counts["false_positive"]],
            [counts["false_negative"], counts["true_positive"]],
        ]
        axes.imshow(
            [[count / max(1, sum(row)) for count in row] for row in matrix], cmap="Blues", vmin=0, vmax=1.6
        )
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
            axes.text(column, row, str(matrix[row][column]), ha="center", va="center")
        axes.set(title=name, xlabel="answer", ylabel="label")
        axes.set_xticks([0, 1], ["unlikely", "likely"])
        axes.set_yticks([0, 1], ["normal", "pneumonia"])
    figure.savefig(path, dpi=100)
