"""The model in service: its card, what was measured of it, and the pictures of its bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from config.settings import Settings
from dicom_node.web.access import Looker
from dicom_node.web.context import Here
from dicom_node.web.pages import Refused, page
from inference.card import SHIPPED, ModelCard, load_card
from inference.errors import InferenceError

if TYPE_CHECKING:
    from rich.table import Table as RichTable

TABLES = ("headline", "precision", "calibration", "answers", "operating points", "robustness", "shortcuts")
PICTURES = {
    "confusion": "Films flagged and not flagged, by what is on them",
    "curves": "Training: the loss, and the AUC on validation films, by epoch",
}
"""Drawn by the training into the bundle, and what they show."""

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api", tags=["system"])


class Card(BaseModel):
    """What is known of the model in service: likely from `likely_from` on, unlikely below `uncertain_from`."""

    name: str
    version: str
    architecture: str
    sha256: str
    uncertain_from: float
    likely_from: float
    training: dict[str, Any]
    figures: dict[str, Any]


class FigureTable(BaseModel):
    """A table of figures, with its words."""

    title: str
    caption: str
    columns: list[str]
    rows: list[list[str]]


def card_in_service(settings: Settings) -> ModelCard:
    """Return the card of the bundle that the settings name."""
    try:
        return load_card(_bundle(settings))
    except InferenceError as error:
        raise HTTPException(503, str(error)) from error


def tables_of(settings: Settings) -> tuple[list[FigureTable], str]:
    """Return what was measured of the model in service, as in its model card; or why there is nothing."""
    from inference.evaluation.document_figures import BLOCKS, load_measured  # noqa: PLC0415 - a second
    from inference.evaluation.tables import TABLES as DRAWN  # noqa: PLC0415 - as above

    try:
        measured = load_measured(_bundle(settings))
    except InferenceError as error:
        return [], str(error)
    summary = BLOCKS["summary"](measured)
    drawn = [DRAWN[name](measured.evaluation) for name in TABLES]
    return [_told(each) for each in (summary, *drawn) if not isinstance(each, str) and each.row_count], ""


def _told(table: "RichTable") -> FigureTable:
    columns = list(table.columns)
    return FigureTable(
        title=str(table.title or "In short"),
        caption=str(table.caption or ""),
        columns=[str(each.header) for each in columns],
        rows=[
            list(row) for row in zip(*([str(cell) for cell in each.cells] for each in columns), strict=True)
        ],
    )


def _bundle(settings: Settings) -> Path:
    return settings.model.bundle or SHIPPED


def _band(settings: Settings, card: ModelCard) -> tuple[float, float]:
    return settings.model.uncertain or card.uncertain


@pages.get("/system/model")
def model_page(request: Request, context: Here, visitor: Looker) -> Response:
    """Show the model's card, figures and pictures."""
    card = card_in_service(context.settings)
    tables, why_none = tables_of(context.settings)
    bundle = _bundle(context.settings)
    return page(
        request,
        "model.html",
        card=card,
        band=_band(context.settings, card),
        tables=tables,
        why_none=why_none,
        pictures={name: words for name, words in PICTURES.items() if (bundle / f"{name}.png").is_file()},
    )


@pages.get("/system/model/{name}.png")
def picture(context: Here, visitor: Looker, name: Literal["confusion", "curves"]) -> Response:
    """Give a picture of the bundle."""
    path = _bundle(context.settings) / f"{name}.png"
    if not path.is_file():
        raise HTTPException(404, "The bundle has no such picture.")
    return FileResponse(path, media_type="image/png")


@api.get("/model", responses={503: {"model": Refused, "description": "The model's files are damaged."}})
def model(context: Here, visitor: Looker) -> Card:
    """Tell what is known of the model in service, and what was measured of it."""
    card = card_in_service(context.settings)
    uncertain_from, likely_from = _band(context.settings, card)
    return Card(
        name=card.name,
        version=card.version,
        architecture=card.architecture,
        sha256=card.sha256,
        uncertain_from=uncertain_from,
        likely_from=likely_from,
        training=card.training,
        figures=card.figures,
    )
