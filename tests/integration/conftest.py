"""A node and a PACS for the tests of one file."""

from collections.abc import Iterator

import pytest

from tests.peers import NodeProcess, Pacs


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pacs]:
    made = Pacs(tmp_path_factory.mktemp("pacs") / "orthanc")
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: Pacs) -> Iterator[NodeProcess]:
    """A running node that calls pneumonia likely on every film, so that each study has a heatmap."""
    with NodeProcess(tmp_path_factory.mktemp("node"), pacs.port, "[model]\nuncertain = [0, 0]") as made:
        yield made
