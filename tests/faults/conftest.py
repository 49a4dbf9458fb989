"""Nodes and a PACS for the tests of faults: one pair that a file shares, and one of a test's own that it may break."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import node, pacs
from tests.peers import NodeProcess, Pacs

__all__ = ["node", "own_node", "own_pacs", "pacs"]


@pytest.fixture
def own_pacs(tmp_path: Path) -> Iterator[Pacs]:
    made = Pacs(tmp_path / "orthanc")
    yield made
    made.stop()


@pytest.fixture
def own_node(tmp_path: Path, own_pacs: Pacs) -> Iterator[NodeProcess]:
    (tmp_path / "node").mkdir()
    made = NodeProcess(tmp_path / "node", own_pacs.port, "[model]\nuncertain = [0, 0]")
    yield made
    if made.running:
        made.stop()
