"""Let what is paused go on: all work, the analysis, or what goes to one destination.

What was paused by itself stays so when everything goes on: `dicom-node status` says what is left.
"""

import argparse
import sys
import time

from dicom_node import by_hand
from dicom_node.auditing.person import person
from dicom_node.commands.options import add_config, open_existing_folder
from dicom_node.commands.pause import add_scope, scope_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `resume` takes."""
    add_scope(parser)
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Let it go on; exit status 1 where it is not paused by itself."""
    folder = open_existing_folder(arguments)
    scope, destination = scope_of(arguments)
    if not by_hand.resume(folder.database, scope, destination, {"user": person()}, time.time()):
        print("dicom-node: is not paused by itself (dicom-node status)", file=sys.stderr)
        return 1
    print(f"goes on: {destination or scope}")
    return 0
