"""The node put together: which parts run for which roles, how they wake each other, how they start and stop."""

import gc
import os
import socket
import sys
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from config.settings import Settings
from dicom_node import transport
from dicom_node.auditing.forwarder import Forwarder, channel_to
from dicom_node.auditing.person import person
from dicom_node.auditing.settings_changes import changed, fingerprints
from dicom_node.destinations import Destinations
from dicom_node.fetcher import Fetcher
from dicom_node.final_reports.listener import ReportListener
from dicom_node.live_settings import LiveSettings
from dicom_node.loop import Loop
from dicom_node.receiver import Receiver
from dicom_node.shadow import Shadow
from dicom_node.sweeps import Sweeps
from dicom_node.tls import Tls
from dicom_node.watches import DestinationWatch, ScoreWatch
from dicom_node.worker import Worker
from inference.card import SHIPPED, ModelCard, load_card
from inference.errors import ModelDamaged
from inference.installed import require_installed
from storage import audit, commitment, promises, queue, views
from storage.folder import DataFolder
from storage.schema import deliveries, fetches, jobs
from storage.steps import Step
from storage.verification import check_rights

if TYPE_CHECKING:
    from dicom_node.web.server import WebServer

STOP_SECONDS = 20.0
MOST_DEATHS = 10
"""So often may the node be killed over a job until it fails: no image is decoded in this process, so that it is seldom
the job's fault.
"""

_log = structlog.get_logger()


class Role(StrEnum):
    """A part of the node's work that can also be a process of its own."""

    RECEIVE = "receive"
    ANALYSE = "analyse"
    DELIVER = "deliver"
    WEB = "web"


