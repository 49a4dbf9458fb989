"""AE titles: who may send and where results go, as forms with the settings file behind them.

A form is about one entry of the file. Before anything is saved the lines are shown that would be others, and saving
wants the very version of the file that was shown.
"""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, JsonValue
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from config.entries import PeerSection, entries_in, with_entry, without_entry
from config.errors import Fault, NotWritten, SettingsFault
from config.settings_file import SettingsFile
from dicom_node.certificates import CertificateFile, certificate_files
from dicom_node.echo import address_of
from dicom_node.web.access import Administrator, Visitor
from dicom_node.web.context import Context, Here
from dicom_node.web.pages import REFUSALS, go_to, page
from dicom_node.web.peer_changes import (
    UNKNOWN,
    Draft,
    Echoed,
    ask,
    current_file,
    destination_at,
    drafted,
    go_back,
    place_in,
    put,
)
from dicom_node.web.peer_forms import FIELDS, TITLES, Kind, difference, entry_of, shown
from storage import views

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api", tags=["AE titles"])

DONE = {
    "saved": "Saved, and the node goes by it.",
    "removed": "Removed, and the node goes by it.",
    "back": "The previous version is in force again.",
    "read": "The file was read, and the node goes by it.",
}
ENTRY_REFUSALS = REFUSALS | {
    404: {"description": UNKNOWN},
    409: {"description": "The file is another by now, or cannot be written; the sentence says what to do."},
}


class Named(BaseModel):
    """Something that is wrong: the setting by its path, or "" for the file itself, and what is allowed there."""

    setting: str
    sentence: str


class Peers(BaseModel):
    """Who sends and where results go, as the settings file says it, with `digest` for its version."""

    digest: str
    sources: list[dict[str, JsonValue]]
    destinations: list[dict[str, JsonValue]]
    web_destinations: list[dict[str, JsonValue]]
    hl7: list[dict[str, JsonValue]]
    waiting_for_start: list[str]
    faults: list[Named]


class NewEntry(BaseModel):
    """An entry, with the settings that it has in the file, and the digest of the version that it was made for."""

    digest: str
    entry: dict[str, JsonValue]


class Version(BaseModel):
    """The digest of the version of the file that was seen."""

    digest: str


class Unsaved(BaseModel):
    """A destination as it would stand in the settings file."""

    section: PeerSection
    entry: dict[str, JsonValue]


async def _filled_in(request: Request) -> FormData:
    return await request.form()


FilledIn = Annotated[FormData, Depends(_filled_in)]
Digest = Annotated[str, Form(max_length=64)]
Of = Annotated[str | None, Query(max_length=64)]
"""The name of the entry that a form is about; None: a new one."""


@pages.get("/peers")
def peers_page(request: Request, context: Here, _visitor: Administrator, done: str = "") -> Response:
    """Show who may send and where results go."""
    faults: Sequence[Fault] = ()
    settings, previous, is_read = context.settings, None, True
    try:
        file = current_file(context)
        settings, previous = file.settings(), file.earlier()
        is_read = context.live.is_read(settings)
    except SettingsFault as fault:
        faults = fault.faults
    with context.folder.database.read() as connection:
        waiting = views.open_deliveries(connection)
    served = {each.name for each in (*settings.all_destinations, *settings.hl7)}
    return page(
        request,
        "peers.html",
        settings=settings,
        file=context.live.file,
        faults=faults,
        previous=previous,
        is_read=is_read,
        done=DONE.get(done),
        waiting_for_start=context.live.waiting_for_start,
        waiting=waiting,
        unserved={name: many for name, many in waiting.items() if name not in served},
        certificates=_certificates(context),
        sections=PeerSection,
        titles=TITLES,
        address_of=address_of,
    )


@pages.get("/peers/previous")
def previous_page(request: Request, context: Here, _visitor: Administrator) -> Response:
    """Show what going back to the previous version would change."""
    return _previous_page(request, context, "")


@pages.post("/peers/previous")
def go_back_by_form(request: Request, context: Here, visitor: Administrator, digest: Digest) -> Response:
    """Go back to the previous version."""
    try:
        go_back(context, visitor, current_file(context, digest))
    except (SettingsFault, NotWritten) as fault:
        return _previous_page(request, context, str(fault))
    return go_to(request, "/peers?done=back")


@pages.post("/peers/reading")
def read_again_by_form(request: Request, context: Here, visitor: Administrator) -> Response:
    """Go by the file as somebody has left it."""
    try:
        context.live.read_again(user=visitor.name, address=visitor.address)
    except SettingsFault:  # which the page names
        return go_to(request, "/peers")
    return go_to(request, "/peers?done=read")


