"""The Storage SCU: results to an archive by C-STORE (PS3.4 annex B), over an association that is kept open.

Sending again is always safe: a result is the same bytes under the same UID however often it is sent, and an archive
that has it already changes nothing. So whatever is not a clear answer is tried again, for days.
"""

import io

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
)
from pynetdicom.association import Association

from config.settings import Destination, ResultKind
from dicom_node.associations import open_association
from dicom_node.channels.channel import Delivered
from dicom_node.errors import DeliveryFault, ResultRefused, TransferFailed
from dicom_node.results import as_comprehensive_sr

# PS3.4 table B.2-1 and PS3.7 annex C
SUCCESS = 0x0000
DUPLICATE_SOP_INSTANCE = 0x0111
SOP_CLASS_NOT_SUPPORTED = 0x0122

SYNTAXES = [str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)]
SOP_CLASSES = {
    ResultKind.STRUCTURED_REPORT: (Comprehensive3DSRStorage, ComprehensiveSRStorage),
    ResultKind.HEATMAP: (SecondaryCaptureImageStorage,),
    ResultKind.KEY_OBJECTS: (KeyObjectSelectionDocumentStorage,),
    ResultKind.PRESENTATION_STATE: (GrayscaleSoftcopyPresentationStateStorage,),
}
"""What is proposed to a destination that gets objects of this kind."""


class StorageChannel:
    """C-STORE to one destination."""

    def __init__(self, ae_title: str, destination: Destination) -> None:
        self._ae_title = ae_title
        self._destination = destination
        self._association: Association | None = None

    def send(self, content: bytes) -> Delivered:
        """Store one object; a report as a Comprehensive SR where the peer refuses Comprehensive 3D SR."""
        dataset: Dataset = dcmread(io.BytesIO(content))
        association = self._connected()
        accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
        has_twin, is_twin = dataset.SOPClassUID == Comprehensive3DSRStorage, False
        if dataset.SOPClassUID not in accepted:
            if not has_twin or ComprehensiveSRStorage not in accepted:
                raise ResultRefused(f"presentation context refused: {dataset.SOPClassUID.name}")
            dataset, is_twin = as_comprehensive_sr(dataset), True
        status = _store(association, dataset)
        if (
            status == SOP_CLASS_NOT_SUPPORTED
            and has_twin
            and not is_twin
            and ComprehensiveSRStorage in accepted
        ):
            # some archives accept the presentation context and refuse the object
            dataset, is_twin = as_comprehensive_sr(dataset), True
            status = _store(association, dataset)
        if status in (SUCCESS, DUPLICATE_SOP_INSTANCE) or status & 0xF000 == 0xB000:
            return Delivered(status, str(dataset.SOPInstanceUID) if is_twin else None)
        raise _fault_of(status)

    def close(self) -> None:
        """Release the association."""
        if self._association is not None and self._association.is_established:
            self._association.release()
        self._association = None

    def _connected(self) -> Association:
        if self._association is None or not self._association.is_established:
            self._association = open_association(
                self._ae_title, self._destination, proposed(self._destination)
            )
        return self._association


def proposed(destination: Destination) -> dict[str, list[str]]:
    """The SOP classes that are proposed to a destination, with their transfer syntaxes."""
    return {
        str(sop_class): SYNTAXES for kind in destination.objects for sop_class in SOP_CLASSES.get(kind, ())
    }


def _store(association: Association, dataset: Dataset) -> int:
    """Send one object and return the peer's status. Raises TransferFailed where it gave none."""
    try:
        answer = association.send_c_store(dataset)
    except (RuntimeError, ValueError) as error:
        # pynetdicom 3.0.4: RuntimeError where the association ended just before, ValueError where its
        # transfer syntaxes do not fit the object
        raise TransferFailed("association ended before the object was sent") from error
    if "Status" not in answer:
        association.abort()
        raise TransferFailed("no answer to C-STORE: whether the object arrived is not known")
    return int(answer.Status)


def _fault_of(status: int) -> DeliveryFault:
    """Say what a C-STORE status other than success means for the delivery (PS3.4 table B.2-1, PS3.7 annex C)."""
    words = f"C-STORE answered 0x{status:04X}"
    if status == SOP_CLASS_NOT_SUPPORTED or status & 0xFF00 == 0xA900 or status & 0xF000 == 0xC000:
        return ResultRefused(words, status)
    return TransferFailed(words, status)
