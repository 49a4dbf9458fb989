"""What is done with pixels: one film analysed, one study reported.

The same two functions serve the analysing process of the node and `dicom-node process`. They decode what came from
the network, so in the node they run only in the child process (`dicom_node.child`).
"""

from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from config.settings import Settings
from dicom_node.header import read_header
from dicom_node.results import build_results, encode
from dicom_node.results.study import Film, StudyReading
from dicom_node.tasks import ResultObject, StudyTask
from inference.card import SHIPPED, load_card
from inference.prediction import Outcome
from inference.radiograph import Radiograph, read_radiograph
from inference.reader import ChestReader


class Analyst:
    """Holds the loaded model. Not for several threads at once."""

    def __init__(self, settings: Settings) -> None:
        """Load the model, which takes about a second. Raises ModelDamaged."""
        self._settings = settings
        bundle = settings.model.bundle or SHIPPED
        self._card = load_card(bundle)
        self._reader = ChestReader(bundle, settings.model.minimum_age_years, settings.model.uncertain)

    def analyse(self, path: Path) -> Outcome:
        """Look at one instance."""
        return self._reader.read(path)

    def analyse_in_shadow(self, path: Path) -> Outcome:
        """Let the candidate look at one instance; it is loaded at the first. Raises ModelDamaged.

        What keeps the candidate from being loaded so keeps nothing else from being analysed.
        """
        return self._candidate.read(path)

    @cached_property
    def _candidate(self) -> ChestReader:
        bundle = self._settings.model.shadow
        assert bundle is not None  # noqa: S101 - tells the type checker that only a node with a candidate asks
        return ChestReader(bundle, self._settings.model.minimum_age_years, uncertain=None)

    def report(self, task: StudyTask) -> tuple[ResultObject, ...]:
        """Make the objects of a study's report; from the same task, the same bytes."""
        paths: dict[str, Path] = {}
        films = []
        for film in task.films:
            header = read_header(film.path)
            paths[header.SOPInstanceUID] = film.path
            films.append(Film(header, film.outcome))
        films.sort(key=lambda film: str(film.header.SOPInstanceUID))

        def radiograph_of(film: Film) -> Radiograph:
            return read_radiograph(dcmread(paths[film.header.SOPInstanceUID]))

        reading = StudyReading(
            films=tuple(films),
            card=self._card,
            station_name=self._settings.node.ae_title,
            revision=task.revision,
            reported_at=datetime.fromtimestamp(task.reported_at, UTC),
            predecessor=task.predecessor,
        )
        return tuple(_result(made) for made in build_results(reading, self._settings.results, radiograph_of))


def _result(made: Dataset) -> ResultObject:
    return ResultObject(
        "structured_report" if made.Modality == "SR" else "heatmap",
        str(made.SOPClassUID),
        str(made.SOPInstanceUID),
        str(made.SeriesInstanceUID),
        encode(made),
    )
