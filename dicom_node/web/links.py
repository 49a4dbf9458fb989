"""Where the pages are, and the links that people are given."""

import re
import socket

from config.web import WebSettings

LOOPBACK = "127.0.0.1"
EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound
BACK = "/single-sign-on/back"
"""Where the provider of the single sign-on sends people back to."""
INVITATION_SECONDS = 24 * 3600.0
NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
NAME_RULE = "must be 1 to 64 letters, digits, dots, hyphens, underscores or @, without accents or spaces"


def host_of(web: WebSettings, *, has_administrator: bool) -> str:
    """Return where the pages listen: on this machine alone until somebody may look at them."""
    return web.host if has_administrator or web.has_single_sign_on else LOOPBACK


def url_of(web: WebSettings, host: str, port: int) -> str:
    """Return the URL of pages that listen there."""
    if web.url and host == web.host:
        return web.url
    name = socket.gethostname() if host in EVERYWHERE else host
    return f"http{'s' if web.tls else ''}://{f'[{name}]' if ':' in name else name}:{port}"


def invitation(base: str, secret: str) -> str:
    """Return the link by which somebody comes in once."""
    return f"{base}/invitation/{secret}"
