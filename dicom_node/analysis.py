"""What is done with pixels: one film analysed, one study reported.

The same two functions serve the analysing process of the node and `dicom-node process`. They decode what came from
the network, so in the node they run only in the child process (`dicom_node.child`).
"""

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import structlog
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import DigitalXRayImageStorageForPresentation

from config.peers import Destination, ResultKind
from config.settings import Settings
from dicom_node.header import read_header
from dicom_node.results import build_results, encode
from dicom_node.results.heatmap_picture import draw_heatmap
from dicom_node.results.source import text_of
from dicom_node.results.study import Film, StudyReading
from dicom_node.results.uids import derived_uid
from dicom_node.results.worklist_message import build_message, message_uid
from dicom_node.tasks import FilmView, Look, LookTask, ResultObject, StudyTask, ViewTask
from inference.card import SHIPPED, ModelCard
from inference.dicom_file import open_dicom, silenced
from inference.errors import ImageRejected
from inference.prediction import Attention, NotAnalysable, Outcome, Prediction, Region
from inference.radiograph import Radiograph
from inference.reader import ChestReader
from inference.samples import read_samples, reduced

_WARM_UP_SHAPE: Final = 64, 64

_log = structlog.get_logger()


class Analyst:
    """Holds the loaded model. Not for several threads at once."""

    def __init__(self, settings: Settings) -> None:
        """Load the model. Raises ModelDamaged, EngineUnusable."""
        self._settings = settings
        model = settings.model
        self._reader = ChestReader(
            model.bundle or SHIPPED, model.minimum_age_years, model.uncertain, settings.limits, model.engine
        )
        choice = self._reader.choice
        for sentence in choice.refused:
            _log.warning("engine_refused", reason=sentence)
        self.engine = choice.engine.name
        """What runs the network, for people."""
        _log.info("engine_chosen", engine=choice.engine.name, milliseconds=choice.milliseconds)

    @property
    def card(self) -> ModelCard:
        """The card of the model that was loaded."""
        return self._reader.card

    def take(self, settings: Settings) -> None:
        """Report by these settings from now on; the model stays as it was loaded."""
        self._settings = settings

    def analyse(self, path: Path) -> Outcome:
        """Look at one instance."""
        return self._reader.read(path)

    def look(self, task: LookTask) -> Look:
        """Look at a file of no study, and draw what was found."""
        outcome, radiograph = self._reader.look(task.path)
        if radiograph is None or isinstance(outcome, NotAnalysable):
            return Look(outcome, b"")
        drawn = io.BytesIO()
        picture = draw_heatmap(radiograph.pixels, outcome, self.card, task.longest_side)
        Image.fromarray(picture).save(drawn, "PNG")
        return Look(outcome, drawn.getvalue())

    def view(self, task: ViewTask) -> FilmView | NotAnalysable:
        """Make a film ready for a screen."""
        limits = self._settings.limits
        with silenced():
            try:
                film = read_samples(open_dicom(task.path, limits=limits), limits.image_pixels)
            except ImageRejected as rejection:
                return NotAnalysable(rejection.reason)
        rows, columns = film.samples.shape
        step = -(-max(rows, columns) // task.first_side)
        full = film.samples.astype("<u2").tobytes()
        return FilmView(
            rows=rows,
            columns=columns,
            step=step,
            slope=film.slope,
            intercept=film.intercept,
            centre=film.centre,
            width=film.width,
            is_inverted=film.is_inverted,
            padding=film.padding,
            grey=film.grey,
            first=full if step == 1 else reduced(film.samples, step).astype("<u2").tobytes(),
            full=full,
        )

    def report(self, task: StudyTask) -> tuple[ResultObject, ...]:
        """Make the objects of a study's report; from the same task, the same bytes."""
        paths: dict[str, Path] = {}
        films = []
        for film in task.films:
            header = read_header(film.path, self._settings.limits)
            paths[text_of(header, "SOPInstanceUID")] = film.path
            films.append(Film(header, film.outcome, film.version))
        films.sort(key=lambda film: text_of(film.header, "SOPInstanceUID"))

        def radiograph_of(film: Film) -> Radiograph:
            return self._reader.radiograph(paths[text_of(film.header, "SOPInstanceUID")])

        reading = StudyReading(
            films=tuple(films),
            card=self.card,
            station_name=self._settings.node.ae_title,
            revision=task.revision,
            reported_at=datetime.fromtimestamp(task.reported_at, UTC),
            predecessor=task.predecessor,
            priors=task.priors,
            has_workitem=task.has_workitem,
        )
        return self._made_of(reading, radiograph_of, task.told)

    def warm_up(self) -> None:
        """Report on a study that there is not, and forget it: the first report takes longer, with all that it loads."""
        header = Dataset()
        header.SOPClassUID = DigitalXRayImageStorageForPresentation
        for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
            setattr(header, keyword, derived_uid("warm up", keyword))
        header.Rows, header.Columns = _WARM_UP_SHAPE
        found = Prediction(
            1.0, self.card.uncertain, Attention(1, 1, (1.0,)), (Region(0, 0, *_WARM_UP_SHAPE),), None
        )
        reading = StudyReading(
            films=(Film(header, found),),
            card=self.card,
            station_name=self._settings.node.ae_title,
            revision=1,
            reported_at=datetime.now(UTC),
            predecessor=None,
        )
        nothing = Radiograph(np.zeros(_WARM_UP_SHAPE, np.float32))
        self._made_of(reading, lambda _film: nothing, frozenset())

    def _made_of(
        self, reading: StudyReading, radiograph_of: Callable[[Film], Radiograph], told: frozenset[str]
    ) -> tuple[ResultObject, ...]:
        results = build_results(reading, self._settings.results, self._wanted(), radiograph_of)
        return (
            *(self._result(kind, made) for kind, made in results.items()),
            *self._messages(reading, told),
        )

    def _wanted(self) -> list[frozenset[ResultKind]]:
        """What each destination gets; without destinations, what one gets whose settings name nothing."""
        wanted = [frozenset(destination.objects) for destination in self._settings.all_destinations]
        return wanted or [frozenset(Destination.model_fields["objects"].default)]

    def _messages(self, reading: StudyReading, told: frozenset[str]) -> Iterator[ResultObject]:
        for to in self._settings.hl7:
            content = build_message(reading, to, is_told=to.name in told)
            if content is not None:
                uid = str(message_uid(reading, to))
                yield ResultObject(ResultKind.HL7_MESSAGE, "", uid, "", content, (to.name,))

    def _result(self, kind: ResultKind, made: Dataset) -> ResultObject:
        return ResultObject(
            kind,
            str(made.SOPClassUID),
            str(made.SOPInstanceUID),
            str(made.get("SeriesInstanceUID", "")),
            encode(made),
            tuple(to.name for to in self._settings.all_destinations if kind in to.objects),
        )
