"""Who may look at the pages and change what: people with a password here, invitations, and sessions.

Whoever was given a secret of ours shows it, and the database keeps its SHA-256: a copy of the database opens nothing.
Passwords come here hashed. People whom the hospital's own single sign-on knows have sessions alone.
"""

import hashlib
import secrets
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, delete, exists, insert, select, update

from storage.schema import invitations, people, sessions


class Role(StrEnum):
    """What somebody is to the node."""

    VIEWER = "viewer"
    """Looks at worklist and studies."""
    RADIOLOGIST = "radiologist"
    """Says also whether the node was right."""
    ADMINISTRATOR = "administrator"
    """Looks, mends the queue, changes settings, and decides who may come in; says nothing about films."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a password here, `made_at` in seconds since 1970 (UTC)."""

    name: str
    role: Role
    made_at: float


@dataclass(frozen=True, slots=True)
class Invitation:
    """Whoever shows its secret sets a password; `name` None: and chooses a name."""

    name: str | None
    role: Role


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who has come in, and is still here."""

    id: int
    name: str
    role: Role
    seen_at: float


def has_administrator(connection: Connection) -> bool:
    """Tell whether anybody with a password here is an administrator."""
    return bool(connection.execute(select(exists().where(people.c.role == Role.ADMINISTRATOR))).scalar_one())


def everybody(connection: Connection) -> list[Person]:
    """Return all people with a password here, by name."""
    rows = connection.execute(select(people.c.name, people.c.role, people.c.made_at).order_by(people.c.name))
    return [Person(row.name, Role(row.role), row.made_at) for row in rows]


def role_and_password(connection: Connection, name: str) -> tuple[Role, str] | None:
    """Return a person's role and hashed password, or None where nobody has that name."""
    row = connection.execute(
        select(people.c.role, people.c.password_hash).where(people.c.name == name)
    ).one_or_none()
    return None if row is None else (Role(row.role), row.password_hash)


def invite(connection: Connection, role: Role, name: str | None, now: float, seconds: float) -> str:
    """Return the secret of a new invitation that holds for so many seconds; an older one of that name ends.

    For a name that somebody has it is a new password, and the role counts from its use on.
    """
    connection.execute(
        delete(invitations).where(
            (invitations.c.expires_at <= now) | invitations.c.name.is_not_distinct_from(name)
        )
    )
    secret = secrets.token_urlsafe(32)
    connection.execute(
        insert(invitations).values(
            secret_sha256=_digest(secret), name=name, role=role, expires_at=now + seconds
        )
    )
    return secret


def invitation(connection: Connection, secret: str, now: float) -> Invitation | None:
    """Return the invitation with this secret, or None where there is none, or none any more."""
    row = connection.execute(
        select(invitations.c.name, invitations.c.role).where(
            invitations.c.secret_sha256 == _digest(secret), invitations.c.expires_at > now
        )
    ).one_or_none()
    return None if row is None else Invitation(row.name, Role(row.role))


def accept(
    connection: Connection, secret: str, name: str, password_hash: str, now: float
) -> Invitation | None:
    """Let somebody in by an invitation, once, and end the sessions that the name had.

    None: there is no such invitation (any more), it is for somebody else, or it lets one choose a name that another
    has already.
    """
    found = invitation(connection, secret, now)
    if found is None or found.name not in (None, name):
        return None
    known = role_and_password(connection, name)
    if known is not None and found.name is None:
        return None
    if known is None:
        connection.execute(
            insert(people).values(name=name, role=found.role, password_hash=password_hash, made_at=now)
        )
    else:
        connection.execute(
            update(people).where(people.c.name == name).values(role=found.role, password_hash=password_hash)
        )
    connection.execute(delete(invitations).where(invitations.c.secret_sha256 == _digest(secret)))
    end_sessions_of(connection, name)
    return found


def remove(connection: Connection, name: str) -> bool:
    """Take somebody's password and sessions away; return whether there was anybody of that name."""
    connection.execute(delete(invitations).where(invitations.c.name == name))
    end_sessions_of(connection, name)
    return connection.execute(delete(people).where(people.c.name == name)).rowcount > 0


def begin_session(connection: Connection, name: str, role: Role, now: float) -> str:
    """Return the secret of a new session."""
    secret = secrets.token_urlsafe(32)
    connection.execute(
        insert(sessions).values(
            secret_sha256=_digest(secret), name=name, role=role, begun_at=now, seen_at=now
        )
    )
    return secret


def session(
    connection: Connection, secret: str, now: float, idle_seconds: float, longest_seconds: float
) -> Session | None:
    """Return the session with this secret; None: there is none, nobody was seen in it for so long, or it is as old."""
    row = connection.execute(
        select(sessions.c.id, sessions.c.name, sessions.c.role, sessions.c.seen_at).where(
            sessions.c.secret_sha256 == _digest(secret),
            sessions.c.seen_at > now - idle_seconds,
            sessions.c.begun_at > now - longest_seconds,
        )
    ).one_or_none()
    return None if row is None else Session(row.id, row.name, Role(row.role), row.seen_at)


def seen(connection: Connection, session_id: int, now: float) -> None:
    """Note that somebody is still here."""
    connection.execute(update(sessions).where(sessions.c.id == session_id).values(seen_at=now))


def end_session(connection: Connection, session_id: int) -> None:
    """Let nobody in by this session any more."""
    connection.execute(delete(sessions).where(sessions.c.id == session_id))


def end_sessions_of(connection: Connection, name: str) -> None:
    """End everything that somebody has open."""
    connection.execute(delete(sessions).where(sessions.c.name == name))


def forget_sessions(connection: Connection, seen_before: float) -> None:
    """Delete the sessions in which nobody was seen since."""
    connection.execute(delete(sessions).where(sessions.c.seen_at < seen_before))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
