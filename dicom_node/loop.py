"""A thread that does one step after the other until it is stopped: the frame of worker and senders.

A step says how long it may be until the next one; a wake-up ends the wait. This is the one place of a loop with a
broad `except`: an error that nobody foresaw is logged, and the loop goes on.
"""

import threading
from collections.abc import Callable

import structlog

from dicom_node.logs import where_raised

AFTER_ERROR_SECONDS = 1.0

_log = structlog.get_logger()


class Loop:
    """Calls `step()` again and again; it returns after how many seconds it wants to be called, 0 for at once.

    `close` is called after the last step, in the same thread.
    """

    def __init__(
        self, name: str, step: Callable[[], float], close: Callable[[], None] = lambda: None
    ) -> None:
        self._name = name
        self._step = step
        self._close = close
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Let the next step begin now: there is work."""
        self._wake.set()

    def end(self) -> None:
        """Ask the loop to end after the step that is under way."""
        self._stopping.set()
        self._wake.set()

    def stop(self, timeout: float) -> None:
        """Ask the loop to end, and wait for the step that is under way."""
        self.end()
        self._thread.join(timeout)

    @property
    def is_running(self) -> bool:
        """Whether a step may still be under way."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                wait = self._step()
            except Exception as error:  # noqa: BLE001 - the loop's one broad except, see above
                _log.error(
                    "loop_error", role=self._name, error_type=type(error).__name__, where=where_raised(error)
                )
                wait = AFTER_ERROR_SECONDS
            if wait > 0:
                self._wake.wait(wait)
        self._close()
