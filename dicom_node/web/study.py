"""One study: what was said of it and sent, and its films in a light view."""

import base64
import io
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from PIL import Image
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from config.web import WebSettings
from dicom_node.results.heatmap_picture import draw_attention, peak_opacity
from dicom_node.web.access import Looker, note
from dicom_node.web.context import Context, Here
from dicom_node.web.pages import Refused, page
from dicom_node.web.predict import UPLOAD_REFUSALS, Box
from dicom_node.web.words import reason_sentence
from inference.prediction import Answer, Attention, Side
from storage import ledger
from storage.films import SeenFilm, films_of, sent_of
from storage.studies import Progress, listed

PRIORS_SHOWN = 20
OVERLAY_SIDE = 512
"""Rows and columns of the attention's picture at most: it is smooth, and laid over the film by the browser."""

pages = APIRouter(include_in_schema=False)
api = APIRouter(
    prefix="/api/studies",
    tags=["studies"],
    responses={404: {"model": Refused, "description": "There is no such study or film here."}},
)
StudyUid = Annotated[str, Path(pattern=r"^[0-9.]{1,64}$", description="Study Instance UID")]
FilmUid = Annotated[
    str, Path(pattern=r"^[0-9.]{1,64}$", description="SOP Instance UID of a radiograph of the study")
]


class Film(BaseModel):
    """A radiograph of a study and what the model said of it; null: it said nothing.

    `is_kept`: it can be shown, retention has not removed it. `reason` is why it is not analysable, or failed.
    """

    sop_instance_uid: str
    is_kept: bool
    received_at: float
    view: str
    device: str
    state: str
    reason: str | None
    answer: str | None
    score: float | None
    uncertain_from: float | None
    likely_from: float | None
    side: Side | None
    model: str | None
    regions: list[Box]


class Prior(BaseModel):
    """The highest score of an earlier study of the patient; those of another model cannot be compared."""

    study_date: str
    score: float
    answer: str
    is_same_model: bool


class Sent(BaseModel):
    """A result and what became of it at a destination."""

    kind: str
    revision: int
    destination: str
    state: str
    reason: str | None
    delivered_at: float | None


class StudySeen(BaseModel):
    """A study with its films, the one with the highest score first, and its patient's earlier ones, newest first."""

    study_instance_uid: str
    accession_number: str
    patient_name: str
    patient_id: str
    patient_birth_date: str
    study_date: str
    is_urgent: bool
    state: Progress
    viewer: str | None = Field(description="a link that opens the study in the hospital's viewer")
    films: list[Film]
    priors: list[Prior]
    sent: list[Sent]


class FilmRegions(BaseModel):
    """The regions of one film."""

    sop_instance_uid: str
    regions: list[Box]


class Picture(BaseModel):
    """How to show a film: a sample stands for the value `intercept + slope * sample`.

    `centre` and `width` are the window, over values, in which a viewer shows it first, and `grey` how it shows each
    sample then: bytes, from sample 0 on, in Base64. `is_inverted`: higher values are darker. Samples from
    `padding[0]` to `padding[1]` are no picture, and black. A sample of those at first is `step` rows and columns.
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
    grey: str
    opacity: float = Field(description="of the peak of attention over it, so that what lies under it is seen")
    regions: list[Box]
    attention: list[float] = Field(description="the highest in each region, beside the peak in the film")


def seen(context: Context, study: str) -> StudySeen:
    """Return what is known of a study. Raises HTTPException 404 where there is no radiograph of it."""
    with context.folder.database.read() as connection:
        about = listed(connection, [study]).get(study)
        if about is None:
            raise HTTPException(404, "There is no such study here.")
        films = films_of(connection, study)
        priors = ledger.priors(connection, study, PRIORS_SHOWN)
        sent = sent_of(connection, study)
    model = next((film.model_sha256 for film in films if film.model_sha256), None)
    return StudySeen(
        study_instance_uid=study,
        accession_number=about.accession_number,
        patient_name=about.patient_name,
        patient_id=about.patient_id,
        patient_birth_date=about.patient_birth_date,
        study_date=about.study_date,
        is_urgent=about.is_urgent,
        state=about.progress,
        viewer=viewer_link(context.settings.web, study, about.accession_number),
        films=[_film(context, each) for each in films],
        priors=[
            Prior(
                study_date=each.study_date,
                score=each.score,
                answer=each.answer,
                is_same_model=each.model_sha256 == model,
            )
            for each in priors
        ],
        sent=[
            Sent(
                kind=each.kind,
                revision=each.revision,
                destination=each.destination,
                state=each.state,
                reason=each.reason,
                delivered_at=each.delivered_at,
            )
            for each in sent
        ],
    )


def viewer_link(settings: WebSettings, study_instance_uid: str, accession_number: str) -> str | None:
    """Return the link by which a study opens in the hospital's viewer; None where there is none, or none for it."""
    template = settings.viewer_link
    if not template or ("{accession_number}" in template and not accession_number):
        return None
    return template.format(
        study_instance_uid=study_instance_uid, accession_number=quote(accession_number, safe="")
    )


def _film(context: Context, film: SeenFilm) -> Film:
    return Film(
        sop_instance_uid=film.sop_instance_uid,
        is_kept=film.is_kept,
        received_at=film.received_at,
        view=film.view_position,
        device=film.device,
        state=film.state,
        reason=reason_sentence(film.reason) if film.reason else None,
        answer=film.answer,
        score=film.score,
        uncertain_from=film.uncertain_from,
        likely_from=film.likely_from,
        side=Side(film.side) if film.side else None,
        model=context.films.name_of(film.model_sha256) if film.model_sha256 else None,
        regions=_boxes(film),
    )


