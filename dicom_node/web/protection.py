"""What is done with every request before a page sees it, and with every answer after it.

A request that changes something has to come from a page of ours: browsers say so by ``Sec-Fetch-Site`` or ``Origin``,
and no page of somebody else's can make them say otherwise (Fetch Metadata, W3C; OWASP Cross-Site Request Forgery
Prevention). The node has to be called by a name of its own, so that nobody else's name can be made to lead here (DNS
rebinding). A body is read to a limit. Answers tell the browser to run our own files alone, to show us in no frame,
and to keep nothing.

They do not tell it to come by https alone (Strict-Transport-Security): it would do so on every port of this host from
then on, and keep people from an archive beside the node that speaks http.
"""

import socket
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.web import WebSettings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MOST_BYTES = 1_000_000
"""Of a body; who takes files says how much more (`Protection.larger`)."""
ANSWER_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
UNREAD = {"Connection": "close"}
"""Of an answer before the body was read, which would else be taken for the next request."""


class Protection:
    """The outermost layer of the application.

    Parameters
    ----------
    larger
        By the beginning of a path: how many bytes a body may have there that comes from somebody who has come in. A
        body is read before a page asks who sends it.
    has_come_in
        Tells it of a request's headers.
    """

    def __init__(
        self,
        application: ASGIApp,
        web: WebSettings,
        larger: Mapping[str, int],
        has_come_in: Callable[[Request], bool],
    ) -> None:
        self._application = application
        self._larger = larger
        self._has_come_in = has_come_in
        self._names = {web.host.lower(), socket.gethostname().lower(), urlsplit(web.url).hostname or ""}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return

        async def protected_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in ANSWER_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        most = await self._most(scope)
        refused = self._refusal(scope["method"], headers, most)
        if refused is not None:
            answer = JSONResponse({"detail": refused.detail}, refused.status_code, UNREAD)
            await answer(scope, receive, protected_send)
            return
        came = 0

        async def limited_receive() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > most:
                raise _too_large(most)
            return message

        await self._application(scope, limited_receive, protected_send)

    async def _most(self, scope: Scope) -> int:
        for start, many in self._larger.items():
            if scope["path"].startswith(start) and scope["method"] not in SAFE_METHODS:
                return many if await run_in_threadpool(self._has_come_in, Request(scope)) else MOST_BYTES
        return MOST_BYTES

    def _refusal(self, method: str, headers: Headers, most: int) -> HTTPException | None:
        if not is_own_name(headers.get("host", ""), self._names):
            return HTTPException(
                421, "The node does not know this name as its own: use its address, or set [web] url."
            )
        if is_forged(method, headers):
            return HTTPException(403, "This did not come from a page of this node.")
        announced = headers.get("content-length", "0")
        if not announced.isdecimal() or len(announced) > 15 or int(announced) > most:
            return _too_large(most)
        return None


def is_own_name(host: str, names: set[str]) -> bool:
    """Tell whether a ``Host`` is one of these names, an address, or a name without a dot, to which no name server
    outside gives an address.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    try:
        ip_address(name)
    except ValueError:
        return name != "" and (name in names or "." not in name)
    return True


def is_forged(method: str, headers: Headers) -> bool:
    """Tell whether a request may have been made by a page of somebody else's."""
    if method in SAFE_METHODS:
        return False
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site not in ("same-origin", "none")
    if origin is not None:
        return urlsplit(origin).netloc != headers.get("host")
    return "cookie" in headers


def _too_large(most: int) -> HTTPException:
    return HTTPException(413, f"No more than {most} bytes are taken here.")
