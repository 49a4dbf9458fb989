"""How often the node was right, by what people and final reports say of its answers: counts and shares, by month.

Whoever is asked to judge looks at some studies and not at others, and sees the answer before they judge. So no share
here is the sensitivity or specificity of the model (for these see the validation plan), and beside each of them stands
how many studies were judged of how many were answered.

"Likely" and "uncertain" claim that there is something to be seen, "unlikely" that there is not. What nobody can tell,
and studies on which people say different things, are counted and are part of no share.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from storage import verdicts
from storage.engine import Database
from storage.verdicts import UNLIKELY, Truth

MONTHS = 12
_Z = 1.959963984540054
"""Of a 95 % interval: the 0.975 quantile of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many, with the 95 % interval of that share; None: of nothing there is no share."""

    part: int
    of: int
    share: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of the studies of one month, or of all.

    `month` is the one in which they were received, on this machine's clock, as 2026-11; "all" for all of them.
    `ppv` is of "likely", `uncertain_positive` of "uncertain", `npv` of "unlikely", `agreement` of "likely" and
    "unlikely" together, which are the answers that can be wrong.
    """

    month: str
    answered: dict[str, int]
    judged: dict[str, int]
    cannot_tell: int
    contradicted: int
    ppv: Share
    uncertain_positive: Share
    npv: Share
    agreement: Share


def share(part: int, of: int) -> Share:
    """Return a share with its 95 % interval by Wilson (J. Am. Stat. Assoc. 22, 1927, 209), which Brown, Cai and
    DasGupta (Stat. Sci. 16, 2001, 101) recommend: it is good for few, and for shares near 0 and 1.
    """
    if of == 0:
        return Share(part, of, None, None, None)
    p = part / of
    middle = (p + _Z**2 / (2 * of)) / (1 + _Z**2 / of)
    half = _Z / (1 + _Z**2 / of) * sqrt(p * (1 - p) / of + _Z**2 / (4 * of**2))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    # what rounding leaves of the ends that are exactly 0 and 1
    return Share(part, of, p, low if part else 0.0, high if part < of else 1.0)


def figures(month: str, answered: Mapping[str, int], truths: Mapping[tuple[str, Truth], int]) -> Figures:
    """Return the figures of studies, counted by answer, and by answer and truth."""

    def many(answer: str, truth: Truth) -> int:
        return truths.get((answer, truth), 0)

    def right(answer: str, right: Truth) -> Share:
        return share(many(answer, right), many(answer, Truth.POSITIVE) + many(answer, Truth.NEGATIVE))

    ppv, npv = right("likely", Truth.POSITIVE), right(UNLIKELY, Truth.NEGATIVE)
    return Figures(
        month=month,
        answered={answer: answered.get(answer, 0) for answer in verdicts.MOST_ALARMING_FIRST},
        judged={
            answer: sum(many(answer, truth) for truth in Truth) for answer in verdicts.MOST_ALARMING_FIRST
        },
        cannot_tell=sum(many(answer, Truth.CANNOT_TELL) for answer in verdicts.MOST_ALARMING_FIRST),
        contradicted=sum(many(answer, Truth.CONTRADICTED) for answer in verdicts.MOST_ALARMING_FIRST),
        ppv=ppv,
        uncertain_positive=right("uncertain", Truth.POSITIVE),
        npv=npv,
        agreement=share(ppv.part + npv.part, ppv.of + npv.of),
    )


def by_month(database: Database, now: float, months: int = MONTHS) -> list[Figures]:
    """Return the figures of all these months together, and then of each, the latest first."""
    starts = month_starts(now, months)
    with database.read() as connection:
        answers = verdicts.answered_by_period(connection, starts)
        found = verdicts.truths_by_period(connection, starts)
    answered: dict[int, Counter[str]] = {number: Counter() for number in range(months)}
    truths: dict[int, Counter[tuple[str, Truth]]] = {number: Counter() for number in range(months)}
    for (number, answer), many in answers.items():
        answered[number][answer] += many
    for (number, answer, truth), many in found.items():
        truths[number][answer, truth] += many
    return [
        figures("all", sum(answered.values(), Counter()), sum(truths.values(), Counter())),
        *(
            figures(time.strftime("%Y-%m", time.localtime(starts[number])), answered[number], truths[number])
            for number in reversed(range(months))
        ),
    ]


def month_starts(now: float, months: int) -> Sequence[float]:
    """Return when each of the latest so many months began on this machine's clock, the last being that of now."""
    year, month = time.localtime(now)[:2]
    last = 12 * year + month - 1
    return [
        time.mktime((number // 12, number % 12 + 1, 1, 0, 0, 0, 0, 1, -1))
        for number in range(last - months + 1, last + 1)
    ]
