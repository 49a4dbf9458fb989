"""What monitors ask: `/metrics` for Prometheus, `/live` and `/ready` for whoever starts and stops nodes."""

from ipaddress import IPv4Address, IPv6Address, ip_address

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel

from dicom_node import metrics as collected
from dicom_node.vitals import ROLES, disk
from dicom_node.web.access import Looker, Right, address_of, required
from dicom_node.web.context import Context, Here
from storage.errors import StorageUnavailable

FORWARDED = ("forwarded", "x-forwarded-for")
"""What a reverse proxy says of whom it asks for: on this machine, too, it is not this machine that asks."""
NOBODY = IPv4Address("0.0.0.0")  # noqa: S104 - compared, not bound

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api", tags=["system"])


class Readiness(BaseModel):
    """Whether the node can take a film, answer it and send the answer; and of each part, whether it can, or why not."""

    ready: bool
    parts: dict[str, str]


def readiness(context: Context) -> Readiness:
    """Return which parts are ready; it asks the database for one row, the disk for its room, and for four locks."""
    parts = dict.fromkeys(("database", "disk"), "ok")
    settings, folder = context.settings, context.folder
    try:
        damage = folder.database.damage
        if damage is not None or folder.database.revision() is None:
            parts["database"] = "damaged" if damage else "has no tables"
    except StorageUnavailable:
        parts["database"] = "cannot be read"
    try:
        room = disk(settings, folder, 0)
        if room.free_bytes < room.refuses_below:
            parts["disk"] = "too little room: nothing is received"
    except StorageUnavailable:
        parts["disk"] = "cannot be read"
    running = folder.roles_running()
    parts |= {role: "ok" if role in running else "does not run" for role in ROLES}
    return Readiness(ready=set(parts.values()) == {"ok"}, parts=parts)


def may_monitor(request: Request, context: Here) -> None:
    """Let this machine and the addresses of ``[web] monitors`` read, and whoever has come in."""
    address = _address(address_of(request))
    is_here = not any(header in request.headers for header in FORWARDED) and address.is_loopback
    if not is_here and not any(address in network for network in context.settings.web.monitors):
        required(Right.LOOK)(request, context)


def _address(written: str) -> IPv4Address | IPv6Address:
    """Return whose address it is; nobody's, where a proxy has written something else there."""
    try:
        address = ip_address(written)
    except ValueError:
        return NOBODY
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


@pages.get("/metrics", dependencies=[Depends(may_monitor)])
def metrics(context: Here) -> Response:
    """Give all metrics in Prometheus' text format."""
    try:
        text = collected.metrics(context.settings, context.folder)
    except StorageUnavailable:
        return PlainTextResponse("the database or the disk cannot be read\n", 503)
    return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)


@pages.get("/live")
def live() -> Response:
    """Say that this process answers; who gets no answer may start it again."""
    return PlainTextResponse("live\n")


@pages.get("/ready")
def ready(context: Here) -> Response:
    """Say whether the node is ready, with status 503 where a part is not."""
    told = readiness(context)
    return JSONResponse(told.model_dump(), 200 if told.ready else 503)


@api.get("/ready")
def ready_for_programs(context: Here, visitor: Looker) -> Readiness:
    """Tell which parts of the node are ready; `/ready` says the same without a session, with status 503."""
    return readiness(context)
