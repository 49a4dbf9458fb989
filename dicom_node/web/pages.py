"""How a page is written: templates, what each of them knows, and answers for whoever may not see one."""

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from config.errors import SettingsFault
from config.web import WebSettings
from dicom_node import by_hand
from dicom_node.logs import where_raised
from dicom_node.version import package_version
from dicom_node.web import words
from dicom_node.web.context import Context
from storage.pauses import Pause, all_pauses

_log = structlog.get_logger()

FOLDER = Path(__file__).parent
API = ("/api/", "/predict")


class Refused(BaseModel):
    """What is wrong, in a sentence."""

    detail: str


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refused, "description": "What was sent cannot be read at all."},
    401: {"model": Refused, "description": "Who asks has not logged in."},
    403: {"model": Refused, "description": "The role does not allow this."},
    413: {"model": Refused, "description": "More bytes than are taken here."},
    422: {"model": Refused, "description": "What was sent is not what is described here."},
}
"""How any part of the JSON interface may answer."""


def _ago(seconds: float) -> str:
    """Write a time that has passed as people say it: 40 s, 12 min, 3 h 05, 2 d."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d}"
    return f"{whole // 86400} d"


def _moment(seconds: float | None, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """Write a moment on this machine's clock."""
    return "" if seconds is None else time.strftime(form, time.localtime(seconds))


_templates = Jinja2Templates(directory=FOLDER / "templates")
_templates.env.filters |= {"ago": _ago, "moment": _moment}
_templates.env.filters |= {
    each.__name__: each for each in (words.person_name, words.date, words.view, words.wait)
}
_templates.env.globals |= {
    "version": package_version(),
    "answers": words.ANSWERS,
    "progress_words": words.PROGRESS,
    "state_words": words.STATES,
    "kind_words": words.kind,
    "pause_words": by_hand.in_words,
}


def page(request: Request, template: str, /, status: int = 200, **shown: Any) -> Response:
    """Write the page of this template; `visitor` is who asks, or None."""
    shown = {
        "visitor": getattr(request.state, "visitor", None),
        "pauses": lambda: pauses_of(request.app.state.context),
        **shown,
    }
    return _templates.TemplateResponse(request, template, shown, status_code=status)


def pauses_of(context: Context) -> list[Pause]:
    """Return what is paused."""
    with context.folder.database.read() as connection:
        return all_pauses(connection)


def is_live(request: Request) -> bool:
    """Tell whether a part of a page is asked for by a page that is open."""
    return request.headers.get("hx-request") == "true"


def is_of_api(request: Request) -> bool:
    """Tell whether a program asks."""
    return request.url.path.startswith(API)


def go_to(request: Request, path: str) -> Response:
    """Send the browser to another page, after what it asked for was done."""
    if is_live(request):
        return Response(status_code=204, headers={"HX-Redirect": path})
    return RedirectResponse(path, 303)


def within(path: str) -> str:
    """Return a path of this node, whatever was asked for: a link from elsewhere leads nowhere else."""
    return path if re.fullmatch(r"/(?![/\\])[^\\\x00-\x20]*", path) else "/"


def base_of(request: Request, web: WebSettings) -> str:
    """Return the beginning of links that people are given: as the settings have it, else as they asked."""
    return web.url or str(request.base_url).rstrip("/")


def to_the_door(request: Request) -> Response:
    """Answer somebody who has not come in."""
    if is_of_api(request):
        return JSONResponse({"detail": "log in first"}, 401, {"WWW-Authenticate": "Bearer"})
    asked = urlsplit(request.headers.get("hx-current-url", "/") if is_live(request) else str(request.url))
    if request.method != "GET" or (asked.path in ("", "/") and not asked.query):
        return go_to(request, "/login")
    to = asked.path + (f"?{asked.query}" if asked.query else "")
    return go_to(request, f"/login?to={quote(to, safe='')}")


def refusal(
    request: Request, status: int, sentence: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with what is wrong, in a sentence."""
    if is_of_api(request):
        return JSONResponse({"detail": sentence}, status, headers)
    answer = page(request, "refusal.html", status, sentence=sentence)
    answer.headers.update(headers or {})
    return answer


def on_refusal(request: Request, error: Exception) -> Response:
    """Answer what Starlette, FastAPI or a page refuses."""
    if isinstance(error, RequestValidationError):
        faults = "; ".join(
            f"{'.'.join(map(str, each['loc'][1:])) or 'the request'}: {each['msg']}"
            for each in error.errors()
        )
        return refusal(request, 422, faults)
    if isinstance(error, HTTPException):
        return refusal(request, error.status_code, str(error.detail), error.headers)
    raise error


def on_config_error(request: Request, error: Exception) -> Response:
    """Answer why the settings file is not read, or stays as it is."""
    if isinstance(error, SettingsFault):
        return refusal(request, 422, "; ".join(map(str, error.faults)))
    return refusal(request, 409, str(error))


def on_storage_error(request: Request, error: Exception) -> Response:
    """Answer what the database or the disk cannot do now; what it is stands in the log."""
    _log.error("page_not_served", error_type=type(error).__name__, reason=str(error))
    return refusal(
        request,
        503,
        "The node's database cannot do this now: it is busy, or its disk is full or broken. Nothing was changed.",
        {"Retry-After": "5"},
    )


def on_fault(request: Request, error: Exception) -> Response:
    """Answer an error that nobody foresaw, and log where it was raised: its text may hold what a header held."""
    _log.error("page_failed", error_type=type(error).__name__, where=where_raised(error))
    return refusal(request, 500, "The node has made a mistake. Its log says where, for whoever mends it.")
