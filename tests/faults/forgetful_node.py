"""A node that promises what it does not do: the check of the power cuts themselves, which must find its losses.

python -m tests.faults.forgetful_node files|database run --config node.toml
"""

import os
import sqlite3
import sys

from dicom_node import cli
from storage import engine


def forget(what: str) -> None:
    """Leave out what makes "files" or the "database" durable."""
    if what == "files":
        os.fsync = lambda _descriptor: None
        return
    prepare = engine._prepare_connection

    def prepare_carelessly(connection: sqlite3.Connection, record: object) -> None:
        prepare(connection, record)
        connection.execute("PRAGMA synchronous=OFF")

    engine._prepare_connection = prepare_carelessly


if __name__ == "__main__":  # the analysing process imports this module, too
    forget(sys.argv[1])
    sys.exit(cli.main(sys.argv[2:]))
