"""Feedback: what a radiologist says of an answer, and how often the answers were right."""

import csv
import io
import time
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Body, Form, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field, model_validator
from starlette.exceptions import HTTPException

from dicom_node import feedback
from dicom_node.feedback import Figures
from dicom_node.web.access import Judge, Looker, Visitor, note
from dicom_node.web.context import Context, Here
from dicom_node.web.pages import Refused, go_to, is_live, page
from storage import audit, verdicts
from storage.steps import Step
from storage.verdicts import LONGEST_COMMENT, Disagreement, Judgement, KeptVerdict, Region, Verdict

MOST_DISAGREEMENTS = 100
LONGEST_SIDE = 65535
"""Rows and Columns are 16-bit numbers (PS3.3 C.7.6.3)."""

StudyUid = Annotated[str, Path(pattern=r"^[0-9.]{1,64}$", description="Study Instance UID")]

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api", tags=["feedback"])


class Box(BaseModel):
    """A region of a film in its pixels: first column and row inside, last column and row outside."""

    sop_instance_uid: str = Field(max_length=64)
    left: int = Field(ge=0, le=LONGEST_SIDE)
    top: int = Field(ge=0, le=LONGEST_SIDE)
    right: int = Field(ge=0, le=LONGEST_SIDE)
    bottom: int = Field(ge=0, le=LONGEST_SIDE)

    @model_validator(mode="after")
    def _has_an_inside(self) -> "Box":
        if self.right <= self.left or self.bottom <= self.top:
            raise ValueError("right must be beyond left, and bottom beyond top")
        return self


class NewVerdict(BaseModel):
    """What somebody says of the answer to a study. The comment is free text, and stays in the node's database."""

    verdict: Verdict
    comment: str = Field(default="", max_length=LONGEST_COMMENT)
    region: Box | None = None


class Feedback(BaseModel):
    """The figures of all months together and of each, the latest first, and the studies with a disagreement."""

    months: list[Figures]
    disagreements: list[Disagreement]


def give(context: Context, visitor: Visitor, study: str, given: NewVerdict) -> list[KeptVerdict]:
    """Keep a verdict on the answer that is in force, and return all on the study.

    Raises
    ------
    HTTPException
        404: no such study; 409: it has no answer; 422: the region is on none of its films.
    """
    now, region = time.time(), given.region
    with context.folder.database.write(Step.BY_HAND) as connection:
        about = verdicts.answer_of(connection, study)
        if about is None:
            raise _nothing_to_judge(context, study)
        if region is not None and region.sop_instance_uid not in verdicts.films_of(connection, study):
            raise HTTPException(422, "The region is on a film that is none of this study's.")
        verdicts.judge(
            connection,
            study,
            about,
            Judgement(
                verdict=given.verdict,
                person=visitor.name,
                address=visitor.address,
                comment=given.comment.strip(),
                region=None if region is None else Region(**region.model_dump()),
            ),
            now,
        )
        audit.append(
            connection,
            now,
            "verdict_given",
            study_instance_uid=study,
            verdict=given.verdict,
            answer=about.answer,
            has_region=region is not None,
            user=visitor.name,
            address=visitor.address,
        )
        return verdicts.of_study(connection, study)


def _nothing_to_judge(context: Context, study: str) -> HTTPException:
    with context.folder.database.read() as connection:
        is_known = verdicts.is_known(connection, study)
    if is_known:
        return HTTPException(409, "The node has no answer to this study: there is nothing to judge.")
    return HTTPException(404, "There is no such study here.")


def gathered(context: Context) -> Feedback:
    """Return the figures of the last twelve months, and the latest disagreements in them."""
    now = time.time()
    database = context.folder.database
    months = feedback.by_month(database, now)
    with database.read() as connection:
        since = feedback.month_starts(now, feedback.MONTHS)[0]
        wrong = verdicts.disagreements(connection, since, MOST_DISAGREEMENTS)
    return Feedback(months=months, disagreements=wrong)


@pages.get("/feedback")
def feedback_page(request: Request, context: Here, visitor: Looker) -> Response:
    """Show what counts as what, and then the figures and where people disagree, which takes a moment to count."""
    if not is_live(request):
        return page(request, "feedback.html")
    found = gathered(context)
    note(context, visitor, "list_looked_at", command="feedback", count=len(found.disagreements))
    return page(
        request,
        "feedback_figures.html",
        total=found.months[0],
        months=found.months[1:],
        disagreements=found.disagreements,
        most=MOST_DISAGREEMENTS,
    )


