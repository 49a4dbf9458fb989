"""Give up jobs (j...) that failed, and deliveries (d...) that failed or were refused, once a person has looked.

For what will never be analysed or arrive, such as a workitem for an archive that keeps no worklist. `dicom-node jobs
--for-a-person` lists them. Until then their study is kept, whatever [retention] days says. `dicom-node retry` takes up
a dismissed one all the same.
"""

import argparse
import sys
import time

from dicom_node import by_hand
from dicom_node.auditing.person import person
from dicom_node.commands.options import add_config, numbered, open_existing_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `dismiss` takes."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "ids", nargs="*", type=numbered("jd"), default=[], metavar="ID", help="jobs (j7), deliveries (d7)"
    )
    which.add_argument("--all", action="store_true", help="everything that waits for a person")
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Give them up and say which; exit status 1 if one of those named could not be."""
    folder = open_existing_folder(arguments)
    ids = None if arguments.all else arguments.ids
    dismissed = by_hand.dismiss(folder.database, ids, {"user": person()}, time.time())
    print(f"dismissed: {', '.join(dismissed) or 'nothing'}")
    refused = [each for each in arguments.ids if each not in dismissed]
    if refused:
        print(f"dicom-node: do not wait for a person: {', '.join(refused)}", file=sys.stderr)
    return 1 if refused else 0
