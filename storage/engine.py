"""The database: opening it, bringing it to this version's schema, reading and writing.

SQLite facts that shape this module (3.40, sqlite3 of Python 3.11): WAL lets readers go on beside one writer;
`synchronous=FULL` makes a commit durable when it returns; writers on separate connections wait for each other
in a busy loop and starve, so the writers of one process stand in line at a lock before they ask SQLite; and the
driver's own transaction handling is switched off, since it would begin read transactions as writers too late.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from urllib.parse import quote

from sqlalchemy import Connection, create_engine, event, inspect
from sqlalchemy.exc import DatabaseError, IntegrityError, ProgrammingError

from storage.errors import DatabaseBusy, DatabaseDamaged, DatabaseTooNew, StorageUnavailable
from storage.steps import Step

BUSY_SECONDS = 10
"""How long a writer stands in line, and then how long it waits for another process: a sender that is to be answered
"out of resources" has to hear it before it hangs up."""
MIGRATIONS = Path(__file__).parent / "migrations"
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_MENDS = {
    sqlite3.SQLITE_BUSY: "another process holds it; end that one",
    sqlite3.SQLITE_READONLY: "let disk, folder and file be writable for the node's user",
    sqlite3.SQLITE_CANTOPEN: "let disk, folder and file be writable for the node's user",
    sqlite3.SQLITE_PERM: "let disk, folder and file be writable for the node's user",
    sqlite3.SQLITE_FULL: "make room on its disk",
    sqlite3.SQLITE_IOERR: "look into the system's log for what its disk answers",
}


class Database:
    """The node's database. Safe to share between threads; close it when done.

    Parameters
    ----------
    is_copy
        It is a backup's, which nobody writes and which is not to be changed, not even by its journal.
    """

    def __init__(self, path: Path, *, is_copy: bool = False) -> None:
        self.path = path
        self._damage: DatabaseDamaged | None = None
        self._writer = threading.Lock()
        self._writing: Connection | None = None
        file = f"file:{quote(str(path))}?mode=ro&immutable=1&uri=true" if is_copy else str(path)
        self._engine = create_engine(
            f"sqlite:///{file}", connect_args={"timeout": BUSY_SECONDS}, pool_size=16, max_overflow=64
        )
        if not is_copy:
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
        from alembic import command  # noqa: PLC0415 - a tenth of a second that only a start has to take
        from alembic.config import Config  # noqa: PLC0415 - as above

        configuration = Config()
        configuration.set_main_option("script_location", str(MIGRATIONS))
        with self.write(Step.MIGRATED) as connection:
            self._require_known(connection)
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, "head")

    def require_known(self) -> None:
        """Raise DatabaseTooNew where a newer version has migrated this database."""
        with self.read() as connection:
            self._require_known(connection)

    def require_whole(self) -> None:
        """Raise DatabaseDamaged where the file's pages are not what SQLite wrote; nothing is written from then on."""
        with self.read() as connection:
            connection.exec_driver_sql("PRAGMA shrink_memory")  # what it remembers of the file is no proof
            fault = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
            if fault != "ok":
                raise DatabaseDamaged(self.path, str(fault).splitlines()[-1])

    @property
    def damage(self) -> DatabaseDamaged | None:
        """The damage that was seen, after which nothing is written."""
        return self._damage

    def pragmas(self) -> tuple[str, int]:
        """Return the journal mode and the level of syncing that SQLite has set, whatever it was asked for."""
        with self.read() as connection:
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
            return str(mode), int(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

    def revision(self) -> str | None:
        """Return the migration that the database is at; None: it has no tables yet."""
        with self.read() as connection:
            return revision_of(connection)

    def copy_to(self, path: Path) -> None:
        """Write one consistent picture of the database to a new file, durably; readers and writers go on meanwhile.

        Raises
        ------
        StorageUnavailable
            The database cannot be read, or there is no room for the copy.
        """
        try:
            # SQLite would make it readable by everyone
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
            with self._translated(f"copied to {path}: "), self._engine.connect() as connection:
                driver = cast(sqlite3.Connection, connection.connection.driver_connection)
                driver.execute("VACUUM INTO ?", (str(path),))  # cannot be inside a transaction
            with path.open("rb") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageUnavailable(f"{path}: {error.strerror}") from error

    def _require_known(self, connection: Connection) -> None:
        current = revision_of(connection)
        if current is not None and current not in _revisions():
            raise DatabaseTooNew(self.path, current)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection inside a read transaction: one consistent picture of all tables."""
        with self._translated(), self._engine.connect() as connection, connection.begin():
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
        DatabaseDamaged
            It is, or was found so before: what is written into a damaged file may be lost.
        """
        if self._damage is not None:
            raise DatabaseDamaged(self.path, self._damage.fault)
        with self._translated(f"{step}: "), self._in_line(), self._kept() as connection, connection.begin():
            yield connection

    @contextmanager
    def _in_line(self) -> Iterator[None]:
        if not self._writer.acquire(timeout=BUSY_SECONDS):
            raise DatabaseBusy(f"{self.path}: too many writers wait for a slow or locked database")
        try:
            yield
        finally:
            self._writer.release()

    @contextmanager
    def _kept(self) -> Iterator[Connection]:
        """Give the one connection that writes, and keep it where all went well: it knows the pages that it wrote, and
        each of a pool's would have to read again what the others did.
        """
        connection, self._writing = self._writing, None
        if connection is None:
            connection = self._engine.connect().execution_options(begins_to_write=True)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._writing = connection

    @contextmanager
    def _translated(self, step: str = "") -> Iterator[None]:
        """Turn the library's error into this room's, without the statement and its parameters (they hold UIDs).

        What would be this code's own mistake (a violated constraint, a malformed statement) is left as it is. Damage
        that was seen once is remembered.
        """
        try:
            yield
        except (IntegrityError, ProgrammingError, sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise
        except DatabaseError as error:
            raise self._remembered(_fault(self.path, step, error.orig)) from None
        except sqlite3.DatabaseError as error:
            raise self._remembered(_fault(self.path, step, error)) from None
        except DatabaseDamaged as error:
            raise self._remembered(error) from None

    def _remembered(self, fault: StorageUnavailable) -> StorageUnavailable:
        if isinstance(fault, DatabaseDamaged):
            self._damage = fault
        return fault

    def close(self) -> None:
        """Close every connection."""
        connection, self._writing = self._writing, None
        if connection is not None:
            connection.close()
        self._engine.dispose()


def newest_revision() -> str:
    """Return the migration that this version brings a database to."""
    return max(_revisions())


def revision_of(connection: Connection) -> str | None:
    """Return the migration that the database is at; None: it has no tables yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none()
    return None if found is None else str(found)


def _revisions() -> set[str]:
    """The migrations that this version knows, as their files are named."""
    return {path.name[1:5] for path in (MIGRATIONS / "versions").glob("v[0-9]*_*.py")}


def _fault(path: Path, step: str, error: BaseException | None) -> StorageUnavailable:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # above are details (sqlite.org/rescode.html)
    if code in _DAMAGED:
        return DatabaseDamaged(path, f"{step}{error}")
    mend = _MENDS.get(code)
    kind = DatabaseBusy if code == sqlite3.SQLITE_BUSY else StorageUnavailable
    return kind(f"{path}: {step}{error}" + (f"; {mend}" if mend else ""))


def _prepare_connection(dbapi_connection: sqlite3.Connection, _record: object) -> None:
    dbapi_connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        dbapi_connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("begins_to_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
