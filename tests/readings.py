"""Studies as the report step gets them, for tests of the results."""

from datetime import UTC, datetime
from io import BytesIO

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, Comprehensive3DSRStorage, ExplicitVRLittleEndian

from config.peers import Destination, ResultKind
from config.sections import ResultsSettings
from dicom_node.demo.phantom import BLACK_TO_WHITE, chest_phantom
from dicom_node.results import build_results
from dicom_node.results.source import text_of
from dicom_node.results.study import Film, Predecessor, PriorAnswer, StudyReading
from inference.card import ModelCard
from inference.prediction import Answer, Attention, NotAnalysable, Outcome, Prediction, Reason, Region, Side
from inference.radiograph import Radiograph
from tests.builders import chest_film, encoded, made_uid

UNCERTAIN = (0.35, 0.5)
CARD = ModelCard(
    name="pneumonia-cxr",
    version="1.2.0",
    architecture="efficientnet_lite0",
    sha256="3f2a9c0e" * 8,
    graph_sha256="c0de9a1f" * 8,
    labels=("pneumonia",),
    input_size=512,
    mean=0.5,
    std=0.25,
    temperature=1.0,
    threshold=0.4,
    uncertain=UNCERTAIN,
    training={},
    figures={},
)
REPORTED_AT = datetime(2026, 3, 1, 23, 30, 5, tzinfo=UTC)
PREDECESSOR = Predecessor(Comprehensive3DSRStorage, made_uid("earlier report"), made_uid("earlier series"))
RIGHT_LOWER = Region(left=40, top=180, right=120, bottom=260)
LATERAL = NotAnalysable(Reason.LATERAL_VIEW)
PRIORS = (
    PriorAnswer("20260110", 0.42, Answer.UNCERTAIN, same_model=True),
    PriorAnswer("20250704", 0.12, Answer.UNLIKELY, same_model=False),
)
USUAL = frozenset(Destination.model_fields["objects"].default)
EVERY_OBJECT = frozenset(ResultKind) - {ResultKind.REVIEW_WORKITEM}


def attention(rows: int = 12, columns: int = 12, x: float = 0.3, y: float = 0.65) -> Attention:
    """One round spot of attention, its centre at a share of the width and height."""
    down = (np.arange(rows)[:, None] + 0.5) / rows
    across = (np.arange(columns)[None, :] + 0.5) / columns
    grid = np.exp(-(((across - x) / 0.12) ** 2) - ((down - y) / 0.12) ** 2)
    return Attention(rows, columns, tuple((grid / grid.max()).ravel().tolist()))


def likely(score: float = 0.873, *regions: Region, side: Side | None = None) -> Prediction:
    """A prediction of pneumonia with these regions, by default one in the right lower lobe."""
    return Prediction(score, UNCERTAIN, attention(), regions or (RIGHT_LOWER,), side)


def uncertain(score: float = 0.42, *regions: Region, side: Side | None = None) -> Prediction:
    return Prediction(score, UNCERTAIN, attention(), regions or (RIGHT_LOWER,), side)


def unlikely(score: float = 0.12) -> Prediction:
    return Prediction(score, UNCERTAIN, attention(), (), side=None)


def header_of(film: Dataset, transfer_syntax: UID = ExplicitVRLittleEndian) -> Dataset:
    """The film's header as the report step reads it from the received file."""
    return dcmread(BytesIO(encoded(film, transfer_syntax)), stop_before_pixels=True)


def film(outcome: Outcome | None, key: str = "1", **of_film: object) -> Film:
    """A film of the study and what became of it; keyword arguments are `chest_film`'s."""
    return Film(header_of(chest_film(key, **of_film)), outcome)  # type: ignore[arg-type]


def reading(
    *films: Film, revision: int = 1, card: ModelCard = CARD, priors: tuple[PriorAnswer, ...] = ()
) -> StudyReading:
    """A study of these films, in the order that the report step puts them."""
    ordered = sorted(films, key=lambda film: text_of(film.header, "SOPInstanceUID"))
    return StudyReading(
        films=tuple(ordered),
        card=card,
        station_name="CXR_NODE",
        revision=revision,
        reported_at=REPORTED_AT,
        predecessor=None if revision == 1 else PREDECESSOR,
        priors=priors,
    )


def radiograph(rows: int = 320, columns: int = 280) -> Radiograph:
    """The phantom chest as a viewer would show it."""
    film = chest_phantom(rows, columns, opacity=True)
    return Radiograph((film / BLACK_TO_WHITE).astype(np.float32))


def results_of(
    study: StudyReading, *wanted: frozenset[ResultKind], **settings: object
) -> dict[ResultKind, Dataset]:
    """What is sent of a study to destinations that want these kinds, by default to one that wants every object.

    Keyword arguments are settings of results; the film under the heatmap is a small phantom.
    """
    chosen = ResultsSettings.model_validate(settings)
    return build_results(study, chosen, wanted or (EVERY_OBJECT,), lambda _film: radiograph(60, 50))
