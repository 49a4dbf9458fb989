"""Who may look at the pages and change what: people with a password here, invitations, and sessions.

Whoever was given a secret of ours shows it, and the database keeps its SHA-256: a copy of the database opens nothing.
Passwords come here hashed. People whom the hospital's own single sign-on knows have sessions alone.
"""

import hashlib
import secrets
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, exists, func, insert, select, update

from storage.errors import LastAdministrator
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
    """Somebody who may come in, was invited, or has come in by the hospital's single sign-on.

    Attributes
    ----------
    made_at, seen_at, invited_until
        Since when they have a password here; when they were last seen in a session that is open; until when an
        invitation (or a link for a new password) holds. Seconds since 1970 (UTC), None: not at all.
    sessions
        How many they have open.
    """

    name: str
    role: Role
    made_at: float | None = None
    seen_at: float | None = None
    sessions: int = 0
    invited_until: float | None = None


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
    begun_at: float
    seen_at: float
    address: str


@dataclass(frozen=True, slots=True)
class Limits:
    """When a session ends by itself: after so long without anybody in it, and after so long in all; in seconds."""

    idle: float
    longest: float


def has_administrator(connection: Connection) -> bool:
    """Tell whether anybody with a password here is an administrator."""
    return bool(connection.execute(select(exists().where(people.c.role == Role.ADMINISTRATOR))).scalar_one())


def everybody(connection: Connection, now: float, limits: Limits) -> list[Person]:
    """Return all people, by name."""
    found = {
        row.name: Person(row.name, Role(row.role), row.made_at)
        for row in connection.execute(select(people.c.name, people.c.role, people.c.made_at))
    }
    invited = select(invitations.c.name, invitations.c.role, invitations.c.expires_at).where(
        invitations.c.name.is_not(None), invitations.c.expires_at > now
    )
    for row in connection.execute(invited):
        person = found.get(row.name, Person(row.name, Role(row.role)))
        found[row.name] = replace(person, invited_until=row.expires_at)
    counted = (
        select(
            sessions.c.name,
            func.max(sessions.c.role).label("role"),
            func.max(sessions.c.seen_at).label("seen_at"),
            func.count().label("number"),
        )
        .where(*_is_open(now, limits))
        .group_by(sessions.c.name)
    )
    for row in connection.execute(counted):
        person = found.get(row.name, Person(row.name, Role(row.role)))
        found[row.name] = replace(person, seen_at=row.seen_at, sessions=row.number)
    return sorted(found.values(), key=lambda person: person.name)


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
    has already. Raises LastAdministrator.
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
        change_role(connection, name, found.role)
        set_password(connection, name, password_hash)
    connection.execute(delete(invitations).where(invitations.c.secret_sha256 == _digest(secret)))
    end_sessions_of(connection, name)
    return found


def set_password(connection: Connection, name: str, password_hash: str) -> None:
    """Keep somebody's new password."""
    connection.execute(update(people).where(people.c.name == name).values(password_hash=password_hash))


def change_role(connection: Connection, name: str, role: Role) -> bool:
    """Have somebody be something else from now on, also where they are in already, and by a link that they were given.

    Returns whether there is anybody of that name with a password. Raises LastAdministrator.
    """
    if role is not Role.ADMINISTRATOR:
        _require_another_administrator(connection, name)
    for table in (invitations, sessions):
        connection.execute(update(table).where(table.c.name == name).values(role=role))
    return connection.execute(update(people).where(people.c.name == name).values(role=role)).rowcount > 0


def remove(connection: Connection, name: str) -> bool:
    """Take somebody's password, invitation and sessions away; return whether there were any.

    Raises LastAdministrator.
    """
    _require_another_administrator(connection, name)
    invited = connection.execute(delete(invitations).where(invitations.c.name == name)).rowcount
    ended = end_sessions_of(connection, name)
    return invited + ended + connection.execute(delete(people).where(people.c.name == name)).rowcount > 0


def _require_another_administrator(connection: Connection, name: str) -> None:
    administrators = connection.execute(select(people.c.name).where(people.c.role == Role.ADMINISTRATOR))
    if list(administrators.scalars()) == [name]:
        raise LastAdministrator(name)


def begin_session(connection: Connection, name: str, role: Role, now: float, address: str) -> str:
    """Return the secret of a new session."""
    secret = secrets.token_urlsafe(32)
    connection.execute(
        insert(sessions).values(
            secret_sha256=_digest(secret), name=name, role=role, begun_at=now, seen_at=now, address=address
        )
    )
    return secret


def session(connection: Connection, secret: str, now: float, limits: Limits) -> Session | None:
    """Return the session with this secret, or None where there is none, or none any more."""
    row = connection.execute(
        select(sessions).where(sessions.c.secret_sha256 == _digest(secret), *_is_open(now, limits))
    ).one_or_none()
    return None if row is None else _session(row)


def sessions_of(connection: Connection, name: str, now: float, limits: Limits) -> list[Session]:
    """Return what somebody has open, the newest first."""
    rows = connection.execute(
        select(sessions)
        .where(sessions.c.name == name, *_is_open(now, limits))
        .order_by(sessions.c.begun_at.desc(), sessions.c.id.desc())
    )
    return [_session(row) for row in rows]


def seen(connection: Connection, session_id: int, now: float) -> None:
    """Note that somebody is still here."""
    connection.execute(update(sessions).where(sessions.c.id == session_id).values(seen_at=now))


def end_session(connection: Connection, session_id: int, name: str) -> bool:
    """Let nobody in by this session of somebody's any more; return whether it is theirs."""
    ended = delete(sessions).where(sessions.c.id == session_id, sessions.c.name == name)
    return connection.execute(ended).rowcount > 0


def end_sessions_of(connection: Connection, name: str, but: int | None = None) -> int:
    """End everything that somebody has open, but for one; return how many that were."""
    ended = delete(sessions).where(sessions.c.name == name)
    return connection.execute(ended if but is None else ended.where(sessions.c.id != but)).rowcount


def forget_sessions(connection: Connection, now: float, limits: Limits) -> None:
    """Delete the sessions that have ended by themselves."""
    connection.execute(delete(sessions).where(~and_(*_is_open(now, limits))))


def _is_open(now: float, limits: Limits) -> tuple[ColumnElement[bool], ...]:
    return sessions.c.seen_at > now - limits.idle, sessions.c.begun_at > now - limits.longest


def _session(row: Row[Any]) -> Session:
    return Session(row.id, row.name, Role(row.role), row.begun_at, row.seen_at, row.address)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
