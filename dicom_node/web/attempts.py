"""How often somebody may try a password: a name or an address that was wrong often has to wait, longer each time."""

import threading
import time
from collections.abc import Callable

FREE = 5
"""So many wrong ones cost nothing: people mistype."""
FIRST_SECONDS = 2.0
LONGEST_SECONDS = 900.0
MOST_KEPT = 10_000


class Attempts:
    """Counts wrong passwords by name and by address. Safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def wait_seconds(self, *keys: str) -> float:
        """Return for how long nobody may try again with any of these; 0: now."""
        now = self._clock()
        with self._lock:
            return max(0.0, *(self._free_at(key) - now for key in keys))

    def note_wrong(self, *keys: str) -> None:
        """Count a wrong password for each of these."""
        now = self._clock()
        with self._lock:
            for key in keys:
                many, _ = self._wrong.pop(key, (0, 0.0))
                self._wrong[key] = many + 1, now
            while len(self._wrong) > MOST_KEPT:
                del self._wrong[next(iter(self._wrong))]

    def forget(self, key: str) -> None:
        """Begin anew for this one: the password was right."""
        with self._lock:
            self._wrong.pop(key, None)

    def _free_at(self, key: str) -> float:
        many, last = self._wrong.get(key, (0, 0.0))
        if many < FREE:
            return 0.0
        return last + min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(many - FREE, 20))
