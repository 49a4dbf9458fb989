"""What documents may quote of a bundle: tables and single figures, by the name that a mark asks for them with.

The tables of an evaluation are those that `dicom-node evaluate` prints (`inference.evaluation.tables`); here are the
others, and how a table is written in Markdown.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from inference import lungs
from inference.card import CARD_NAME, ModelCard, load_card
from inference.errors import DataUnusable
from inference.evaluation.goals import GOALS
from inference.evaluation.sample_size import consecutive_films, films_of_a_label
from inference.evaluation.tables import TABLES, new_table, with_interval

EVALUATION_NAME: Final = "evaluation.json"
_SHARES: Final = (0.80, 0.85, 0.90, 0.95)
_HALF_WIDTHS: Final = (0.03, 0.05, 0.10)
_PREVALENCES: Final = (0.05, 0.10, 0.20, 0.40)
_PRECISION: Final = 0.05  # of the table by prevalence
_SEPARATORS: Final = {"left": "---", "right": "---:"}


@dataclass(frozen=True, slots=True)
class Measured:
    """A bundle's card, its whole evaluation, and the card of the lung finder that works beside it."""

    card: ModelCard
    evaluation: dict[str, Any]
    lungs: dict[str, Any]


def load_measured(bundle: Path) -> Measured:
    """Read what was measured of a bundle.

    Raises
    ------
    ModelDamaged
        The bundle is not what its card says.
    DataUnusable
        Its evaluation is missing, not a full one, or of other weights.
    """
    card = load_card(bundle)
    path = bundle / EVALUATION_NAME
    mend = f"write it: dicom-node evaluate {bundle} DATA --full --json > {path}"
    try:
        evaluation = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataUnusable(path, f"is missing or no JSON; {mend}") from error
    if evaluation.get("model", {}).get("sha256") != card.sha256 or "robustness" not in evaluation:
        raise DataUnusable(path, f"is no full evaluation of these weights; {mend}")
    return Measured(card, evaluation, json.loads((lungs.SHIPPED / CARD_NAME).read_text(encoding="utf-8")))


def markdown(table: Table) -> str:
    """Write a table in Markdown, its caption below it; the indented rows stay so."""
    heads = [str(column.header) for column in table.columns]
    rules = [_SEPARATORS[column.justify] for column in table.columns]
    rows = zip(*([_indented(str(cell)) for cell in column.cells] for column in table.columns), strict=True)
    lines = ["| " + " | ".join(cells) + " |" for cells in (heads, rules, *rows)]
    return "\n".join(lines) + (f"\n\n{table.caption}" if table.caption else "")


