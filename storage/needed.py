"""Which objects the rows need: what may be missing from the store on no day, and whom it belongs to."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Select, exists, func, literal, or_, select, union_all
from sqlalchemy import false as sql_false

from storage.schema import conflicting_objects, deliveries, instances, results
from storage.states import DELIVERY_FINISHED


class Use(StrEnum):
    """What an object is for."""

    RECEIVED = "received"
    KEPT_ASIDE = "kept aside"
    RESULT = "result"


@dataclass(frozen=True, slots=True)
class NeededObject:
    """An object that a row names and retention has not removed.

    `is_awaited`: it is a result that is still to be delivered somewhere.
    """

    key: str
    use: Use
    study_instance_uid: str
    sop_instance_uid: str
    accession_number: str
    is_awaited: bool


def needed_objects(connection: Connection, aside_since: float) -> list[NeededObject]:
    """Return every object that a row needs; of what was kept aside for a removed image, what came since then."""
    rows = connection.execute(union_all(*_needed(aside_since)))
    return [NeededObject(row[0], Use(row[1]), row[2], row[3], row[4], bool(row[5])) for row in rows]


def is_needed(connection: Connection, key: str, aside_since: float) -> bool:
    """Tell whether a row needs the object."""
    return bool(those_needed(connection, {key}, aside_since))


def those_needed(connection: Connection, keys: Collection[str], aside_since: float) -> set[str]:
    """Return which of these objects a row needs."""
    asked = select(func.json_each(json.dumps(sorted(keys))).table_valued("value").c.value)
    found = (
        needed.with_only_columns(key).where(key.in_(asked))
        for needed in _needed(aside_since)
        for key in list(needed.selected_columns)[:1]
    )
    return set(connection.execute(union_all(*found)).scalars())


def _needed(aside_since: float) -> Iterator[Select[Any]]:
    """Yield the queries of `needed_objects`, each with the key as its first column."""
    accession_number = (
        select(func.coalesce(func.max(instances.c.accession_number), ""))
        .where(instances.c.study_instance_uid == results.c.study_instance_uid)
        .scalar_subquery()
    )
    is_awaited = exists().where(
        deliveries.c.result_id == results.c.id, deliveries.c.state.not_in(DELIVERY_FINISHED)
    )
    told = (instances.c.study_instance_uid, instances.c.sop_instance_uid, instances.c.accession_number)
    yield select(instances.c.object_key, literal(Use.RECEIVED), *told, sql_false()).where(
        instances.c.object_removed_at.is_(None)
    )
    yield (
        select(conflicting_objects.c.object_key, literal(Use.KEPT_ASIDE), *told, sql_false())
        .join(instances, instances.c.id == conflicting_objects.c.instance_id)
        .where(or_(instances.c.object_removed_at.is_(None), conflicting_objects.c.received_at >= aside_since))
    )
    yield select(
        results.c.object_key,
        literal(Use.RESULT),
        results.c.study_instance_uid,
        results.c.sop_instance_uid,
        accession_number,
        is_awaited,
    ).where(results.c.object_removed_at.is_(None))
