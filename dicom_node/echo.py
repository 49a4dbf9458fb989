"""Asking a destination whether it is there and lets the node in, and how soon it answers.

An archive is asked by C-ECHO, a DICOMweb service for one study (QIDO-RS); of a system that is told by HL7 only the port
is tried.
"""

import time
from dataclasses import dataclass

from pydicom.uid import ImplicitVRLittleEndian

from config.hl7 import Hl7Destination
from config.peers import Destination, WebDestination
from dicom_node.associations import VERIFICATION, open_association
from dicom_node.channels.mllp import probe
from dicom_node.dicomweb import DICOM_JSON, ask
from dicom_node.errors import TransferFailed
from dicom_node.tls import Tls

ANSWER_SECONDS = 10.0
"""Somebody waits for what comes of it."""

AnyDestination = Destination | WebDestination | Hl7Destination


@dataclass(frozen=True, slots=True)
class Echo:
    """What came of it, for people, and after how many milliseconds the destination had answered in all."""

    said: str
    milliseconds: float


def address_of(destination: AnyDestination) -> str:
    """Say where a destination is."""
    if isinstance(destination, WebDestination):
        return destination.url
    if isinstance(destination, Hl7Destination):
        return f"HL7 at {destination.host} port {destination.port}"
    return f"{destination.ae_title} at {destination.host} port {destination.port}"


def echo(ae_title: str, destination: AnyDestination, tls: Tls) -> Echo:
    """Ask a destination in the name of `ae_title`.

    Raises
    ------
    PeerUnreachable, AccessRefused, TransferFailed
        It is not there, does not let the node in, or does not answer with success; the reason is in words.
    """
    started = time.perf_counter()
    if isinstance(destination, WebDestination):
        said = _search(destination, tls)
    elif isinstance(destination, Hl7Destination):
        probe(destination, tls)
        said = "the port answers; HL7 has no echo, so whether messages are taken shows when one is sent"
    else:
        said = _verify(ae_title, destination, tls)
    return Echo(said, _since(started))


def _verify(ae_title: str, destination: Destination, tls: Tls) -> str:
    """Associate, echo, release."""
    started = time.perf_counter()
    contexts = {VERIFICATION: [str(ImplicitVRLittleEndian)]}
    association = open_association(ae_title, destination, contexts, tls=tls, answer_seconds=ANSWER_SECONDS)
    associated = _since(started)
    asked = time.perf_counter()
    answer = association.send_c_echo()
    answered = _since(asked)
    association.release()
    if "Status" not in answer or answer.Status != 0x0000:
        status = f"0x{answer.Status:04X}" if "Status" in answer else "no answer"
        raise TransferFailed(f"association accepted, C-ECHO answered {status}")
    return f"C-ECHO succeeded; association {associated:.1f} ms, echo {answered:.1f} ms"


def _search(destination: WebDestination, tls: Tls) -> str:
    """Search for any study: the least that a DICOMweb service must answer."""
    started = time.perf_counter()
    answer = ask(
        destination, "GET", "/studies?limit=1", {"Accept": DICOM_JSON}, tls=tls, seconds=ANSWER_SECONDS
    )
    if answer.status not in (200, 204):  # 204: it holds none (PS3.18 table 10.6.3-1)
        raise TransferFailed(f"QIDO-RS answered HTTP {answer.status}")
    return f"QIDO-RS succeeded in {_since(started):.1f} ms"


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
