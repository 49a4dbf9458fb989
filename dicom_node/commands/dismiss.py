"""End deliveries (d...) that failed or were refused, once a person has looked: they no longer wait for one.

For what will never arrive, such as a workitem for an archive that keeps no worklist. `dicom-node jobs --for-a-person`
lists them. Until then their study is kept, whatever [retention] days says. `dicom-node retry` sends a dismissed one all
the same.
"""

import argparse
import sys
import time

from dicom_node.auditing.person import person
from dicom_node.commands.options import add_config, numbered, open_existing_folder
from storage import audit, queue, views
from storage.steps import Step


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `dismiss` takes."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("ids", nargs="*", type=numbered("d"), default=[], metavar="ID", help="deliveries (d7)")
    which.add_argument("--all", action="store_true", help="every delivery that waits for a person")
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """End them and say which; exit status 1 if one of those named could not be."""
    folder = open_existing_folder(arguments)
    now = time.time()
    with folder.database.write(Step.BY_HAND) as connection:
        _, waiting = views.waiting_for_a_person(connection)
        named = waiting if arguments.all else [int(each[1:]) for each in arguments.ids]
        dismissed = [f"d{each}" for each in queue.dismiss(connection, named, now)]
        if dismissed:
            audit.append(connection, now, "operator_dismissed", ids=dismissed, user=person())
    print(f"dismissed: {', '.join(dismissed) or 'nothing'}")
    refused = [each for each in arguments.ids if each not in dismissed]
    if refused:
        print(f"dicom-node: neither failed nor rejected: {', '.join(refused)}", file=sys.stderr)
    return 1 if refused else 0
