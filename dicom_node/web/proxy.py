"""A reverse proxy before the pages: what it says of who asks, and from where, is taken from its addresses alone.

``X-Forwarded-For`` and ``X-Forwarded-Proto`` count from every address in ``[web] proxy_addresses``. Where
``[web] proxy_user_header`` is named, too, the proxy says who asks with each request, and nobody comes in otherwise.
"""

from dataclasses import dataclass
from ipaddress import ip_address

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from config.web import WebSettings
from storage.people import Role

LONGEST_NAME = 64
CALLED_BY = "dicom_node.called_by"
"""Under this name the address stands in a scope that the connection came from, whatever the headers say."""


@dataclass(frozen=True, slots=True)
class Named:
    """Whom the hospital's single sign-on names."""

    name: str
    role: Role


class BehindProxy:
    """The layer that puts the caller's own address and scheme where the proxy's stand."""

    def __init__(self, application: ASGIApp, web: WebSettings) -> None:
        trusted = [str(network) for network in web.proxy_addresses]
        self._application = ProxyHeadersMiddleware(application, trusted)  # type: ignore[arg-type] # uvicorn has types of its own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        scope[CALLED_BY] = scope["client"][0] if scope.get("client") else ""
        await self._application(scope, receive, send)  # type: ignore[arg-type] # as above


def person_of(request: Request, web: WebSettings) -> Named | None:
    """Return whom the proxy names; None: nobody.

    Raises
    ------
    HTTPException
        The header does not come from the proxy, or not once, or its person has no role here.
    """
    if not web.proxy_user_header:
        return None
    users = request.headers.getlist(web.proxy_user_header)
    if not users:
        return None
    if not is_proxy(request.scope[CALLED_BY], web):
        raise HTTPException(403, f"{web.proxy_user_header} is not taken from this address.")
    if len(users) != 1:
        raise HTTPException(403, f"{web.proxy_user_header} must be there once.")
    values = ",".join(request.headers.getlist(web.proxy_role_header)).split(",")
    return named(users[0], [value.strip() for value in values], web)


def named(name: str, values: list[str], web: WebSettings) -> Named:
    """Return somebody whom the hospital knows by this name and with these roles or groups. Raises HTTPException."""
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or "/" in name:
        raise HTTPException(403, "The hospital's single sign-on gives no name that can be used here.")
    for role, meant in (
        (Role.ADMINISTRATOR, web.administrators),
        (Role.RADIOLOGIST, web.radiologists),
        (Role.VIEWER, web.viewers),
    ):
        if set(values) & set(meant):
            return Named(name, role)
    raise HTTPException(
        403, "You are known to the hospital, and have no role at this node. Its administrator gives one."
    )


def is_proxy(address: str, web: WebSettings) -> bool:
    """Tell whether a connection from this address is the reverse proxy's."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in web.proxy_addresses)
