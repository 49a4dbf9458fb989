"""How people come in and leave by a password."""

from math import ceil
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from config.web import WebSettings
from dicom_node.web import passwords
from dicom_node.web.access import (
    Looker,
    Visitor,
    address_of,
    cookie_of,
    limits_of,
    visitor_of,
)
from dicom_node.web.context import Context, Here
from dicom_node.web.pages import go_to, page, within
from storage import audit, people
from storage.people import Role
from storage.steps import Step

BUSY = "Too many people are coming in at this moment. Try again."

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api", tags=["access"])


class Credentials(BaseModel):
    """A name and its password."""

    name: str = Field(max_length=64)
    password: str = Field(max_length=passwords.LONGEST)


class Token(BaseModel):
    """The secret of a session, for ``Authorization: Bearer``."""

    token: str
    role: Role


class WrongPassword(Exception):
    """Name and password do not belong together."""


class TooOften(Exception):
    """Somebody was wrong so often that they have to wait for `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = ceil(seconds)
        super().__init__(f"too many wrong passwords; try again in {self.seconds} seconds")


def check_password(context: Context, name: str, password: str, address: str) -> Role:
    """Return the role of whoever has this name and password. Raises WrongPassword, TooOften, TooManyAtOnce."""
    database = context.folder.database
    with database.read() as connection:
        known = people.role_and_password(connection, name)
    wait = context.attempts.begin(name, address)
    if wait > 0:
        raise TooOften(wait)
    if not passwords.is_right(password, known[1] if known else None) or known is None:
        with database.write(Step.BY_HAND) as connection:
            # what was typed as a name may be a password
            audit.append(
                connection, context.now(), "login_refused", user=name if known else "", address=address
            )
        raise WrongPassword
    context.attempts.was_right(name, address)
    return known[0]


def begin(request: Request, context: Context, name: str, role: Role, by: str) -> str:
    """Return the secret of a new session; one that this browser had before ends."""
    address, now, before = address_of(request), context.now(), visitor_of(request, context)
    with context.folder.database.write(Step.BY_HAND) as connection:
        people.forget_sessions(connection, now, limits_of(context))
        if before is not None and before.session is not None:
            people.end_session(connection, before.session, before.name)
        secret = people.begin_session(connection, name, role, now, address)
        audit.append(connection, now, "login", user=name, role=role, address=address, by=by)
    return secret


def come_in(request: Request, context: Context, name: str, password: str) -> tuple[str, Role]:
    """Return the secret of a new session. Raises WrongPassword, TooOften, TooManyAtOnce."""
    not_behind_a_proxy(context.settings.web)
    name = name.strip().lower()
    role = check_password(context, name, password, address_of(request))
    return begin(request, context, name, role, "password"), role


def leave(context: Context, visitor: Visitor) -> None:
    """End the visitor's session."""
    with context.folder.database.write(Step.BY_HAND) as connection:
        if visitor.session is not None:
            people.end_session(connection, visitor.session, visitor.name)
        audit.append(connection, context.now(), "logout", user=visitor.name, address=visitor.address)


def with_cookie(request: Request, answer: Response, secret: str) -> Response:
    """Have the browser keep the secret of a session until it is closed; no script of a page can read it."""
    secure = request.url.scheme == "https"
    answer.set_cookie(cookie_of(request), secret, httponly=True, samesite="lax", secure=secure)
    return answer


@pages.get("/login")
def login_page(request: Request, context: Here, to: str = "/") -> Response:
    """Ask for name and password."""
    if visitor_of(request, context) is not None:
        return go_to(request, within(to))
    not_behind_a_proxy(context.settings.web)
    return _login(request, context, to)


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
        return _login(request, context, to, 401, name, "Name and password do not belong together.")
    except TooOften as error:
        answer = _login(request, context, to, 429, name, f"{error}.".capitalize())
        answer.headers["Retry-After"] = str(error.seconds)
        return answer
    except passwords.TooManyAtOnce:
        return _login(request, context, to, 503, name, BUSY)
    return with_cookie(request, go_to(request, within(to)), secret)


@pages.post("/logout")
def logout(request: Request, context: Here, visitor: Looker) -> Response:
    """Let somebody out."""
    leave(context, visitor)
    with context.folder.database.read() as connection:
        has_password = people.role_and_password(connection, visitor.name) is not None
    is_elsewhere = context.provider is not None and not has_password
    answer = go_to(request, "/single-sign-on/out" if is_elsewhere else "/login")
    answer.delete_cookie(cookie_of(request), secure=request.url.scheme == "https", httponly=True)
    return answer


@api.post("/session", responses={401: {}, 403: {}, 429: {}, 503: {}})
def begin_session(request: Request, context: Here, credentials: Credentials) -> Token:
    """Log in: the token goes into the header `Authorization: Bearer ...` of what is asked next."""
    try:
        secret, role = come_in(request, context, credentials.name, credentials.password)
    except WrongPassword:
        raise HTTPException(401, "name and password do not belong together") from None
    except TooOften as error:
        raise HTTPException(429, str(error), {"Retry-After": str(error.seconds)}) from None
    except passwords.TooManyAtOnce:
        raise HTTPException(503, BUSY, {"Retry-After": "1"}) from None
    return Token(token=secret, role=role)


@api.delete("/session", status_code=204)
def end_session(context: Here, visitor: Looker) -> None:
    """Log out."""
    leave(context, visitor)


def _login(
    request: Request, context: Context, to: str, status: int = 200, name: str = "", fault: str = ""
) -> Response:
    with context.folder.database.read() as connection:
        has_administrator = people.has_administrator(connection)
    return page(
        request,
        "login.html",
        status,
        to=within(to),
        name=name,
        fault=fault,
        is_open=has_administrator or context.settings.web.has_single_sign_on,
        has_oidc=bool(context.settings.web.oidc.issuer),
    )


def not_behind_a_proxy(web: WebSettings) -> None:
    """Raise HTTPException where a reverse proxy says who comes in, and nobody does otherwise."""
    if web.proxy_user_header:
        raise HTTPException(403, "Who comes in is said by the hospital's reverse proxy: come by its address.")
