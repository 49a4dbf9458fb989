"""What the node can say of one image: a prediction, or the coded reason why it makes none.

Plain values that cross processes and go into the database; importing this module costs nothing.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Reason(StrEnum):
    """Why an image is not analysable; a result, not an error. The value is what the database and logs hold."""

    MODALITY = "modality"
    LATERAL_VIEW = "lateral_view"
    UNSUPPORTED_VIEW = "unsupported_view"
    BODY_PART = "body_part"
    AGE = "age"
    NO_PIXELS = "no_pixels"
    UNDECODABLE_PIXELS = "undecodable_pixels"
    UNREADABLE_FILE = "unreadable_file"
    TOO_LARGE = "too_large"
    TOO_SMALL = "too_small"
    MULTIPLE_FRAMES = "multiple_frames"
    COLOUR = "colour"
    BLANK = "blank"
    NOT_A_CHEST = "not_a_chest"
    INVERTED = "inverted"
    TURNED = "turned"
    CROPPED = "cropped"
    UNLIKE_TRAINING = "unlike_training"

    @property
    def sentence(self) -> str:
        """The reason in words for a radiologist, without anything taken from the image's header."""
        return _SENTENCES[self]


_SENTENCES = {
    Reason.MODALITY: "not a projection radiograph (modality CR or DX)",
    Reason.LATERAL_VIEW: "lateral view; only frontal views (PA, AP) are analysed",
    Reason.UNSUPPORTED_VIEW: "view not supported; only frontal views (PA, AP) are analysed",
    Reason.BODY_PART: "body part is not the chest",
    Reason.AGE: "patient's age is outside the range that the model was made for",
    Reason.NO_PIXELS: "object holds no pixel data",
    Reason.UNDECODABLE_PIXELS: "pixel data cannot be decoded",
    Reason.UNREADABLE_FILE: "data set cannot be read",
    Reason.TOO_LARGE: "image is larger than the limit",
    Reason.TOO_SMALL: "image is too small to be a radiograph",
    Reason.MULTIPLE_FRAMES: "more than one frame",
    Reason.COLOUR: "colour image",
    Reason.BLANK: "image is blank or almost blank",
    Reason.NOT_A_CHEST: "image does not look like a chest radiograph",
    Reason.INVERTED: "image looks inverted: bone black, air white",
    Reason.TURNED: "image looks turned: not upright",
    Reason.CROPPED: "part of the lungs looks cut off",
    Reason.UNLIKE_TRAINING: "image is unlike those that the model was made from",
}


@dataclass(frozen=True, slots=True)
class Region:
    """A box of attention in source pixels: first column and row inside, last column and row outside."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, slots=True)
class Attention:
    """Where the classifier looked: a coarse grid over the whole image, row by row, 0 (none) to 1 (the peak)."""

    rows: int
    columns: int
    values: tuple[float, ...]


class Answer(StrEnum):
    """What is said of pneumonia on an image, the most alarming answer first. The value is what the database holds."""

    LIKELY = "likely"
    UNCERTAIN = "uncertain"
    UNLIKELY = "unlikely"


class Side(StrEnum):
    """Which lungs hold the attention: the patient's own sides, not the picture's."""

    LEFT = "left"
    RIGHT = "right"
    BILATERAL = "bilateral"


Band: TypeAlias = tuple[float, float]
"""The uncertain scores: from the first number on, below the second. Two equal numbers leave no score uncertain."""


def answer_of(score: float, uncertain: Band) -> Answer:
    """Give the answer: likely from the band's upper end on, unlikely below its lower end, between them uncertain."""
    lower, upper = uncertain
    if score >= upper:
        return Answer.LIKELY
    return Answer.UNCERTAIN if score >= lower else Answer.UNLIKELY


@dataclass(frozen=True, slots=True)
class Prediction:
    """The classifier's answer for one image.

    `score` is 0..1 and `uncertain` the band in force when it was made. `regions` are sorted by attention, strongest
    first; they are empty, and `side` is None, where the answer is unlikely. `side` is also None where it is not known.

    Raises
    ------
    ValueError
        The score is no number of 0..1, so no answer can be made of it.
    """

    score: float
    uncertain: Band
    attention: Attention
    regions: tuple[Region, ...]
    side: Side | None

    def __post_init__(self) -> None:
        if not 0 <= self.score <= 1:
            raise ValueError("a score must lie in 0 to 1")

    @property
    def answer(self) -> Answer:
        """What is reported of the image."""
        return answer_of(self.score, self.uncertain)


@dataclass(frozen=True, slots=True)
class NotAnalysable:
    """No prediction is made of this image, for a coded reason."""

    reason: Reason


Outcome: TypeAlias = Prediction | NotAnalysable
