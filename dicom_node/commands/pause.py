"""Stop all work, the analysis, or what goes to one destination, until `dicom-node resume`.

From then on nothing of it is begun, by no process, and after no restart; what is under way ends. Receiving goes on, and
what comes waits. While the analysis is paused no report is made; a paused destination is neither sent anything nor
asked to promise anything. Deliveries are given up after [retry] deliver_give_up_days, paused or not, once they are
tried again. `dicom-node status` and every page say what is paused, since when, by whom, and why.
"""

import argparse
import sys
import time

from dicom_node import by_hand
from dicom_node.auditing.person import person
from dicom_node.commands.options import add_config, settings_of
from storage.folder import DataFolder
from storage.pauses import Scope


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `pause` takes."""
    add_scope(parser)
    parser.add_argument(
        "--reason", required=True, metavar="TEXT", help="why, for whoever sees that it is paused"
    )
    add_config(parser)


def add_scope(parser: argparse.ArgumentParser) -> None:
    """Add what can be paused, one of which has to be named."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--everything", action="store_true", help="analysis, all destinations, earlier films")
    which.add_argument("--analysis", action="store_true", help="analysis and reports")
    which.add_argument("--destination", metavar="NAME", help="what this destination gets")


def scope_of(arguments: argparse.Namespace) -> tuple[Scope, str]:
    """Return what was named, and the destination where it was one."""
    if arguments.destination is not None:
        return Scope.DESTINATION, arguments.destination
    return (Scope.EVERYTHING if arguments.everything else Scope.ANALYSIS), ""


def run(arguments: argparse.Namespace) -> int:
    """Pause it; exit status 1 where it is paused already."""
    settings = settings_of(arguments)
    scope, destination = scope_of(arguments)
    names = by_hand.destination_names(settings)
    if scope is Scope.DESTINATION and destination not in names:
        there_is = ", ".join(names) or "none"
        print(f"dicom-node: no destination {destination!r}; there is: {there_is}", file=sys.stderr)
        return 2
    reason = arguments.reason.strip()
    if not 0 < len(reason) <= by_hand.LONGEST_REASON:
        print(f"dicom-node: --reason must have 1 to {by_hand.LONGEST_REASON} characters", file=sys.stderr)
        return 2
    folder = DataFolder.existing(settings.node.data_dir)
    if not by_hand.pause(folder.database, scope, destination, reason, {"user": person()}, time.time()):
        print("dicom-node: is paused already (dicom-node status)", file=sys.stderr)
        return 1
    print(f"paused: {destination or scope}; until dicom-node resume")
    return 0
