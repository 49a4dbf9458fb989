"""Put a backup into an empty data folder, the one that the settings name. No node may run on it.

A damaged folder is moved aside first (mv). Run this as the node's user. Then start the node: it takes up what was under
way when the backup was made. What it delivered after that it delivers again, under the same UIDs, of which an archive
keeps one. What it received after that is not in the backup: send it again from the PACS; the time is printed.

The exit status is 0 only if everything was restored; what is missing from the backup is named, and the rest restored.
"""

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path

from dicom_node.commands.findings import print_findings, shown
from dicom_node.commands.options import add_config, settings_of
from dicom_node.node import Role
from dicom_node.sweeps import DAY_SECONDS
from storage.backup import Backup, restore
from storage.folder import DataFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `restore` takes."""
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="a folder that `dicom-node backup` has made"
    )
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Restore and say from when."""
    settings = settings_of(arguments)
    now = time.time()
    source = Backup(arguments.folder)
    folder = DataFolder(settings.node.data_dir)
    for role in Role:
        folder.lock_role(role)
    restored = restore(source, folder, now - settings.retention.days * DAY_SECONDS, now, shown)
    made_at = datetime.fromtimestamp(source.made_at(), UTC).astimezone()
    print(f"{folder.folder}: restored with {restored.objects} objects")
    print(f"as of {made_at:%Y-%m-%d %H:%M:%S %Z}: send again from the PACS what this node has received since")
    print_findings(restored.lost)
    return 1 if restored.lost else 0
