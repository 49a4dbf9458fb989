"""What SQLite does for each statement that is asked, as SQLAlchemy or a prepared statement hands it to the driver."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from unittest import mock

from sqlalchemy import Connection, event

from storage import prepared


@contextmanager
def planned(connection: Connection) -> Iterator[list[tuple[str, str]]]:
    """Give a list that gets each step of what SQLite does inside this block, with the statement."""
    found: list[tuple[str, str]] = []

    def note(statement: str, values: Any) -> None:
        with closing(connection.connection.cursor()) as beside:
            beside.execute("EXPLAIN QUERY PLAN " + statement, values)
            found.extend((row[3], statement) for row in beside.fetchall())

    def note_sqlalchemy(
        _connection: object, _cursor: object, statement: str, values: Any, *_: object
    ) -> None:
        note(statement, values)

    def note_prepared(cursor: Any, statement: str, values: Any) -> None:
        note(statement, values)
        cursor.execute(statement, values)

    event.listen(connection, "before_cursor_execute", note_sqlalchemy)
    try:
        with mock.patch.object(prepared, "execute", note_prepared):
            yield found
    finally:
        event.remove(connection, "before_cursor_execute", note_sqlalchemy)
