"""The Query SCU: C-FIND (PS3.4 annex C), its answers bounded in number and time.

An archive may leave out what it was asked for and ignore a key that it does not support (PS3.4 C.2.2.1.1), so who asks
checks each answer.
"""

import time
from typing import NoReturn

from pydicom.dataset import Dataset
from pynetdicom.association import Association

from dicom_node.errors import QueryFailed

STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
"""Study Root Query/Retrieve Information Model - FIND."""

SUCCESS = 0x0000
PENDING = (0xFF00, 0xFF01)  # PS3.4 table C.4-1; the second: some optional keys were ignored
LONGEST_SECONDS = 60.0
"""From the question to the last answer; an answer that is being waited for has its own limit beside it."""


def find(association: Association, identifier: Dataset, most: int) -> list[Dataset]:
    """Ask by the Study Root information model and return every answer: what was asked for, each element readable.

    After a fault that leaves answers on their way the association is aborted.

    Raises
    ------
    QueryFailed
        The peer did not take the query, answered a failure or nonsense, more than `most` times, or for too long.
    """
    found: list[Dataset] = []
    deadline = time.monotonic() + LONGEST_SECONDS
    try:
        for status, answer in association.send_c_find(identifier, STUDY_ROOT_FIND):
            if "Status" not in status:
                raise QueryFailed("no answer to C-FIND")
            if status.Status == SUCCESS:
                return found
            if status.Status not in PENDING:
                raise QueryFailed(f"C-FIND answered 0x{status.Status:04X}", status.Status)
            if len(found) == most:
                _stop(association, f"C-FIND has more than {most} answers")
            if time.monotonic() > deadline:
                _stop(association, f"C-FIND was not finished within {LONGEST_SECONDS:g} seconds")
            found.append(_readable(association, answer, identifier))
    except RuntimeError as error:  # pynetdicom 3.0.4: the association ended just before
        raise QueryFailed("association ended before C-FIND") from error
    except ValueError as error:  # pynetdicom 3.0.4: no presentation context, or a key that it cannot encode
        raise QueryFailed("presentation context refused: Study Root C-FIND") from error
    raise QueryFailed("no answer to C-FIND")


def _readable(association: Association, answer: Dataset | None, asked: Dataset) -> Dataset:
    made = Dataset()
    try:
        if answer is None:
            raise ValueError("no data set")  # noqa: TRY301 - as unreadable
        for tag in asked.keys() & answer.keys():
            made[tag] = answer[tag]  # pydicom reads an element when it is looked at
    except Exception:  # noqa: BLE001 - whatever a peer's bytes hold, it is not an answer
        _stop(association, "an answer to C-FIND cannot be read")
    return made


def _stop(association: Association, reason: str) -> NoReturn:
    """End a query whose further answers nobody waits for."""
    association.abort()
    raise QueryFailed(reason)
