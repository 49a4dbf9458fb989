"""The worklist: the studies of these hours, the one to read first at the top."""

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from dicom_node.web.access import Looker, note
from dicom_node.web.context import Context, Here
from dicom_node.web.pages import is_live, page
from storage.worklist import reading_order, studies_since

HOURS = 24.0
Hours = Annotated[float, Query(gt=0, le=24 * 366, description="studies that came in so many hours")]

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api", tags=["worklist"])


class Study(BaseModel):
    """A study that waits to be read; times in seconds, `received_at` since 1970 (UTC)."""

    study_instance_uid: str
    accession_number: str
    received_at: float
    waits_seconds: float
    waits_too_long: bool
    answer: str | None
    score: float | None


def waiting(context: Context, hours: float) -> list[Study]:
    """Return the studies in the order in which to read them."""
    longest_wait, now = 60.0 * context.settings.worklist.longest_wait_minutes, time.time()
    with context.folder.database.read() as connection:
        found = studies_since(connection, now - 3600.0 * hours)
    return [
        Study(
            study_instance_uid=each.study_instance_uid,
            accession_number=each.accession_number,
            received_at=each.received_at,
            waits_seconds=round(now - each.received_at, 3),
            waits_too_long=now - each.received_at >= longest_wait,
            answer=each.answer,
            score=each.score,
        )
        for each in reading_order(found, now, longest_wait)
    ]


@pages.get("/")
def worklist_page(request: Request, context: Here, visitor: Looker, hours: Hours = HOURS) -> Response:
    """Show the worklist, or what is on it now to a page that shows it."""
    studies = waiting(context, hours)
    if is_live(request):
        return page(request, "worklist_rows.html", studies=studies)
    note(context, visitor, "list_looked_at", command="worklist", count=len(studies))
    return page(request, "worklist.html", studies=studies, hours=hours)


@api.get("/worklist")
def worklist(context: Here, visitor: Looker, hours: Hours = HOURS) -> list[Study]:
    """Return the studies in the order in which to read them."""
    studies = waiting(context, hours)
    note(context, visitor, "list_looked_at", command="worklist", count=len(studies))
    return studies
