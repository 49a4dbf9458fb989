"""How people come in by the hospital's single sign-on, and leave it (`dicom_node.web.oidc` speaks to the provider)."""

from urllib.parse import quote, unquote

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from dicom_node.web import proxy
from dicom_node.web.access import address_of, cookie_of
from dicom_node.web.context import Context, Here
from dicom_node.web.door import begin, with_cookie
from dicom_node.web.links import BACK
from dicom_node.web.oidc import Provider, SignOnFailed, Started
from dicom_node.web.pages import page, refusal, within
from storage import audit, people
from storage.steps import Step

KEPT_SECONDS = 600
"""For so long somebody may be at the provider."""

pages = APIRouter(include_in_schema=False)
api = APIRouter()

_log = structlog.get_logger()


@pages.get("/single-sign-on")
def to_provider(request: Request, context: Here, to: str = "/") -> Response:
    """Send somebody to the provider."""
    provider = _provider(context)
    try:
        url, started = provider.begin()
    except SignOnFailed as error:
        return _failed(request, error)
    answer = RedirectResponse(url, 303)
    kept = ".".join((started.state, started.nonce, started.verifier, quote(within(to), safe="")))
    secure = request.url.scheme == "https"
    answer.set_cookie(_cookie(request), kept, KEPT_SECONDS, httponly=True, samesite="lax", secure=secure)
    return answer


@pages.get(BACK)
def from_provider(request: Request, context: Here) -> Response:
    """Let somebody in who comes back from the provider."""
    provider, web = _provider(context), context.settings.web
    kept = request.cookies.get(_cookie(request), "").split(".", 3)
    if len(kept) != 4:
        return _failed(
            request, SignOnFailed("this browser has not asked for it, or too long ago; log in again")
        )
    try:
        name, roles = provider.finish(Started(*kept[:3]), request.query_params)
    except SignOnFailed as error:
        return _failed(request, error)
    try:
        person = proxy.named(name, roles, web)
        _require_no_password(context, person.name)
    except HTTPException:
        _note_refused(request, context, name)
        raise
    secret = begin(request, context, person.name, person.role, "single sign-on")
    answer = with_cookie(request, RedirectResponse(within(unquote(kept[3])), 303), secret)
    answer.delete_cookie(_cookie(request), secure=request.url.scheme == "https", httponly=True)
    return answer


@pages.get("/single-sign-on/out")
def out(request: Request, context: Here) -> Response:
    """Say that the provider still knows somebody who has left here, and lead them out there."""
    try:
        url = _provider(context).out(f"{context.settings.web.url}/login")
    except SignOnFailed as error:
        return _failed(request, error)
    return page(request, "out.html", url=url)


def _provider(context: Context) -> Provider:
    if context.provider is None:
        raise HTTPException(404, "There is no single sign-on here.")
    return context.provider


def _cookie(request: Request) -> str:
    return f"{cookie_of(request)}_started"


def _failed(request: Request, error: SignOnFailed) -> Response:
    _log.warning("single_sign_on_failed", reason=str(error), address=address_of(request))
    return refusal(request, 403, f"The hospital's single sign-on: {error}.")


def _require_no_password(context: Context, name: str) -> None:
    with context.folder.database.read() as connection:
        if people.role_and_password(connection, name.lower()) is not None:
            raise HTTPException(
                403, "Your name has a password at this node. Log in by it, or have it removed there."
            )


def _note_refused(request: Request, context: Context, name: str) -> None:
    with context.folder.database.write(Step.BY_HAND) as connection:
        audit.append(
            connection,
            context.now(),
            "login_refused",
            user=name[: proxy.LONGEST_NAME],
            address=address_of(request),
        )
