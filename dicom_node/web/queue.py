"""The queue: what waits for a person first, then jobs, deliveries and fetches; and what a person does to them.

Whoever may look sees it; an administrator retries, and gives up.
"""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field, StringConstraints
from starlette.exceptions import HTTPException

from config.peers import ResultKind
from dicom_node import by_hand
from dicom_node.explanations import explained
from dicom_node.web.access import Administrator, Looker, Visitor, note
from dicom_node.web.context import Context, Here
from dicom_node.web.pages import go_to, is_live, page
from storage import listing, views
from storage.listing import Subject
from storage.records import JobKind
from storage.states import State

ROWS = 50
"""On a page of a list."""
MOST_FOR_A_PERSON = 50
"""Are shown of what waits for a person, of jobs and of deliveries; the number of all is told."""
ID = rf"[jd][0-9]{{1,{views.LONGEST_NUMBER}}}"
EVERYTHING = "everything"
"""Instead of an id: all that waits for a person."""
MOST_IDS = 1000

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api/queue", tags=["queue"])


class Filters(BaseModel):
    """What of the queue is wanted, newest first; empty: all. `before` is where an older page begins."""

    of: Subject = Subject.JOBS
    state: State | None = None
    destination: str | None = Field(None, max_length=64)
    kind: str | None = Field(None, max_length=32)
    before: int | None = Field(None, ge=1, lt=2**63)


class Row(BaseModel):
    """A job, a delivery or a fetch; times in seconds since 1970 (UTC).

    `sentence` says what its `reason` means, and `mend` what to do about it.
    """

    id: str
    kind: str
    state: State
    attempts: int
    reason: str | None
    sentence: str | None
    mend: str | None
    not_before: float
    queued_at: float
    ended_at: float | None
    study_instance_uid: str
    sop_instance_uid: str | None = None
    revision: int | None = None
    destination: str | None = None
    priority: str | None = None
    status: int | None = None
    answer: str | None = None
    fetched: int | None = None


class Rows(BaseModel):
    """A page of a list; `older` is the `before` of the next one, null: there is none."""

    rows: list[Row]
    older: int | None


class Paused(BaseModel):
    """What a person has stopped for a while; `since` in seconds since 1970 (UTC)."""

    scope: str
    destination: str
    since: float
    user: str
    reason: str


class Numbers(BaseModel):
    """The queue in numbers, as `dicom-node status --json` has it."""

    instances_received: int
    instances_received_again: int
    instances_corrected: int
    instances_kept_aside: int
    waiting_for_a_person: int
    jobs: dict[str, int]
    fetches: dict[str, int]
    deliveries: dict[str, int]
    deliveries_by_destination: dict[str, dict[str, int]]
    paused: list[Paused]
    oldest_waiting_seconds: float
    refused_last_day: dict[str, int]


class Named(BaseModel):
    """Jobs (`j7`) and deliveries (`d7`), or everything that waits for a person."""

    ids: list[Annotated[str, Field(pattern=f"^{ID}$")]] = Field([], max_length=MOST_IDS)
    everything: bool = False


class Done(BaseModel):
    """Those of them that were in a state for it."""

    ids: list[str]


def numbers(context: Context) -> Numbers:
    """Return the queue in numbers."""
    with context.folder.database.read() as connection:
        return Numbers(**views.status(connection, context.now()))


def rows_of(found: list[dict[str, Any]]) -> list[Row]:
    """Return rows with their reasons in words."""
    rows = []
    for each in found:
        told = explained(each["reason"]) if each["reason"] else None
        sentence = each["reason"] if told is None else told.sentence
        mend = None if told is None else told.mend
        rows.append(Row(**{"kind": "fetch", **each, "sentence": sentence, "mend": mend}))
    return rows


def listed(context: Context, wanted: Filters) -> Rows:
    """Return a page of a list."""
    with context.folder.database.read() as connection:
        found = listing.newest(
            connection,
            wanted.of,
            ROWS,
            state=wanted.state,
            destination=wanted.destination or None,
            kind=wanted.kind or None,
            before=wanted.before,
        )
    return Rows(rows=rows_of(found.rows), older=found.older)


def for_a_person(context: Context) -> list[Row]:
    """Return the newest of what waits for a person."""
    with context.folder.database.read() as connection:
        return rows_of(listing.list_jobs(connection, None, MOST_FOR_A_PERSON, for_a_person=True))


