"""What the shipped model was meant to reach, against what was measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from inference.evaluation.operating_points import PUBLISHED_SENSITIVITY

_IN_LUNGS: Final = "of ill films that were flagged, peak of the activation in the lungs"
_ON_OPACITY: Final = "peak of the activation on the known opacity"


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure, by its way through the JSON of an evaluation, and the bound that it was meant to keep.

    A number on the way is the sensitivity that an operating point was chosen for.
    """

    words: str
    way: tuple[str | float, ...]
    bound: float
    at_least: bool = True

    def measured(self, figures: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The figure with ``value`` and ``interval``; None where it was not measured."""
        told: Any = figures
        for step in self.way:
            if isinstance(step, float):
                told = {point["aimed_at"]: point for point in told}
            if step not in told:
                return None
            told = told[step]
        return dict(told)

    def reached(self, value: float) -> bool:
        """Whether a value keeps the bound; its interval is not asked."""
        return value >= self.bound if self.at_least else value <= self.bound


GOALS: Final = (
    Goal("Kermany test: AUC", ("groups", "kermany test", "auc"), 0.98),
    Goal(
        "Kermany test: accuracy at the threshold with the published sensitivity of 93.2 % in validation",
        ("operating_points", "kermany", PUBLISHED_SENSITIVITY, "test", "accuracy"),
        0.93,
    ),
    Goal("Kermany test: accuracy at the shipped threshold", ("groups", "kermany test", "accuracy"), 0.93),
    Goal("NIH validation: AUC", ("groups", "nih validation", "auc"), 0.85),
    Goal(
        "Kermany validation: calibration error",
        ("groups", "kermany validation", "calibration_error"),
        0.05,
        at_least=False,
    ),
    Goal(
        "NIH validation: calibration error",
        ("groups", "nih validation", "calibration_error"),
        0.05,
        at_least=False,
    ),
    Goal(f"Kermany validation: {_IN_LUNGS}", ("attention", "lungs", "kermany", "peak_in_lungs"), 0.95),
    Goal(f"NIH validation: {_IN_LUNGS}", ("attention", "lungs", "nih", "peak_in_lungs"), 0.95),
    Goal(f"NIH, films held out: {_ON_OPACITY}", ("attention", "boxes", "held_out", "peak_in_box"), 0.70),
    Goal(
        f"NIH, films learnt from: {_ON_OPACITY}", ("attention", "boxes", "learnt_from", "peak_in_box"), 0.70
    ),
    Goal("Kermany validation: good films refused", ("suitability", "lost", "kermany"), 0.02, at_least=False),
    Goal("NIH validation: good films refused", ("suitability", "lost", "nih"), 0.02, at_least=False),
)
