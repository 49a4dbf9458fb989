"""Is this a film that the classifier was made for? A frontal chest radiograph of a patient old enough.

Headers are trusted where they say that it is not, and never relied on to say that it is: a missing or meaningless
attribute passes, because hospitals send many.
"""

import re
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from inference.errors import ImageRejected
from inference.header import items, text
from inference.prediction import Reason
from inference.radiograph import Radiograph
from inference.suitability_tables import (
    CHEST_CODES,
    CHEST_STEMS,
    FRONTAL_WORDS,
    LATERAL_VIEW_CODES,
    LATERAL_WORDS,
    MODALITIES,
    NO_BODY_PART,
    OTHER_STEMS,
    OTHER_WORDS,
    SNOMED,
    UNSUPPORTED_VIEW_CODES,
    UNSUPPORTED_WORDS,
)

_YEARS: Final = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0, "": 1.0}
_AGE: Final = re.compile(r"(\d{1,3})([DWMY]?)")
_WORD: Final = re.compile(r"[^\W\d_]+")
_LONGEST_SIDE: Final = 3.0  # times the shorter: whole legs and spines, strips of a film
BLOCKS: Final = 16  # blocks a side that a picture is averaged to, to be seen from far away
_LEAST_STRUCTURE: Final = 0.05  # of the grey scale, between the darkest and lightest tenth of the blocks


def check_header(dataset: Dataset, minimum_age_years: float) -> None:
    """Reject what the header says is no frontal chest radiograph of a patient of that age or older.

    Which SOP Classes are analysed is for the caller to know; a Secondary Capture with modality CR or DX passes.

    Raises
    ------
    ImageRejected
        By modality, view, body part or age, whichever is found first.
    """
    if text(dataset, "Modality") not in MODALITIES:
        raise ImageRejected(Reason.MODALITY)
    _check_view(dataset)
    if _says_other_part(dataset):
        raise ImageRejected(Reason.BODY_PART)
    age = age_in_years(dataset)
    if age is not None and age < minimum_age_years:
        raise ImageRejected(Reason.AGE)


def check_pixels(radiograph: Radiograph) -> None:
    """Reject a picture without a chest's coarse light and dark, or of no chest's shape.

    Raises
    ------
    ImageRejected
        BLANK: nothing but one grey, with or without noise (averaging over blocks removes noise, and no chest).
        BODY_PART: a strip more than three times as long as wide.
    """
    rows, columns = radiograph.pixels.shape
    if max(rows, columns) > _LONGEST_SIDE * min(rows, columns):
        raise ImageRejected(Reason.BODY_PART)
    dark, light = np.percentile(block_means(radiograph), (10.0, 90.0))
    if light - dark < _LEAST_STRUCTURE:
        raise ImageRejected(Reason.BLANK)


def block_means(radiograph: Radiograph) -> NDArray[np.float64]:
    """A film seen from far away: (16, 16), its mean grey in blocks of equal size."""
    rows, columns = radiograph.pixels.shape
    tall, wide = rows // BLOCKS, columns // BLOCKS
    strips = radiograph.pixels[: tall * BLOCKS].reshape(BLOCKS, tall, columns)
    # down the columns in single precision, which is a thousand times finer than a grey value and three times as fast
    sums = np.add.reduce(strips, axis=1)[:, : wide * BLOCKS].reshape(BLOCKS, BLOCKS, wide)
    means: NDArray[np.float64] = sums.sum(axis=2, dtype=np.float64) / (tall * wide)
    return means


def age_in_years(dataset: Dataset) -> float | None:
    """The patient's age when the film was taken; None where the header does not tell.

    From Patient's Age (PS3.5 6.2, VR AS; also without its unit, as years), else from birth date and study date.
    """
    found = _AGE.fullmatch(text(dataset, "PatientAge"))
    if found:
        return int(found[1]) * _YEARS[found[2]]
    born, taken = _day(dataset, "PatientBirthDate"), _day(dataset, "StudyDate")
    if born is None or taken is None or born > taken:
        return None
    return (taken - born).days / 365.25


def _day(dataset: Dataset, keyword: str) -> date | None:
    digits = text(dataset, keyword).replace(".", "")  # ACR-NEMA wrote 2026.01.31
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return None


def _check_view(dataset: Dataset) -> None:
    """Reject lateral, oblique and decubitus views; a view that nobody told passes."""
    view = _words(text(dataset, "ViewPosition"))
    codes = {text(item, "CodeValue") for item in items(dataset, "ViewCodeSequence")}
    described = _words(f"{text(dataset, 'SeriesDescription')} {text(dataset, 'ProtocolName')}")
    # A protocol for both views of a chest names both; it says nothing of this one.
    told = view if view & FRONTAL_WORDS or described & FRONTAL_WORDS else view | described
    if told & UNSUPPORTED_WORDS or codes & UNSUPPORTED_VIEW_CODES:
        raise ImageRejected(Reason.UNSUPPORTED_VIEW)
    # The first value is where the rows run to: to the front or back of the patient only in a view from the side
    # (Patient Orientation, PS3.3 C.7.6.1.1.1).
    sideways = text(dataset, "PatientOrientation").startswith(("A", "P"))
    if told & LATERAL_WORDS or codes & LATERAL_VIEW_CODES or sideways:
        raise ImageRejected(Reason.LATERAL_VIEW)


def _says_other_part(dataset: Dataset) -> bool:
    """Whether the header says that this is not a chest.

    Attributes made for it come first; only where they are missing, the words in descriptions do, nearest first.
    """
    told = [_chest_in_region(item) for item in items(dataset, "AnatomicRegionSequence")]
    part = text(dataset, "BodyPartExamined")
    if part and not _words(part) <= NO_BODY_PART:
        told.append(_chest_in_words(part) is True)
    told = [answer for answer in told if answer is not None]
    if told:
        return not all(told)
    series = f"{text(dataset, 'SeriesDescription')} {text(dataset, 'ProtocolName')}"
    for description in (series, text(dataset, "StudyDescription")):
        answer = _chest_in_words(description)
        if answer is not None:
            return not answer
    return False


def _chest_in_region(region: Dataset) -> bool | None:
    """Whether an anatomic region is the chest; None where its code is a hospital's own and its meaning silent."""
    if text(region, "CodeValue") in CHEST_CODES:
        return True
    answer = _chest_in_words(text(region, "CodeMeaning"))
    return False if answer is None and text(region, "CodingSchemeDesignator") in SNOMED else answer


def _chest_in_words(description: str) -> bool | None:
    """True: names the chest alone or among others; False: only other parts; None: no part at all."""
    words = _words(description)
    if any(word.startswith(CHEST_STEMS) for word in words):
        return True
    if words & OTHER_WORDS or any(word.startswith(OTHER_STEMS) for word in words):
        return False
    return None


def _words(description: str) -> frozenset[str]:
    return frozenset(_WORD.findall(description))
