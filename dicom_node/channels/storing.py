"""What C-STORE and STOW-RS have in common: the forms that an object can be sent in, and what an answer means.

PS3.18 takes the reasons of STOW-RS (table I.2-2) from the statuses of C-STORE (PS3.4 table B.2-1, PS3.7 annex C), so
one table serves both.
"""

from collections.abc import Callable

from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage

from dicom_node.channels.channel import Delivered
from dicom_node.errors import DeliveryFault, ResultRefused, TransferFailed
from dicom_node.results import as_comprehensive_sr

SUCCESS = 0x0000
DUPLICATE_SOP_INSTANCE = 0x0111
SOP_CLASS_NOT_SUPPORTED = 0x0122


def store(made: Dataset, service: str, store_object: Callable[[Dataset], int | None]) -> Delivered:
    """Store one object; a report as a Comprehensive SR where the peer refuses Comprehensive 3D SR.

    Parameters
    ----------
    made
        The object, as it was read from its file.
    service
        Its name for the administrator: ``C-STORE``.
    store_object
        Sends an object and returns the peer's status; None, and nothing sent, where the peer has said beforehand
        that it refuses the SOP class.

    Raises
    ------
    ResultRefused, TransferFailed
        By the table of statuses; and whatever `store_object` raises.
    """
    sent_uid = None
    status = store_object(made)
    if status in (None, SOP_CLASS_NOT_SUPPORTED) and made.SOPClassUID == Comprehensive3DSRStorage:
        # some archives accept the presentation context and refuse the object
        twin = as_comprehensive_sr(made)
        status_of_twin = store_object(twin)
        if status_of_twin is not None:
            status, sent_uid = status_of_twin, str(twin.SOPInstanceUID)
    if status is None:
        raise refused_class(made)
    if is_stored(status):
        return Delivered(status, sent_uid)
    raise fault_of(service, status)


def refused_class(made: Dataset) -> ResultRefused:
    """The fault of a peer that has said beforehand that it takes no objects of this SOP class."""
    return ResultRefused(f"presentation context refused: {made.SOPClassUID.name}")


def is_stored(status: int) -> bool:
    """Whether the peer has the object: stored now, with or without a warning, or before."""
    return status in (SUCCESS, DUPLICATE_SOP_INSTANCE) or is_warning(status)


def is_warning(status: int) -> bool:
    """Whether the peer stored the object and has something to say about it (PS3.7 table C.3-1)."""
    return status & 0xF000 == 0xB000


def fault_of(service: str, status: int) -> DeliveryFault:
    """Say what another status means for the delivery."""
    words = f"{service} answered 0x{status:04X}"
    if status == SOP_CLASS_NOT_SUPPORTED or status & 0xFF00 == 0xA900 or status & 0xF000 == 0xC000:
        return ResultRefused(words, status)
    return TransferFailed(words, status)
