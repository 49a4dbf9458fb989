"""Writers that come at the same time, in one transaction: they wait for one sync of the disk instead of one each.

The first that comes writes at once. Those that come meanwhile wait, and the first of them then writes for all of them.
So one that is alone waits for nobody, and the more there are the less each one costs.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from sqlalchemy import Connection

from storage.engine import BUSY_SECONDS, Database
from storage.errors import DatabaseBusy, StorageUnavailable
from storage.steps import Step

Transaction = Connection
"""What it is called where nobody knows SQLAlchemy."""

_Made = TypeVar("_Made")


@dataclass(slots=True, eq=False)
class _Share:
    """What one writer wants written. It has failed until it is committed."""

    work: Callable[[Connection], Any]
    made: Any = None
    fault: Exception | None = field(default_factory=lambda: StorageUnavailable("was not written"))
    leads: bool = False
    called: threading.Event = field(default_factory=threading.Event)


class Together:
    """Write transactions of one step that are shared by all who write at the same time."""

    def __init__(self, database: Database, step: Step) -> None:
        self._database = database
        self._step = step
        self._gathering = threading.Lock()
        self._waiting: list[_Share] = []
        self._is_led = False

    def write(self, work: Callable[[Connection], _Made]) -> _Made:
        """Do this inside a write transaction, and return what it made once that is durable.

        `work` may run in another writer's thread, and again where somebody else's has failed: it does nothing but read
        and write by its connection. What it raises is raised here and nowhere else, and of what it wrote nothing stays.

        Raises
        ------
        DatabaseBusy
            Nothing was kept, or, where the database was slow to the last moment, all of it.
        StorageUnavailable
            Nothing was kept.
        """
        mine = _Share(work)
        with self._gathering:
            self._waiting.append(mine)
            mine.leads = not self._is_led
            self._is_led = True
        if not mine.leads and not mine.called.wait(BUSY_SECONDS):
            self._withdraw(mine)
        if mine.leads:
            self._lead()
        if mine.fault is not None:
            raise mine.fault
        return cast(_Made, mine.made)

    def _withdraw(self, share: _Share) -> None:
        with self._gathering:
            if share.leads:
                return
            if share in self._waiting:
                self._waiting.remove(share)
        raise DatabaseBusy(f"{self._database.path}: too many writers wait for a slow or locked database")

    def _lead(self) -> None:
        """Write what waits, one's own among it, and call who waited and who writes next."""
        with self._gathering:
            shares, self._waiting = self._waiting, []
        try:
            self._commit(shares)
        finally:
            with self._gathering:
                self._is_led = bool(self._waiting)
                if self._waiting:
                    self._waiting[0].leads = True
                    self._waiting[0].called.set()
            for share in shares:
                share.called.set()

    def _commit(self, shares: list[_Share]) -> None:
        try:
            with self._database.write(self._step) as connection:
                for share in shares:
                    share.made = share.work(connection)
        except Exception as fault:  # noqa: BLE001 - it is each writer's own, who raises it
            if len(shares) == 1 or isinstance(fault, DatabaseBusy):
                for share in shares:
                    share.fault = fault
                return
        else:
            for share in shares:
                share.fault = None
            return
        for share in shares:  # whose fault it was is alone with it
            self._commit([share])