def _indented(cell: str) -> str:
    words = cell.lstrip(" ")
    return "&emsp;" * ((len(cell) - len(words)) // 2) + words


def _summary(measured: Measured) -> Table:
    """The headline in a few rows: each source's test films, or its validation films where it has none, and views."""
    groups = measured.evaluation["groups"]
    table = new_table("", "films of", "number", "AUC", "accuracy", "sensitivity", "specificity")
    tested = {name.removesuffix(" test") for name in groups if name.endswith(" test")}
    parts = [f"{source} test" for source in sorted(tested)]
    parts += [
        name
        for name in groups
        if name.endswith(" validation") and name.removesuffix(" validation") not in {*tested, "all"}
    ]
    for part in parts:
        for name in (part, f"{part}, PA", f"{part}, AP"):
            figures = groups.get(name, {})
            if "auc" in figures:
                cells = [
                    with_interval(figures[key]) for key in ("auc", "accuracy", "sensitivity", "specificity")
                ]
                table.add_row(name, str(figures["films"]), *cells)
    return table


def _training(measured: Measured) -> Table:
    """What the card tells of the training, but the numbers of films, which stand among the data."""
    told = dict(measured.card.training)
    plan = told.pop("plan", {})
    table = new_table("", "training", "")
    table.columns[1].justify = "left"
    for name in ("date", "machine", "command", "initial_weights", "epochs", "best_epoch"):
        if told.get(name) is not None:
            table.add_row(name.replace("_", " "), _told(told[name]))
    for name, value in plan.items():
        table.add_row(name.replace("_", " "), _told(value))
    card = measured.card
    table.add_row("SHA-256 of the weights", card.sha256)
    table.add_row("SHA-256 of the graph", card.graph_sha256)
    table.add_row("temperature", f"{card.temperature:.3f}")
    return table


def _told(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_told(each)}" for name, each in value.items())
    if isinstance(value, list):
        return "; ".join(_told(each) for each in value)
    return str(value)


def _suitability(measured: Measured) -> Table:
    table = new_table("", "pictures", "should be refused", "number", "refused")
    for group, word in (("lost", "no"), ("refused", "yes")):
        for name, told in measured.card.figures.get("suitability", {}).get(group, {}).items():
            table.add_row(name.replace("_", " "), word, str(told["films"]), with_interval(told))
    if not table.row_count:
        table.add_row("not measured: this bundle refuses nothing by its features", "", "", "")
    return table


def _lungs(measured: Measured) -> Table:
    figures = measured.lungs["figures"]
    table = new_table("", "lung finder", "films", "figure")
    for source, told in figures.get("dice", {}).items():
        table.add_row(f"Dice against drawn outlines, {source}", str(told["films"]), with_interval(told))
    for source, told in figures.get("both_lungs_found", {}).items():
        for change, share in told.items():
            if change != "films":
                table.add_row(f"both lungs found, {source}, {change}", str(told["films"]), f"{share:.3f}")
    if not table.row_count:
        table.add_row("not measured", "", "")
    return table


def _goals(measured: Measured) -> Table:
    figures = measured.evaluation | {"suitability": measured.card.figures.get("suitability", {})}
    table = new_table("", "figure", "aimed at", "measured", "reached")
    for goal in GOALS:
        told = goal.measured(figures)
        aim = f"{'at least' if goal.at_least else 'at most'} {goal.bound:.2f}"
        cells = (
            ("not measured", "")
            if told is None
            else (with_interval(dict(told)), "yes" if goal.reached(told["value"]) else "**no**")
        )
        table.add_row(goal.words, aim, *cells)
    return table


def _sample_size(_: Measured) -> Table:
    columns = [f"± {width:.0%}" for width in _HALF_WIDTHS]
    table = new_table("", "expected sensitivity or specificity", *columns)
    for share in _SHARES:
        table.add_row(f"{share:.0%}", *(str(films_of_a_label(share, width)) for width in _HALF_WIDTHS))
    return table


def _consecutive(_: Measured) -> Table:
    columns = [f"{prevalence:.0%} ill" for prevalence in _PREVALENCES]
    table = new_table("", f"expected, ± {_PRECISION:.0%}", *columns)
    for share in _SHARES:
        films = (consecutive_films(share, _PRECISION, prevalence) for prevalence in _PREVALENCES)
        table.add_row(f"{share:.0%}", *map(str, films))
    return table


def _of_evaluation(name: str) -> Callable[[Measured], Table]:
    return lambda measured: TABLES[name](measured.evaluation)


BLOCKS: Final[dict[str, Callable[[Measured], Table | str]]] = {
    **{name: _of_evaluation(name) for name in TABLES},
    "summary": _summary,
    "training": _training,
    "suitability": _suitability,
    "lungs": _lungs,
    "goals": _goals,
    "sample size": _sample_size,
    "consecutive films": _consecutive,
    "model": lambda measured: f"{measured.card.name} {measured.card.version}",
    "date": lambda measured: str(measured.card.training["date"]),
    "machine": lambda measured: str(measured.card.training["machine"]),
    "architecture": lambda measured: measured.card.architecture,
    "input size": lambda measured: f"{measured.card.input_size} x {measured.card.input_size}",
    "threshold": lambda measured: f"{measured.card.threshold:g}",
    "band": lambda measured: " to ".join(f"{end:.2f}" for end in measured.card.uncertain),
}
"""A table, or a few words to stand in a sentence, for each name."""
