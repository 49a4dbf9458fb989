"""What the pages of AE titles do: an entry drafted and checked, the file saved, a destination asked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from starlette.exceptions import HTTPException

from config.entries import PeerSection, entries_in, place_of, with_entry
from config.errors import NotWritten, SettingsFault
from config.settings import Settings
from config.settings_file import SettingsFile
from dicom_node.dicomweb import unreadable_files
from dicom_node.echo import AnyDestination, echo
from dicom_node.errors import DeliveryFault
from dicom_node.web.access import Visitor
from dicom_node.web.context import Context
from dicom_node.web.peer_forms import at_fields, difference

UNKNOWN = "There is no entry of this name."


class Echoed(BaseModel):
    """What came of asking a destination: whether it answered with success, in words, and after how long in all."""

    succeeded: bool
    said: str
    milliseconds: float | None


@dataclass(frozen=True)
class Draft:
    """An entry as somebody wants it, and the file that it would stand in."""

    file: SettingsFile
    section: PeerSection
    place: int
    entry: dict[str, Any]
    text: str
    faults: dict[str, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    settings: Settings | None = None

    @property
    def difference(self) -> Sequence[tuple[str, str]]:
        """The lines that would be others."""
        return difference(self.file.text, self.text)


def current_file(context: Context, digest: str | None = None) -> SettingsFile:
    """Read the settings file. Raises SettingsFault, and NotWritten where it is not the version of this digest."""
    file = SettingsFile.read(context.live.file)
    if digest is not None and file.digest != digest:
        raise NotWritten(
            "the file was changed by somebody else since it was shown here, and is left as it is now: "
            "look at it again, and make the change anew"
        )
    return file


def place_in(file: SettingsFile, section: PeerSection, name: str) -> int:
    """Return the place of an entry. Raises HTTPException 404."""
    place = place_of(file.text, section, name)
    if place is None:
        raise HTTPException(404, UNKNOWN)
    return place


def drafted(file: SettingsFile, section: PeerSection, name: str | None, entry: dict[str, Any]) -> Draft:
    """Return what the file would be with this entry, new or in the place of the one of this name, and all its faults.

    Raises
    ------
    NotWritten
        The file is written in a way that cannot be changed here.
    """
    place = None if name is None else place_in(file, section, name)
    text = with_entry(file.text, section, place, entry)
    place = len(entries_in(file.text, section)) if place is None else place
    try:
        settings = file.changed(text).settings()
    except SettingsFault as fault:
        fields, others = at_fields(section, place, fault.faults)
        return Draft(file, section, place, entry, text, fields, others)
    if section is PeerSection.WEB_DESTINATIONS:
        missing = unreadable_files(settings.web_destinations[place])
        if missing:
            fields = {setting: f"cannot be read: {path}" for setting, path in missing}
            return Draft(file, section, place, entry, text, fields)
    return Draft(file, section, place, entry, text, settings=settings)


def put(context: Context, visitor: Visitor, file: SettingsFile, text: str) -> None:
    """Save the file with this text, and go by it. Raises SettingsFault, NotWritten."""
    context.live.replace(file, file.changed(text), visitor.name, visitor.address)
    context.wake()


def go_back(context: Context, visitor: Visitor, file: SettingsFile) -> None:
    """Put the previous version in force. Raises SettingsFault, NotWritten."""
    earlier = file.earlier()
    if earlier is None:
        raise NotWritten("there is no previous version: nothing was changed here yet")
    context.live.replace(file, earlier, visitor.name, visitor.address)
    context.wake()


def ask(context: Context, destination: AnyDestination) -> Echoed:
    """Ask a destination whether it is there and lets the node in."""
    try:
        found = echo(context.settings.node.ae_title, destination, context.tls)
    except DeliveryFault as fault:
        return Echoed(succeeded=False, said=fault.reason, milliseconds=None)
    return Echoed(succeeded=True, said=found.said, milliseconds=round(found.milliseconds, 1))


def destination_at(settings: Settings, section: PeerSection, place: int) -> AnyDestination:
    """Return the destination that stands there. Raises HTTPException 422 for a source."""
    if section is PeerSection.SOURCES:
        raise HTTPException(422, "A source is not called by the node: it calls.")
    found: AnyDestination = getattr(settings, section)[place]
    return found
