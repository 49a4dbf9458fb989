"""What is particular to adapting a bundle: how fast it learns, how much of it remains, what it is judged by."""

from typing import TYPE_CHECKING, Any, Final

from inference.card import ModelCard
from inference.evaluation.tables import new_table, print_table, with_interval

if TYPE_CHECKING:
    from torch import nn

LEARNING_RATE: Final = 3e-4
"""A little slower than from ImageNet: a bundle knows chests already."""

_REMAINS: Final = 0.5
_JUDGED: Final = ("auc", "sensitivity", "specificity")


def mix(network: "nn.Module", before: "nn.Module") -> None:
    """Move a network half-way back to what it was before, which keeps most of both (Wortsman et al., CVPR 2022)."""
    old = before.state_dict()
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.lerp_(old[name], _REMAINS)


def told(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Pick what an adaptation is judged by out of two evaluations of the same films.

    Returns
    -------
    ``before`` and ``after``: for each source's films and their groups ``films``, ``auc``, ``sensitivity`` and
    ``specificity``, as far as there are enough films.
    """
    return {
        when: {
            name: {figure: group[figure] for figure in ("films", *_JUDGED) if figure in group}
            for name, group in figures["groups"].items()
        }
        for when, figures in (("before", before), ("after", after))
    }


def print_adaptation(card: ModelCard) -> None:
    """Print a table of what the card of an adapted bundle tells of it."""
    figures = card.training["adaptation"]
    table = new_table("Before and after", "films of", "films", "", *_JUDGED)
    for name, after in figures["after"].items():
        if "auc" in after:
            for word, group in (("before", figures["before"][name]), ("after", after)):
                cells = (with_interval(group[figure]) for figure in _JUDGED)
                table.add_row(*((name, str(group["films"])) if word == "before" else ("", "")), word, *cells)
    print_table(table)
