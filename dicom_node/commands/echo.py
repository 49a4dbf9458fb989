"""Test a destination by C-ECHO: can the node reach it, and does it accept the node's AE title?

Prints the round-trip time, or the refusal in words; exit status 1 if the destination did not answer with Success.
"""

import argparse
import sys
import time

from pydicom.uid import ImplicitVRLittleEndian

from dicom_node import logs
from dicom_node.associations import VERIFICATION, open_association
from dicom_node.commands.options import add_config, settings_of
from dicom_node.errors import DeliveryFault


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `echo` takes."""
    parser.add_argument("destination", metavar="DESTINATION", help="name of a destination in the settings")
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Associate, echo, release."""
    settings = settings_of(arguments)
    logs.configure(settings.logging)
    found = [each for each in settings.destinations if each.name == arguments.destination]
    if not found:
        names = ", ".join(each.name for each in settings.destinations) or "none"
        print(f"dicom-node: no destination {arguments.destination!r}; there is: {names}", file=sys.stderr)
        return 2
    [destination] = found
    where = f"{destination.name} ({destination.ae_title} at {destination.host} port {destination.port})"
    started = time.perf_counter()
    try:
        association = open_association(
            settings.node.ae_title, destination, {VERIFICATION: [str(ImplicitVRLittleEndian)]}
        )
    except DeliveryFault as fault:
        print(f"{where}: {fault.reason}", file=sys.stderr)
        return 1
    associated = time.perf_counter()
    answer = association.send_c_echo()
    answered = time.perf_counter()
    association.release()
    if "Status" not in answer or answer.Status != 0x0000:
        status = f"0x{answer.Status:04X}" if "Status" in answer else "no answer"
        print(f"{where}: association accepted, C-ECHO answered {status}", file=sys.stderr)
        return 1
    print(
        f"{where}: C-ECHO succeeded; association {(associated - started) * 1000:.1f} ms, "
        f"echo {(answered - associated) * 1000:.1f} ms"
    )
    return 0
