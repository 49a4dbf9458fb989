"""Pausing and resuming: a form for the administrator, and the banner that everybody sees."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from dicom_node import by_hand
from dicom_node.web.access import Administrator, Looker, Visitor
from dicom_node.web.context import Context, Here
from dicom_node.web.pages import Refused, go_to, page, pauses_of
from dicom_node.web.queue import Paused
from storage.pauses import Pause, Scope

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api/pauses", tags=["queue"])

ALREADY = "Is paused already."
NOT_PAUSED = "Is not paused by itself."


class Wish(BaseModel):
    """What is to be stopped, and why; `destination` for the scope of that name alone."""

    scope: Scope
    destination: str = Field("", max_length=64)
    reason: str = Field(min_length=1, max_length=by_hand.LONGEST_REASON, pattern=r"\S")


def fault_of(context: Context, scope: Scope, destination: str) -> str | None:
    """Say why this cannot be paused; None where it can."""
    if scope is Scope.DESTINATION and destination not in by_hand.destination_names(context.settings):
        return "No destination in the settings has this name."
    if scope is not Scope.DESTINATION and destination:
        return "Only the pause of a destination has one."
    return None


def pause(context: Context, visitor: Visitor, scope: Scope, destination: str, reason: str) -> bool:
    """Stop it; return False where it is stopped already."""
    return by_hand.pause(
        context.folder.database, scope, destination, reason.strip(), visitor.who, context.now()
    )


def resume(context: Context, visitor: Visitor, scope: Scope, destination: str) -> bool:
    """Let it go on; return False where it was not stopped by itself."""
    was_paused = by_hand.resume(context.folder.database, scope, destination, visitor.who, context.now())
    context.wake()
    return was_paused


@pages.get("/paused")
def banner(request: Request, context: Here, visitor: Looker, seen: str = "") -> Response:
    """Show what is paused to a page that shows something else of it."""
    if seen == str(len(pauses_of(context))) + "".join(f" {each.since}" for each in pauses_of(context)):
        return Response(status_code=204)
    return page(request, "paused.html")


@pages.get("/pause")
def pause_page(request: Request, context: Here, visitor: Administrator) -> Response:
    """Ask what is to be paused."""
    return page(
        request, "pause.html", destinations=by_hand.destination_names(context.settings), what="everything"
    )


@pages.post("/pause")
def pause_form(
    request: Request,
    context: Here,
    visitor: Administrator,
    what: Annotated[str, Form(max_length=80)],
    reason: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Pause everything, the analysis, or (`to NAME`) a destination."""
    scope, destination = _read(what)
    faults = {}
    if not 0 < len(reason.strip()) <= by_hand.LONGEST_REASON:
        faults["reason"] = f"must have 1 to {by_hand.LONGEST_REASON} characters: others will ask why"
    wrong = fault_of(context, scope, destination)
    if wrong is None and not faults and not pause(context, visitor, scope, destination, reason):
        wrong = ALREADY
    if wrong is not None:
        faults["what"] = wrong
    if not faults:
        return go_to(request, "/queue")
    names = by_hand.destination_names(context.settings)
    return page(request, "pause.html", 422, destinations=names, what=what, reason=reason, faults=faults)


@pages.post("/resume")
def resume_form(
    request: Request, context: Here, visitor: Administrator, what: Annotated[str, Form(max_length=80)]
) -> Response:
    """Let it go on."""
    resume(context, visitor, *_read(what))
    return go_to(request, "/queue")


def _read(what: str) -> tuple[Scope, str]:
    destination = what.removeprefix("to ")
    if destination != what:
        return Scope.DESTINATION, destination
    if what not in (Scope.EVERYTHING, Scope.ANALYSIS):
        raise HTTPException(422, "Nothing else can be paused.")
    return Scope(what), ""


@api.get("")
def all_paused(context: Here, visitor: Looker) -> list[Paused]:
    """Return what is paused: since when, by whom, and why."""
    return [_told(each) for each in pauses_of(context)]


@api.post("", status_code=201, responses={409: {"model": Refused, "description": ALREADY}})
def pause_it(context: Here, visitor: Administrator, wish: Wish) -> list[Paused]:
    """Stop all work, the analysis, or what goes to a destination, until it is resumed; return all that is paused."""
    wrong = fault_of(context, wish.scope, wish.destination)
    if wrong is not None:
        raise HTTPException(422, wrong)
    if not pause(context, visitor, wish.scope, wish.destination, wish.reason):
        raise HTTPException(409, ALREADY)
    return [_told(each) for each in pauses_of(context)]


@api.delete("/{scope}", status_code=204, responses={404: {"model": Refused, "description": NOT_PAUSED}})
def resume_it(context: Here, visitor: Administrator, scope: Scope, destination: str = "") -> None:
    """Let something go on; `destination` for the scope of that name alone."""
    if not resume(context, visitor, scope, destination):
        raise HTTPException(404, NOT_PAUSED)


def _told(paused: Pause) -> Paused:
    return Paused(
        scope=paused.scope,
        destination=paused.destination,
        since=paused.since,
        user=paused.user,
        reason=paused.reason,
    )
