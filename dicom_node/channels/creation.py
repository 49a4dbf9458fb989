"""The UPS Push SCU: a workitem to a worklist's manager by N-CREATE (PS3.4 CC.2.5), over the channel's association.

A workitem has the same UID however often it is sent, so a second creation is answered with Duplicate SOP Instance and
changes nothing: what was said of storing holds here too.
"""

from pydicom.dataset import Dataset
from pynetdicom.association import Association

from dicom_node.channels.channel import Delivered
from dicom_node.channels.storing import DUPLICATE_SOP_INSTANCE, SUCCESS
from dicom_node.errors import ResultRefused, TransferFailed

# PS3.7 annex C and PS3.4 table CC.2.5-4
_CREATED = (
    SUCCESS,
    DUPLICATE_SOP_INSTANCE,
    0x0001,  # requested optional attributes are not supported
    0x0107,  # attribute list error: some were left out
    0x0116,  # attribute value out of range
    0xB300,  # created with modifications
    0xB305,  # invalid values were coerced
)
_MAY_PASS = (
    0x0110,  # processing failure
    0x0124,  # not authorized: an administrator may mend it
    0x0210,  # duplicate invocation
    0x0213,  # resource limitation
)
"""Every other failure finds fault with the workitem or the service, and will do so the next time."""


def create(association: Association, workitem: Dataset) -> Delivered:
    """Create a workitem, of a SOP class that the peer has accepted; its data set is used up.

    Raises
    ------
    TransferFailed
        Whether it was created is not known, or the peer cannot do it now.
    ResultRefused
        The peer will not have this workitem.
    """
    sop_class, sop_instance = workitem.SOPClassUID, workitem.SOPInstanceUID
    del workitem.SOPClassUID, workitem.SOPInstanceUID  # said in the command, and no attributes of a creation
    try:
        answer, _ = association.send_n_create(workitem, sop_class, sop_instance)
    except (RuntimeError, ValueError) as error:
        # pynetdicom 3.0.4: RuntimeError where the association ended just before, ValueError where it
        # cannot encode the data set
        raise TransferFailed("association ended before the workitem was sent") from error
    if "Status" not in answer:
        association.abort()
        raise TransferFailed("no answer to N-CREATE: whether the workitem was created is not known")
    status = int(answer.Status)
    if status in _CREATED:
        return Delivered(status)
    words = f"N-CREATE answered 0x{status:04X}"
    if status in _MAY_PASS or status & 0xFF00 == 0xA700:
        raise TransferFailed(words, status)
    raise ResultRefused(words, status)
