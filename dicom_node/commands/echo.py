"""Test a destination: can the node reach it, and does it let the node in?

An archive is asked by C-ECHO, a DICOMweb service for one study (QIDO-RS); of a system that is told by HL7 only the port
is tried. Prints what came of it, or the refusal in words; exit status 1 if the destination did not answer with success.
"""

import argparse
import sys

from dicom_node import logs
from dicom_node.commands.options import add_config, settings_of
from dicom_node.echo import address_of, echo
from dicom_node.errors import DeliveryFault
from dicom_node.tls import Tls


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `echo` takes."""
    parser.add_argument("destination", metavar="DESTINATION", help="name of a destination in the settings")
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask the destination and say what came of it."""
    settings = settings_of(arguments)
    logs.configure(settings.logging)
    found = {each.name: each for each in (*settings.all_destinations, *settings.hl7)}
    destination = found.get(arguments.destination)
    if destination is None:
        names = ", ".join(found) or "none"
        print(f"dicom-node: no destination {arguments.destination!r}; there is: {names}", file=sys.stderr)
        return 2
    where = f"{destination.name} ({address_of(destination)})"
    try:
        answer = echo(settings.node.ae_title, destination, Tls(settings.tls))
    except DeliveryFault as fault:
        print(f"{where}: {fault.reason}", file=sys.stderr)
        return 1
    print(f"{where}: {answer.said}")
    return 0
