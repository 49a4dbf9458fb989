"""Lists of jobs, deliveries and fetches, newest first: by state, destination and kind, page by page.

There are millions of rows in the end, so a list is read from the end of an index and no further than `LOOKED_THROUGH`
rows at once: what is rarer than that among them is found by looking further back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, case, literal_column, select

from storage.queue import FOR_A_PERSON
from storage.records import Priority
from storage.schema import deliveries, fetches, instances, jobs, predictions, results
from storage.states import State

LOOKED_THROUGH = 5000


class Subject(StrEnum):
    """What is listed."""

    JOBS = "jobs"
    DELIVERIES = "deliveries"
    FETCHES = "fetches"


def _priority(table: Table) -> ColumnElement[str]:
    """The column `priority` as a word."""
    words = {int(priority): priority.name.lower() for priority in Priority}
    return case(words, value=table.c.priority).label("priority")


def _of_state(table: Table) -> list[ColumnElement[Any]]:
    """What every table tells of how far a row is."""
    names = ("state", "attempts", "reason", "not_before", "queued_at", "ended_at")
    return [table.c.id, *(table.c[name] for name in names)]


_ROWS: dict[Subject, tuple[str, Table, Select[Any]]] = {
    Subject.JOBS: (
        "j",
        jobs,
        select(
            *_of_state(jobs),
            jobs.c.kind,
            _priority(jobs),
            jobs.c.study_instance_uid,
            jobs.c.revision,
            instances.c.sop_instance_uid,
            predictions.c.answer,
        )
        .outerjoin(instances, instances.c.id == jobs.c.instance_id)
        .outerjoin(predictions, predictions.c.instance_id == instances.c.id),
    ),
    Subject.DELIVERIES: (
        "d",
        deliveries,
        select(
            *_of_state(deliveries),
            deliveries.c.destination,
            _priority(deliveries),
            deliveries.c.status,
            results.c.kind,
            results.c.study_instance_uid,
            results.c.revision,
            results.c.sop_instance_uid,
        ).join(results, results.c.id == deliveries.c.result_id),
    ),
    Subject.FETCHES: (
        "f",
        fetches,
        select(*_of_state(fetches), fetches.c.study_instance_uid, fetches.c.fetched),
    ),
}
"""The letter of its ids, its table, and what is told of a row."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list, newest first, their ids as people write them (`j7`).

    `older` is the number before which the list goes on; None: there is nothing before.
    """

    rows: list[dict[str, Any]]
    older: int | None


def newest(
    connection: Connection,
    subject: Subject,
    most: int,
    *,
    state: State | None = None,
    destination: str | None = None,
    kind: str | None = None,
    before: int | None = None,
) -> Page:
    """Return at most `most` rows, those with a lower number than `before`: all, or of a state, destination and kind."""
    letter, table, query = _ROWS[subject]
    window = select(table.c.id).order_by(table.c.id.desc()).limit(LOOKED_THROUGH)
    is_in_state = table.c.state == state
    if subject is Subject.FETCHES:
        # no index of them by state is in this order: by the plus SQLite goes by their ids
        is_in_state = literal_column("+fetches.state") == state
    if state is not None:
        window = window.where(is_in_state)
    if before is not None:
        window = window.where(table.c.id < before)
    looked_at = list(connection.execute(window).scalars())
    if not looked_at:
        return Page([], None)
    asked = query.where(table.c.id >= looked_at[-1], table.c.id <= looked_at[0])
    if state is not None:
        asked = asked.where(is_in_state)
    if destination is not None and subject is Subject.DELIVERIES:
        asked = asked.where(deliveries.c.destination == destination)
    if kind is not None and subject is not Subject.FETCHES:
        asked = asked.where((jobs if subject is Subject.JOBS else results).c.kind == kind)
    found = connection.execute(asked.order_by(table.c.id.desc()).limit(most + 1)).mappings().all()
    if len(found) > most:
        older: int | None = found[most - 1]["id"]
    else:
        older = looked_at[-1] if len(looked_at) == LOOKED_THROUGH else None
    return Page(_lettered(letter, found[:most]), older)


def list_jobs(
    connection: Connection, state: State | None, most: int, *, for_a_person: bool = False
) -> list[dict[str, Any]]:
    """Return the newest jobs and deliveries, at most `most` of each: all, of one state, or those for a person."""
    found = []
    for letter, table, query in (_ROWS[Subject.JOBS], _ROWS[Subject.DELIVERIES]):
        asked = [query]
        if state is not None or for_a_person:
            states = FOR_A_PERSON[table] if for_a_person else (state,)
            # each by itself SQLite finds in their order, and reads no more of them than are wanted
            asked = [query.where(table.c.state == each) for each in states]
        rows = [
            row
            for each in asked
            for row in connection.execute(each.order_by(table.c.id.desc()).limit(most)).mappings()
        ]
        rows.sort(key=lambda row: row["id"], reverse=True)
        found += _lettered(letter, rows[:most])
    return found


def _lettered(letter: str, rows: Sequence[Any]) -> list[dict[str, Any]]:
    return [{**row, "id": f"{letter}{row['id']}"} for row in rows]
