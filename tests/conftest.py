"""What holds for all tests: a data folder, and that under CI (``CI=true``) a missing real peer is a failure.

A test skips for a missing peer with a reason that starts with ``peer missing:``. One that needs npm or Java stays
a skip everywhere: ``optional peer missing:``.
"""

import os
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import _config, dimse_messages

from config.settings import Settings
from dicom_node import transport
from storage.folder import DataFolder
from tests.builders import PATIENT_DATA
from tests.peers import told_of_patients

PEER_MISSING = "peer missing:"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: some tests wait for a time-out, and most for a node to start."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """See a skip inside a test or by its marks."""
    report = yield
    _fail_for_a_missing_peer(report)
    _fail_for_patient_data(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """See a skip of a whole module."""
    report = yield
    _fail_for_a_missing_peer(report)
    return report


def _fail_for_a_missing_peer(report: Any) -> None:
    if os.environ.get("CI") != "true" or report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return
    _, _, reason = report.longrepr
    if reason.removeprefix("Skipped: ").startswith(PEER_MISSING):
        report.outcome = "failed"
        report.longrepr = f"{reason} (CI runs with every peer)"


def _fail_for_patient_data(report: pytest.TestReport) -> None:
    """Fail a test in whose course anything was printed or logged that only a DICOM object may hold."""
    if report.outcome == "passed":
        told = [
            f"{where}: {each}" for where, text in report.sections for each in PATIENT_DATA if each in text
        ]
        if told:
            report.outcome = "failed"
            report.longrepr = "patient data in " + "; ".join(told)


@pytest.fixture(autouse=True)
def _no_patient_data() -> Iterator[None]:
    """Fail a test whose nodes told anything of a patient."""
    yield
    assert told_of_patients() == []


@pytest.fixture(autouse=True)
def _transport_of_the_node() -> None:
    """What a test receives and sends in its own process goes the way that a node's does, unless it says otherwise."""
    transport.switch(on=Settings().node.fast_transport)


@pytest.fixture(autouse=True)
def _libraries_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give libraries their own settings back after a test in whose process a node received: see dicom_node.intake."""
    monkeypatch.setattr(_config, "STORE_RECV_CHUNKED_DATASET", False)
    monkeypatch.setattr(dimse_messages, "NamedTemporaryFile", tempfile.NamedTemporaryFile)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    """A data folder with an empty, migrated database."""
    made = DataFolder(tmp_path / "data")
    made.database.migrate()
    yield made
    made.close()
