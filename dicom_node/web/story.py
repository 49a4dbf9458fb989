"""What became of a study: found by accession number, any UID, job or delivery, told in a sentence and a timeline."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from dicom_node import by_hand
from dicom_node.explanations import status_explained
from dicom_node.web import timeline
from dicom_node.web.access import Administrator, Looker, Visitor, note
from dicom_node.web.context import Context, Here
from dicom_node.web.pages import Refused, go_to, is_live, page
from dicom_node.web.timeline import Moment, Step
from dicom_node.web.whereabouts import clock, in_words, whereabouts
from storage import pauses, views

NOTHING_LEFT = "This node has no image of the study any more, or never analysed one."
LANES_DRAWN = 60
"""The table beside the drawing has them all."""

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api/queue", tags=["queue"])

Identifier = Annotated[
    str, Path(max_length=256, description="accession number, any UID, job (j7) or delivery (d7)")
]


class Story(BaseModel):
    """What became of a study.

    `whereabouts` says in a sentence where it is now; `steps` are received, analysed, reported, sent and, where it is
    asked for, committed; `moments` are everything that happened. Times in seconds since 1970 (UTC), `milliseconds`
    since the step or moment before.
    """

    study_instance_uid: str
    accession_numbers: list[str]
    whereabouts: str
    steps: list[Step]
    moments: list[Moment]


def found(context: Context, identifier: str) -> tuple[dict[str, Any], Story] | None:
    """Return what is known of a study, or None."""
    now = context.now()
    with context.folder.database.read() as connection:
        # many a study has an empty accession number
        study = views.find_study(connection, identifier.strip()) if identifier.strip() else None
        if study is None:
            return None
        known = views.study(connection, study)
        where = whereabouts(known, pauses.all_pauses(connection), now)
    numbers = sorted({each["accession_number"] for each in known["instances"]} - {""})
    return known, Story(
        study_instance_uid=study,
        accession_numbers=numbers,
        whereabouts=where,
        steps=timeline.steps(known),
        moments=timeline.moments(known),
    )


def nothing_known(context: Context) -> str:
    """Say that nothing is known, and since when it would be."""
    with context.folder.database.read() as connection:
        begins_at = views.begins_at(connection)
    since = "" if begins_at is None else f" since {clock(begins_at)}, when its database begins"
    return f"This node has received nothing of it{since}."


def report_again(context: Context, visitor: Visitor, study: str) -> bool:
    """Queue a further report; return False where there is nothing to report on."""
    is_queued = by_hand.report_again(context.folder.database, study, visitor.who, context.now())
    context.wake()
    return is_queued


@pages.post("/queue/find")
def find(
    request: Request, context: Here, visitor: Looker, what: Annotated[str, Form(max_length=256)] = ""
) -> Response:
    """Go to a study; a form, so that what was typed stands in no address."""
    with context.folder.database.read() as connection:
        study = views.find_study(connection, what.strip()) if what.strip() else None
    note(context, visitor, "list_looked_at", command="find", count=int(study is not None))
    if study is not None:
        return go_to(request, f"/queue/{study}")
    fault = (
        nothing_known(context) if what.strip() else "Type an accession number, a UID, a job or a delivery."
    )
    return page(request, "not_found.html", 404 if what.strip() else 422, what=what, fault=fault)


@pages.get("/queue/{identifier:path}")
def story_page(request: Request, context: Here, visitor: Looker, identifier: Identifier) -> Response:
    """Show what became of a study."""
    known = found(context, identifier)
    if known is None:
        return page(request, "not_found.html", 404, what=identifier, fault=nothing_known(context))
    rows, story = known
    now = context.now()
    drawn = timeline.lanes(rows)[:LANES_DRAWN]
    shown: dict[str, Any] = {
        "story": story,
        "rows": rows,
        "lanes": drawn,
        "places": timeline.positions(drawn, now),
        "width": timeline.WIDTH,
        "now": now,
        "clock": clock,
        "between": timeline.between,
        "in_words": in_words,
        "status_in_words": lambda status: status_explained(status)[0],
    }
    if is_live(request):
        return page(request, "story_live.html", **shown)
    note(context, visitor, "study_looked_at", command="queue", study_instance_uid=story.study_instance_uid)
    return page(request, "story.html", **shown)


@pages.post("/queue/{study}/report")
def report_form(request: Request, context: Here, visitor: Administrator, study: str) -> Response:
    """Report the study again."""
    if not report_again(context, visitor, study):
        raise HTTPException(409, NOTHING_LEFT)
    return go_to(request, f"/queue/{study}")


@api.get(
    "/studies/{identifier:path}",
    responses={404: {"model": Refused, "description": "Nothing is known of it."}},
)
def study_story(context: Here, visitor: Looker, identifier: Identifier) -> Story:
    """Return what became of a study: where it is, its steps, and everything that happened."""
    known = found(context, identifier)
    if known is None:
        raise HTTPException(404, nothing_known(context))
    note(context, visitor, "study_looked_at", command="queue", study_instance_uid=known[1].study_instance_uid)
    return known[1]


@api.post(
    "/studies/{study}/report",
    status_code=202,
    responses={409: {"model": Refused, "description": NOTHING_LEFT}},
)
def study_report(context: Here, visitor: Administrator, study: Annotated[str, Path(max_length=64)]) -> None:
    """Report a study again with the settings of today: a further report that names the one it replaces."""
    if not report_again(context, visitor, study):
        raise HTTPException(409, NOTHING_LEFT)
