"""A data folder in which a node has worked for long: the rows of hundreds of thousands of studies, within a minute.

One study goes its way through the node's own functions: as a rule the whole one, with a film that is answered, a
lateral view that is not analysable, a report and a heatmap, both delivered. Its rows are then multiplied inside SQLite,
each study under identifiers of its own and some seconds after the one before. What is older than the retention has had
its objects removed.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

from sqlalchemy import JSON, Column, Connection, Float, String, Table

from config.settings import Settings
from storage import reception
from storage.folder import DATABASE_NAME, DataFolder
from storage.schema import audit as audit_table
from storage.schema import deliveries, instances, jobs, predictions, results
from storage.steps import Step
from tests.questions import analysed_and_reported, deliver, received

JOBS_A_STUDY = 3
IMAGES_A_STUDY = 2
FIRST = 100_000_000
"""What stands for a study in each of its identifiers; the next one has the next number."""
RETENTION_SECONDS = 86400 * Settings().retention.days
EVERY_SECONDS = 86.4
"""A large hospital: a thousand studies a day."""


def go_the_whole_way(connection: Connection, study: int, now: float) -> None:
    """Receive, analyse, report and deliver."""
    analysed_and_reported(connection, study, now)
    deliver(connection, study, now + 5)


def arrive(connection: Connection, study: int, now: float) -> None:
    """Receive; nobody has analysed the images yet."""
    for number in range(IMAGES_A_STUDY):
        reception.receive(connection, received(study, number), 2.0, now)


def fill(
    folder: DataFolder,
    studies: int,
    now: float,
    way: Callable[[Connection, int, float], None] = go_the_whole_way,
    every: float = EVERY_SECONDS,
) -> None:
    """Add the rows of so many studies to a folder without any: one began every so many seconds, the last just now."""
    began_at = now - studies * every
    template = DataFolder(folder.folder / "template")
    template.database.migrate()
    with template.database.write(Step.BY_HAND) as connection:
        way(connection, FIRST, began_at)
    template.close()
    with closing(sqlite3.connect(folder.folder / DATABASE_NAME, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-400000")
        connection.execute("ATTACH ? AS template", (str(template.folder / DATABASE_NAME),))
        connection.execute("CREATE TEMP TABLE numbers (n INTEGER PRIMARY KEY)")
        connection.execute(
            "WITH RECURSIVE counted(n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM counted WHERE n + 1 < ?)"
            " INSERT INTO numbers SELECT n FROM counted",
            (studies,),
        )
        connection.execute("BEGIN")
        # made anew in one go they take a fraction of the time; a trigger looks for each image's study
        indexes = connection.execute(
            "SELECT name, sql FROM main.sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
            " AND name <> 'ix_instances_study_instance_uid'"
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f'DROP INDEX main."{name}"')
        for table in (instances, jobs, predictions, results, deliveries, audit_table):
            _multiply(connection, table, every)
        for table, at in ((instances, "received_at"), (results, "created_at")):
            connection.execute(
                f"UPDATE {table.name} SET object_removed_at = {at} + ? WHERE {at} < ?",
                (RETENTION_SECONDS, now - RETENTION_SECONDS),
            )
        connection.execute(
            "UPDATE audit_end SET (last_id, digest) = (SELECT id, digest FROM audit ORDER BY id DESC LIMIT 1)"
            " WHERE EXISTS (SELECT 1 FROM audit)"
        )
        for _, statement in indexes:
            connection.execute(statement)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _multiply(connection: sqlite3.Connection, table: Table, every: float) -> None:
    """Copy the template's rows of a table once for each number."""
    columns = table.columns
    values = ", ".join(_value(connection, column, every) for column in columns)
    names = ", ".join(column.name for column in columns)
    connection.execute(
        f"INSERT INTO main.{table.name} ({names})"
        f" SELECT {values} FROM numbers CROSS JOIN template.{table.name} AS row ORDER BY n, row.id"
    )


def _value(connection: sqlite3.Connection, column: Column[Any], every: float) -> str:
    """Return what a column has in the study of number `n`, as SQL."""
    name = f"row.{column.name}"
    if column.primary_key or column.foreign_keys:
        table = column.table if column.primary_key else next(iter(column.foreign_keys)).column.table
        many = connection.execute(f"SELECT count(*) FROM template.{table.name}").fetchone()[0]
        return f"{name} + {many} * n"
    if column.name in ("digest", "object_key"):  # nobody goes along the chain here, or reads the objects
        return "lower(hex(randomblob(32)))"
    if isinstance(column.type, Float) and column.name not in ("score", "uncertain_from", "likely_from"):
        return f"{name} + n * {every!r}"
    if isinstance(column.type, String | JSON):
        return f"replace({name}, '{FIRST}', {FIRST} + n)"
    return name
