"""The rows of the database as values: frozen, and named as the field names them."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from storage.states import State


class JobKind(StrEnum):
    """What a job does: look at one instance, or report on one study."""

    ANALYSE = "analyse"
    REPORT = "report"


class Priority(IntEnum):
    """Whose turn it is: a job or a delivery with a lower number goes first, whatever else is due."""

    URGENT = 0
    ROUTINE = 1
    EARLIER_FILM = 2
    """Fetched to be compared with; nobody waits for its own answer."""


class Receipt(StrEnum):
    """What came of an instance that arrived."""

    NEW = "new"
    DUPLICATE = "duplicate"
    CORRECTED = "corrected"
    CONFLICT = "conflict"


class Difference(StrEnum):
    """How an instance differs from the one that was received before under its SOP Instance UID."""

    NONE = "none"
    """In nothing that matters."""
    DATA = "data"
    """In what is told of patient, study or image; the pixels are the same."""
    IMAGE = "image"
    """Perhaps in its pixels: it may be another image."""
    LOST = "lost"
    """Nobody can tell: the bytes that were received before are missing here, or were altered."""


OBJECT_MISSING = "object_missing"
"""The reason of a row that failed because bytes that it needs are missing or were altered."""

OWN_RESULT = "own_result"
"""Why an instance is only stored: the node made it itself."""


@dataclass(frozen=True, slots=True)
class KnownObject:
    """The bytes that count for an instance; `is_kept`: they are to be here, retention has not removed them."""

    key: str
    is_kept: bool


@dataclass(frozen=True, slots=True)
class ReceivedInstance:
    """One instance whose bytes are safe in the object store under `object_key`.

    `stored_only` is None where it is to be analysed, else the reason why it is only kept. `is_prior`: it was fetched as
    an earlier film of a patient, is analysed and not reported. `study_date` is as DICOM writes it, or empty; so are
    `patient_name` (PS3.5 6.2.1) and `view_position`. `device` are its manufacturer and model.
    """

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str
    series_instance_uid: str
    accession_number: str
    object_key: str
    size: int
    source: str
    stored_only: str | None
    patient_id: str = ""
    issuer_of_patient_id: str = ""
    patient_birth_date: str = ""
    patient_name: str = ""
    study_date: str = ""
    view_position: str = ""
    device: str = ""
    is_prior: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed job; `object_key` and `is_prior` are an analyse job's instance's, `revision` is a report job's."""

    id: int
    kind: JobKind
    study_instance_uid: str
    attempts: int
    first_claimed_at: float
    instance_id: int | None
    object_key: str | None
    revision: int | None
    is_prior: bool = False


@dataclass(frozen=True, slots=True)
class Fetch:
    """A claimed fetch of a patient's earlier films, for a study of `study_date`.

    `asked` are the SOP Instance UIDs that an earlier attempt asked for, with their studies'.
    """

    id: int
    study_instance_uid: str
    patient_id: str
    issuer_of_patient_id: str
    patient_birth_date: str
    study_date: str
    asked: dict[str, str]
    attempts: int
    queued_at: float


@dataclass(frozen=True, slots=True)
class StoredPrediction:
    """What the classifier said of an instance; `attention` and `regions` are plain JSON values.

    The answer was `unlikely` for scores below `uncertain_from`, `likely` from `likely_from` on.
    """

    model_sha256: str
    score: float
    uncertain_from: float
    likely_from: float
    answer: str
    side: str | None
    attention: dict[str, Any]
    regions: list[list[int]]


@dataclass(frozen=True, slots=True)
class PriorPrediction:
    """The highest score of an earlier study of a patient. `study_date` is as DICOM writes it (YYYYMMDD)."""

    study_date: str
    score: float
    answer: str
    model_sha256: str


@dataclass(frozen=True, slots=True)
class ShadowAnswer:
    """What a candidate said of an instance beside the model in service: score and answer, or the reason of none."""

    model_name: str
    model_version: str
    model_sha256: str
    score: float | None
    answer: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class AnsweredInstance:
    """An instance that the model in service has answered, with its row's id."""

    id: int
    sop_instance_uid: str
    object_key: str


@dataclass(frozen=True, slots=True)
class AnalysedInstance:
    """An instance of a study and how its analysis ended: a prediction, or the state and reason of its job."""

    sop_instance_uid: str
    object_key: str
    state: State
    reason: str | None
    prediction: StoredPrediction | None


@dataclass(frozen=True, slots=True)
class Result:
    """What the node made to be sent, safe in the object store.

    An HL7 message has a UID of its own too, and neither a SOP class nor a series: these are empty.
    """

    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    object_key: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A claimed delivery of one result to one destination.

    `is_overtaken`: it is a message, and one of a later report has arrived there.
    """

    id: int
    destination: str
    attempts: int
    queued_at: float
    result: Result
    study_instance_uid: str
    is_overtaken: bool = False
