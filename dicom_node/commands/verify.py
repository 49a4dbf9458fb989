"""Check that everything is as it was written, beside a running node: nothing is changed.

database  its pages, its schema, the references between its rows, and that each row is in a state that a node makes
audit     no record of the trail was changed or taken out
objects   everything that a row needs is in the store, and its bytes are those of its name (SHA-256): this reads all
rights    nobody else can read or change what lies in the folder

Each fault is named with its mend, an object's with its study and accession number. Images that come again from the
PACS take the place of missing or altered ones by themselves. With a BACKUP it is that one which is checked. The exit
status is 0 only if all is well.
"""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

from dicom_node.commands.findings import print_findings, shown
from dicom_node.commands.options import add_config, add_json, settings_of
from dicom_node.sweeps import DAY_SECONDS
from storage import verification
from storage.backup import Backup
from storage.folder import DataFolder
from storage.needed import needed_objects


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `verify` takes."""
    parser.add_argument(
        "backup", nargs="?", type=Path, metavar="BACKUP", help="a folder that `dicom-node backup` has made"
    )
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check and print."""
    settings = settings_of(arguments)
    checked = (
        DataFolder.existing(settings.node.data_dir) if arguments.backup is None else Backup(arguments.backup)
    )
    count = unneeded = 0
    findings = verification.check_rights(checked.folder)
    fundamental = verification.check_pages(checked.database) or verification.check_schema(checked.database)
    findings += fundamental
    if not fundamental:
        aside_since = time.time() - settings.retention.days * DAY_SECONDS
        findings += verification.check_rows(checked.database)
        with checked.database.read() as connection:
            needed = needed_objects(connection, aside_since)
        for each in shown(needed):
            count += 1
            finding = verification.check_object(checked.database, checked.objects, each, aside_since)
            findings += [finding] if finding else []
        unneeded = verification.count_unneeded(checked.objects, needed)
    if arguments.json:
        counts = {"objects": count, "objects_not_needed": unneeded}
        print(json.dumps({**counts, "findings": [asdict(each) for each in findings]}))
    else:
        print(f"{checked.folder}: database and {count} objects checked, faults: {len(findings)}")
        print_findings(findings)
        if unneeded:
            print(f"  {unneeded} objects are not needed: the daily sweep removes them, it is no fault")
    return 1 if findings else 0
