"""Queue failed or rejected jobs (j...), and deliveries (d...) that failed, were refused or dismissed, again.

They get all their attempts. `dicom-node jobs --for-a-person` lists what waits for one. A delivery sends again what was
made then: what depends on settings that were changed since is made anew by `dicom-node report`. An HL7 message ends
as rejected where a later one of the study has arrived: the receiver would be left with the older.
"""

import argparse
import sys
import time

from dicom_node import by_hand
from dicom_node.auditing.person import person
from dicom_node.commands.options import add_config, numbered, open_existing_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `retry` takes."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "ids",
        nargs="*",
        type=numbered("jd"),
        default=[],
        metavar="ID",
        help="jobs (j7) and deliveries (d7)",
    )
    which.add_argument("--all", action="store_true", help="everything that waits for a person")
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Queue them and say which; exit status 1 if one of those named could not be."""
    folder = open_existing_folder(arguments)
    ids = None if arguments.all else arguments.ids
    queued = by_hand.retry(folder.database, ids, {"user": person()}, time.time())
    print(f"queued again: {', '.join(queued) or 'nothing'}")
    refused = [each for each in arguments.ids if each not in queued]
    if refused:
        print(f"dicom-node: neither failed, rejected nor dismissed: {', '.join(refused)}", file=sys.stderr)
    return 1 if refused else 0