def do(act: by_hand.Act, context: Context, visitor: Visitor, ids: list[str] | None) -> list[str]:
    """Retry or give up, and wake who works."""
    done = act(context.folder.database, ids, visitor.who, context.now())
    context.wake()
    return done


Wanted = Annotated[Filters, Query()]
Which = StringConstraints(pattern=f"^({ID}|{EVERYTHING})$")
WhichForm = Annotated[str, Form(), Which]
WhichQuery = Annotated[str, Query(), Which]


@pages.get("/queue")
def queue_page(request: Request, context: Here, visitor: Looker, wanted: Wanted) -> Response:
    """Show the queue, or how it is now to a page that shows it."""
    rows = listed(context, wanted)
    asked = {name: str(value) for name, value in wanted.model_dump(exclude_none=True).items() if value}
    counted = numbers(context)
    names = {*counted.deliveries_by_destination, *by_hand.destination_names(context.settings)}
    shown: dict[str, Any] = {
        "numbers": counted,
        "for_a_person": for_a_person(context),
        "rows": rows.rows,
        "older": urlencode({**asked, "before": rows.older}) if rows.older is not None else "",
        "newest": urlencode({name: value for name, value in asked.items() if name != "before"}),
        "now": context.now(),
        "wanted": wanted,
    }
    if is_live(request):
        return page(request, "queue_live.html", **shown)
    note(context, visitor, "list_looked_at", command="queue", count=len(rows.rows))
    return page(
        request,
        "queue.html",
        query=urlencode(asked),
        subjects=list(Subject),
        states=list(State),
        kinds=[*JobKind, *ResultKind],
        destinations=sorted(names),
        **shown,
    )


@pages.post("/queue/retry")
def retry_page(
    request: Request,
    context: Here,
    visitor: Administrator,
    which: WhichForm,
) -> Response:
    """Queue something again."""
    do(by_hand.retry, context, visitor, None if which == EVERYTHING else [which])
    return go_to(request, "/queue")


@pages.get("/queue/give-up")
def give_up_page(
    request: Request,
    context: Here,
    visitor: Administrator,
    which: WhichQuery,
) -> Response:
    """Ask whether something is to be given up."""
    waiting = for_a_person(context)
    rows = waiting if which == EVERYTHING else [each for each in waiting if each.id == which]
    if not rows:
        raise HTTPException(404, "This does not wait for a person, or no more.")
    return page(request, "give_up.html", which=which, rows=rows, total=numbers(context).waiting_for_a_person)


@pages.post("/queue/give-up")
def give_up(
    request: Request,
    context: Here,
    visitor: Administrator,
    which: WhichForm,
) -> Response:
    """Give something up that waits for a person."""
    do(by_hand.dismiss, context, visitor, None if which == EVERYTHING else [which])
    return go_to(request, "/queue")


@api.get("")
def queue_numbers(context: Here, visitor: Looker) -> Numbers:
    """Return the queue in numbers: jobs, fetches and deliveries by state, what is paused, and the oldest wait."""
    return numbers(context)


@api.get("/rows")
def queue_rows(context: Here, visitor: Looker, wanted: Wanted) -> Rows:
    """Return jobs, deliveries or fetches, newest first, page by page; reasons in words, with their mends."""
    rows = listed(context, wanted)
    note(context, visitor, "list_looked_at", command="queue", count=len(rows.rows))
    return rows


@api.get("/for-a-person")
def queue_for_a_person(context: Here, visitor: Looker) -> list[Row]:
    """Return the newest of what waits for a person: jobs that failed, deliveries that failed or were refused."""
    rows = for_a_person(context)
    note(context, visitor, "list_looked_at", command="queue", count=len(rows))
    return rows


@api.post("/retry")
def queue_retry(context: Here, visitor: Administrator, named: Named) -> Done:
    """Queue what failed, was rejected or given up again, with all its attempts; return which of them was."""
    return Done(ids=do(by_hand.retry, context, visitor, None if named.everything else named.ids))


@api.post("/give-up")
def queue_give_up(context: Here, visitor: Administrator, named: Named) -> Done:
    """Give up what waits for a person; return which of them was given up."""
    return Done(ids=do(by_hand.dismiss, context, visitor, None if named.everything else named.ids))
