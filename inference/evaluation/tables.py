"""The figures of an evaluation as tables to read: the headline first, each kind of figure in a table of its own."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from inference.evaluation.demographics import UNTOLD
from inference.evaluation.metrics import FEWEST

_FILE_WIDTH: Final = 120  # columns, where the output is no terminal that has a width

Figures = dict[str, Any]


def print_figures(figures: Figures) -> None:
    """Print all tables that there are figures for."""
    print(f"A film is flagged from a score of {figures['threshold']} on; figures with 95 % intervals.")
    for draw in TABLES.values():
        print_table(draw(figures))


def print_table(table: Table) -> None:
    """Print a table that has rows, whole in a file too."""
    if not table.row_count:
        return
    console = Console(width=None if sys.stdout.isatty() else _FILE_WIDTH, highlight=False)
    # A table's own title would be broken to the table's width.
    title, caption, table.title, table.caption = table.title, table.caption, None, None
    console.print("", title or "", table, sep="\n")
    if caption:
        console.print(caption)


def with_interval(figure: Figures) -> str:
    """Write a figure as ``0.984 (0.977 to 0.991)``."""
    low, high = figure["interval"]
    return f"{figure['value']:.3f} ({low:.3f} to {high:.3f})"


def new_table(title: str, *columns: str, caption: str | None = None) -> Table:
    """Make a table of figures: names in its first column, the others to the right."""
    table = Table(title=title, caption=caption)
    table.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table


def _add_groups(table: Table, figures: Figures, columns: Sequence[str], counts: Sequence[str] = ()) -> None:
    """Add a row for each group, those of a part below it and indented."""
    part = ""
    for name, group in figures["groups"].items():
        inside = bool(part) and name.startswith(part)
        if not inside:
            part = name
            table.add_section()
        label = "  " + name.removeprefix(part).lstrip(", ") if inside else name
        cells = [with_interval(group[column]) for column in columns if column in group] or ["too few"]
        table.add_row(label, *(str(group[count]) for count in counts), *cells)


def _headline(figures: Figures) -> Table:
    table = new_table(
        "How well ill films are told from healthy ones",
        *("films of", "films", "ill", "AUC", "sensitivity (recall)", "specificity"),
        caption=f"too few: fewer than {FEWEST} ill or healthy films",
    )
    _add_groups(table, figures, ("auc", "sensitivity", "specificity"), ("films", "positive"))
    return table


def _films(figures: Figures) -> Table:
    table = new_table(
        "The films of the folder",
        *("films of", "films", "patients", "view", "sex", "years: quartiles", "further known"),
        caption="other: other findings only, in no figure; duplicates are counted, and measured, in test parts only",
    )
    for source, parts in figures["data"].items():
        for part, labels in parts.items():
            table.add_section()
            for label, told in labels.items():
                ages = ", ".join(f"{age:g}" for age in told["ages"].get("quartiles", ()))
                table.add_row(
                    f"{source} {part}, {label}",
                    *(str(told[count]) for count in ("films", "patients")),
                    *(_counted(told[trait]) for trait in ("views", "sexes")),
                    ages or "not told",
                    _further(told),
                )
    return table


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def _further(told: Figures) -> str:
    """What is known of some of a label's films."""
    counts = {word: count for word, count in told["subtypes"].items() if word != UNTOLD}
    counts |= {"with a probability": told["probabilities"], "with boxes": told["boxes"]}
    return _counted({word: count for word, count in counts.items() if count})


def _precision(figures: Figures) -> Table:
    table = new_table("How good an answer is", "films of", "accuracy", "precision", "F1")
    _add_groups(table, figures, ("accuracy", "precision", "f1"))
    return table


def _calibration(figures: Figures) -> Table:
    table = new_table(
        "How far the score is from the share of ill films that it promises: calibration error, ten bins of equal mass",
        *("films of", "ill and healthy weighing the same", "by chance alone", "as the films are"),
    )
    for name, group in _parts(figures):
        best = f"{group['calibration_error_at_best']:.3f}"
        table.add_row(
            name,
            with_interval(group["calibration_error"]),
            best,
            with_interval(group["calibration_error_as_is"]),
        )
    return table


def _answers(figures: Figures) -> Table:
    lower, upper = figures["uncertain"]
    table = new_table(
        f"Likely (from {upper:.2f} on) / uncertain / unlikely (below {lower:.2f})",
        *("films of", "to ill", "to healthy", "decided", "wrong of decided"),
    )
    for name, group in _parts(figures):
        counts = (" / ".join(map(str, group["answers"][kind].values())) for kind in ("ill", "healthy"))
        shares = (with_interval(group[figure]) for figure in ("decided", "wrong_of_decided"))
        table.add_row(name, *counts, *shares)
    return table