@pages.get("/peers/{section}")
def entry_page(
    request: Request, context: Here, _visitor: Administrator, section: PeerSection, of: Of = None
) -> Response:
    """Show an entry to be edited, or an empty one to be filled in."""
    file = current_file(context)
    place = 0 if of is None else place_in(file, section, of)
    entry = {} if of is None else entries_in(file.text, section)[place]
    return _form_page(request, context, Draft(file, section, place, entry, file.text), of)


@pages.post("/peers/{section}")
def save_by_form(
    request: Request,
    context: Here,
    visitor: Administrator,
    section: PeerSection,
    form: FilledIn,
    of: Of = None,
) -> Response:
    """Save an entry, new or changed."""
    draft = drafted(current_file(context), section, of, entry_of(section, form))
    refusal = ""
    if draft.settings is not None:
        try:
            put(context, visitor, current_file(context, str(form.get("digest", ""))), draft.text)
        except NotWritten as error:
            refusal = str(error)
        else:
            return go_to(request, "/peers?done=saved")
    return _form_page(request, context, draft, of, refusal)


@pages.post("/peers/{section}/preview")
def preview(
    request: Request,
    context: Here,
    _visitor: Administrator,
    section: PeerSection,
    form: FilledIn,
    of: Of = None,
) -> Response:
    """Show what the form would change in the file."""
    draft = drafted(current_file(context), section, of, entry_of(section, form))
    return page(request, "peer_toml.html", draft=draft, fields=FIELDS[section])


@pages.post("/peers/{section}/echo")
def echo_as_filled_in(
    request: Request,
    context: Here,
    _visitor: Administrator,
    section: PeerSection,
    form: FilledIn,
    of: Of = None,
) -> Response:
    """Ask a destination that is not saved yet."""
    draft = drafted(current_file(context), section, of, entry_of(section, form))
    if draft.settings is None:
        said = "not asked: what is filled in has faults, which stand beside the form"
        echoed = Echoed(succeeded=False, said=said, milliseconds=None)
    else:
        echoed = ask(context, destination_at(draft.settings, section, draft.place))
    return page(request, "peer_echo.html", echoed=echoed)


@pages.post("/peers/{section}/saved-echo")
def echo_saved(
    request: Request, context: Here, _visitor: Administrator, section: PeerSection, of: str
) -> Response:
    """Ask a destination of the settings."""
    return page(request, "peer_echo.html", echoed=_asked(context, section, of))


@pages.get("/peers/{section}/removal")
def removal_page(
    request: Request, context: Here, _visitor: Administrator, section: PeerSection, of: str
) -> Response:
    """Show what removing an entry would change."""
    return _removal_page(request, context, section, of, "")


@pages.post("/peers/{section}/removal")
def remove_by_form(
    request: Request, context: Here, visitor: Administrator, section: PeerSection, of: str, digest: Digest
) -> Response:
    """Remove an entry."""
    try:
        file = current_file(context, digest)
        put(context, visitor, file, without_entry(file.text, section, place_in(file, section, of)))
    except (SettingsFault, NotWritten) as fault:
        return _removal_page(request, context, section, of, str(fault))
    return go_to(request, "/peers?done=removed")


def _form_page(
    request: Request, context: Context, draft: Draft, name: str | None, refusal: str = ""
) -> Response:
    status = 409 if refusal else 422 if draft.faults or draft.others else 200
    return page(
        request,
        "peer.html",
        status,
        draft=draft,
        name=name,
        refusal=refusal,
        title=TITLES[draft.section],
        fields=FIELDS[draft.section],
        values=shown(draft.section, draft.entry),
        kinds=Kind,
        certificates=_certificates(context),
    )


def _removal_page(
    request: Request, context: Context, section: PeerSection, name: str, refusal: str
) -> Response:
    file = current_file(context)
    text = without_entry(file.text, section, place_in(file, section, name))
    with context.folder.database.read() as connection:
        waiting = 0 if section is PeerSection.SOURCES else views.open_deliveries(connection).get(name, 0)
    return page(
        request,
        "peer_change.html",
        409 if refusal else 200,
        heading=f"Remove the {TITLES[section]} {name}",
        button="Remove it",
        waiting=waiting,
        digest=file.digest,
        difference_lines=difference(file.text, text),
        refusal=refusal,
    )


