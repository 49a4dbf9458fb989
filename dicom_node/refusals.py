"""Who was refused: the first time at once, and then by how often, so that no flood of strangers fills log and disk.

What peers say of themselves is written down as far as it is printable: nobody writes into the log of the hospital but
the node.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import structlog

from storage import audit
from storage.errors import StorageError
from storage.folder import DataFolder
from storage.steps import Step

SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 600.0
"""Between two records of one caller: twice as long after each."""
FORGOTTEN_AFTER_SECONDS = LONGEST_SECONDS
"""Who is refused again after so long is written down at once, as for the first time."""
REMEMBERED = 50
"""Different callers at addresses of sources, and as many elsewhere, so that strangers hide no source that is set up
wrongly; of all others together only their reason is written down.
"""
OTHERS = ""
AFTER_FAULT_SECONDS = 10.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who was refused, and why; `ae_title` is empty where nothing was said yet."""

    ae_title: str
    address: str
    reason: str


@dataclass(slots=True)
class _Count:
    last_at: float
    told_at: float = 0.0
    pause: float = 0.0
    untold: int = 0

    def wait(self, now: float) -> float:
        """Return after how many seconds it may be told; at once where the clock was set back."""
        since = now - self.told_at
        return self.pause - since if 0 <= since < self.pause else 0.0


class Refusals:
    """Counts refusals and writes them into log and audit trail.

    `is_waited_for` is called when there is one to write; `is_known` tells whether a source is at an address.
    """

    def __init__(
        self,
        folder: DataFolder,
        is_known: Callable[[str], bool],
        is_waited_for: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._is_known = is_known
        self._is_waited_for = is_waited_for
        self._clock = clock
        self._counting = threading.Lock()
        self._counts: dict[Caller, _Count] = {}

    def note(self, ae_title: str, address: str, reason: str) -> None:
        """Count a refusal; never waits for the disk."""
        now = self._clock()
        caller = Caller(_printable(ae_title), address, reason)
        with self._counting:
            if caller not in self._counts and self._like(address) >= REMEMBERED:
                caller = Caller(OTHERS, OTHERS, reason)
            count = self._counts.setdefault(caller, _Count(now))
            count.untold += 1
            count.last_at = now
            is_first = count.untold == 1
        if is_first:
            self._is_waited_for()

    def _like(self, address: str) -> int:
        is_known = self._is_known(address)
        return sum(self._is_known(caller.address) == is_known for caller in self._counts if caller.address)

    def step(self) -> float:
        """Write down what is due; return after how many seconds to come back."""
        now = self._clock()
        with self._counting:
            due = {
                caller: count.untold
                for caller, count in self._counts.items()
                if count.untold and not count.wait(now)
            }
        if not self._tell(due, now):
            return AFTER_FAULT_SECONDS
        with self._counting:
            self._counts = {
                caller: count
                for caller, count in self._counts.items()
                if count.untold or 0 <= now - count.last_at < FORGOTTEN_AFTER_SECONDS
            }
            return min(
                (count.wait(now) for count in self._counts.values() if count.untold), default=LONGEST_SECONDS
            )

    def tell_all(self) -> None:
        """Write down everything that was counted: nothing more is to come."""
        with self._counting:
            untold = {caller: count.untold for caller, count in self._counts.items() if count.untold}
        self._tell(untold, self._clock())

    def _tell(self, due: dict[Caller, int], now: float) -> bool:
        """Write these down; where that is not possible they stay counted."""
        if not due:
            return True
        try:
            with self._folder.database.write(Step.ASSOCIATION_REFUSED) as connection:
                for caller, many in due.items():
                    audit.append(connection, now, "association_refused", **asdict(caller), count=many)
        except StorageError as error:
            _log.error("audit_unavailable", error_type=type(error).__name__)
            return False
        for caller, many in due.items():
            _log.warning("association_refused", **asdict(caller), count=many)
        with self._counting:
            for caller, many in due.items():
                count = self._counts[caller]
                count.untold -= many
                count.told_at = now
                count.pause = min(max(SHORTEST_SECONDS, 2 * count.pause), LONGEST_SECONDS)
        return True


def _printable(ae_title: str) -> str:
    """Return at most the 16 characters of an AE title, with a question mark for what is none of its characters."""
    return "".join(each if each.isascii() and each.isprintable() else "?" for each in ae_title[:16]).strip(
        " "
    )
