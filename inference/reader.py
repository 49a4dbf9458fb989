"""A file in, an answer out: the whole of this room behind one method."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom import Dataset, dcmread

from inference.card import SUITABILITY_NAME
from inference.classifier import Classifier
from inference.errors import ImageRejected
from inference.heatmap import attention_from, regions_from
from inference.prediction import Answer, Band, NotAnalysable, Outcome, Prediction, Reason, answer_of
from inference.radiograph import read_radiograph
from inference.suitability import check_header, check_pixels
from inference.suitability_learned import LearnedSuitability


class ChestReader:
    """Reads chest radiographs for signs of pneumonia.

    Parameters
    ----------
    bundle
        Folder with the model's card and weights.
    minimum_age_years
        Younger patients' films are not analysable.
    uncertain
        The band of uncertain scores; None takes the card's.

    Raises
    ------
    ModelDamaged
        The model is not what its card says.
    """

    def __init__(self, bundle: Path, minimum_age_years: float, uncertain: Band | None) -> None:
        self._classifier = Classifier(bundle)
        self._suitability = (
            LearnedSuitability.load(bundle / SUITABILITY_NAME)
            if self._classifier.card.suitability_sha256 is not None
            else None
        )
        self._minimum_age_years = minimum_age_years
        self._uncertain = self._classifier.card.uncertain if uncertain is None else uncertain

    def read(self, path: Path) -> Outcome:
        """Analyse one DICOM file.

        Whatever is wrong with the image is an outcome. What is wrong with the machine (the disk, its memory) is raised,
        and worth another try.
        """
        with _silence():
            try:
                return self._predict(_open(path))
            except ImageRejected as rejection:
                return NotAnalysable(rejection.reason)

    def _predict(self, dataset: Dataset) -> Prediction:
        check_header(dataset, self._minimum_age_years)
        radiograph = read_radiograph(dataset)
        check_pixels(radiograph)
        found = self._classifier.classify(radiograph)
        if self._suitability is not None:
            self._suitability.check(radiograph, found.features)
        attention = attention_from(found.activation)
        unlikely = answer_of(found.score, self._uncertain) is Answer.UNLIKELY
        regions = () if unlikely else regions_from(attention, *radiograph.pixels.shape)
        return Prediction(found.score, self._uncertain, attention, regions, side=None)


def _open(path: Path) -> Dataset:
    try:
        return dcmread(path)
    except (OSError, MemoryError):
        raise  # says nothing of the file's content
    except Exception as error:
        # pydicom meets broken files with whatever exception its parser runs into.
        raise ImageRejected(Reason.UNREADABLE_FILE) from error


@contextmanager
def _silence() -> Iterator[None]:
    """Keep pydicom from writing header values, which are patient data, to warnings and logs."""
    log = logging.getLogger("pydicom")
    was_disabled, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = was_disabled
