"""List jobs (j...) and deliveries (d...), newest first, with their state and the answer or the reason for it.

queued     waits for its turn, or for its next try
running    is being worked on
delivered  the destination has the result, and has not yet promised to keep it ([[destinations]] storage_commitment)
committed  the destination has promised to keep the result
done       image analysed, study reported, or result delivered where no promise is asked for
rejected   image not analysable, or result refused for good by the destination: see the reason
failed     waits for a person: see the reason, mend it, then `dicom-node retry`
dismissed  failed or was refused, and a person has looked (`dicom-node dismiss`)

What is urgent goes first: all of a study of which an image was sent with Priority HIGH, or ordered as STAT or HIGH.
Earlier films, fetched to be compared with, go last.

The newest 1000 jobs and 1000 deliveries are listed. `--for-a-person` is what `dicom-node status` counts: what failed,
and deliveries that were refused.
"""

import argparse
import json
import time

from rich.table import Table

from dicom_node.auditing.person import note_look
from dicom_node.commands.options import add_config, add_json, console, open_existing_folder
from storage import listing
from storage.states import State

MOST = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `jobs` takes."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--state", choices=[str(state) for state in State], help="only those in this state")
    which.add_argument(
        "--for-a-person", action="store_true", help="what failed, and deliveries that were refused for good"
    )
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the list."""
    folder = open_existing_folder(arguments)
    with folder.database.read() as connection:
        state = State(arguments.state) if arguments.state else None
        rows = listing.list_jobs(connection, state, MOST, for_a_person=arguments.for_a_person)
    note_look(folder, "list_looked_at", command="jobs", count=len(rows))
    if arguments.json:
        print(json.dumps(rows))
        return 0
    now = time.time()
    if not rows:
        print("nothing")
        return 0
    table = Table("id", "what", "state", "attempts", "waits since", "next try", "answer or reason")
    table.add_column("study", overflow="fold")
    for row in rows:
        waits = row["not_before"] - now if row["state"] == State.QUEUED else 0
        urgent = "urgent " if row["priority"] == "urgent" else ""
        what = urgent + row["kind"] + (f" to {row['destination']}" if "destination" in row else "")
        table.add_row(
            row["id"],
            what,
            row["state"],
            str(row["attempts"]),
            f"{now - row['queued_at']:.0f} s ago",
            f"in {waits:.0f} s" if waits > 0 else "",
            row.get("answer") or row["reason"] or "",
            row["study_instance_uid"],
        )
    console().print(table)
    return 0
