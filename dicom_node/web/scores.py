"""How the scores of each device are distributed, week by week, beside those of its first films."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from dicom_node import drift
from dicom_node.drift import DRIFTED_FROM, FEWEST_FILMS, SHIFTED_FROM, Verdict
from dicom_node.web.access import Administrator, Looker, Visitor
from dicom_node.web.context import Context, Here
from dicom_node.web.pages import Refused, go_to, page
from storage import audit, scores
from storage.steps import Step
from storage.triggers import REFERENCE_FILMS, SCORE_BINS

HEIGHT, BAR = 48, 6
"""Of a drawn distribution, in its own units."""
VERDICTS = {
    Verdict.LEARNING: ("…", "the first films are still coming"),
    Verdict.TOO_FEW: ("○", "too few films lately"),
    Verdict.STEADY: ("✓", "as at first"),
    Verdict.SHIFTED: ("◆", "a little different"),
    Verdict.DRIFTED: ("▲", "drifted"),
}
"""Sign and words."""

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api", tags=["system"])

DeviceNumber = Annotated[int, Path(ge=0, le=2**31, description="the device's number")]


class WeekScores(BaseModel):
    """The films of a week, which begins on Monday, in UTC: how many had a score in each of 20 equal parts of 0 to 1.

    `stability_index` compares them with the device's first films; it counts beyond what chance exceeds once in a
    thousand weeks, `by_chance`. Both are null where there are too few films.
    """

    begins_at: float
    films: int
    numbers: list[int]
    stability_index: float | None
    by_chance: float | None
    verdict: Verdict


class DeviceScores(BaseModel):
    """A device (manufacturer and model), the scores of its first films, and its last weeks, the oldest first.

    `verdict` is the worse of the last two weeks that had enough films.
    """

    device: int
    name: str
    verdict: Verdict
    first_films: int
    first_numbers: list[int]
    weeks: list[WeekScores]


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn of a distribution: bars, and over them the line of the first films, as SVG paths."""

    bars: str
    line: str


def by_device(context: Context) -> list[DeviceScores]:
    """Return the scores of every device that the model in service has looked at films of, those to look at first."""
    order = list(Verdict)
    found = sorted(
        drift.devices(context.folder.database, context.now()),
        key=lambda each: (-order.index(each.verdict), each.name),
    )
    return [
        DeviceScores(
            device=each.id,
            name=each.name,
            verdict=each.verdict,
            first_films=sum(each.reference),
            first_numbers=list(each.reference),
            weeks=[
                WeekScores(
                    begins_at=week.begins_at,
                    films=week.films,
                    numbers=list(week.numbers),
                    stability_index=None if week.index is None else round(week.index, 4),
                    by_chance=None if week.by_chance is None else round(week.by_chance, 4),
                    verdict=week.verdict,
                )
                for week in each.weeks
            ],
        )
        for each in found
    ]


def begin_anew(context: Context, visitor: Visitor, device: int) -> int:
    """Compare a device with its next films from now on; return how many films were counted until now."""
    now = context.now()
    with context.folder.database.write(Step.BY_HAND) as connection:
        model = scores.model_in_service(connection) or ""
        films = scores.begin_anew(connection, model, device)
        if not films:
            raise HTTPException(404, "No films of this device have a score.")
        audit.append(
            connection,
            now,
            "score_reference_renewed",
            user=visitor.name,
            address=visitor.address,
            device=device,
            model_sha256=model,
            count=films,
        )
    return films


def drawing(numbers: list[int], first_numbers: list[int]) -> Drawing:
    """Return the paths of a distribution; either's highest bar fills the picture."""
    shares, first = ([each / max(1, sum(all_of)) for each in all_of] for all_of in (numbers, first_numbers))
    highest = max(*shares, *first, 1e-9)

    def top(share: float) -> str:
        return f"{HEIGHT * (1 - share / highest):.1f}"

    bars = "".join(
        f"M{BAR * place} {HEIGHT}V{top(share)}H{BAR * (place + 1) - 1}V{HEIGHT}Z"
        for place, share in enumerate(shares)
        if share
    )
    line = f"M0 {HEIGHT}" + "".join(f"V{top(share)}H{BAR * (place + 1)}" for place, share in enumerate(first))
    return Drawing(bars, f"{line}V{HEIGHT}")


@pages.get("/system/scores")
def scores_page(request: Request, context: Here, visitor: Looker) -> Response:
    """Show each device's distributions."""
    devices = by_device(context)
    return page(
        request,
        "scores.html",
        devices=devices,
        drawings={
            (each.device, week.begins_at): drawing(week.numbers, each.first_numbers)
            for each in devices
            for week in each.weeks
        },
        verdicts=VERDICTS,
        width=BAR * SCORE_BINS,
        height=HEIGHT,
        reference_films=REFERENCE_FILMS,
        fewest=FEWEST_FILMS,
        shifted_from=SHIFTED_FROM,
        drifted_from=DRIFTED_FROM,
    )


@pages.post("/system/scores/{device}/reference")
def renew_reference(
    request: Request, context: Here, visitor: Administrator, device: DeviceNumber
) -> Response:
    """Begin anew with a device."""
    begin_anew(context, visitor, device)
    return go_to(request, "/system/scores")


@api.get("/scores")
def scores_of_devices(context: Here, visitor: Looker) -> list[DeviceScores]:
    """Tell how the scores of each device are distributed, and whether they still are as those of its first films."""
    return by_device(context)


class Renewed(BaseModel):
    """How many films were counted until now."""

    films: int


@api.post("/scores/{device}/reference", responses={404: {"model": Refused, "description": "No such device."}})
def renew(context: Here, visitor: Administrator, device: DeviceNumber) -> Renewed:
    """Compare the films of a device with its next ones from now on: after a change that was looked into."""
    return Renewed(films=begin_anew(context, visitor, device))
