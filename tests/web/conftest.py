"""A node with pages, people who may look at them, and Chromium before it."""

import re
import time
from collections.abc import Iterator

import pytest

from dicom_node.web.passwords import hashed
from storage import people
from storage.engine import Database
from storage.folder import DATABASE_NAME
from storage.people import Role
from storage.steps import Step
from tests.chromium import Chromium
from tests.peers import NodeProcess, Pacs, tool, wait_for
from tests.web.browser import Browser

WIDTH, HEIGHT = 1280, 800
PASSWORD = "green lamp over the river"
PEOPLE = {"anna": Role.ADMINISTRATOR, "ralf": Role.RADIOLOGIST, "vera": Role.VIEWER}


def pages_of(node: NodeProcess) -> str:
    """Where a node that has started says that its pages are."""
    found: list[str] = wait_for(lambda: re.findall(r"^pages: (http\S+)", node.log, re.MULTILINE))
    return found[-1]


def let_in(node: NodeProcess) -> None:
    """Let everybody of `PEOPLE` have their password."""
    database = Database(node.folder / "data" / DATABASE_NAME)
    with database.write(Step.BY_HAND) as connection:
        for name, role in PEOPLE.items():
            secret = people.invite(connection, role, name, time.time(), 60)
            people.accept(connection, secret, name, hashed(PASSWORD), time.time())
    database.close()


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pacs]:
    made = Pacs(tmp_path_factory.mktemp("pacs") / "orthanc")
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: Pacs) -> Iterator[NodeProcess]:
    """A node with pages, everybody of `PEOPLE`, and a PACS as its destination; a file shares it."""
    with NodeProcess(tmp_path_factory.mktemp("node"), pacs.port, web="port = 0") as made:
        let_in(made)
        yield made


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    browser = Chromium(tool("chromium"), tmp_path_factory.mktemp("chromium"), WIDTH, HEIGHT)
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium: Chromium, node: NodeProcess) -> Browser:
    """A browser of somebody who has not come in yet."""
    chromium.command("Network.clearBrowserCookies")
    return Browser(chromium, pages_of(node))


@pytest.fixture
def administrator(browser: Browser) -> Browser:
    browser.log_in("anna", PASSWORD)
    return browser


@pytest.fixture
def radiologist(browser: Browser) -> Browser:
    browser.log_in("ralf", PASSWORD)
    return browser


@pytest.fixture
def viewer(browser: Browser) -> Browser:
    browser.log_in("vera", PASSWORD)
    return browser
