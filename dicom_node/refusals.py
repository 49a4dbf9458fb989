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

EVERY_SECONDS = 60.0
REMEMBERED_SECONDS = 3600.0
"""Who is refused again after so long is written down at once, as for the first time."""
REMEMBERED = 50
"""Different callers; of all others together only their reason is written down."""
OTHERS = ""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who was refused, and why; `ae_title` is empty where nothing was said yet."""

    ae_title: str
    address: str
    reason: str


@dataclass(slots=True)
class _Count:
    untold: int
    told_at: float | None
    last_at: float


class Refusals:
    """Counts refusals, and writes them into log and audit trail."""

    def __init__(
        self, folder: DataFolder, is_new: Callable[[], None], clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._is_new = is_new
        self._clock = clock
        self._counting = threading.Lock()
        self._counts: dict[Caller, _Count] = {}

    def note(self, ae_title: str, address: str, reason: str) -> None:
        """Count a refusal; `is_new` is called for one that is to be written down at once. Never waits for the disk."""
        now = self._clock()
        caller = Caller(_printable(ae_title), address, reason)
        with self._counting:
            if caller not in self._counts and len(self._counts) >= REMEMBERED:
                caller = Caller(OTHERS, OTHERS, reason)
            count = self._counts.setdefault(caller, _Count(0, None, now))
            count.untold += 1
            count.last_at = now
            is_new = count.told_at is None
        if is_new:
            self._is_new()

    def step(self) -> float:
        """Write down what is due; return after how many seconds to come back."""
        now = self._clock()
        # a clock that was set back must not keep anything untold for long
        self._tell(lambda count: count.told_at is None or not 0 <= now - count.told_at < EVERY_SECONDS, now)
        return EVERY_SECONDS

    def tell_all(self) -> None:
        """Write down everything that was counted: nothing more is to come."""
        self._tell(lambda _count: True, self._clock())

    def _tell(self, is_due: Callable[[_Count], bool], now: float) -> None:
        with self._counting:
            due = {
                caller: count.untold
                for caller, count in self._counts.items()
                if count.untold and is_due(count)
            }
        if not due:
            return
        try:
            with self._folder.database.write(Step.ASSOCIATION_REFUSED) as connection:
                for caller, many in due.items():
                    audit.append(connection, now, "association_refused", **asdict(caller), count=many)
        except StorageError as error:  # what is due stays counted
            _log.error("audit_unavailable", error_type=type(error).__name__)
            return
        for caller, many in due.items():
            _log.warning("association_refused", **asdict(caller), count=many)
        with self._counting:
            for caller, many in due.items():
                self._counts[caller].untold -= many
                self._counts[caller].told_at = now
            self._counts = {
                caller: count
                for caller, count in self._counts.items()
                if count.untold or 0 <= now - count.last_at < REMEMBERED_SECONDS
            }


def _printable(ae_title: str) -> str:
    """Return at most the 16 characters of an AE title, with a question mark for what is none of its characters."""
    return "".join(each if each.isascii() and each.isprintable() else "?" for each in ae_title[:16]).strip(
        " "
    )
