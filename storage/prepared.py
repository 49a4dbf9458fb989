"""Statements for what a sender waits for: compiled once, and given to the driver as they are.

SQLAlchemy takes 40 microseconds to ask what SQLite answers in four, and a film is ten questions. What comes back is
as the driver has it: numbers for what is true or false, text for JSON. All else goes through SQLAlchemy itself.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Dialect, Insert, Select, Update
from sqlalchemy.engine.interfaces import DBAPICursor


class Prepared:
    """A statement, and what is asked with it; `columns` are those that an insert or update sets by name."""

    def __init__(self, statement: Select[*tuple[Any, ...]] | Insert | Update, *columns: str) -> None:
        self._statement = statement
        self._columns = columns or None
        row: Any = namedtuple("row", map(str, statement.exported_columns.keys()))  # type: ignore[misc]
        self._named: Callable[[tuple[Any, ...]], Any] = row._make
        self._text = ""
        self._order: tuple[str, ...] = ()
        self._fixed: dict[str, Any] = {}

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> list[Any]:
        """Return the rows, whose columns have names, for these values of its parameters."""
        return [self._named(row) for row in self._executed(connection, values).fetchall()]

    def do(self, connection: Connection, values: Mapping[str, Any]) -> None:
        """Run what returns nothing."""
        self._executed(connection, values)

    def _executed(self, connection: Connection, values: Mapping[str, Any]) -> DBAPICursor:
        if not self._text:
            self._compile(connection.dialect)
        given = {**self._fixed, **values}
        cursor = connection.connection.cursor()
        execute(cursor, self._text, tuple(given[name] for name in self._order))
        return cursor

    def _compile(self, dialect: Dialect) -> None:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._columns)
        self._order = tuple(compiled.positiontup or ())
        binds = compiled.binds
        self._fixed = {name: binds[name].value for name in self._order if not binds[name].required}
        self._text = str(compiled)


def execute(cursor: DBAPICursor, text: str, values: tuple[Any, ...]) -> None:
    """Where each of them goes to the driver."""
    cursor.execute(text, values)
