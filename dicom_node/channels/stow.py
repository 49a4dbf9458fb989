"""The client of STOW-RS: results to an archive's DICOMweb service (PS3.18 section 10.5).

One object a request, so that the answer is that object's. Sending again is as safe as by C-STORE. Answers are read as
JSON, which every service can give (PS3.18 section 8.7.3); where one gives XML all the same, its HTTP status speaks.
"""

import hashlib
import json
import re
from http import HTTPStatus
from io import BytesIO
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset

from config.peers import WebDestination
from dicom_node.channels.channel import Delivered
from dicom_node.channels.storing import SUCCESS, is_warning, store
from dicom_node.dicomweb import DICOM_JSON, ask
from dicom_node.errors import ResultRefused, TransferFailed
from dicom_node.https import Answer
from dicom_node.results import encode
from dicom_node.tls import NO_CERTIFICATES, Tls

# the Store Instances Response Module (PS3.18 table I.2-1)
_REFERENCED_SOP_SEQUENCE = "00081199"
_WARNING_REASON = "00081196"
_FAILED_SOP_SEQUENCE = "00081198"
_OTHER_FAILURES_SEQUENCE = "0008119A"
_FAILURE_REASON = "00081197"

_TAG = re.compile(r"[0-9A-F]{8}")

_REFUSED_FOR_GOOD = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)


class StowChannel:
    """STOW-RS to one destination."""

    def __init__(self, destination: WebDestination, tls: Tls = NO_CERTIFICATES) -> None:
        self._destination = destination
        self._tls = tls

    def send(self, content: bytes) -> Delivered:
        """Store one object, a report in the form that the service takes."""
        return store(dcmread(BytesIO(content)), "STOW-RS", self._store_object)

    def close(self) -> None:
        """Nothing is kept open."""

    def _store_object(self, made: Dataset) -> int:
        content = encode(made)
        boundary = hashlib.sha256(content).hexdigest()  # cannot be in what it was made from
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n"
        answer = ask(
            self._destination,
            "POST",
            f"/studies/{made.StudyInstanceUID}",
            {
                "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
                "Accept": DICOM_JSON,
            },
            head.encode() + content + f"\r\n--{boundary}--\r\n".encode(),
            tls=self._tls,
        )
        return status_of(answer)


def status_of(answer: Answer) -> int:
    """Read a service's answer to one object as the status that C-STORE would have had.

    Raises
    ------
    ResultRefused
        The service does not take such a request, and will not take it the next time.
    TransferFailed
        It is not known whether the object is stored, or the service failed.
    """
    said = _json(answer.content)
    failures = [*_items(said, _FAILED_SOP_SEQUENCE), *_items(said, _OTHER_FAILURES_SEQUENCE)]
    reasons = [reason for item in failures if (reason := _number(item, _FAILURE_REASON)) is not None]
    if reasons and not is_warning(reasons[0]):
        return reasons[0]
    stored = _items(said, _REFERENCED_SOP_SEQUENCE)
    # 200 is said of all instances, 202 of some (PS3.18 table 10.5.3-1)
    is_of_all = answer.status == HTTPStatus.OK and _is_of_a_service(answer.content, said)
    if not failures and (is_of_all or (answer.status == HTTPStatus.ACCEPTED and stored)):
        warnings = [warning for item in stored if (warning := _number(item, _WARNING_REASON)) is not None]
        return warnings[0] if warnings and is_warning(warnings[0]) else SUCCESS
    if answer.status in _REFUSED_FOR_GOOD:
        raise ResultRefused(f"STOW-RS answered HTTP {answer.status}")
    raise TransferFailed(f"STOW-RS answered HTTP {answer.status} without a failure reason")


def _json(content: bytes | None) -> Any:  # noqa: ANN401 - whatever the service says
    try:
        return json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return {}


def _is_of_a_service(content: bytes | None, said: Any) -> bool:  # noqa: ANN401
    """Tell a DICOMweb service's body, empty or of the DICOM JSON or XML model, from a proxy's page."""
    if content is None:
        return False
    [said] = said if isinstance(said, list) and len(said) == 1 else [said]
    is_json = isinstance(said, dict) and said != {} and all(_TAG.fullmatch(key) for key in said)
    return content.strip() in (b"", b"{}") or b"<NativeDicomModel" in content[:1000] or is_json


def _items(said: Any, tag: str) -> list[Any]:  # noqa: ANN401
    """The items of a sequence in the DICOM JSON model (PS3.18 annex F); none where the service says otherwise."""
    if isinstance(said, list) and len(said) == 1:  # some services answer a list of one data set
        [said] = said
    values = said.get(tag, {}) if isinstance(said, dict) else {}
    items = values.get("Value") if isinstance(values, dict) else None
    return items if isinstance(items, list) else []


def _number(item: Any, tag: str) -> int | None:  # noqa: ANN401
    values = _items(item, tag)
    is_status = len(values) == 1 and type(values[0]) is int and SUCCESS < values[0] <= 0xFFFF
    return values[0] if is_status else None
