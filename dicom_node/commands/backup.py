"""Copy the database and every object that it needs into FOLDER, while the node runs.

FOLDER is on another disk or machine, and holds one complete backup at any time: the next one copies what is new and
then takes its place; for several days back, name several folders in turn. An object is checked when it is copied, and
`dicom-node verify FOLDER` reads the whole backup. Settings and certificates are not in it. It holds patient data.

Run it as the node's user, every night for example. The exit status is 0 only if everything is in the backup; what is
missing or altered here is named, and the rest is backed up all the same.
"""

import argparse
import time
from pathlib import Path

from dicom_node.commands.findings import print_findings, shown
from dicom_node.commands.options import add_config, settings_of
from dicom_node.sweeps import DAY_SECONDS
from storage.backup import make_backup
from storage.folder import DataFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `backup` takes."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the backup is, or shall be")
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Make the backup and say what it holds."""
    settings = settings_of(arguments)
    now = time.time()
    made = make_backup(
        DataFolder.existing(settings.node.data_dir),
        arguments.folder,
        now - settings.retention.days * DAY_SECONDS,
        now,
        shown,
    )
    print(f"{arguments.folder}: a backup with {made.objects} objects, {made.new} of them new")
    print_findings(made.lost)
    return 1 if made.lost else 0
