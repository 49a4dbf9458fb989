"""A file in, an answer out: the whole of this room behind one method."""

from pathlib import Path
from typing import Final

from pydicom import Dataset

from config.sections import LimitsSettings
from config.values import EngineName
from inference.card import SUITABILITY_NAME, ModelCard
from inference.classifier import Classifier
from inference.dicom_file import DEFAULT_LIMITS, open_dicom, silenced
from inference.engine import Choice
from inference.errors import ImageRejected
from inference.header import text
from inference.heatmap import attention_from, regions_from, side_of
from inference.lungs import LungFinder
from inference.pictures import is_picture, read_picture
from inference.prediction import Answer, Band, NotAnalysable, Outcome, Prediction, answer_of
from inference.radiograph import Radiograph, read_radiograph
from inference.suitability import check_header, check_pixels
from inference.suitability_learned import LearnedSuitability

_FILMS_AT_HAND: Final = 2  # a study's posteroanterior and its lateral: the report comes after both
_PIXELS_AT_HAND: Final = 25_000_000  # of a film; larger ones are read again, and are not kept in memory


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
    limits
        Larger files and images are not analysable.
    engine
        What runs the network; "auto" takes the fastest here.

    Raises
    ------
    ModelDamaged
        The model is not what its card says.
    EngineUnusable
        The engine is not installed, or answers otherwise than the reference.
    """

    def __init__(
        self,
        bundle: Path,
        minimum_age_years: float,
        uncertain: Band | None,
        limits: LimitsSettings = DEFAULT_LIMITS,
        engine: EngineName = "onnxruntime",
    ) -> None:
        self._classifier = Classifier(bundle, engine)
        self._suitability = (
            LearnedSuitability.load(bundle / SUITABILITY_NAME, self._classifier.channels)
            if self._classifier.card.suitability_sha256 is not None
            else None
        )
        self._lungs = LungFinder()
        self._minimum_age_years = minimum_age_years
        self._limits = limits
        self._uncertain = self._classifier.card.uncertain if uncertain is None else uncertain
        self._at_hand: dict[Path, Radiograph] = {}

    @property
    def card(self) -> ModelCard:
        """The card of the model that reads."""
        return self._classifier.card

    @property
    def choice(self) -> Choice:
        """The engine that runs the network, and why it was taken."""
        return self._classifier.choice

    def read(self, path: Path) -> Outcome:
        """Analyse one DICOM file.

        Whatever is wrong with the image is an outcome. What is wrong with the machine (the disk, its memory) is raised,
        and worth another try.
        """
        with silenced():
            try:
                dataset = open_dicom(path, limits=self._limits)
                check_header(dataset, self._minimum_age_years)
                radiograph = read_radiograph(dataset, self._limits.image_pixels)
                self._keep_at_hand(path, radiograph)
                return self._predict(dataset, radiograph)
            except ImageRejected as rejection:
                return NotAnalysable(rejection.reason)

    def look(self, path: Path) -> tuple[Outcome, Radiograph | None]:
        """Analyse a DICOM, PNG or JPEG file, and return with the answer what was looked at; None where there is none.

        A picture tells neither view nor age, so nobody but who sends it knows whether it is one to be answered.
        """
        if not is_picture(path):
            outcome = self.read(path)
            return outcome, self.radiograph(path) if isinstance(outcome, Prediction) else None
        with silenced():
            try:
                radiograph = read_picture(path, self._limits.image_pixels)
                return self._predict(Dataset(), radiograph), radiograph
            except ImageRejected as rejection:
                return NotAnalysable(rejection.reason), None

    def radiograph(self, path: Path) -> Radiograph:
        """Return an analysed film as a viewer shows it; the last ones that were read are at hand.

        Raises
        ------
        ImageRejected
            There is none: it is not a film that was analysed.
        """
        at_hand = self._at_hand.get(path)
        if at_hand is not None:
            return at_hand
        with silenced():
            return read_radiograph(open_dicom(path, limits=self._limits), self._limits.image_pixels)

    def _keep_at_hand(self, path: Path, radiograph: Radiograph) -> None:
        if radiograph.pixels.size <= _PIXELS_AT_HAND:
            self._at_hand.pop(path, None)
            self._at_hand[path] = radiograph
            while len(self._at_hand) > _FILMS_AT_HAND:
                del self._at_hand[next(iter(self._at_hand))]

    def _predict(self, dataset: Dataset, radiograph: Radiograph) -> Prediction:
        check_pixels(radiograph)
        found = self._classifier.classify(radiograph)
        if self._suitability is not None:
            self._suitability.check(radiograph, found.features)
        lungs = self._lungs.find(found.picture)
        attention = attention_from(found.activation, lungs)
        if answer_of(found.score, self._uncertain) is Answer.UNLIKELY:
            return Prediction(found.score, self._uncertain, attention, regions=(), side=None)
        regions = regions_from(attention, *radiograph.pixels.shape)
        side = side_of(attention, lungs, rows_run_to=text(dataset, "PatientOrientation"))
        return Prediction(found.score, self._uncertain, attention, regions, side)
