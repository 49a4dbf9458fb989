"""The studies of the last hours in the order in which to read them.

First those that waited for [worklist] longest_wait_minutes, whatever was found on them. Then pneumonia likely and
uncertain, the higher score first; studies without an answer (not analysable, failed, or not analysed yet); and unlikely
ones, in the order in which they came. Waiting is counted from the first image on. This node is not told which studies
have been read: what is older than --hours counts as read.
"""

import argparse
import json
import time
from dataclasses import asdict

from rich.table import Table

from dicom_node.auditing.person import note_look
from dicom_node.commands.options import add_config, add_json, console, open_existing_folder, settings_of
from storage.worklist import reading_order, studies_since

HOURS = 24.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `worklist` takes."""
    parser.add_argument(
        "--hours", type=float, default=HOURS, help="studies that came in so many hours [%(default)g]"
    )
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the studies, the one to read first at the top."""
    longest_wait = 60.0 * settings_of(arguments).worklist.longest_wait_minutes
    now = time.time()
    folder = open_existing_folder(arguments)
    with folder.database.read() as connection:
        studies = studies_since(connection, now - 3600.0 * arguments.hours)
    note_look(folder, "list_looked_at", command="worklist", count=len(studies))
    ordered = reading_order(studies, now, longest_wait)
    rows = [asdict(study) | {"waits_seconds": round(now - study.received_at, 3)} for study in ordered]
    if arguments.json:
        print(json.dumps(rows))
        return 0
    if not rows:
        print("nothing")
        return 0
    table = Table("", "answer", "score", "waits", "accession number")
    table.add_column("study", overflow="fold")
    for number, row in enumerate(rows, start=1):
        waits = f"{row['waits_seconds'] / 60:.0f} min"
        table.add_row(
            str(number),
            row["answer"] or "none",
            "" if row["score"] is None else f"{row['score']:.2f}",
            f"[bold]{waits}[/bold]" if row["waits_seconds"] >= longest_wait else waits,
            row["accession_number"],
            row["study_instance_uid"],
        )
    console().print(table)
    return 0