@pages.get("/studies/{study}/feedback")
def panel(request: Request, context: Here, visitor: Looker, study: StudyUid) -> Response:
    """Show what can be said of a study, and what was said, as a part of its page."""
    if not is_live(request):
        return go_to(request, f"/studies/{study}")
    note(context, visitor, "study_looked_at", study_instance_uid=study, command="verdicts")
    return _panel(request, context, visitor, study)


@pages.post("/studies/{study}/feedback")
def judge_by_form(
    request: Request,
    context: Here,
    visitor: Judge,
    study: StudyUid,
    verdict: Annotated[Verdict, Form()],
    comment: Annotated[str, Form()] = "",
    film: Annotated[str, Form()] = "",
    left: Annotated[str, Form()] = "",
    top: Annotated[str, Form()] = "",
    right: Annotated[str, Form()] = "",
    bottom: Annotated[str, Form()] = "",
) -> Response:
    """Keep the verdict of somebody before the study's page."""
    faults = {}
    if len(comment) > LONGEST_COMMENT:
        faults["comment"] = f"must have at most {LONGEST_COMMENT} characters; it has {len(comment)}"
    sides = {"left": left, "top": top, "right": right, "bottom": bottom}
    region = None
    if any(each.strip() for each in sides.values()):
        try:
            region = Box.model_validate({"sop_instance_uid": film, **sides})
        except ValueError:
            faults["region"] = "needs four whole numbers, right beyond left and bottom beyond top"
    if not faults:
        give(context, visitor, study, NewVerdict(verdict=verdict, comment=comment, region=region))
        return (
            _panel(request, context, visitor, study)
            if is_live(request)
            else go_to(request, f"/studies/{study}")
        )
    typed = {"comment": comment, "film": film, **sides}
    return _panel(request, context, visitor, study, typed, faults)


def _panel(
    request: Request,
    context: Context,
    visitor: Visitor,
    study: str,
    typed: dict[str, str] | None = None,
    faults: dict[str, str] | None = None,
) -> Response:
    with context.folder.database.read() as connection:
        about = verdicts.answer_of(connection, study)
        films = verdicts.films_of(connection, study)
        said = verdicts.of_study(connection, study)
    own = next((each for each in said if each.person == visitor.name and each.replaced_at is None), None)
    return page(
        request,
        "feedback_form.html",
        422 if faults else 200,
        study=study,
        about=about,
        films=films,
        said=said,
        own=own,
        typed=typed or {},
        faults=faults or {},
        longest=LONGEST_COMMENT,
    )


@api.get("/feedback")
def feedback_figures(context: Here, visitor: Looker) -> Feedback:
    """Return how often the node was right by what was said of its answers, and where it was not.

    Shares are of studies that somebody has judged, who had seen the answer; `answered` and `judged` say of how many
    that is. Intervals are Wilson's, of 95 %.
    """
    found = gathered(context)
    note(context, visitor, "list_looked_at", command="feedback", count=len(found.disagreements))
    return found


@api.get(
    "/feedback.csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}, "description": "A line for all months, and one for each."}},
)
def feedback_table(context: Here, visitor: Looker) -> Response:
    """Return the figures as a table for spreadsheets."""
    months = feedback.by_month(context.folder.database, time.time())
    note(context, visitor, "list_looked_at", command="feedback", count=0)
    text = io.StringIO()
    lines = [_line(each) for each in months]
    table = csv.DictWriter(text, list(lines[0]))
    table.writeheader()
    table.writerows(lines)
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8")


def _line(figures: Figures) -> dict[str, object]:
    line: dict[str, object] = {}
    for name, value in asdict(figures).items():
        parts = value if isinstance(value, dict) else {"": value}
        line |= {f"{name}_{part}".rstrip("_"): each for part, each in parts.items()}
    return line


@api.get(
    "/studies/{study}/verdicts",
    responses={404: {"model": Refused, "description": "There is no such study here."}},
)
def study_verdicts(context: Here, visitor: Looker, study: StudyUid) -> list[KeptVerdict]:
    """Return everything that was said of the answers to a study, the latest first."""
    with context.folder.database.read() as connection:
        if not verdicts.is_known(connection, study):
            raise HTTPException(404, "There is no such study here.")
        found = verdicts.of_study(connection, study)
    note(context, visitor, "study_looked_at", study_instance_uid=study, command="verdicts")
    return found


@api.post(
    "/studies/{study}/verdicts",
    status_code=201,
    responses={
        404: {"model": Refused, "description": "There is no such study here."},
        409: {"model": Refused, "description": "The node has no answer to this study."},
    },
)
def judge(
    context: Here, visitor: Judge, study: StudyUid, given: Annotated[NewVerdict, Body()]
) -> list[KeptVerdict]:
    """Say whether the answer to a study is right; an earlier verdict of yours is replaced, and kept."""
    return give(context, visitor, study, given)
