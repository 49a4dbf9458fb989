"""What is known of a study when its report is written: plain values, the input of everything in this folder."""

from dataclasses import dataclass
from datetime import datetime

from pydicom.dataset import Dataset

from inference.card import ModelCard
from inference.prediction import Answer, Outcome, Prediction


@dataclass(frozen=True, slots=True)
class Film:
    """One image of the study and what became of it.

    `header` is the data set as it was read from the received file, without pixel data and untouched: its
    elements are copied as the bytes that they are, which decoding one may lose. `outcome` is None where the
    analysis failed technically and waits for a person. `version` tells the bytes from others of the same SOP instance.
    """

    header: Dataset
    outcome: Outcome | None
    version: str = ""

    @property
    def prediction(self) -> Prediction | None:
        """The model's answer, where there is one."""
        return self.outcome if isinstance(self.outcome, Prediction) else None

    @property
    def answer(self) -> Answer | None:
        """What is said of the film; None where the model has no answer."""
        return None if self.prediction is None else self.prediction.answer


@dataclass(frozen=True, slots=True)
class Predecessor:
    """The report of the same study that this one replaces."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True, slots=True)
class PriorAnswer:
    """What was said of an earlier study of the same patient.

    `study_date` is a DICOM date (YYYYMMDD), empty where it is not known. `same_model` tells whether the model was the
    one that speaks now: scores of two models do not compare.
    """

    study_date: str
    score: float
    answer: Answer
    same_model: bool


@dataclass(frozen=True, slots=True)
class StudyReading:
    """Every image of a study that was looked at, by whom, when, and after which earlier report.

    Parameters
    ----------
    films
        In the order of their SOP Instance UIDs; at least one.
    station_name
        The node's AE title.
    revision
        1 for the first report of the study.
    reported_at
        When the report's job was first claimed; every date and time in the objects is this one, so that building
        them again gives the same bytes.
    priors
        The answers to the patient's earlier studies, newest first.
    has_workitem
        An earlier report of the study came with a workitem.
    """

    films: tuple[Film, ...]
    card: ModelCard
    station_name: str
    revision: int
    reported_at: datetime
    predecessor: Predecessor | None
    priors: tuple[PriorAnswer, ...] = ()
    has_workitem: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be reported.

        Raises
        ------
        ValueError
            No films, a time without a zone, or a predecessor of the first report.
            A later report may have none: the first may have failed.
        """
        if not self.films:
            raise ValueError("a report is about at least one image")
        if self.reported_at.tzinfo is None:
            raise ValueError("reported_at needs a time zone")
        if self.revision == 1 and self.predecessor is not None:
            raise ValueError("the first report has no predecessor")

    @property
    def predicted_films(self) -> tuple[Film, ...]:
        """The films that the model has an answer for."""
        return tuple(film for film in self.films if film.prediction is not None)

    def films_answered(self, answer: Answer | None) -> tuple[Film, ...]:
        """The films of which the model says this; None: those that it has no answer for."""
        return tuple(film for film in self.films if film.answer is answer)

    @property
    def flagged_films(self) -> tuple[Film, ...]:
        """The films that a person should look at: those of which pneumonia is likely or uncertain."""
        return tuple(film for film in self.films if film.answer in (Answer.LIKELY, Answer.UNCERTAIN))

    @property
    def answer(self) -> Answer | None:
        """The most alarming answer to any film; None, not analysable, where the model has an answer for none."""
        return next((answer for answer in Answer if self.films_answered(answer)), None)

    @property
    def leading_film(self) -> Film:
        """The film that speaks for the study: of those with the study's answer the one with the highest score."""
        return max(
            self.films_answered(self.answer),
            key=lambda film: film.prediction.score if film.prediction else 0.0,
        )
