"""Pictures: how a training went, and what an evaluation found."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inference.evaluation.groups import part_of
from inference.evaluation.metrics import too_few
from inference.evaluation.reliability import reliability
from inference.evaluation.scoring import Scored

_COLOURS: Final = ("#1f6fb4", "#d1495b", "#3a8f5c", "#8a5fb0", "#c98a1b", "#5c6670")
_ILL: Final = "#d1495b"
_HEALTHY: Final = "#1f6fb4"
_RESOLUTION: Final = 120  # dots per inch


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


def draw_evaluation(scored: Scored, figures: dict[str, Any], folder: Path) -> None:
    """Draw an evaluation's pictures into a folder, which is made: ROC, reliability, scores, confusion, and robustness
    and shortcuts where they were measured.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = {name: part for name, part in _parts(scored).items() if not too_few(part.truth)}
    draw_confusion(figures, folder / "confusion.png")
    if parts:
        _draw_roc(parts, figures, folder / "roc.png")
        _draw_reliability(parts, figures, folder / "reliability.png")
        _draw_scores(parts, figures, folder / "scores.png")
    for name, title in (
        ("robustness", "What should change nothing"),
        ("shortcuts", "Taken away, or drawn in"),
    ):
        if figures.get(name):
            _draw_changes(figures[name], title, folder / f"{name}.png")


def draw_confusion(evaluation: dict[str, Any], path: Path) -> None:
    """Draw the confusion matrix of each source's validation and test films."""
    groups = {
        name: group for name, group in evaluation["groups"].items() if name.endswith((" validation", " test"))
    }
    figure = Figure(figsize=(3.2 * len(groups), 4.2), layout="constrained")
    for axes, (name, group) in zip(
        figure.subplots(1, len(groups), squeeze=False)[0], groups.items(), strict=True
    ):
        counts = group["confusion"]
        matrix = [
            [counts["true_negative"], counts["false_positive"]],
            [counts["false_negative"], counts["true_positive"]],
        ]
        shares = [[count / max(1, sum(row)) for count in row] for row in matrix]
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.6)
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
            text = f"{matrix[row][column]}\n{shares[row][column]:.1%}"
            axes.text(column, row, text, ha="center", va="center")
        axes.set(title=f"{name}\n{group['films']} films", xlabel="answer")
        axes.set_xticks([0, 1], ["not flagged", "flagged"])
        axes.set_yticks([0, 1], ["healthy", "ill"], rotation=90, va="center")
    figure.savefig(path, dpi=100)


def _parts(scored: Scored) -> dict[str, Scored]:
    places: dict[str, list[int]] = {}
    for place, film in enumerate(scored.films):
        places.setdefault(part_of(film), []).append(place)
    return {name: scored.only(chosen) for name, chosen in sorted(places.items())}


def _count(part: Scored) -> str:
    return f"{part.truth.sum()} ill, {(~part.truth).sum()} healthy"


def _draw_roc(parts: dict[str, Scored], figures: dict[str, Any], path: Path) -> None:
    figure = Figure(figsize=(6.2, 6.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="lightgrey", linewidth=1)
    for (name, part), colour in zip(parts.items(), _COLOURS * len(parts), strict=False):
        group = figures["groups"][name]
        low, high = group["auc"]["interval"]
        label = f"{name} ({_count(part)})\nAUC {group['auc']['value']:.3f} ({low:.3f} to {high:.3f})"
        axes.plot(*_roc(part), color=colour, label=label)
        axes.plot(1 - group["specificity"]["value"], group["sensitivity"]["value"], "o", color=colour)
        for point in _points_of(name, figures):
            axes.plot(
                1 - point["specificity"]["value"],
                point["sensitivity"]["value"],
                "|",
                color=colour,
                markersize=11,
            )
    threshold = figures["threshold"]
    axes.plot([], [], "o", color="grey", label=f"threshold of the card ({threshold:g})")
    aims = ", ".join(f"{aim:g}" for aim in _aims(figures))
    axes.plot(
        [],
        [],
        "|",
        color="grey",
        markersize=11,
        label=f"thresholds chosen on validation\nfor sensitivity {aims}",
    )
    axes.set(
        title="ROC", xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02)
    )
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=_RESOLUTION)


