"""Fixtures of the unit tests: a migrated data folder, and instances to put into it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.folder import DataFolder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    made = DataFolder(tmp_path / "data")
    made.database.migrate()
    yield made
    made.close()
