"""Associations that the node requests: opened, or refused with a reason that an administrator can act on."""

from pynetdicom import AE
from pynetdicom.association import Association

from config.settings import Destination
from dicom_node.errors import AssociationRefused, PeerUnreachable

VERIFICATION = "1.2.840.10008.1.1"
"""The Verification SOP class, C-ECHO (PS3.4 annex A)."""

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
IDLE_SECONDS = 60.0


def open_association(
    calling_ae_title: str, destination: Destination, contexts: dict[str, list[str]]
) -> Association:
    """Open an association with `destination`, proposing each SOP class in `contexts` with its transfer syntaxes.

    Raises
    ------
    PeerUnreachable
        Nobody listens there, or the peer does not speak DICOM, or not in time.
    AssociationRefused
        The peer rejects the association, or none of the presentation contexts is acceptable to it.
    """
    entity = AE(calling_ae_title)
    entity.connection_timeout = CONNECT_SECONDS
    entity.acse_timeout = ANSWER_SECONDS
    entity.dimse_timeout = ANSWER_SECONDS
    entity.network_timeout = IDLE_SECONDS
    for sop_class, syntaxes in contexts.items():
        entity.add_requested_context(sop_class, syntaxes)
    association = entity.associate(destination.host, destination.port, ae_title=destination.ae_title)
    answer = association.acceptor.primitive
    if association.is_established:
        association.network_timeout_response = "A-RELEASE"  # an idle association ends politely
        return association
    if association.is_rejected and answer is not None:
        raise AssociationRefused(f"association rejected: {answer.reason_str.lower()}")
    if answer is not None:
        raise AssociationRefused("association accepted, but none of its presentation contexts")
    raise PeerUnreachable("no DICOM answer at this host and port")
