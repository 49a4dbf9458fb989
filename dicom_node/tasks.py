"""What the node and its analysing process say to each other; importing this does not load the network.

First the node says `Start`, and the process answers with what it has `Loaded`, or with a `Refusal`.
Then the node asks, and to a `FilmTask` the answer is an outcome, to a `LookTask` a `Look`, to a `StudyTask` a `Report`,
or to any of them a `Failure`; to another `Start`, with settings that have changed, the same.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from config.peers import ResultKind
from dicom_node.pipe import Content
from dicom_node.results.study import Predecessor, PriorAnswer
from inference.card import ModelCard
from inference.prediction import NotAnalysable, Outcome, Prediction


@dataclass(frozen=True, slots=True)
class Start:
    """What the process is to know: the settings as they stand in a file, and how far to stand back (nice(2))."""

    settings: dict[str, Any]
    niceness: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """The card of the model that was loaded, as far as it decides on answers, and the engine that runs it."""

    card: ModelCard
    engine: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no model could be loaded, in a sentence for an administrator."""

    sentence: str


@dataclass(frozen=True, slots=True)
class FilmTask:
    """A film to look at."""

    path: Path


@dataclass(frozen=True, slots=True)
class LookTask:
    """A file of no study, DICOM, PNG or JPEG, to look at and to draw with so many rows or columns at most."""

    path: Path
    longest_side: int


@dataclass(frozen=True, slots=True)
class Look:
    """What was found in a file, and the heatmap as a PNG file; empty where no prediction was made."""

    outcome: Outcome
    heatmap: Content


@dataclass(frozen=True, slots=True)
class ViewTask:
    """A film to be seen on a screen, at first with so many rows or columns at most."""

    path: Path
    first_side: int


@dataclass(frozen=True, slots=True)
class FilmView:
    """A film for a screen: its samples, 16 bits each, the lower byte first, row by row; see `inference.samples`.

    `first` are those of every `step` rows and columns together, for a page that opens, `full` all; one content where
    `step` is 1.
    """

    rows: int
    columns: int
    step: int
    slope: float
    intercept: float
    centre: float
    width: float
    is_inverted: bool
    padding: tuple[int, int] | None
    grey: Content
    first: Content
    full: Content


@dataclass(frozen=True, slots=True)
class AnalysedFilm:
    """A file and what became of it; None: its analysis failed and waits for a person.

    `version` tells the file's bytes from others of the same SOP instance.
    """

    path: Path
    outcome: Outcome | None
    version: str = ""


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
    content: Content
    destinations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What a study's report is made of."""

    results: tuple[ResultObject, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that nobody foresaw: its type and where it was raised, never its text, which may tell of a patient."""

    error_type: str
    where: tuple[str, ...]


START: TypeAdapter[Start] = TypeAdapter(Start)
LOADED: TypeAdapter[Loaded | Refusal] = TypeAdapter(Loaded | Refusal)
TASK: TypeAdapter[FilmTask | LookTask | ViewTask | StudyTask | Start] = TypeAdapter(
    FilmTask | LookTask | ViewTask | StudyTask | Start
)
OUTCOME: TypeAdapter[Outcome | Failure] = TypeAdapter(Prediction | NotAnalysable | Failure)
LOOK: TypeAdapter[Look | Failure] = TypeAdapter(Look | Failure)
VIEW: TypeAdapter[FilmView | NotAnalysable | Failure] = TypeAdapter(FilmView | NotAnalysable | Failure)
FAILURE: TypeAdapter[Failure] = TypeAdapter(Failure)
REPORT: TypeAdapter[Report | Failure] = TypeAdapter(Report | Failure)
