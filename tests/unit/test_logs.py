"""Logs are JSON with constant event names, and hold nothing of a patient."""

import io
import json
import logging
import threading
import warnings
from collections.abc import Iterator

import pytest
import structlog

from config.sections import LoggingSettings
from dicom_node import logs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    hook, root = threading.excepthook, list(logging.getLogger().handlers)
    with warnings.catch_warnings():
        yield
    threading.excepthook = hook
    logging.getLogger().handlers = root
    structlog.reset_defaults()
    for name in logs.LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate, logger.level = [], True, logging.NOTSET


def test_a_key_that_is_not_on_the_list_is_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LoggingSettings())
    structlog.get_logger().info("image_analysed", job=7, patient_name="CANARY^Yellow")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["job"]) == ("image_analysed", 7)
    assert "CANARY" not in str(line)


def test_the_libraries_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LoggingSettings(level="debug"))
    for name in (*logs.LIBRARIES, "pynetdicom.association"):
        logging.getLogger(name).error("CANARY^Yellow")
    warnings.warn("CANARY^Yellow", UserWarning, stacklevel=1)
    assert "CANARY" not in capsys.readouterr().err


def test_the_level_is_the_setting(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LoggingSettings(level="warning"))
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["loud"]


def test_a_full_disk_behind_the_log_stops_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("sys.stderr", Full())
    logs.configure(LoggingSettings())
    structlog.get_logger().info("image_analysed")


def test_what_ends_a_thread_is_logged_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LoggingSettings())
    thread = threading.Thread(target=lambda: int("CANARY^Yellow"))
    thread.start()
    thread.join()
    said = capsys.readouterr().err
    assert json.loads(said)["error_type"] == "ValueError"
    assert "CANARY" not in said


def test_where_an_error_was_raised_is_told_without_its_text() -> None:
    try:
        raise ValueError("CANARY^Yellow")  # noqa: TRY301 - the traceback is what is looked at
    except ValueError as error:
        places = logs.where_raised(error)
    assert [place.split(":")[0] for place in places] == [__name__]
