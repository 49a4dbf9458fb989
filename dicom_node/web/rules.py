"""The rule tester: a file is dropped here, and every rule that it would meet says what it would do."""

import time
from typing import Annotated

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import Response
from pydantic import BaseModel

from dicom_node.rehearsal import Verdict, rehearse
from dicom_node.web.access import Administrator, note
from dicom_node.web.context import Context, Here
from dicom_node.web.pages import page
from dicom_node.web.predict import UPLOAD_REFUSALS

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api", tags=["rules"])

Title = Annotated[str, Form(max_length=64, description="who would send it")]
Address = Annotated[str, Form(max_length=64, description="from which IP address")]
Brought = Annotated[UploadFile, File(description="a DICOM file (Part 10)")]


class Met(BaseModel):
    """A rule that the file meets, how it went, and why."""

    name: str
    verdict: Verdict
    sentence: str


def tested(
    context: Context, visitor: Administrator, file: UploadFile, ae_title: str, address: str
) -> list[Met]:
    """Return the rules that a file would meet."""
    note(context, visitor, "file_rehearsed")
    with context.uploads.kept(file) as path, context.uploads.process() as (process, _):
        return [
            Met(name=each.name, verdict=each.verdict, sentence=each.sentence)
            for each in rehearse(context.settings, path, ae_title, address, process, time.time())
        ]


@pages.get("/rules")
def rules_page(request: Request, context: Here, visitor: Administrator) -> Response:
    """Ask for a file, and for who would send it."""
    return page(request, "rules.html", sources=context.settings.sources)


@pages.post("/rules")
def rules_of_file(
    request: Request,
    context: Here,
    visitor: Administrator,
    file: Brought,
    ae_title: Title = "",
    address: Address = "",
) -> Response:
    """Show what would become of the file."""
    met = tested(context, visitor, file, ae_title, address)
    return page(
        request,
        "rules.html",
        sources=context.settings.sources,
        met=met,
        ae_title=ae_title,
        address=address,
    )


@api.post("/rules", responses=UPLOAD_REFUSALS)
def rules(
    context: Here, visitor: Administrator, file: Brought, ae_title: Title = "", address: Address = ""
) -> list[Met]:
    """Tell what would become of a DICOM file that `ae_title` sends from `address`. Nothing is kept or sent."""
    return tested(context, visitor, file, ae_title, address)