def _parts(figures: Figures) -> Iterator[tuple[str, Figures]]:
    """The groups that are all of a source's validation or test films, as far as they are not too few."""
    for name, group in figures["groups"].items():
        if name.endswith((" validation", " test")) and "auc" in group:
            yield name, group


def _operating_points(figures: Figures) -> Table:
    table = new_table(
        "Thresholds for chosen sensitivities, each chosen on the source's validation films",
        *("films of", "aimed at", "threshold", "sensitivity", "specificity", "accuracy"),
    )
    for source, points in figures["operating_points"].items():
        for part in ("validation", "test"):
            table.add_section()
            for point in points:
                if part in point:
                    cells = (
                        with_interval(point[part][name])
                        for name in ("sensitivity", "specificity", "accuracy")
                    )
                    table.add_row(
                        f"{source} {part}", f"{point['aimed_at']:g}", f"{point['threshold']:.3f}", *cells
                    )
    return table


def _told_apart(figures: Figures) -> Table:
    table = new_table(
        "How well the score tells healthy films apart by where they come from; 0.5 is not at all",
        "films of",
        "AUC",
    )
    for name, figure in figures["normals_told_apart"].items():
        table.add_row(name, with_interval(figure))
    return table


def _changes(kind: str, title: str, figures: Figures) -> Table:
    table = new_table(
        title,
        *("change", "median", "95th percentile", "other answer", "opposite", "AUC"),
        caption="median and 95th percentile of the absolute change of the score; other answer: of the three;"
        " opposite: from likely to unlikely or back",
    )
    for source, told in figures.get(kind, {}).items():
        table.add_section()
        table.add_row(f"{source}, {told['films']} films", "", "", "", "", _area(told))
        for name, change in told["changes"].items():
            shares = (f"{change[share]:.1%}" for share in ("other_answer", "opposite_answer"))
            table.add_row(
                f"  {name}", f"{change['median']:.3f}", f"{change['p95']:.3f}", *shares, _area(change)
            )
    return table


def _area(told: Figures) -> str:
    return with_interval(told["auc"]) if "auc" in told else ""


def _flips(figures: Figures) -> Table:
    table = new_table(
        "Whether averaging with the mirrored film pays", "films of", "AUC", "AUC with mirrored", "difference"
    )
    for source, told in figures.get("flips", {}).items():
        cells = (with_interval(told[name]) for name in ("auc_as_is", "auc_with_mirrored", "difference"))
        table.add_row(source, *cells)
    return table


def _attention(figures: Figures) -> Table:
    table = new_table(
        "Where the peak of the activation lies in ill films that were flagged",
        *("films of", "asked", "in the lungs", "on the opacity", "on the opacity, as shown"),
        caption="asked: films in which lungs were found, or with known opacities; as shown: in the heatmap",
    )
    told = figures.get("attention", {"lungs": {}, "boxes": {}})
    for source, lungs in told["lungs"].items():
        asked = f"{lungs['lungs_found']} of {lungs['films']}"
        table.add_row(f"{source} validation", asked, *_shares(lungs, ("peak_in_lungs",)))
    for name, boxes in told["boxes"].items():
        asked = f"{boxes['flagged']} of {boxes['films']}"
        shares = _shares(boxes, ("peak_in_box", "shown_peak_in_box"))
        table.add_row(f"known opacities, {name.replace('_', ' ')}", asked, "", *shares)
    return table


def _subtypes(figures: Figures) -> Table:
    table = new_table(
        "How well the features would tell bacterial from viral pneumonia",
        *("ill films of", "films", "bacterial", "AUC", "accuracy", "sensitivity to bacteria", "specificity"),
        caption="both errors weigh the same; no bundle answers this question",
    )
    for source, told in figures.get("subtypes", {}).items():
        for part in ("validation", "test"):
            counts = (str(told[part][count]) for count in ("films", "bacteria"))
            shares = _shares(told[part], ("auc", "accuracy", "sensitivity", "specificity"))
            table.add_row(f"{source} {part}", *counts, *shares)
    return table


def _shares(told: Figures, names: Iterable[str]) -> list[str]:
    return [with_interval(told[name]) if name in told else "" for name in names]


TABLES: Final[dict[str, Callable[[Figures], Table]]] = {
    "films": _films,
    "headline": _headline,
    "precision": _precision,
    "calibration": _calibration,
    "answers": _answers,
    "operating points": _operating_points,
    "told apart": _told_apart,
    "robustness": lambda figures: _changes("robustness", "Robustness: what should change nothing", figures),
    "shortcuts": lambda figures: _changes("shortcuts", "Shortcuts: what is taken away, or drawn in", figures),
    "flips": _flips,
    "attention": _attention,
    "subtypes": _subtypes,
}
"""How each kind of figure is drawn, in the order of reading; a table of what was not measured has no rows."""
