"""The database: opening it, bringing it to this version's schema, reading and writing.

SQLite facts that shape this module (3.40, sqlite3 of Python 3.11): WAL lets readers go on beside one writer;
`synchronous=FULL` makes a commit durable when it returns; writers on separate connections wait for each other
in a busy loop and starve, so the writers of one process stand in line at a lock before they ask SQLite; and the
driver's own transaction handling is switched off, since it would begin read transactions as writers too late.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DatabaseError, IntegrityError, ProgrammingError

from storage.errors import DatabaseTooNew, StorageUnavailable
from storage.steps import Step

BUSY_SECONDS = 30
MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """The node's database. Safe to share between threads; close it when done."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer = threading.Lock()
        self._engine = create_engine(
            f"sqlite:///{path}", connect_args={"timeout": BUSY_SECONDS}, pool_size=16, max_overflow=64
        )
        event.listen(self._engine, "connect", _prepare_connection)
        event.listen(self._engine, "begin", _begin)

    def migrate(self) -> None:
        """Create the tables, or bring them to this version's schema, each migration in one transaction.

        Raises
        ------
        DatabaseTooNew
            The database has a migration that this version does not know.
        StorageUnavailable
            The file cannot be opened or written.
        """
        configuration = _alembic()
        with self.write(Step.MIGRATED) as connection:
            self._require_known(connection)
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, "head")

    def require_known(self) -> None:
        """Raise DatabaseTooNew where a newer version has migrated this database."""
        with self.read() as connection:
            self._require_known(connection)

    def _require_known(self, connection: Connection) -> None:
        known = {script.revision for script in ScriptDirectory.from_config(_alembic()).walk_revisions()}
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in known:
            raise DatabaseTooNew(self.path, current)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection inside a read transaction: one consistent picture of all tables."""
        with _translated(self.path), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, step: Step) -> Iterator[Connection]:
        """Give a connection inside a write transaction; it is durable when the block ends without an error.

        Parameters
        ----------
        step
            What the transaction makes durable; a node may be killed before or after it.

        Raises
        ------
        StorageUnavailable
            The database is busy for too long, read-only, or its disk is full; nothing was kept.
        """
        with _translated(self.path, f"{step}: "), self._writer, self._engine.connect() as connection:
            connection.execution_options(begins_to_write=True)
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()


def _alembic() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS))
    return configuration


@contextmanager
def _translated(path: Path, step: str = "") -> Iterator[None]:
    """Turn the library's error into this room's, without the statement and its parameters (they hold UIDs).

    What would be this code's own mistake (a violated constraint, a malformed statement) is left as it is.
    """
    try:
        yield
    except (IntegrityError, ProgrammingError):
        raise
    except DatabaseError as error:
        raise StorageUnavailable(f"{path}: {step}{error.orig}") from None


def _prepare_connection(dbapi_connection: sqlite3.Connection, _record: object) -> None:
    dbapi_connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        dbapi_connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("begins_to_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
