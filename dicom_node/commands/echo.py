"""Test a destination: can the node reach it, and does it let the node in?

An archive is asked by C-ECHO, a DICOMweb service for one study (QIDO-RS); of a system that is told by HL7 only the port
is tried. Prints what came of it, or the refusal in words; exit status 1 if the destination did not answer with success.
"""

import argparse
import sys
import time

from pydicom.uid import ImplicitVRLittleEndian

from config.hl7 import Hl7Destination
from config.peers import Destination, WebDestination
from dicom_node import logs
from dicom_node.associations import VERIFICATION, open_association
from dicom_node.channels.mllp import probe
from dicom_node.commands.options import add_config, settings_of
from dicom_node.dicomweb import DICOM_JSON, ask
from dicom_node.errors import DeliveryFault, TransferFailed
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
    tls = Tls(settings.tls)
    where = f"{destination.name} ({_address(destination)})"
    try:
        if isinstance(destination, WebDestination):
            said = _search(destination, tls)
        elif isinstance(destination, Hl7Destination):
            probe(destination, tls)
            said = "the port answers; HL7 has no echo, so whether messages are taken shows when one is sent"
        else:
            said = _echo(settings.node.ae_title, destination, tls)
    except DeliveryFault as fault:
        print(f"{where}: {fault.reason}", file=sys.stderr)
        return 1
    print(f"{where}: {said}")
    return 0


def _address(destination: Destination | WebDestination | Hl7Destination) -> str:
    if isinstance(destination, WebDestination):
        return destination.url
    if isinstance(destination, Hl7Destination):
        return f"HL7 at {destination.host} port {destination.port}"
    return f"{destination.ae_title} at {destination.host} port {destination.port}"


def _echo(ae_title: str, destination: Destination, tls: Tls) -> str:
    """Associate, echo, release."""
    started = time.perf_counter()
    contexts = {VERIFICATION: [str(ImplicitVRLittleEndian)]}
    association = open_association(ae_title, destination, contexts, tls=tls)
    associated = time.perf_counter()
    answer = association.send_c_echo()
    answered = time.perf_counter()
    association.release()
    if "Status" not in answer or answer.Status != 0x0000:
        status = f"0x{answer.Status:04X}" if "Status" in answer else "no answer"
        raise TransferFailed(f"association accepted, C-ECHO answered {status}")
    return (
        f"C-ECHO succeeded; association {(associated - started) * 1000:.1f} ms, "
        f"echo {(answered - associated) * 1000:.1f} ms"
    )


def _search(destination: WebDestination, tls: Tls) -> str:
    """Search for any study: the least that a DICOMweb service must answer."""
    started = time.perf_counter()
    answer = ask(destination, "GET", "/studies?limit=1", {"Accept": DICOM_JSON}, tls=tls)
    answered = time.perf_counter()
    if answer.status not in (200, 204):  # 204: it holds none (PS3.18 table 10.6.3-1)
        raise TransferFailed(f"QIDO-RS answered HTTP {answer.status}")
    return f"QIDO-RS succeeded in {(answered - started) * 1000:.1f} ms"
