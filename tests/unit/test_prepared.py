"""Prepared statements say what SQLAlchemy would, and fail as its do."""

import sqlite3

import pytest
from sqlalchemy import bindparam, insert, select, update

from storage import audit
from storage.folder import DataFolder
from storage.prepared import Prepared
from storage.schema import counts
from storage.steps import Step

ROW = {"subject": "films", "destination": "", "what": "rows", "number": 7}


def test_what_is_prepared_reads_and_writes_what_sqlalchemy_does(folder: DataFolder) -> None:
    added = Prepared(insert(counts).returning(counts.c.number), *ROW)
    moved = Prepared(update(counts).where(counts.c.subject == bindparam("of")).values(number=bindparam("to")))
    asked = Prepared(
        select(counts.c.number.label("many"), counts.c.what).where(counts.c.subject == bindparam("of"))
    )
    with folder.database.write(Step.BY_HAND) as connection:
        assert [row.number for row in added.rows(connection, ROW)] == [7]
        moved.do(connection, {"of": "films", "to": 8})
        (row,) = asked.rows(connection, {"of": "films"})
        assert (row.many, row.what) == (8, "rows")
        assert asked.rows(connection, {"of": "nothing"}) == []
        assert connection.execute(select(counts.c.number).where(counts.c.subject == "films")).scalar() == 8


def test_a_violated_constraint_is_a_mistake_and_leaves_nothing_behind(folder: DataFolder) -> None:
    added = Prepared(insert(counts), *ROW)
    with pytest.raises(sqlite3.IntegrityError), folder.database.write(Step.BY_HAND) as connection:
        audit.append(connection, 1.0, "before")
        added.do(connection, ROW)
        added.do(connection, ROW)
    with folder.database.read() as connection:
        assert connection.execute(select(counts).where(counts.c.subject == "films")).first() is None
        assert audit.end(connection).last_id == 0


def test_a_value_that_was_forgotten_is_not_taken_for_empty(folder: DataFolder) -> None:
    added = Prepared(insert(counts), *ROW)
    with pytest.raises(KeyError), folder.database.write(Step.BY_HAND) as connection:
        added.do(connection, {"subject": "films", "destination": "", "what": "rows"})


def test_what_a_record_tells_is_read_as_it_was_written(folder: DataFolder) -> None:
    told = {"count": 3, "where": ["a", 'b "quoted"'], "nothing": None, "umlaut": "ä"}
    with folder.database.write(Step.BY_HAND) as connection:
        audit.append(connection, 1.0, "looked", **told)
    with folder.database.read() as connection:
        assert [record.detail for record in audit.records(connection)] == [told]
        assert list(audit.breaks(connection)) == []
