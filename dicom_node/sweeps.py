"""What is done again and again, whoever else is busy: expired leases, retention, leftovers.

APScheduler 3.11 keeps the time; it is never the queue. A sweep that is late runs once and not for every time missed.
It goes by the machine's clock, and where that was set back by hours it would be still for hours: so somebody else
watches the clock.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from config.settings import Settings
from dicom_node import fetcher, sender, worker
from dicom_node.clock import ClockWatch
from dicom_node.commitment import ASK_AGAIN_SECONDS
from dicom_node.logs import where_raised
from dicom_node.loop import Loop
from dicom_node.reconciliation import reconcile
from dicom_node.retry import analysis_policy, delivery_policy, longest_wait_seconds
from storage import commitment, queue, reconciliation, retention, scores, throughput
from storage.folder import DataFolder
from storage.schema import deliveries, fetches, jobs
from storage.states import State
from storage.steps import Step

CLOCK_EVERY_SECONDS = 5.0
LEASES_EVERY_SECONDS = 15
ROOM_EVERY_SECONDS = 15  # it only asks the disk, where there is room
HOUR_SECONDS = 3600
DAY_SECONDS = 86400
NIGHT_HOUR = 3  # archives have least to do
RECONCILED_SECONDS = 2 * DAY_SECONDS  # a night that was missed costs nothing
STOP_SECONDS = 20.0
LEFTOVERS_AFTER_SECONDS = HOUR_SECONDS  # no transfer pauses for so long: see network_timeout_seconds

_log = structlog.get_logger()


class Sweeps:
    """The recurring work of one node.

    Parameters
    ----------
    reconciles
        Every night the archives are asked whether they have what they were sent: by the node that sends.
    """

    def __init__(self, settings: Settings, folder: DataFolder, *, reconciles: bool) -> None:
        self._settings = settings
        self._folder = folder
        self._stopping = False
        self._reconciles = reconciles
        self._clock = ClockWatch()
        self._watching = Loop("clock", self.watch_clock)
        self._scheduler = BackgroundScheduler(
            timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        self._schedule()

    def _schedule(self) -> None:
        self._scheduler.remove_all_jobs()
        for sweep, seconds in (
            (self.expire_leases, LEASES_EVERY_SECONDS),
            (self.bring_forward, LEASES_EVERY_SECONDS),
            (self.make_room, ROOM_EVERY_SECONDS),
            (self.remove_finished_studies, HOUR_SECONDS),
            (self.remove_leftovers, HOUR_SECONDS),
            (self.remove_orphans, DAY_SECONDS),
            (self.check_database, HOUR_SECONDS),
            (self.forget_commitment_requests, DAY_SECONDS),
            (self.forget_history, DAY_SECONDS),
        ):
            # what is done daily is done also where a node is started anew, or its clock is set, every day
            first = datetime.now(UTC) + timedelta(seconds=min(seconds, HOUR_SECONDS))
            self._scheduler.add_job(_guarded(sweep), "interval", seconds=seconds, start_date=first)
        if self._reconciles:
            at_night = CronTrigger(hour=NIGHT_HOUR)  # on this machine's clock
            self._scheduler.add_job(_guarded(self.send_missing_again), at_night)

    def take(self, settings: Settings) -> None:
        """Go by these settings from now on."""
        self._settings = settings

    def start(self) -> None:
        """Begin sweeping in threads of its own."""
        self._scheduler.start()
        self._watching.start()

    def stop(self) -> None:
        """End, after the sweep that is under way, or after the study that it is asking about."""
        self._stopping = True
        self._watching.stop(STOP_SECONDS)
        self._scheduler.shutdown()

    def watch_clock(self) -> float:
        """Follow the clock where it was set; return after how many seconds to look again.

        A lease that seems to have expired is still somebody's, and the next sweep is as near as ever.
        """
        set_by = self._clock.set_by()
        if set_by:
            now = time.time()
            with self._folder.database.write(Step.CLOCK_FOLLOWED) as connection:
                for table, lease_seconds in (
                    (jobs, worker.lease_seconds(self._settings)),
                    (deliveries, sender.LEASE_SECONDS),
                    (fetches, fetcher.LEASE_SECONDS),
                ):
                    queue.renew_leases(connection, table, now, lease_seconds)
            self._clock.follow()
            self._schedule()
            _log.warning("clock_was_set", set_by_seconds=round(set_by, 1))
        return CLOCK_EVERY_SECONDS

    def expire_leases(self, now: float) -> int:
        """Give back what a dead worker or sender on another machine held; return how many rows."""
        self.watch_clock()
        with self._folder.database.write(Step.LEASES_EXPIRED) as connection:
            attempts = self._settings.retry.analyse_attempts
            return queue.expire_leases(connection, jobs, now, attempts) + sum(
                queue.expire_leases(connection, table, now, None) for table in (deliveries, fetches)
            )

    def bring_forward(self, now: float) -> int:
        """Wake what would sleep until a clock that was set back is where it was; return how many rows."""
        settings = self._settings
        quiet = max(settings.quiet_seconds(source) for source in (None, *settings.sources))
        of_jobs = max(quiet, worker.STORAGE_SECONDS, longest_wait_seconds(analysis_policy(settings.retry)))
        of_deliveries = longest_wait_seconds(delivery_policy(settings.retry))
        with self._folder.database.write(Step.BROUGHT_FORWARD) as connection:
            return (
                queue.bring_forward(connection, jobs, now, of_jobs)
                + queue.bring_forward(connection, deliveries, now, of_deliveries)
                + queue.bring_forward(
                    connection, deliveries, now, max(ASK_AGAIN_SECONDS, of_deliveries), State.DELIVERED
                )
                + queue.bring_forward(connection, fetches, now, longest_wait_seconds(fetcher.POLICY))
            )

    def remove_finished_studies(self, now: float) -> int:
        """Apply retention; return how many studies were removed."""
        before = now - self._settings.retention.days * DAY_SECONDS
        return retention.remove_finished(self._folder.database, self._folder.objects, before, now)

    def make_room(self, now: float) -> int:
        """Remove finished studies before their time, the oldest first, while the disk has too little room.

        Returns how many studies were removed.
        """
        wanted = self._settings.retention.free_megabytes * 1_000_000
        objects = self._folder.objects

        def has_room() -> bool:
            return objects.free_bytes() >= wanted

        if has_room():
            return 0
        removed = retention.remove_finished(self._folder.database, objects, now, now, has_room)
        if not has_room():
            _log.warning("disk_almost_full", reason="nothing more is finished and delivered")
        return removed

    def remove_orphans(self, now: float) -> int:
        """Delete objects that no row needs; return how many files."""
        received_before = now - self._settings.retention.days * DAY_SECONDS
        return retention.remove_orphans(
            self._folder.database, self._folder.objects, now - DAY_SECONDS, received_before
        )

    def check_database(self, _now: float) -> int:
        """Raise DatabaseDamaged where the disk has altered it: from then on nothing is written, and senders hear it."""
        self._folder.database.require_whole()
        return 0

    def send_missing_again(self, now: float) -> int:
        """Ask every archive for what arrived since the night before last; return how many results it gets again."""
        with self._folder.database.read() as connection:
            studies = reconciliation.studies_delivered(
                connection, now - RECONCILED_SECONDS, now - HOUR_SECONDS
            )
        found = reconcile(self._settings, self._folder, studies, heal=True, clock=lambda: now)
        return sum(finding.is_sent_again for finding in takewhile(lambda _: not self._stopping, found))

    def forget_commitment_requests(self, now: float) -> int:
        """Remove what archives were asked so long ago that a person has it by now; return how many requests."""
        with self._folder.database.write(Step.COMMITMENTS_FORGOTTEN) as connection:
            return commitment.forget(connection, now - self._settings.retry.deliver_give_up_seconds)

    def forget_history(self, now: float) -> int:
        """Remove what was tallied of hours and weeks that no page shows any more; return how many rows."""
        with self._folder.database.write(Step.HISTORY_FORGOTTEN) as connection:
            before = now - throughput.KEPT_HOURS * HOUR_SECONDS
            return throughput.forget(connection, before) + scores.forget(connection, now)

    def remove_leftovers(self, now: float) -> int:
        """Delete what an aborted transfer left in the incoming folder; return how many files."""
        return self._folder.objects.remove_leftovers(now - LEFTOVERS_AFTER_SECONDS)


def _guarded(sweep: Callable[[float], int]) -> Callable[[], None]:
    """Frame a sweep: what it did is logged, and an error ends this round and not the next."""
    name = sweep.__name__

    def run() -> None:
        try:
            count = sweep(time.time())
        except Exception as error:  # noqa: BLE001 - the sweeps' one broad except: the next round tries again
            _log.error("sweep_failed", sweep=name, error_type=type(error).__name__, where=where_raised(error))
        else:
            if count:
                _log.info("sweep_done", sweep=name, count=count)

    return run
