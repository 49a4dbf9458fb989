"""Whether the scores of a device are still distributed as those of its first films in service were.

What they are compared with is the device itself: a model's evaluation has another share of ill patients than a
hospital, and each device another one than the next (the ward's mobile one, the outpatients'), so that every device
would differ from it, and a change of one could not be seen.

The measure is the population stability index, the sum over classes of (p - q) ln(p / q). By custom it is little below
0.1 and much from 0.25 on (Siddiqi, Credit Risk Scorecards, 2006), but where films are few chance alone makes it large:
without any change it is about (1/n + 1/m) times a chi-square variable with one degree of freedom less than there are
classes (Yurdakul, Statistical Properties of Population Stability Index, Western Michigan University, 2018). So it
counts only beyond what chance exceeds once in a thousand weeks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from storage import scores
from storage.engine import Database
from storage.scores import DeviceScores
from storage.triggers import REFERENCE_FILMS

SHIFTED_FROM, DRIFTED_FROM = 0.1, 0.25
FEWEST_FILMS = 50
"""Of a week: with fewer the chi-square distribution is no longer near (one film in twenty is 2.5 of them)."""
LEAST_SHARE = 0.05
"""Of the first films: neighbouring parts of the range of scores that hold fewer are one class."""
WEEKS_SHOWN = 12
WEEKS_THAT_COUNT = 2
"""The alarm goes by the last weeks with enough films: one that has only begun does not end it."""
# the 99.9th percentile by degrees of freedom, from 1 on
_BY_CHANCE = (
    *(10.83, 13.82, 16.27, 18.47, 20.52, 22.46, 24.32, 26.12, 27.88, 29.59),
    *(31.26, 32.91, 34.53, 36.12, 37.70, 39.25, 40.79, 42.31, 43.82),
)


class Verdict(StrEnum):
    """What is to be thought of a week, or of a device; a later one is the worse."""

    LEARNING = "learning"
    """The first films are still coming."""
    TOO_FEW = "too few"
    STEADY = "steady"
    SHIFTED = "shifted"
    DRIFTED = "drifted"


@dataclass(frozen=True, slots=True)
class WeekOfDevice:
    """A week's films beside the first ones. `index` and `by_chance`, what chance seldom exceeds, are None where either
    are too few.
    """

    begins_at: float
    numbers: tuple[int, ...]
    films: int
    index: float | None
    by_chance: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Device:
    """A device, its first films' scores, and its weeks, the oldest first."""

    id: int
    name: str
    reference: tuple[int, ...]
    weeks: tuple[WeekOfDevice, ...]
    verdict: Verdict

    @property
    def index(self) -> float | None:
        """Of the last week that had enough films."""
        return next((week.index for week in reversed(self.weeks) if week.index is not None), None)


def devices(database: Database, now: float) -> list[Device]:
    """Return every device whose films the model in service has answered, by its number."""
    with database.read() as connection:
        model = scores.model_in_service(connection)
        counted = [] if model is None else scores.of_devices(connection, model, now, WEEKS_SHOWN)
    return [judged(each) for each in counted]


def judged(counted: DeviceScores) -> Device:
    """Compare a device's weeks with its first films."""
    weeks = tuple(_judged(week.begins_at, week.numbers, counted.reference) for week in counted.weeks)
    if sum(counted.reference) < REFERENCE_FILMS:
        verdict = Verdict.LEARNING
    else:
        order = list(Verdict)
        told = [week.verdict for week in weeks if week.index is not None][-WEEKS_THAT_COUNT:]
        verdict = max(told, key=order.index, default=Verdict.TOO_FEW)
    return Device(counted.id, counted.name, counted.reference, weeks, verdict)


def _judged(begins_at: float, numbers: tuple[int, ...], reference: tuple[int, ...]) -> WeekOfDevice:
    films = sum(numbers)
    if films < FEWEST_FILMS or sum(reference) < REFERENCE_FILMS:
        return WeekOfDevice(begins_at, numbers, films, None, None, Verdict.TOO_FEW)
    index, by_chance = stability_index(reference, numbers)
    verdict = Verdict.STEADY
    for mark, worse in ((SHIFTED_FROM, Verdict.SHIFTED), (DRIFTED_FROM, Verdict.DRIFTED)):
        if index >= max(mark, by_chance):
            verdict = worse
    return WeekOfDevice(begins_at, numbers, films, index, by_chance, verdict)


def stability_index(reference: Sequence[int], numbers: Sequence[int]) -> tuple[float, float]:
    """Return the population stability index of two histograms, and what chance exceeds once in a thousand times.

    Half a film is added to each class, so that one that is empty does not make it infinite.
    """
    classes = joined(reference)
    ours, theirs = ([sum(each[begin:end]) + 0.5 for begin, end in classes] for each in (numbers, reference))
    films, first_films = sum(ours), sum(theirs)
    index = sum(
        (one / films - other / first_films) * math.log((one / films) / (other / first_films))
        for one, other in zip(ours, theirs, strict=True)
    )
    freedom = len(classes) - 1
    by_chance = (1 / films + 1 / first_films) * _BY_CHANCE[freedom - 1] if freedom else 0.0
    return index, by_chance


def joined(reference: Sequence[int]) -> list[tuple[int, int]]:
    """Return the classes as (first part, one after the last): a part that holds LEAST_SHARE of the first films stands
    alone, and those between such parts are joined until they do. Some hold fewer then, or none, since that is where
    films go that are no longer as the first ones were.
    """
    least = LEAST_SHARE * sum(reference)
    classes: list[tuple[int, int]] = []
    begin = held = 0
    for place, number in enumerate(reference):
        if number >= least and begin < place:
            classes.append((begin, place))
            begin, held = place, 0
        held += number
        if held >= least:
            classes.append((begin, place + 1))
            begin, held = place + 1, 0
    return [*classes, (begin, len(reference))] if begin < len(reference) else classes
