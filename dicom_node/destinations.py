"""Who sends to the destinations: one sender for each, started, stopped and exchanged while the node runs."""

import time
from dataclasses import dataclass

import structlog

from config.peers import Destination, WebDestination
from config.settings import Settings
from dicom_node.channels.channel import Channel
from dicom_node.channels.mllp import MllpChannel
from dicom_node.channels.storage import StorageChannel
from dicom_node.channels.stow import StowChannel
from dicom_node.commitment import Committer
from dicom_node.echo import AnyDestination
from dicom_node.loop import Loop
from dicom_node.sender import Sender
from dicom_node.tls import Tls
from storage import commitment, views
from storage.folder import DataFolder
from storage.steps import Step

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Served:
    destination: AnyDestination
    sending: Loop
    committing: Loop | None

    @property
    def loops(self) -> list[Loop]:
        return [self.sending, *([self.committing] if self.committing else [])]


class Destinations:
    """A sender for each destination, whatever protocol it speaks, and beside it who asks for promises."""

    def __init__(self, settings: Settings, folder: DataFolder, tls: Tls, owner: str) -> None:
        self._settings = settings
        self._folder = folder
        self._tls = tls
        self._owner = owner
        self._served: dict[str, _Served] = {}
        self._leaving: list[Loop] = []
        """Of destinations that are no more: the step under way may take its time."""

    def start(self) -> None:
        """Begin to send."""
        for destination in (*self._settings.all_destinations, *self._settings.hl7):
            if destination.name not in self._served:  # the pages may have been faster
                self._serve(destination)

    def take(self, settings: Settings) -> None:
        """Send as these settings say; a destination that is as it was notices nothing.

        What still waits for one that is no more stays in the queue, for whoever looks there.
        """
        before, self._settings = self._served, settings
        wanted = {each.name: each for each in (*settings.all_destinations, *settings.hl7)}
        for name, served in list(before.items()):
            if wanted.get(name) != served.destination:
                self._leave(name)
        for name, destination in wanted.items():
            if name not in self._served:
                self._serve(destination)
        promising = [to.name for to in settings.destinations if to.storage_commitment]
        with self._folder.database.write(Step.BY_HAND) as connection:
            not_asked = commitment.ask_only(connection, promising, time.time())
            waiting = views.open_deliveries(connection)
        if not_asked:
            _log.warning("commitment_no_longer_asked", count=not_asked)
        for name in waiting.keys() - wanted.keys():
            _log.error("destination_not_configured", destination=name, count=waiting[name])

    def wake(self) -> None:
        """Tell every sender that there is work."""
        for served in list(self._served.values()):
            served.sending.wake()

    def end(self) -> None:
        """Begin nothing more."""
        for name in list(self._served):
            self._leave(name)

    def stop(self, deadline: float) -> None:
        """Wait for the steps under way, until `deadline` (`time.monotonic`)."""
        for loop in self._leaving:
            loop.stop(max(0.0, deadline - time.monotonic()))

    def _serve(self, destination: AnyDestination) -> None:
        settings, name = self._settings, destination.name
        sender = Sender(settings.retry, name, self._channel_to(destination), self._folder, self._owner)
        sending = Loop(f"deliver to {name}", sender.step, sender.close)
        committing = None
        if isinstance(destination, Destination) and destination.storage_commitment:
            committer = Committer(settings, destination, self._folder)
            committing = Loop(f"commitment of {name}", committer.step)
        self._served[name] = served = _Served(destination, sending, committing)
        for loop in served.loops:
            loop.start()

    def _leave(self, name: str) -> None:
        loops = self._served.pop(name).loops
        for loop in loops:
            loop.end()
        self._leaving = [each for each in (*self._leaving, *loops) if each.is_running]

    def _channel_to(self, destination: AnyDestination) -> Channel:
        if isinstance(destination, Destination):
            return StorageChannel(self._settings.node.ae_title, destination, self._tls)
        if isinstance(destination, WebDestination):
            return StowChannel(destination, self._tls)
        return MllpChannel(destination, self._tls)
