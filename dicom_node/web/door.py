"""How people come in and leave: by a password, and by an invitation before they have one."""

import re
import time
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from dicom_node.web import passwords
from dicom_node.web.access import COOKIE, LONGEST_SESSION_SECONDS, Looker, address_of, visitor_of
from dicom_node.web.context import Context, Here
from dicom_node.web.pages import go_to, page
from storage import audit, people
from storage.people import Role
from storage.steps import Step

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
NAME_RULE = "must be 1 to 64 letters, digits, dots, hyphens, underscores or @"

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api", tags=["access"])


class Credentials(BaseModel):
    """A name and its password."""

    name: str
    password: str


class Token(BaseModel):
    """The secret of a session, for ``Authorization: Bearer``."""

    token: str
    role: Role


class WrongPassword(Exception):
    """Name and password do not belong together."""


class TooOften(Exception):
    """Somebody was wrong so often that they have to wait for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"too many wrong passwords; try again in {seconds:.0f} seconds")
        self.seconds = seconds


def come_in(request: Request, context: Context, name: str, password: str) -> tuple[str, Role]:
    """Return the secret of a new session. Raises WrongPassword, TooOften."""
    address = address_of(request)
    wait = context.attempts.wait_seconds(name, address)
    if wait > 0:
        raise TooOften(wait)
    database, now = context.folder.database, time.time()
    with database.read() as connection:
        known = people.role_and_password(connection, name)
    if not passwords.is_right(password, known[1] if known else None) or known is None:
        context.attempts.note_wrong(name, address)
        with database.write(Step.BY_HAND) as connection:
            # what was typed as a name may be a password
            audit.append(connection, now, "login_refused", user=name if known else "", address=address)
        raise WrongPassword
    context.attempts.forget(name)
    role = known[0]
    with database.write(Step.BY_HAND) as connection:
        people.forget_sessions(connection, now - LONGEST_SESSION_SECONDS)
        secret = people.begin_session(connection, name, role, now)
        audit.append(connection, now, "login", user=name, role=role, address=address)
    return secret, role


def leave(context: Context, visitor: Looker) -> None:
    """End the visitor's session."""
    with context.folder.database.write(Step.BY_HAND) as connection:
        people.end_session(connection, visitor.session)
        audit.append(connection, time.time(), "logout", user=visitor.name, address=visitor.address)


@pages.get("/login")
def login_page(request: Request, context: Here, to: str = "/") -> Response:
    """Ask for name and password."""
    if visitor_of(request, context) is not None:
        return go_to(request, _within(to))
    with context.folder.database.read() as connection:
        has_administrator = people.has_administrator(connection)
    return page(request, "login.html", to=_within(to), has_administrator=has_administrator)


@pages.post("/login")
def login(
    request: Request,
    context: Here,
    name: Annotated[str, Form(max_length=64)],
    password: Annotated[str, Form(max_length=passwords.LONGEST)],
    to: Annotated[str, Form()] = "/",
) -> Response:
    """Let somebody in."""
    try:
        secret, _ = come_in(request, context, name, password)
    except WrongPassword:
        fault = "Name and password do not belong together."
        return page(
            request, "login.html", 401, to=_within(to), name=name, fault=fault, has_administrator=True
        )
    except TooOften as error:
        answer = page(
            request,
            "login.html",
            429,
            to=_within(to),
            name=name,
            fault=f"{error}.".capitalize(),
            has_administrator=True,
        )
        answer.headers["Retry-After"] = f"{error.seconds:.0f}"
        return answer
    answer = go_to(request, _within(to))
    answer.set_cookie(COOKIE, secret, httponly=True, samesite="lax", secure=request.url.scheme == "https")
    return answer


@pages.post("/logout")
def logout(request: Request, context: Here, visitor: Looker) -> Response:
    """Let somebody out."""
    leave(context, visitor)
    answer = go_to(request, "/login")
    answer.delete_cookie(COOKIE)
    return answer


@pages.get("/invitation/{secret}")
def invitation_page(request: Request, context: Here, secret: str) -> Response:
    """Ask somebody who was invited for the password that they want."""
    return page(
        request, "invitation.html", invitation=_invitation(context, secret), shortest=passwords.SHORTEST
    )


@pages.post("/invitation/{secret}")
def accept_invitation(
    request: Request,
    context: Here,
    secret: str,
    password: Annotated[str, Form(max_length=passwords.LONGEST)],
    again: Annotated[str, Form(max_length=passwords.LONGEST)],
    name: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    """Keep the password of somebody who was invited, and let them in."""
    found = _invitation(context, secret)
    name = found.name or name.strip()
    faults = {}
    if not NAME.fullmatch(name):
        faults["name"] = NAME_RULE
    if (fault := passwords.fault_of(password, name or " ")) is not None:
        faults["password"] = fault
    elif password != again:
        faults["again"] = "is not the same"
    if not faults:
        now = time.time()
        kept = passwords.hashed(password)
        with context.folder.database.write(Step.BY_HAND) as connection:
            accepted = people.accept(connection, secret, name, kept, now)
            if accepted is not None:
                audit.append(
                    connection,
                    now,
                    "person_accepted",
                    user=name,
                    role=accepted.role,
                    address=address_of(request),
                )
        if accepted is not None:
            moved_to = context.opened() if accepted.role is Role.ADMINISTRATOR else ""
            return page(request, "accepted.html", name=name, moved_to=moved_to)
        faults["name"] = "is somebody else's"
    return page(
        request,
        "invitation.html",
        422,
        invitation=found,
        name=name,
        faults=faults,
        shortest=passwords.SHORTEST,
    )


@api.post("/session")
def begin_session(request: Request, context: Here, credentials: Credentials) -> Token:
    """Log in: the token goes into the header `Authorization: Bearer ...` of what is asked next."""
    try:
        secret, role = come_in(request, context, credentials.name, credentials.password)
    except WrongPassword:
        raise HTTPException(401, "name and password do not belong together") from None
    except TooOften as error:
        raise HTTPException(429, str(error), {"Retry-After": f"{error.seconds:.0f}"}) from None
    return Token(token=secret, role=role)


@api.delete("/session", status_code=204)
def end_session(context: Here, visitor: Looker) -> None:
    """Log out."""
    leave(context, visitor)


def _invitation(context: Context, secret: str) -> people.Invitation:
    with context.folder.database.read() as connection:
        found = people.invitation(connection, secret, time.time())
    if found is None:
        raise HTTPException(404, "This invitation was used, has expired, or never was. Ask for a new one.")
    return found


def _within(path: str) -> str:
    """Return a path of this node, whatever was asked for: a link from elsewhere leads nowhere else."""
    return path if re.fullmatch(r"/(?![/\\])[^\\\x00-\x20]*", path) else "/"