def _boxes(film: SeenFilm) -> list[Box]:
    sides = ("left", "top", "right", "bottom")
    return [Box(**dict(zip(sides, region, strict=True))) for region in film.regions or ()]


def _attention(film: SeenFilm) -> Attention | None:
    if film.attention is None:
        return None
    return Attention(film.attention["rows"], film.attention["columns"], tuple(film.attention["values"]))


def _peak(attention: Attention, box: Box, rows: int, columns: int) -> float:
    """Return the highest attention in a region of a film of this size."""
    down = range(box.top * attention.rows // rows, -(-box.bottom * attention.rows // rows))
    across = range(box.left * attention.columns // columns, -(-box.right * attention.columns // columns))
    return max(
        (attention.values[row * attention.columns + column] for row in down for column in across), default=0.0
    )


def _one_film(context: Context, study: str, film: str) -> SeenFilm:
    with context.folder.database.read() as connection:
        found = next((each for each in films_of(connection, study) if each.sop_instance_uid == film), None)
    if found is None:
        raise HTTPException(404, "There is no such film in this study.")
    return found


@pages.get("/studies/{study}")
def study_page(
    request: Request, context: Here, visitor: Looker, study: StudyUid, film: str = Query("", max_length=64)
) -> Response:
    """Show a study, and of its films the one that was asked for, else the one with the highest score."""
    found = seen(context, study)
    note(context, visitor, "study_looked_at", study_instance_uid=study, command="page")
    shown = next((each for each in found.films if each.sop_instance_uid == film), found.films[0])
    return page(request, "study.html", study=found, film=shown, chart=_chart(found, shown))


@api.get("/{study}")
def study(context: Here, visitor: Looker, study: StudyUid) -> StudySeen:
    """Return what was said of a study and its films, its patient's earlier scores, and where its results went."""
    found = seen(context, study)
    note(context, visitor, "study_looked_at", study_instance_uid=study, command="study")
    return found


@api.get("/{study}/regions")
def regions(context: Here, visitor: Looker, study: StudyUid) -> list[FilmRegions]:
    """Return the regions on each film of a study."""
    found = seen(context, study)
    note(context, visitor, "study_looked_at", study_instance_uid=study, command="regions")
    return [FilmRegions(sop_instance_uid=each.sop_instance_uid, regions=each.regions) for each in found.films]


@api.get("/{study}/films/{film}", responses=UPLOAD_REFUSALS)
def picture(context: Here, visitor: Looker, study: StudyUid, film: FilmUid) -> Picture:
    """Return how to show a film, whose pixels are its `samples`."""
    found = _one_film(context, study, film)
    view = context.films.view(found.object_key)
    attention, boxes = _attention(found), _boxes(found)
    return Picture(
        rows=view.rows,
        columns=view.columns,
        step=view.step,
        slope=view.slope,
        intercept=view.intercept,
        centre=view.centre,
        width=view.width,
        is_inverted=view.is_inverted,
        padding=view.padding,
        grey=base64.b64encode(view.grey).decode("ascii"),
        opacity=peak_opacity(Answer(found.answer)) if found.answer else 0.0,
        regions=boxes,
        attention=[_peak(attention, each, view.rows, view.columns) for each in boxes] if attention else [],
    )


@api.get(
    "/{study}/films/{film}/samples",
    response_class=Response,
    responses=UPLOAD_REFUSALS | {200: {"content": {"application/octet-stream": {}}}},
)
def samples(
    context: Here, visitor: Looker, study: StudyUid, film: FilmUid, *, first: bool = False
) -> Response:
    """Return a film's pixels row by row, 16 bits each, the lower byte first; `first`: fewer, for a page that opens."""
    view = context.films.view(_one_film(context, study, film).object_key)
    note(context, visitor, "study_looked_at", study_instance_uid=study, command="film")
    return Response(view.first if first else view.full, media_type="application/octet-stream")


@api.get(
    "/{study}/films/{film}/attention",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
)
def attention(context: Here, visitor: Looker, study: StudyUid, film: FilmUid) -> Response:
    """Return where the model looked as a PNG file with an alpha channel, to be stretched over the film."""
    found = _attention(_one_film(context, study, film))
    if found is None:
        raise HTTPException(404, "The model has no answer for this film.")
    drawn = io.BytesIO()
    Image.fromarray(draw_attention(found, OVERLAY_SIDE, OVERLAY_SIDE)).save(drawn, "PNG")
    return Response(drawn.getvalue(), media_type="image/png")


class _Point(BaseModel):
    """A study's place in the chart of scores over time: per cent of its width and height."""

    x: float
    y: float
    study_date: str
    score: float
    answer: str
    is_same_model: bool


def _chart(study: StudySeen, film: Film) -> list[_Point]:
    """Place the scores of the same patient on a line of time, this study's last; none where there is one alone."""
    if film.score is None or not study.priors:
        return []
    now = Prior(study_date=study.study_date, score=film.score, answer=film.answer or "", is_same_model=True)
    days = [_days(each.study_date) for each in study.priors]
    first, last = min(days), max(*days, _days(study.study_date))
    return [
        _Point(x=100 * (at - first) / max(last - first, 1), y=100 - 100 * each.score, **each.model_dump())
        for each, at in zip([*reversed(study.priors), now], [*reversed(days), last], strict=True)
    ]


def _days(written: str) -> int:
    """Count the days of a date, all months with 31: a chart shows no more, and not every date in a header is one."""
    year, month, day_of_month = int(written[:4]), int(written[4:6]), int(written[6:])
    return 372 * year + 31 * month + day_of_month