def _roc(part: Scored) -> tuple[list[float], list[float]]:
    """1 - specificity and sensitivity at every threshold."""
    levels = np.unique(part.scores)[::-1]
    healthy, ill = np.sort(part.scores[~part.truth]), np.sort(part.scores[part.truth])
    across, up = (1 - np.searchsorted(scores, levels, side="left") / scores.size for scores in (healthy, ill))
    return [0.0, *across.tolist()], [0.0, *up.tolist()]


def _points_of(name: str, figures: dict[str, Any]) -> list[dict[str, Any]]:
    """What each chosen threshold gave on these films."""
    source, _, side = name.rpartition(" ")
    return [point[side] for point in figures["operating_points"].get(source, []) if side in point]


def _aims(figures: dict[str, Any]) -> list[float]:
    return next(
        ([point["aimed_at"] for point in points] for points in figures["operating_points"].values()), []
    )


def _draw_reliability(parts: dict[str, Scored], figures: dict[str, Any], path: Path) -> None:
    figure = Figure(figsize=(6.2, 6.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle=":", label="as promised")
    for (name, part), colour in zip(parts.items(), _COLOURS * len(parts), strict=False):
        group = figures["groups"][name]
        label = (
            f"{name} ({_count(part)})\ncalibration error {group['calibration_error']['value']:.3f},"
            f" {group['calibration_error_at_best']:.3f} by chance alone"
        )
        bins = reliability(part.scores, part.truth)
        axes.plot(
            [each["score"] for each in bins], [each["ill"] for each in bins], "o-", color=colour, label=label
        )
    axes.set(
        title="Reliability, ill and healthy films weighing the same",
        xlabel="mean score of a bin (ten of equal mass)",
        ylabel="share of ill films",
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
    )
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", fontsize=8)
    figure.savefig(path, dpi=_RESOLUTION)


def _draw_scores(parts: dict[str, Scored], figures: dict[str, Any], path: Path) -> None:
    figure = Figure(figsize=(7, 2.3 * len(parts)), layout="constrained")
    lower, upper = figures["uncertain"]
    edges = np.linspace(0, 1, 41)
    rows: list[Axes] = list(figure.subplots(len(parts), 1, squeeze=False, sharex=True)[:, 0])
    for axes, (name, part) in zip(rows, parts.items(), strict=True):
        for kind, colour, word in ((~part.truth, _HEALTHY, "healthy"), (part.truth, _ILL, "ill")):
            heights = 100 * np.histogram(part.scores[kind], edges)[0] / kind.sum()
            axes.stairs(heights, edges, fill=True, alpha=0.45, color=colour, label=f"{kind.sum()} {word}")
            axes.stairs(heights, edges, color=colour)
        axes.axvspan(lower, upper, color="grey", alpha=0.2, linewidth=0, label="uncertain")
        axes.axvline(figures["threshold"], color="black", linewidth=0.8, linestyle=":")
        axes.set(title=name, ylabel="% of each label", xlim=(0, 1))
        axes.legend(fontsize=8, loc="upper center")
    rows[-1].set_xlabel("score")
    figure.savefig(path, dpi=_RESOLUTION)


def _draw_changes(sources: dict[str, Any], title: str, path: Path) -> None:
    """Draw how much each change moves the score: a bar to the 95th percentile, a mark at the median."""
    names = list(next(iter(sources.values()))["changes"])
    figure = Figure(figsize=(8, 1.4 + 0.36 * len(names)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(sources)
    places = np.arange(len(names))
    for row, ((source, told), colour) in enumerate(
        zip(sources.items(), _COLOURS * len(sources), strict=False)
    ):
        moved = [told["changes"][name] for name in names]
        heights = places + (row - (len(sources) - 1) / 2) * height
        axes.barh(
            heights,
            [each["p95"] for each in moved],
            height * 0.9,
            color=colour,
            alpha=0.55,
            label=f"{source}, {told['films']} films",
        )
        axes.plot(
            [each["median"] for each in moved], heights, "|", color=colour, markersize=9, markeredgewidth=2
        )
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.plot(
        [], [], "|", color="grey", markersize=9, markeredgewidth=2, label="median (bar: 95th percentile)"
    )
    axes.set(title=title, xlabel="absolute change of the score")
    axes.set_xlim(left=0)
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=_RESOLUTION)
