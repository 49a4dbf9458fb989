"""What every page needs of the node that it belongs to."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from config.settings import Settings
from dicom_node.live_settings import LiveSettings
from dicom_node.tls import Tls
from dicom_node.web.attempts import Attempts
from dicom_node.web.films import Films
from dicom_node.web.oidc import Provider
from dicom_node.web.uploads import Uploads
from storage.folder import DataFolder


@dataclass(frozen=True, slots=True)
class Context:
    """The node as its pages see it.

    Parameters
    ----------
    live
        What the node goes by, and the file that says so.
    tls
        What shows the node to its peers, and whom it trusts.
    wake
        Tells worker and senders that there is work.
    opened
        Has the pages listen where ``[web] host`` says, now that somebody may look at them; returns their new URL where
        they are no longer at the old one.
    uploads
        Keeps and analyses files that are brought.
    films
        Films as pages show them.
    provider
        Of the hospital's single sign-on by OpenID Connect, if there is one.
    now
        The clock: seconds since 1970 (UTC).
    """

    live: LiveSettings
    folder: DataFolder
    tls: Tls
    wake: Callable[[], None]
    opened: Callable[[], str]
    uploads: Uploads
    films: Films
    provider: Provider | None = None
    now: Callable[[], float] = time.time
    attempts: Attempts = field(default_factory=Attempts)

    @property
    def settings(self) -> Settings:
        """What the node goes by now."""
        return self.live.current


def _context(request: Request) -> Context:
    return cast(Context, request.app.state.context)


Here = Annotated[Context, Depends(_context)]
