"""What an archive says that it holds, at instance level: by C-FIND (PS3.4 C.4.1) or QIDO-RS (PS3.18 10.6)."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Protocol

from pydicom.dataset import Dataset

from config.peers import Destination, WebDestination
from config.settings import Settings
from dicom_node.associations import UNCOMPRESSED, KeptAssociation
from dicom_node.dicomweb import DICOM_JSON, ask
from dicom_node.errors import QueryFailed
from dicom_node.find import STUDY_ROOT_FIND, find
from dicom_node.header import is_uid
from dicom_node.tls import Tls

MOST = 10_000
"""Instances of one series; a result's series has one, a patient's CT that was filed there by mistake a thousand."""


class Holdings(Protocol):
    """What one archive holds."""

    def instances(self, study_instance_uid: str, series_instance_uids: Iterable[str]) -> set[str]:
        """Return the SOP Instance UIDs that the archive holds in these series of a study; what is none is left out.

        Raises
        ------
        DeliveryFault
            It cannot be asked, or does not answer.
        """


@contextmanager
def holdings_of(settings: Settings, destination: Destination | WebDestination) -> Iterator[Holdings]:
    """Give what `destination` holds; nobody is called before it is asked."""
    if isinstance(destination, WebDestination):
        yield _WebHoldings(destination, Tls(settings.tls))
        return
    held = _DicomHoldings(settings.node.ae_title, destination, Tls(settings.tls))
    try:
        yield held
    finally:
        held.close()


class _DicomHoldings:
    """By C-FIND over one association."""

    def __init__(self, ae_title: str, destination: Destination, tls: Tls) -> None:
        self._association = KeptAssociation(ae_title, destination, {STUDY_ROOT_FIND: UNCOMPRESSED}, tls)

    def instances(self, study_instance_uid: str, series_instance_uids: Iterable[str]) -> set[str]:
        held = set()
        for series in series_instance_uids:
            wanted = Dataset()
            wanted.QueryRetrieveLevel = "IMAGE"
            wanted.StudyInstanceUID = study_instance_uid
            wanted.SeriesInstanceUID = series
            wanted.SOPInstanceUID = ""
            found = find(self._association.opened(), wanted, MOST)
            held |= {str(answer.get("SOPInstanceUID", "")) for answer in found}
        return set(filter(is_uid, held))

    def close(self) -> None:
        self._association.close()


class _WebHoldings:
    """By QIDO-RS."""

    def __init__(self, destination: WebDestination, tls: Tls) -> None:
        self._destination = destination
        self._tls = tls

    def instances(self, study_instance_uid: str, series_instance_uids: Iterable[str]) -> set[str]:
        held = set()
        for series in series_instance_uids:
            query = f"StudyInstanceUID={study_instance_uid}&SeriesInstanceUID={series}&limit={MOST}"
            answer = ask(
                self._destination, "GET", f"/instances?{query}", {"Accept": DICOM_JSON}, tls=self._tls
            )
            if answer.status == HTTPStatus.NO_CONTENT:
                continue
            if answer.status != HTTPStatus.OK or answer.content is None:
                raise QueryFailed(f"QIDO-RS answered HTTP {answer.status}, or more than is read")
            held |= _sop_instance_uids(answer.content)
        return set(filter(is_uid, held))


def _sop_instance_uids(content: bytes) -> set[str]:
    """Read the UIDs of an answer in the DICOM JSON model (PS3.18 annex F). Raises QueryFailed."""
    try:
        return {str(found["00080018"]["Value"][0]) for found in json.loads(content)}
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise QueryFailed("QIDO-RS answered something else than instances") from error
