"""What is done with every request before a page sees it, and with every answer after it.

A request that changes something has to come from a page of ours: browsers say so by ``Sec-Fetch-Site`` or ``Origin``,
and no page of somebody else's can make them say otherwise (Fetch Metadata, W3C; OWASP Cross-Site Request Forgery
Prevention). A body is read to a limit. Answers tell the browser to run our own files alone, to show us in no frame,
and to keep nothing.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
}
UNREAD = {"Connection": "close"}
"""Of an answer before the body was read, which would else be taken for the next request."""
KEPT_A_YEAR = "max-age=31536000"


class Protection:
    """The outermost layer of the application.

    Parameters
    ----------
    larger
        By the beginning of a path: how many bytes a body may have there.
    over_tls
        Browsers are told to come by https alone from now on.
    """

    def __init__(self, application: ASGIApp, larger: Mapping[str, int], *, over_tls: bool) -> None:
        self._application = application
        self._larger = larger
        self._headers = ANSWER_HEADERS | ({"Strict-Transport-Security": KEPT_A_YEAR} if over_tls else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return

        async def protected_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        if is_forged(scope["method"], headers):
            answer = JSONResponse({"detail": "This did not come from a page of this node."}, 403, UNREAD)
            await answer(scope, receive, protected_send)
            return
        most = next(
            (many for start, many in self._larger.items() if scope["path"].startswith(start)), MOST_BYTES
        )
        announced = headers.get("content-length", "0")
        if not announced.isdecimal() or int(announced) > most:
            answer = JSONResponse({"detail": f"No more than {most} bytes are taken here."}, 413, UNREAD)
            await answer(scope, receive, protected_send)
            return
        came = 0

        async def limited_receive() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > most:
                raise HTTPException(413, f"No more than {most} bytes are taken here.")
            return message

        await self._application(scope, limited_receive, protected_send)


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
