"""One picture in, one answer out: for programs, and for people who want to see what the model says of a file.

Nothing of it is kept, reported or sent, and it is no study of the queue.
"""

import base64
from typing import Annotated, Any

from fastapi import APIRouter, File, UploadFile
from pydantic import BaseModel, Field

from dicom_node.results.wording import BURNED_IN_DISCLAIMER
from dicom_node.tasks import LookTask
from dicom_node.web.access import Looker, note
from dicom_node.web.context import Here
from dicom_node.web.pages import Refused
from inference.prediction import Answer, NotAnalysable, Reason, Side

HEATMAP_SIDE = 1024
"""Rows or columns of the film in the heatmap at most: as much as a window shows."""

UPLOAD_REFUSALS: dict[int | str, dict[str, Any]] = {
    503: {"model": Refused, "description": "Others are being served, or there is no model: try again."},
    507: {"model": Refused, "description": "The node's disk is almost full."},
}

pages = APIRouter(include_in_schema=False)
api = APIRouter(tags=["predict"])


class Box(BaseModel):
    """A region in the picture's pixels: first column and row inside, last column and row outside."""

    left: int
    top: int
    right: int
    bottom: int


class NoPrediction(BaseModel):
    """Why there is no prediction, as the node's reports code it, and in words."""

    code: Reason
    sentence: str


class Found(BaseModel):
    """What the model says of one picture: a prediction, or why there is none."""

    answer: Answer | None = Field(description="null: no prediction was made")
    score: float | None = Field(description="0 to 1")
    uncertain_from: float | None = Field(description="below it pneumonia is unlikely")
    likely_from: float | None = Field(description="from it on pneumonia is likely")
    side: Side | None = Field(description="the patient's own side that holds the attention")
    regions: list[Box]
    not_analysable: NoPrediction | None
    heatmap_png: str | None = Field(
        description="the picture with the model's attention over it, PNG in Base64"
    )
    model_name: str
    model_version: str
    disclaimer: str = BURNED_IN_DISCLAIMER


@api.post("/predict", responses=UPLOAD_REFUSALS)
def predict(
    context: Here,
    visitor: Looker,
    file: Annotated[UploadFile, File(description="a DICOM, PNG or JPEG file; a frontal chest radiograph")],
) -> Found:
    """Analyse one file. Nothing of it is kept, and nothing is sent.

    A PNG or JPEG tells neither view nor age: that it is a frontal radiograph of somebody old enough is for the sender
    to know.
    """
    note(context, visitor, "file_analysed")
    deadline = context.settings.model.deadline_seconds
    with context.uploads.kept(file) as path, context.uploads.process() as (process, card):
        look = process.look(LookTask(path, HEATMAP_SIDE), deadline)
    outcome = look.outcome
    if isinstance(outcome, NotAnalysable):
        refusal = NoPrediction(code=outcome.reason, sentence=outcome.reason.sentence)
        return Found(
            answer=None,
            score=None,
            uncertain_from=None,
            likely_from=None,
            side=None,
            regions=[],
            not_analysable=refusal,
            heatmap_png=None,
            model_name=card.name,
            model_version=card.version,
        )
    return Found(
        answer=outcome.answer,
        score=outcome.score,
        uncertain_from=outcome.uncertain[0],
        likely_from=outcome.uncertain[1],
        side=outcome.side,
        regions=[
            Box(left=each.left, top=each.top, right=each.right, bottom=each.bottom)
            for each in outcome.regions
        ],
        not_analysable=None,
        heatmap_png=base64.b64encode(look.heatmap).decode("ascii"),
        model_name=card.name,
        model_version=card.version,
    )