def _previous_page(request: Request, context: Context, refusal: str) -> Response:
    file = current_file(context)
    earlier = file.earlier()
    if earlier is None:
        raise HTTPException(404, "There is no previous version: nothing was changed here yet.")
    return page(
        request,
        "peer_change.html",
        409 if refusal else 200,
        heading="Go back to the previous version",
        button="Go back",
        waiting=0,
        digest=file.digest,
        difference_lines=difference(file.text, earlier.text),
        refusal=refusal,
    )


def _certificates(context: Context) -> list[CertificateFile]:
    return certificate_files(context.settings.tls, context.now())


def _asked(context: Context, section: PeerSection, name: str) -> Echoed:
    names = [each.name for each in getattr(context.settings, section)]
    if name not in names:
        raise HTTPException(404, UNKNOWN)
    return ask(context, destination_at(context.settings, section, names.index(name)))


@api.get("/peers")
def list_peers(context: Here, _visitor: Administrator) -> Peers:
    """Return who may send and where results go, as the file says it; `waiting_for_start` names what takes effect at the
    next start of the node only, and `faults` what is wrong with a file that somebody has edited.
    """
    faults: Sequence[Fault] = ()
    file = SettingsFile(context.live.file, b"")
    try:
        file = current_file(context)
        file.settings()
    except SettingsFault as fault:
        faults = fault.faults
    try:
        found = {str(section): entries_in(file.text, section) for section in PeerSection}
    except SettingsFault:  # which `faults` names
        found = {str(section): [] for section in PeerSection}
    return Peers(
        digest=file.digest,
        **found,
        waiting_for_start=context.live.waiting_for_start,
        faults=[Named(setting=each.setting, sentence=each.sentence) for each in faults],
    )


@api.post("/peers/{section}", status_code=201, responses=ENTRY_REFUSALS)
def add_entry(context: Here, visitor: Administrator, section: PeerSection, new: NewEntry) -> Peers:
    """Add an entry to the settings file; the node goes by it at once."""
    _put_entry(context, visitor, section, None, new)
    return list_peers(context, visitor)


@api.put("/peers/{section}/{name}", responses=ENTRY_REFUSALS)
def change_entry(
    context: Here, visitor: Administrator, section: PeerSection, name: str, new: NewEntry
) -> Peers:
    """Put another entry into the place of the one of this name; the node goes by it at once."""
    _put_entry(context, visitor, section, name, new)
    return list_peers(context, visitor)


@api.delete("/peers/{section}/{name}", responses=ENTRY_REFUSALS)
def remove_entry(
    context: Here, visitor: Administrator, section: PeerSection, name: str, digest: str
) -> Peers:
    """Remove an entry from the settings file; the node goes by it at once. What still waits for a destination stays in
    the queue.
    """
    file = current_file(context, digest)
    put(context, visitor, file, without_entry(file.text, section, place_in(file, section, name)))
    return list_peers(context, visitor)


@api.post("/settings/previous", responses=ENTRY_REFUSALS)
def go_back_to_previous(context: Here, visitor: Administrator, version: Version) -> Peers:
    """Put the previous version of the settings file in force; the one that was becomes the previous."""
    go_back(context, visitor, current_file(context, version.digest))
    return list_peers(context, visitor)


@api.post("/settings/reading", responses=ENTRY_REFUSALS)
def read_again(context: Here, visitor: Administrator) -> Peers:
    """Go by the settings file as somebody has left it, as at SIGHUP."""
    context.live.read_again(user=visitor.name, address=visitor.address)
    return list_peers(context, visitor)


@api.post("/peers/{section}/{name}/echo", responses=ENTRY_REFUSALS)
def echo_destination(context: Here, _visitor: Administrator, section: PeerSection, name: str) -> Echoed:
    """Ask a destination whether it is there and lets the node in: by C-ECHO, QIDO-RS, or a connection for HL7."""
    return _asked(context, section, name)


@api.post("/echo", responses=ENTRY_REFUSALS)
def echo_unsaved(context: Here, _visitor: Administrator, unsaved: Unsaved) -> Echoed:
    """Ask a destination that is not in the settings."""
    file = current_file(context)
    settings = file.changed(with_entry(file.text, unsaved.section, None, unsaved.entry)).settings()
    return ask(context, destination_at(settings, unsaved.section, -1))


def _put_entry(
    context: Context, visitor: Visitor, section: PeerSection, name: str | None, new: NewEntry
) -> None:
    file = current_file(context, new.digest)
    place = None if name is None else place_in(file, section, name)
    put(context, visitor, file, with_entry(file.text, section, place, new.entry))
