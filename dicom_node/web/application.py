"""The application put together: every page and every part of the JSON interface, and what stands before them."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from config.errors import ConfigError
from dicom_node.version import package_version
from dicom_node.web import (
    account,
    door,
    feedback,
    invitations,
    model,
    monitoring,
    pauses,
    peers,
    predict,
    queue,
    rules,
    scores,
    single_sign_on,
    story,
    study,
    system,
    users,
    worklist,
)
from dicom_node.web.access import NobodyKnown, NotAllowed, visitor_of
from dicom_node.web.context import Context
from dicom_node.web.pages import (
    FOLDER,
    REFUSALS,
    on_config_error,
    on_fault,
    on_refusal,
    on_storage_error,
    refusal,
    to_the_door,
)
from dicom_node.web.protection import Protection
from dicom_node.web.proxy import BehindProxy
from storage.errors import StorageError

PARTS = (
    door,
    invitations,
    single_sign_on,
    worklist,
    feedback,
    study,
    peers,
    rules,
    system,
    scores,
    model,
    monitoring,
    predict,
    users,
    account,
    pauses,
    queue,
    story,
)
"""Each has `pages` and `api`."""


UPLOADS = ("/predict", "/rules", "/api/rules")
"""Where files are brought; they may be as large as what comes by C-STORE."""
FORM_BYTES = 100_000
"""What a form is beside the file in it."""


def application(context: Context) -> ASGIApp:
    """Return the pages of a node and its JSON interface (its description: ``/api/openapi.json``)."""
    app = FastAPI(
        title="DICOM node",
        version=package_version(),
        description="The JSON interface of an AI node beside the PACS. It assists, it does not diagnose.",
        openapi_url="/api/openapi.json",
        docs_url=None,  # they would load their scripts from elsewhere
        redoc_url=None,
        responses=REFUSALS,
    )
    app.state.context = context
    for part in PARTS:
        app.include_router(part.pages)
        app.include_router(part.api)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"))
    app.add_exception_handler(NobodyKnown, lambda request, _: to_the_door(request))
    app.add_exception_handler(
        NotAllowed, lambda request, _: refusal(request, 403, "Your role does not allow this.")
    )
    for refused in (HTTPException, RequestValidationError):
        app.add_exception_handler(refused, on_refusal)
    app.add_exception_handler(StorageError, on_storage_error)
    app.add_exception_handler(ConfigError, on_config_error)
    app.add_exception_handler(Exception, on_fault)
    web = context.settings.web
    larger = dict.fromkeys(UPLOADS, context.settings.limits.data_set_bytes + FORM_BYTES)
    protected = Protection(app, web, larger, lambda request: _has_come_in(request, context))
    return BehindProxy(protected, web)


def _has_come_in(request: Request, context: Context) -> bool:
    try:
        return visitor_of(request, context) is not None
    except HTTPException:  # as whom the pages say
        return False
