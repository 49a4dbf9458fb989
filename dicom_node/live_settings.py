"""The settings that a running node goes by, and how it takes others: at once where it can, else at its next start.

The file is the truth. What in it needs a new start is waited for, and named; everything else is told to the parts of
the node, each of which goes by it from its next association, film or result on.
"""

import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

import structlog

from config.section import Section
from config.settings import Settings
from config.settings_file import SettingsFile
from dicom_node.auditing.settings_changes import changed, fingerprints
from storage import audit
from storage.folder import DataFolder
from storage.steps import Step

LIVE = frozenset(
    {
        "sources",
        "destinations",
        "web_destinations",
        "hl7",
        "results",
        "worklist",
        "storage",
        "retention",
        "receiver.require_known_source",
        "receiver.study_quiet_seconds",
        "receiver.maximum_associations",
        "receiver.maximum_associations_per_source",
        "web.session_minutes",
        "web.administrators",
        "web.radiologists",
        "web.viewers",
        "hl7_reports.hosts",
        "hl7_reports.accession_number",
        "hl7_reports.finding",
        "hl7_reports.positive",
        "hl7_reports.negative",
        "hl7_reports.cannot_tell",
    }
)
"""The sections, and the settings of other sections, that take effect without a new start."""

_log = structlog.get_logger()


class LiveSettings:
    """What the settings are now. Safe to share between threads.

    Parameters
    ----------
    file
        Where they were read.
    roles
        Of this process: under which its changes stand in the audit trail.
    """

    def __init__(self, settings: Settings, file: Path, folder: DataFolder, roles: Collection[str]) -> None:
        self.current = settings
        """What the node goes by."""
        self.file = file.absolute()
        self._written = settings
        self._folder = folder
        self._roles = sorted(roles)
        self._parts: list[Callable[[Settings], None]] = []
        self._changing = threading.Lock()

    def tell(self, part: Callable[[Settings], None]) -> None:
        """Call `part` with the settings whenever they are others."""
        self._parts.append(part)

    @property
    def waiting_for_start(self) -> list[str]:
        """The settings, by their paths, that stand in the file as it was read last and need a new start."""
        return changed(fingerprints(self.current), fingerprints(self._written))

    def is_read(self, settings: Settings) -> bool:
        """Tell whether these are the settings that were read last."""
        return settings == self._written

    def replace(self, old: SettingsFile, new: SettingsFile, user: str, address: str) -> None:
        """Put another version into the place of the file, note who did, and go by it.

        Raises
        ------
        SettingsFault, NotWritten
            Nothing was changed.
        """
        with self._changing:
            self._take(new.settings(), lambda: old.replace(new), user=user, address=address)

    def read_again(self, **who: str) -> None:
        """Go by the file as somebody has left it; `who` asked for that. Raises SettingsFault: nothing changes."""
        with self._changing:
            self._take(SettingsFile.read(self.file).settings(), lambda: None, **who)

    def _take(self, settings: Settings, put: Callable[[], object], **who: str) -> None:
        now, noted = fingerprints(settings), fingerprints(self._written)
        with self._folder.database.write(Step.BY_HAND) as connection:
            if now != noted:
                audit.append(
                    connection,
                    time.time(),
                    "settings_changed",
                    roles=self._roles,
                    changed=changed(noted, now),
                    settings=now,
                    **who,
                )
            put()  # in the transaction: where the record cannot be written the file stays, and the other way round
        self._written = settings
        self.current = what_takes_effect(self.current, settings)
        for part in self._parts:
            part(self.current)
        _log.info("settings_taken", count=len(self.waiting_for_start))


def what_takes_effect(running: Settings, written: Settings) -> Settings:
    """Return the settings of a running node after those in its file have become others."""
    taken: dict[str, object] = {}
    for name in Settings.model_fields:
        section = getattr(running, name)
        if name in LIVE:
            taken[name] = getattr(written, name)
        elif isinstance(section, Section):
            live = [each for each in type(section).model_fields if f"{name}.{each}" in LIVE]
            taken[name] = section.model_copy(
                update={each: getattr(getattr(written, name), each) for each in live}
            )
    return running.model_copy(update=taken)
