"""The queue in numbers: what runs, instances received, jobs and deliveries by state, and what waits for a person.

running               the roles (receive, analyse, deliver) that a process has on this folder; none: the node is down
oldest waiting        since when the oldest job or delivery has been due
paused                what a person has stopped for a while (dicom-node pause); receiving goes on
refused               associations in the last 24 hours: strangers, and sources that had too many at once
scores have drifted   devices whose scores are no longer as those of their first films: the page System says more
waiting for a person  jobs that failed and deliveries that failed or were refused: dicom-node jobs --for-a-person
"""

import argparse
import json
import time

from rich.table import Table

from dicom_node import by_hand, drift
from dicom_node.commands.options import add_config, add_json, console, open_existing_folder
from dicom_node.drift import Verdict
from storage import views
from storage.pauses import Pause
from storage.states import State


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `status` takes."""
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the numbers."""
    folder = open_existing_folder(arguments)
    with folder.database.read() as connection:
        status = {"running": folder.roles_running()} | views.status(connection, time.time())
    devices = drift.devices(folder.database, time.time())
    status["devices_drifted"] = [each.name for each in devices if each.verdict is Verdict.DRIFTED]
    if arguments.json:
        print(json.dumps(status))
        return 0
    table = Table("", *State)
    table.add_row("jobs", *(str(status["jobs"].get(state, "")) for state in State))
    if any(status["fetches"].values()):
        table.add_row("fetches of earlier films", *(str(status["fetches"].get(state, "")) for state in State))
    for destination, counts in sorted(status["deliveries_by_destination"].items()):
        table.add_row(f"deliveries to {destination}", *(str(counts[state]) for state in State))
    output = console()
    output.print(
        "running: " + (", ".join(status["running"]) or "[bold]nothing: no node works on this folder[/bold]")
    )
    output.print(
        f"{status['instances_received']} instances received; received again: "
        f"{status['instances_received_again']}; with corrected data: {status['instances_corrected']}; with other "
        f"pixels, kept aside: {status['instances_kept_aside']}"
    )
    output.print(table)
    output.print(f"oldest waiting: {status['oldest_waiting_seconds']:.1f} s")
    refused = status["refused_last_day"]
    for each in status["paused"]:
        output.print(by_hand.in_words(Pause(**each)), markup=False)
    reasons = "; ".join(f"{reason}: {many}" for reason, many in sorted(refused.items()))
    output.print(
        f"refused in the last 24 hours: {sum(refused.values())}" + (f" ({reasons})" if reasons else ""),
        markup=False,
    )
    if status["devices_drifted"]:
        output.print(f"scores have drifted: {', '.join(status['devices_drifted'])}", markup=False)
    output.print(f"waiting for a person: {status['waiting_for_a_person']} (dicom-node jobs --for-a-person)")
    return 0
