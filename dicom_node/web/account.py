"""One's own page: a new password, and what one has open."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from dicom_node.web import passwords
from dicom_node.web.access import Looker, Visitor, limits_of
from dicom_node.web.context import Context, Here
from dicom_node.web.door import BUSY, TooOften, WrongPassword, check_password
from dicom_node.web.invitations import faults_of_password
from dicom_node.web.pages import go_to, page
from storage import audit, people
from storage.steps import Step

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api/account", tags=["access"])

Password = Annotated[str, Form(max_length=passwords.LONGEST)]


class Open(BaseModel):
    """A session; times in seconds since 1970 (UTC)."""

    id: int
    begun_at: float
    seen_at: float
    address: str
    is_this_one: bool


class NewPassword(BaseModel):
    """The password that somebody has, and the one that they want."""

    present: str = Field(max_length=passwords.LONGEST)
    wanted: str = Field(max_length=passwords.LONGEST)


def open_sessions(context: Context, visitor: Visitor) -> list[Open]:
    """Return what the visitor has open, the newest first."""
    with context.folder.database.read() as connection:
        found = people.sessions_of(connection, visitor.name, context.now(), limits_of(context))
    return [
        Open(
            id=each.id,
            begun_at=each.begun_at,
            seen_at=each.seen_at,
            address=each.address,
            is_this_one=each.id == visitor.session,
        )
        for each in found
    ]


def end_session(context: Context, visitor: Visitor, session: int) -> None:
    """End one of the visitor's sessions."""
    with context.folder.database.write(Step.BY_HAND) as connection:
        if not people.end_session(connection, session, visitor.name):
            raise HTTPException(404, "You have no such session.")
        audit.append(connection, context.now(), "sessions_ended", **_about(visitor))


def change_password(context: Context, visitor: Visitor, present: str, wanted: str) -> None:
    """Keep the visitor's new password, and end their other sessions.

    Raises WrongPassword, TooOften, TooManyAtOnce.
    """
    check_password(context, visitor.name, present, visitor.address)
    kept = passwords.hashed(wanted)
    with context.folder.database.write(Step.BY_HAND) as connection:
        people.set_password(connection, visitor.name, kept)
        people.end_sessions_of(connection, visitor.name, but=visitor.session)
        audit.append(connection, context.now(), "password_changed", **_about(visitor))


def _about(visitor: Visitor) -> dict[str, str]:
    return {"user": visitor.name, "address": visitor.address, "person": visitor.name}


@pages.get("/account")
def account_page(request: Request, context: Here, visitor: Looker) -> Response:
    """Show what the visitor has open."""
    return _page(request, context, visitor)


@pages.post("/account/password")
def change_password_by_form(
    request: Request, context: Here, visitor: Looker, present: Password, password: Password, again: Password
) -> Response:
    """Keep a new password."""
    faults = faults_of_password(password, again, visitor.name)
    status = 422
    if not faults:
        try:
            change_password(context, visitor, present, password)
            return _page(request, context, visitor, done=True)
        except WrongPassword:
            faults["present"] = "is not yours"
        except TooOften as error:
            status, faults["present"] = 429, f"was wrong too often; try again in {error.seconds} seconds"
        except passwords.TooManyAtOnce:
            status, faults["present"] = 503, "cannot be checked at this moment, try again"
    return _page(request, context, visitor, status, faults)


@pages.post("/account/sessions/{session}/end")
def end_session_by_form(request: Request, context: Here, visitor: Looker, session: int) -> Response:
    """End a session of the visitor's."""
    end_session(context, visitor, session)
    return go_to(request, "/account")


def _page(
    request: Request,
    context: Context,
    visitor: Visitor,
    status: int = 200,
    faults: dict[str, str] | None = None,
    *,
    done: bool = False,
) -> Response:
    with context.folder.database.read() as connection:
        has_password = people.role_and_password(connection, visitor.name) is not None
    return page(
        request,
        "account.html",
        status,
        sessions=open_sessions(context, visitor),
        has_password=has_password and visitor.session is not None,
        faults=faults or {},
        done=done,
        shortest=passwords.SHORTEST,
    )


@api.get("/sessions")
def list_sessions(context: Here, visitor: Looker) -> list[Open]:
    """Return what you have open, the newest first."""
    return open_sessions(context, visitor)


@api.delete("/sessions/{session}", status_code=204, responses={404: {}})
def delete_session(context: Here, visitor: Looker, session: int) -> None:
    """End a session of yours."""
    end_session(context, visitor, session)


@api.put("/password", status_code=204, responses={403: {}, 422: {}, 429: {}, 503: {}})
def put_password(context: Here, visitor: Looker, new: NewPassword) -> None:
    """Change your password; your other sessions end."""
    if (fault := passwords.fault_of(new.wanted, visitor.name)) is not None:
        raise HTTPException(422, f"wanted {fault}")
    try:
        change_password(context, visitor, new.present, new.wanted)
    except WrongPassword:
        raise HTTPException(403, "present is not your password") from None
    except TooOften as error:
        raise HTTPException(429, str(error), {"Retry-After": str(error.seconds)}) from None
    except passwords.TooManyAtOnce:
        raise HTTPException(503, BUSY, {"Retry-After": "1"}) from None
