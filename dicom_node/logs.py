"""Logs: one JSON object a line on stderr, constant event names, an allow-list of keys.

No names, no patient IDs, no free text from a header, no text of an exception that may hold them: a key that is
not on the list is dropped. The libraries' own loggers and warnings are silenced, because they print values of
data sets (pynetdicom 3.0.4 whole data sets at debug level, highdicom 0.28.2 a patient's name in a warning).
"""

import contextlib
import io
import logging
import sys
import threading
import warnings
from typing import TextIO

import structlog
from structlog.typing import EventDict

from config.sections import LoggingSettings

ALLOWED = frozenset(
    {
        "event",
        "fetch",
        "level",
        "timestamp",
        "address",
        "ae_title",
        "answer",
        "attempts",
        "bytes",
        "comment",
        "committed",
        "count",
        "delivery",
        "destination",
        "device",
        "engine",
        "error_type",
        "job",
        "kind",
        "milliseconds",
        "not_committed",
        "objects",
        "reason",
        "record",
        "receipt",
        "retry_in_seconds",
        "revision",
        "role",
        "score",
        "set_by_seconds",
        "sop_class_uid",
        "sop_instance_uid",
        "source",
        "stability_index",
        "status",
        "study_instance_uid",
        "sweep",
        "urgent",
        "where",
    }
)
LIBRARIES = ("pynetdicom", "pydicom", "highdicom", "apscheduler", "alembic", "uvicorn", "asyncio")


def configure(settings: LoggingSettings) -> None:
    """Send this process's logs to stderr, and nobody else's."""
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(
        logging.NullHandler()
    )  # else Python prints other libraries' warnings itself
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers = [logging.NullHandler()]
        logger.propagate = False
        logger.setLevel(logging.CRITICAL)
    threading.excepthook = _log_thread_error
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _keep_allowed,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.level),
        logger_factory=structlog.PrintLoggerFactory(_Unfailing(sys.stderr)),
        cache_logger_on_first_use=False,
    )


class _Unfailing(io.TextIOWrapper):
    """A stream that a full disk or a closed pipe behind it makes silent: work never stops for a line of log."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(io.BytesIO())
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def where_raised(error: BaseException) -> tuple[str, ...]:
    """Return the innermost places of an error's traceback as `module:line`, without any of its text."""
    places = []
    traceback = error.__traceback__
    while traceback is not None:
        module = traceback.tb_frame.f_globals.get("__name__", "?")
        places.append(f"{module}:{traceback.tb_lineno}")
        traceback = traceback.tb_next
    return tuple(places[-6:])


def _log_thread_error(ended: threading.ExceptHookArgs) -> None:
    """Log what ended a thread, a library's included, without the text that Python would print."""
    if ended.exc_value is not None:
        structlog.get_logger().error(
            "thread_error", error_type=ended.exc_type.__name__, where=where_raised(ended.exc_value)
        )


def _keep_allowed(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {key: value for key, value in event.items() if key in ALLOWED}
