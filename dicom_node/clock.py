"""Notices that the machine's clock was set, by comparing it with the one that nobody can set."""

import time
from collections.abc import Callable

TOLERATED_SECONDS = 2.0
"""A clock that is only slowed down or hurried on (adjtime(3)) is never that far off between two looks."""


class ClockWatch:
    """Says by how much the clock was set since it was last followed.

    Parameters
    ----------
    clock
        Seconds since 1970, that leases and retries go by.
    steady
        Seconds since any moment, that go on whatever happens to the clock.
    """

    def __init__(
        self, clock: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._steady = steady
        self._ahead = clock() - steady()

    def set_by(self) -> float:
        """Return by how many seconds the clock was set, back where negative; 0.0 where it was not."""
        by = self._clock() - self._steady() - self._ahead
        if abs(by) < TOLERATED_SECONDS:
            self.follow()
            return 0.0
        return by

    def follow(self) -> None:
        """Take the clock as it is now."""
        self._ahead = self._clock() - self._steady()
