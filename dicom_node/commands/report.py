"""Report a study again, with the settings of today: a further report that names the one it replaces.

For results that came out wrong by a setting (a field of an HL7 message, objects that a destination did not get yet).
An image is analysed again only where another model than the one in service has answered it; `dicom-node retry` does
that for those that failed. A running node sends the report at once.
"""

import argparse
import sys
import time

from dicom_node import by_hand
from dicom_node.auditing.person import person
from dicom_node.commands.options import add_config, open_existing_folder
from storage import views


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `report` takes."""
    parser.add_argument(
        "study", metavar="STUDY", help="accession number, UID, or job as `dicom-node jobs` names it"
    )
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Queue the report; exit status 1 where there is nothing to report on."""
    folder = open_existing_folder(arguments)
    with folder.database.read() as connection:
        study_instance_uid = views.find_study(connection, arguments.study)
    if study_instance_uid is None:
        print(f"dicom-node: nothing known of {arguments.study!r}", file=sys.stderr)
        return 1
    if not by_hand.report_again(folder.database, study_instance_uid, {"user": person()}, time.time()):
        print(
            "dicom-node: this node has no image of the study any more, or never analysed one", file=sys.stderr
        )
        return 1
    print(f"queued: a further report of {study_instance_uid}")
    return 0
