"""Who is asking, and what they may do.

Somebody is known by the secret of a session: in a cookie, as browsers have it, or as a bearer token (RFC 6750), as
programs have it. A cookie is sent along by a browser whoever made it ask; so a request that changes something counts
only where the browser says that it comes from a page of ours (`dicom_node.web.protection`).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Annotated, Any

from fastapi import Depends, Request

from dicom_node.web.context import Context, Here
from storage import audit, people
from storage.people import Role
from storage.steps import Step

COOKIE = "dicom_node_session"
LONGEST_SESSION_SECONDS = 12 * 3600.0
"""A shift; somebody who is still there then shows their password again."""
SEEN_EVERY_SECONDS = 60.0
"""That somebody is still there is written down no more often: pages ask every few seconds."""


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
    """Somebody who has come in."""

    name: str
    role: Role
    address: str
    session: int

    def may(self, right: str) -> bool:
        """Tell whether they have the right of this name, for pages."""
        return Right[right.upper()] in RIGHTS[self.role]


class NobodyKnown(Exception):
    """Who asks has to come in first."""


class NotAllowed(Exception):
    """Who asks may not do this."""


def visitor_of(request: Request, context: Context) -> Visitor | None:
    """Return who is asking, or None for somebody who has not come in, or was away for too long."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    secret = token.strip() if kind.lower() == "bearer" else request.cookies.get(COOKIE)
    if not secret:
        return None
    now, idle = time.time(), 60.0 * context.settings.web.session_minutes
    database = context.folder.database
    with database.read() as connection:
        found = people.session(connection, secret, now, idle, LONGEST_SESSION_SECONDS)
    if found is None:
        return None
    if now - found.seen_at > SEEN_EVERY_SECONDS:
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
    """Return the IP address that asks."""
    return request.client.host if request.client else ""


def note(context: Context, visitor: Visitor, event: str, **detail: Any) -> None:
    """Write into the audit trail what a visitor looked at."""
    with context.folder.database.write(Step.BY_HAND) as connection:
        audit.append(connection, time.time(), event, user=visitor.name, address=visitor.address, **detail)
