"""A radiologist looks at one study: the film in the light view, and what was said of it."""

from pathlib import Path

import pytest

from tests.builders import chest_film, made_uid, write
from tests.peers import NodeProcess, wait_for
from tests.web.browser import Browser

EARLIER = ("20230114", "20240620", "20250505")


@pytest.fixture(scope="module", autouse=True)
def films(tmp_path_factory: pytest.TempPathFactory, node: NodeProcess) -> None:
    folder = tmp_path_factory.mktemp("films")
    made = [
        *(chest_film(study=f"earlier {date}", StudyDate=date) for date in EARLIER),
        chest_film(study="seen", opacity=True, rows=2400, columns=2000),
        chest_film(study="seen", view="LL"),
    ]
    for number, film in enumerate(made):
        assert node.send(write(film, folder / f"{number}.dcm")) == 0
    wait_for(lambda: node.settled(len(made)))


def ready(browser: Browser) -> None:
    wait_for(lambda: browser.chromium.evaluate("'ready' in document.getElementById('stage').dataset"))


def test_look(radiologist: Browser) -> None:
    radiologist.visit(f"/studies/{made_uid('study', 'seen')}")
    try:
        ready(radiologist)
    finally:
        Path("/tmp/wlb/study.png").write_bytes(radiologist.chromium.screenshot())
    assert radiologist.chromium.errors == []
    assert radiologist.violations() == []
