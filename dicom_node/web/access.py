"""Who is asking, and what they may do.

Somebody is known by the secret of a session: in a cookie, as browsers have it, or as a bearer token (RFC 6750), as
programs have it. A cookie is sent along by a browser whoever made it ask; so a request that changes something counts
only where the browser says that it comes from a page of ours (`dicom_node.web.protection`). Where the settings name the
header of a reverse proxy, that alone says who asks (`dicom_node.web.proxy`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import ip_address
from typing import Annotated, Any

from fastapi import Depends, Request

from dicom_node.web import proxy
from dicom_node.web.context import Context, Here
from storage import audit, people
from storage.people import Limits, Role
from storage.steps import Step

COOKIE = "dicom_node_session"
LONGEST_SESSION_SECONDS = 12 * 3600.0
"""A shift; somebody who is still there then shows their password again."""
SEEN_EVERY_SECONDS = 60.0
"""That somebody is still there is written down no more often: pages ask every few seconds."""
UNATTENDED = "unattended"
"""The header of what a page asks by itself while nobody touches it (``pages.js``): that keeps no session open."""


class Right(Enum):
    """What one may do."""

    LOOK = auto()
    JUDGE = auto()
    ADMINISTER = auto()


RIGHTS = {
    Role.VIEWER: {Right.LOOK},
    Role.RADIOLOGIST: {Right.LOOK, Right.JUDGE},
    Role.ADMINISTRATOR: {Right.LOOK, Right.ADMINISTER},
}


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who has come in; `session` None: whom a reverse proxy names with each request."""

    name: str
    role: Role
    address: str
    session: int | None

    @property
    def who(self) -> dict[str, str]:
        """What the audit trail says of them."""
        return {"user": self.name, "address": self.address}

    def may(self, right: str) -> bool:
        """Tell whether they have the right of this name, for pages."""
        return Right[right.upper()] in RIGHTS[self.role]


class NobodyKnown(Exception):
    """Who asks has to come in first."""


class NotAllowed(Exception):
    """Who asks may not do this."""


def limits_of(context: Context) -> Limits:
    """Return when sessions end by themselves."""
    return Limits(60.0 * context.settings.web.session_minutes, LONGEST_SESSION_SECONDS)


def cookie_of(request: Request) -> str:
    """Return what the cookie is called: by ``__Host-`` (RFC 6265bis) no other site of the domain can set it."""
    return f"__Host-{COOKIE}" if request.url.scheme == "https" else COOKIE


def visitor_of(request: Request, context: Context) -> Visitor | None:
    """Return who is asking, or None for somebody who has not come in, or was away for too long.

    Raises
    ------
    HTTPException
        A reverse proxy's header that is not to be believed, or that gives no role.
    """
    named = proxy.person_of(request, context.settings.web)
    if named is not None:
        return Visitor(named.name, named.role, address_of(request), None)
    if context.settings.web.proxy_user_header:
        return None
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    secret = token.strip() if kind.lower() == "bearer" else request.cookies.get(cookie_of(request))
    if not secret:
        return None
    now, database = context.now(), context.folder.database
    with database.read() as connection:
        found = people.session(connection, secret, now, limits_of(context))
    if found is None:
        return None
    if now - found.seen_at > SEEN_EVERY_SECONDS and UNATTENDED not in request.headers:
        with database.write(Step.BY_HAND) as connection:
            people.seen(connection, found.id, now)
    return Visitor(found.name, found.role, address_of(request), found.id)


def required(right: Right) -> Callable[..., Visitor]:
    """Return the dependency that lets only those through who have the right."""

    def check(request: Request, context: Here) -> Visitor:
        visitor = visitor_of(request, context)
        if visitor is None:
            raise NobodyKnown
        request.state.visitor = visitor
        if right not in RIGHTS[visitor.role]:
            raise NotAllowed
        return visitor

    return check


Looker = Annotated[Visitor, Depends(required(Right.LOOK))]
Judge = Annotated[Visitor, Depends(required(Right.JUDGE))]
Administrator = Annotated[Visitor, Depends(required(Right.ADMINISTER))]


def address_of(request: Request) -> str:
    """Return the IP address that asks, as a proxy that is trusted says it; "" where it says none."""
    try:
        return str(ip_address(request.client.host)) if request.client else ""
    except ValueError:
        return ""


def note(context: Context, visitor: Visitor, event: str, **detail: Any) -> None:
    """Write into the audit trail what a visitor looked at."""
    with context.folder.database.write(Step.BY_HAND) as connection:
        audit.append(connection, context.now(), event, user=visitor.name, address=visitor.address, **detail)
