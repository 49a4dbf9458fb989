"""What the node and its analysing process say to each other; importing this does not load the network."""

from dataclasses import dataclass
from pathlib import Path

from config.peers import ResultKind
from dicom_node.results.study import Predecessor, PriorAnswer
from inference.prediction import Outcome


@dataclass(frozen=True, slots=True)
class AnalysedFilm:
    """A file and what became of it; None: its analysis failed and waits for a person."""

    path: Path
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class StudyTask:
    """A study to report on. `reported_at` (seconds since 1970) is the time that all its objects carry.

    `priors` are the answers to the patient's earlier studies, newest first. `told` are the [[hl7]] destinations that a
    message of an earlier report went to. `has_workitem`: an earlier report came with one.
    """

    films: tuple[AnalysedFilm, ...]
    revision: int
    reported_at: float
    predecessor: Predecessor | None
    priors: tuple[PriorAnswer, ...] = ()
    told: frozenset[str] = frozenset()
    has_workitem: bool = False


@dataclass(frozen=True, slots=True)
class ResultObject:
    """An object to send, as the bytes of a Part 10 file, or a message, to the destinations of these names."""

    kind: ResultKind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    content: bytes
    destinations: tuple[str, ...]
