"""The worklist: the studies of these hours, the one to read first at the top."""

import hashlib
import time
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from dicom_node.web.access import Looker, note
from dicom_node.web.context import Context, Here
from dicom_node.web.pages import is_live, page
from dicom_node.web.words import reason_sentence, wait
from storage.studies import ListedStudy, Progress, found_by, listed, progress_of
from storage.worklist import WaitingStudy, reading_order, studies_since

HOURS = 24.0
OFFERED_HOURS = (4, 12, 24, 72, 168)
ROWS = 100
"""On a page that was not asked for more."""
MOST_ROWS = 1000
MOST_HOURS = 24 * 366

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api", tags=["worklist"])


class Filters(BaseModel):
    """Which studies are wanted; empty: all that came in so many hours."""

    hours: float = Field(HOURS, gt=0, le=MOST_HOURS, description="those that came in so many hours")
    answer: Literal["", "likely", "uncertain", "unlikely", "none"] = ""
    state: Progress | Literal[""] = ""
    rows: int = Field(ROWS, ge=1, le=MOST_ROWS, description="at most so many, those to be read first")


class Search(Filters):
    """Which studies are wanted, of whom: words of a patient's name or ID, or of an accession number."""

    search: str = Field("", max_length=200)


class Shown(Search):
    """What a page shows, and by `seen` what it has shown already."""

    seen: str = Field("", max_length=64)


class Study(BaseModel):
    """A study that waits to be read; times in seconds, `received_at` since 1970 (UTC).

    Name and birth date are as DICOM writes them, and empty where they are not known; the name goes with the images.
    `reasons` are why images of it are not analysable, in a sentence each.
    """

    study_instance_uid: str
    accession_number: str
    patient_name: str
    patient_id: str
    patient_birth_date: str
    views: list[str]
    is_urgent: bool
    received_at: float
    waits_seconds: float
    waits_too_long: bool
    answer: str | None
    score: float | None
    state: Progress
    reasons: list[str]


class Worklist(BaseModel):
    """The studies in the order in which to read them, and how many there are beyond those that were asked for."""

    studies: list[Study]
    more: int


def waiting(context: Context, wanted: Search) -> Worklist:
    """Return the studies in the order in which to read them."""
    longest_wait, now = 60.0 * context.settings.worklist.longest_wait_minutes, time.time()
    since = now - 3600.0 * wanted.hours
    with context.folder.database.read() as connection:
        found = studies_since(connection, since)
        if wanted.answer:
            found = [each for each in found if (each.answer or "none") == wanted.answer]
        if wanted.search.strip():
            named = found_by(connection, wanted.search, since)
            found = [each for each in found if each.study_instance_uid in named]
        if wanted.state:
            reached = progress_of(connection, [each.study_instance_uid for each in found])
            found = [each for each in found if reached.get(each.study_instance_uid) is wanted.state]
        first = reading_order(found, now, longest_wait)[: wanted.rows]
        about = listed(connection, [each.study_instance_uid for each in first])
    studies = [_study(each, about[each.study_instance_uid], now, longest_wait) for each in first]
    return Worklist(studies=studies, more=len(found) - len(first))


def _study(study: WaitingStudy, about: ListedStudy, now: float, longest_wait: float) -> Study:
    return Study(
        study_instance_uid=study.study_instance_uid,
        accession_number=about.accession_number,
        patient_name=about.patient_name,
        patient_id=about.patient_id,
        patient_birth_date=about.patient_birth_date,
        views=list(dict.fromkeys(about.views)),
        is_urgent=about.is_urgent,
        received_at=study.received_at,
        waits_seconds=round(now - study.received_at, 3),
        waits_too_long=now - study.received_at >= longest_wait,
        answer=study.answer,
        score=study.score,
        state=about.progress,
        reasons=list(map(reason_sentence, about.reasons)),
    )


def _seen(found: Worklist) -> str:
    """Return what tells one list from another, to the minute of its waits."""
    digest = hashlib.sha256(str(found.more).encode())
    for study in found.studies:
        digest.update(study.model_dump_json(exclude={"waits_seconds"}).encode())
        digest.update(wait(study.waits_seconds).encode())
    return digest.hexdigest()


def _address(shown: Filters) -> str:
    """Where the list is that these filters leave; whom somebody searched for stands in no address."""
    changed = shown.model_dump(include={"hours", "answer", "state"}, exclude_defaults=True)
    if "hours" in changed:
        changed["hours"] = f"{shown.hours:g}"
    return "/?" + urlencode(changed) if changed else "/"


@pages.get("/")
def worklist_page(
    request: Request, context: Here, visitor: Looker, wanted: Annotated[Filters, Query()]
) -> Response:
    """Show the worklist."""
    return _page(request, "worklist.html", context, visitor, Shown(**wanted.model_dump()))


@pages.post("/")
def worklist_shown(
    request: Request, context: Here, visitor: Looker, wanted: Annotated[Shown, Form()]
) -> Response:
    """Show the worklist as it is filtered and searched now, or what is new on it to a page that shows it."""
    if not is_live(request):
        return _page(request, "worklist.html", context, visitor, wanted)
    if not wanted.seen:
        answer = _page(request, "worklist_list.html", context, visitor, wanted)
        answer.headers["HX-Replace-Url"] = _address(wanted)
        return answer
    found = waiting(context, wanted)
    seen = _seen(found)
    if seen == wanted.seen:
        return Response(status_code=204)
    return page(request, "worklist_list.html", found=found, wanted=wanted, seen=seen)


def _page(request: Request, template: str, context: Context, visitor: Looker, wanted: Search) -> Response:
    found = waiting(context, wanted)
    note(context, visitor, "list_looked_at", command="worklist", count=len(found.studies))
    return page(
        request,
        template,
        found=found,
        wanted=wanted,
        seen=_seen(found),
        offered_hours=OFFERED_HOURS,
        more_rows=ROWS,
    )


@api.get("/worklist")
def worklist(context: Here, visitor: Looker, wanted: Annotated[Filters, Query()]) -> Worklist:
    """Return the studies of the last hours in the order in which to read them."""
    return search(context, visitor, Search(**wanted.model_dump()))


@api.post("/worklist")
def search(context: Here, visitor: Looker, wanted: Search) -> Worklist:
    """Return the studies with these words in the patient's name or ID or the accession number; such words stand in no
    address.
    """
    found = waiting(context, wanted)
    note(context, visitor, "list_looked_at", command="worklist", count=len(found.studies))
    return found
