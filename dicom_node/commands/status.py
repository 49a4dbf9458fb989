"""The queue in numbers: instances received, jobs and deliveries by state, and how long the oldest has waited."""

import argparse
import json
import time

from rich.console import Console
from rich.table import Table

from dicom_node.commands.options import add_config, add_json, open_existing_folder
from storage import views
from storage.states import State


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `status` takes."""
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the numbers."""
    folder = open_existing_folder(arguments)
    with folder.database.read() as connection:
        status = views.status(connection, time.time())
    if arguments.json:
        print(json.dumps(status))
        return 0
    table = Table("", *State)
    table.add_row("jobs", *(str(status["jobs"].get(state, "")) for state in State))
    if any(status["fetches"].values()):
        table.add_row("fetches of earlier films", *(str(status["fetches"].get(state, "")) for state in State))
    for destination, counts in sorted(status["deliveries_by_destination"].items()):
        table.add_row(f"deliveries to {destination}", *(str(counts[state]) for state in State))
    console = Console()
    console.print(
        f"{status['instances_received']} instances received; received again: "
        f"{status['instances_received_again']}, of these with other content, kept aside: "
        f"{status['instances_kept_aside']}"
    )
    console.print(table)
    console.print(f"oldest waiting: {status['oldest_waiting_seconds']:.1f} s")
    return 0
