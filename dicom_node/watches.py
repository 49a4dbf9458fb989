"""What the node watches by itself: whether its destinations answer, and whether the scores of a device drift."""

import time
from collections.abc import Callable

import structlog

from config.settings import Settings
from dicom_node import drift
from dicom_node.drift import Verdict
from dicom_node.echo import echo
from dicom_node.errors import DeliveryFault
from dicom_node.tls import Tls
from storage import echoes
from storage.folder import DataFolder
from storage.steps import Step

ECHO_EVERY_SECONDS = 300.0
SCORES_EVERY_SECONDS = 900.0

_log = structlog.get_logger()


class DestinationWatch:
    """Asks each destination every few minutes, and keeps what it answered; a change is logged."""

    def __init__(self, settings: Settings, folder: DataFolder, tls: Tls) -> None:
        self._ae_title = settings.node.ae_title
        self._destinations = (*settings.all_destinations, *settings.hl7)
        self._folder = folder
        self._tls = tls
        self._ending = False
        self._refusals: dict[str, str | None] = {}
        self._due = 0.0  # on the clock that nobody sets

    def take(self, settings: Settings) -> None:
        """Ask the destinations of these settings, soon."""
        self._destinations = (*settings.all_destinations, *settings.hl7)
        self._due = 0.0

    def end(self) -> None:
        """Ask no further destination, for another thread than that which asks."""
        self._ending = True

    def step(self) -> float:
        """Ask all destinations, if it is time; return after how many seconds to come back."""
        wait = self._due - time.monotonic()
        if wait > 0:
            return wait
        for destination in self._destinations:
            milliseconds = reason = None
            try:
                milliseconds = echo(self._ae_title, destination, self._tls).milliseconds
            except DeliveryFault as fault:
                reason = fault.reason
            if self._ending:
                break  # the folder may be closed by now
            with self._folder.database.write(Step.DESTINATION_ASKED) as connection:
                echoes.echoed(connection, destination.name, time.time(), milliseconds, reason)
            self._tell(destination.name, reason)
        self._due = time.monotonic() + ECHO_EVERY_SECONDS
        return ECHO_EVERY_SECONDS

    def _tell(self, destination: str, reason: str | None) -> None:
        before = self._refusals.get(destination)
        self._refusals[destination] = reason
        if reason is not None and before is None:
            _log.warning("destination_does_not_answer", destination=destination, reason=reason)
        elif reason is None and before is not None:
            _log.info("destination_answers_again", destination=destination)


class ScoreWatch:
    """Compares each device's scores with its first ones; that they drift is logged when it begins and when it ends."""

    def __init__(self, folder: DataFolder, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._drifted: set[int] = set()

    def step(self) -> float:
        """Look at all devices; return after how many seconds to come back."""
        devices = drift.devices(self._folder.database, self._clock())
        drifted = {each.id: each for each in devices if each.verdict is Verdict.DRIFTED}
        for new in drifted.keys() - self._drifted:
            # its name stands in images' headers: the pages show it to those who may look
            _log.warning("scores_drift", device=new, stability_index=round(drifted[new].index or 0.0, 3))
        for over in self._drifted - drifted.keys():
            _log.info("scores_drift_no_more", device=over)
        self._drifted = set(drifted)
        return SCORES_EVERY_SECONDS