class Node:
    """A running node with some or all of the roles, by the settings that were read from `file`.

    `address` is set while it receives, and `pages` while it has some.
    """

    def __init__(self, settings: Settings, roles: frozenset[Role], file: Path) -> None:
        self._settings = settings
        self._roles = roles if settings.web.enabled else roles - {Role.WEB}
        self._tls = Tls(settings.tls)
        self._folder = DataFolder(settings.node.data_dir)
        self.live = LiveSettings(settings, file, self._folder, self._roles)
        self._owner = f"{socket.gethostname()}:{os.getpid()}"
        self._receiver: Receiver | None = None
        self._reports: ReportListener | None = None
        self._sweeps = Sweeps(settings, self._folder, reconciles=Role.DELIVER in roles)
        self._loops: list[Loop] = []
        self._waiting_for_images: list[Loop] = []
        self._destinations: Destinations | None = None
        self._watches: list[Loop] = []
        """Nobody waits for what they do at the end."""
        self._interrupts: list[Callable[[], None]] = []
        """What ends a step that may take long."""
        self._closes: list[Callable[[], None]] = []
        """What is called when no step is under way any more."""
        self._forwarder: Forwarder | None = None
        self.address: tuple[str, int] | None = None
        self.pages: WebServer | None = None

    def start(self) -> None:
        """Start everything; when this returns the port is open and what a killed node left is queued again.

        Raises
        ------
        CertificatesUnusable, FolderInUse, DatabaseDamaged, DatabaseTooNew, StorageUnavailable, ModelDamaged,
        EngineUnusable, PortUnavailable
            The node cannot run as it is set; nothing was started.
        """
        transport.switch(on=self._settings.node.fast_transport)
        self._tls.check()
        if self._tls.is_key_exposed:
            _log.warning("key_exposed", reason="[tls] key_file can be read by others: chmod 600")
        machine = promises.Machine()
        promises.require(machine)
        for role in sorted(self._roles):
            self._folder.lock_role(role)
        card = load_card(self._settings.model.bundle or SHIPPED) if Role.ANALYSE in self._roles else None
        if card is not None:
            require_installed(self._settings.model.engine)
        self._folder.require_whole()
        self._folder.database.migrate()
        self._say_what_is_not_kept(machine)
        for finding in check_rights(self._folder.folder):
            _log.warning("rights_too_wide", reason=f"{finding.fault}: {finding.mend}")
        self._take_back()
        if card is not None:
            self._prepare_workers(card)
            self._prepare_shadow()
        if Role.DELIVER in self._roles:
            self._prepare_senders()
            self._prepare_forwarder()
            if self._settings.priors.archive:
                fetcher = Fetcher(self._settings, self._folder, self._owner, self._wake_for_images)
                self._waiting_for_images.append(self._loop("fetch", fetcher.step))
                self._interrupts.append(fetcher.close)
                self.live.tell(fetcher.take)
        if Role.RECEIVE in self._roles:
            self._receiver = Receiver(self._settings, self._folder, self._wake_for_images)
            self.live.tell(self._receiver.take)
            self.address = self._receiver.start()
            if self._settings.hl7_reports.enabled:
                self._reports = ReportListener(self._settings, self._folder, self._tls)
                self.live.tell(self._reports.take)
                self._reports.start()
        if Role.WEB in self._roles:
            self._prepare_pages()
        for loop in (*self._loops, *self._watches):
            loop.start()
        if self._destinations is not None:
            self._destinations.start()
        self._sweeps.start()
        self.live.tell(self._sweeps.take)
        # what is loaded now stays; pynetdicom collects garbage while it accepts, and would look through all of it
        gc.freeze()
        _log.info("node_started", role=sorted(self._roles))

    def stop(self) -> None:
        """Stop cleanly: no new associations, the steps under way ended, everything else left for the next start."""
        if self.pages is not None:
            self.pages.stop()
        if self._receiver is not None:
            self._receiver.stop()
        if self._reports is not None:
            self._reports.stop()
        self._sweeps.stop()
        for loop in (*self._loops, *self._watches):
            loop.end()
        if self._destinations is not None:
            self._destinations.end()
        for interrupt in self._interrupts:
            interrupt()
        deadline = time.monotonic() + STOP_SECONDS
        for loop in self._loops:
            loop.stop(max(0.0, deadline - time.monotonic()))
        if self._destinations is not None:
            self._destinations.stop(deadline)
        for close in self._closes:
            close()
        with self._folder.database.write(Step.NODE_STOPPED) as connection:
            audit.append(
                connection,
                time.time(),
                "node_stopped",
                roles=sorted(self._roles),
                process=os.getpid(),
                user=person(),
            )
        if self._forwarder is not None:
            self._forwarder.finish()
        self._folder.close()
        _log.info("node_stopped", role=sorted(self._roles))

    def _say_what_is_not_kept(self, machine: promises.Machine) -> None:
        shares_database = not self._roles >= {Role.RECEIVE, Role.ANALYSE, Role.DELIVER}
        for sentence in (
            *promises.not_kept(self._settings.node.data_dir, machine, shares_database=shares_database),
            *promises.of_database(self._folder.database.pragmas()),
        ):
            _log.warning("promise_not_kept", reason=sentence)
            print(f"dicom-node warning: {sentence}", file=sys.stderr, flush=True)

    def _prepare_workers(self, card: ModelCard) -> None:
        """Set up one worker for what is new, and one for what was tried before."""
        settings, folder, owner = self._settings, self._folder, self._owner
        worker = Worker(settings, folder, card, owner, self._wake_for_results)
        self._waiting_for_images.append(self._loop("analyse", worker.step))
        patient = Worker(settings, folder, card, f"{owner}:retries", self._wake_for_results, retries=True)
        self._loop("analyse again", patient.step)
        self._watches.append(Loop("watch the scores", ScoreWatch(folder).step))
        self._interrupts.append(patient.end)
        self._closes += [worker.close, patient.close]
        for each in (worker, patient):
            self.live.tell(each.take)

    def _prepare_senders(self) -> None:
        """Set up who sends, and who looks whether the destinations answer."""
        settings, folder, tls = self._settings, self._folder, self._tls
        self._destinations = Destinations(settings, folder, tls, self._owner)
        self.live.tell(self._destinations.take)
        watch = DestinationWatch(settings, folder, tls)
        watching = Loop("watch the destinations", watch.step)
        self.live.tell(watch.take)
        self.live.tell(lambda _settings: watching.wake())
        self._watches.append(watching)
        self._interrupts.append(watch.end)

    def _prepare_pages(self) -> None:
        """Open the pages."""
        from dicom_node.web.server import WebServer  # noqa: PLC0415 - half a second, for a node that has none nothing

        self.pages = WebServer(self.live, self._folder, self._tls, self._wake)
        self.pages.start()

    def _prepare_forwarder(self) -> None:
        """Set up who sends the audit trail to a syslog server, if there is one."""
        audited = self._settings.audit
        if not audited.syslog_host:
            return
        if audited.syslog_protocol == "udp":
            _log.warning("audit_by_udp", reason="messages may be lost, read or forged on the way unnoticed")
        self._forwarder = Forwarder(self._settings, self._folder.database, channel_to(audited, self._tls))
        self._loop("forward the audit trail", self._forwarder.step)
        self.live.tell(self._forwarder.take)

    def _prepare_shadow(self) -> None:
        """Set up the candidate, if there is one; the node does its work without one that is missing or damaged."""
        bundle = self._settings.model.shadow
        if bundle is None:
            return
        try:
            candidate = load_card(bundle)
        except ModelDamaged as error:
            _log.error("shadow_refused", reason=str(error))
            return
        shadow = Shadow(self._settings, self._folder, candidate)
        self._loop("shadow", shadow.step)
        self._closes.append(shadow.close)

    def _take_back(self) -> None:
        """Queue what this role's killed predecessor was doing: the role's lock says that it is gone."""
        now = time.time()
        attempts = max(MOST_DEATHS, self._settings.retry.analyse_attempts)
        taken_back = not_asked = 0
        with self._folder.database.write(Step.NODE_STARTED) as connection:
            if Role.ANALYSE in self._roles:
                taken_back += queue.release_leases(connection, jobs, now, attempts)
            if Role.DELIVER in self._roles:
                taken_back += queue.release_leases(connection, deliveries, now, None)
                taken_back += queue.release_leases(connection, fetches, now, None)
                promising = [to.name for to in self._settings.destinations if to.storage_commitment]
                not_asked = commitment.ask_only(connection, promising, now)
                commitment.ask_again(connection, now)
            roles, settings = sorted(self._roles), fingerprints(self._settings)
            audit.append(connection, now, "node_started", roles=roles, process=os.getpid(), user=person())
            noted = audit.latest(connection, "settings_noted", "settings_changed")
            before = next((each.detail["settings"] for each in noted if each.detail["roles"] == roles), None)
            if before is None:
                audit.append(connection, now, "settings_noted", roles=roles, settings=settings)
            elif before != settings:
                names = changed(before, settings)
                audit.append(
                    connection,
                    now,
                    "settings_changed",
                    roles=roles,
                    changed=names,
                    settings=settings,
                    user=person(),
                )
            waiting = views.open_deliveries(connection)
        if taken_back:
            _log.warning("work_taken_back", count=taken_back)
        if not_asked:
            _log.warning("commitment_no_longer_asked", count=not_asked)
        configured = {to.name for to in (*self._settings.all_destinations, *self._settings.hl7)}
        for destination in waiting.keys() - configured:
            _log.error("destination_not_configured", destination=destination, count=waiting[destination])

    def _loop(self, name: str, step: Callable[[], float]) -> Loop:
        """Have a loop that begins with the others."""
        loop = Loop(name, step)
        self._loops.append(loop)
        return loop

    def _wake(self) -> None:
        for loop in self._loops:
            loop.wake()
        self._wake_for_results()

    def _wake_for_images(self) -> None:
        for loop in self._waiting_for_images:
            loop.wake()

    def _wake_for_results(self) -> None:
        if self._destinations is not None:
            self._destinations.wake()
