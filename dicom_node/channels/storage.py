"""The Storage SCU: results to an archive by C-STORE (PS3.4 annex B), over an association that is kept open.

A workitem goes over it, too, where the archive keeps a worklist (`dicom_node.channels.creation`).

Sending again is always safe: a result is the same bytes under the same UID however often it is sent, and an archive
that has it already changes nothing. So whatever is not a clear answer is tried again, for days.
"""

from dataclasses import replace
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
)
from pynetdicom.association import Association

from config.peers import Destination, ResultKind
from dicom_node.associations import UNCOMPRESSED, KeptAssociation
from dicom_node.channels.channel import Delivered
from dicom_node.channels.creation import create
from dicom_node.channels.storing import refused_class, store
from dicom_node.errors import TransferFailed
from dicom_node.results.workitem import UPS_PUSH, retrievable_from
from dicom_node.tls import NO_CERTIFICATES, Tls

SOP_CLASSES = {
    ResultKind.STRUCTURED_REPORT: (Comprehensive3DSRStorage, ComprehensiveSRStorage),
    ResultKind.HEATMAP: (SecondaryCaptureImageStorage,),
    ResultKind.KEY_OBJECTS: (KeyObjectSelectionDocumentStorage,),
    ResultKind.PRESENTATION_STATE: (GrayscaleSoftcopyPresentationStateStorage,),
    ResultKind.REVIEW_WORKITEM: (UPS_PUSH,),
}
"""What is proposed to a destination that gets objects of this kind."""


class StorageChannel:
    """C-STORE and N-CREATE to one destination."""

    def __init__(self, ae_title: str, destination: Destination, tls: Tls = NO_CERTIFICATES) -> None:
        self._destination = destination
        self._association = KeptAssociation(ae_title, destination, proposed(destination), tls)

    def send(self, content: bytes) -> Delivered:
        """Store one object, a report in the form that the peer takes; create a workitem."""
        made: Dataset = dcmread(BytesIO(content))
        association = self._association.opened(len(content))
        accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
        if made.SOPClassUID == UPS_PUSH:
            if made.SOPClassUID not in accepted:
                raise refused_class(made)
            retrievable_from(made, self._destination.ae_title)
            return create(association, made)

        def store_object(made: Dataset) -> int | None:
            return _store(association, made) if made.SOPClassUID in accepted else None

        sent = store(made, "C-STORE", store_object)
        return replace(sent, awaits_commitment=self._destination.storage_commitment)

    def close(self) -> None:
        """Release the association."""
        self._association.close()


def proposed(destination: Destination) -> dict[str, list[str]]:
    """The SOP classes that are proposed to a destination, with their transfer syntaxes."""
    return {
        str(sop_class): UNCOMPRESSED
        for kind in destination.objects
        for sop_class in SOP_CLASSES.get(kind, ())
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
