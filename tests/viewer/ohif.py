"""OHIF 3.13 as a person uses it: open a study, double-click a series, look.

The marks in the page (`data-cy`) are those that OHIF's own tests hold on to.
"""

import json
from io import BytesIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.chromium import Chromium
from tests.peers import wait_for

WIDTH, HEIGHT = 1280, 800
# the tour for newcomers would lie over the first study
TOUR_IS_KNOWN = "localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour']))"
SERIES = '[data-cy^="study-browser-thumbnail"]'
LIST_IS_DRAWN = """
    [...document.querySelectorAll('[data-cy="study-browser-thumbnail"]')]
        .every(e => e.querySelector('img')?.complete)
"""
VIEWPORT = '[data-cy="viewport-pane"]'
LABEL = '[data-cy="series-description-label"]'


class Box(NamedTuple):
    """A rectangle in pixels of the page."""

    left: float
    top: float
    width: float
    height: float


class Ohif:
    """The viewer in a browser; `errors` are what its console shows in red since the study was opened."""

    def __init__(self, browser: Chromium, url: str) -> None:
        self._browser = browser
        self._url = url
        browser.before_every_page(f"if (location.protocol === 'http:') {TOUR_IS_KNOWN}")

    @property
    def errors(self) -> list[str]:
        return self._browser.errors

    def open_study(self, study_instance_uid: str, series: int) -> None:
        """Go to the study's address and wait until so many of its series are listed, and film and list are drawn.

        Until then the list moves, and OHIF replaces the viewport.
        """
        self._browser.visit(f"{self._url}/viewer?StudyInstanceUIDs={study_instance_uid}")
        wait_for(lambda: len(self.series()) == series, why="the viewer does not list the series")
        wait_for(lambda: self._browser.evaluate(LIST_IS_DRAWN), why="the viewer draws no thumbnails")
        wait_for(self.is_drawn, why="the viewer does not draw the film")

    def series(self) -> list[str]:
        """Return the descriptions of the series that the viewer lists."""
        labels = f"[...document.querySelectorAll('{SERIES}')].map(e => e.querySelector('{LABEL}').innerText)"
        return self._browser.evaluate(labels)

    def open_series(self, description: str) -> None:
        """Double-click the series in the list."""
        self._click(SERIES, description, times=2)

    def say_no(self) -> None:
        """Answer OHIF's question whether to go on measuring, which lies over a report's regions."""
        wait_for(lambda: "continue tracking" in self.words(), why="OHIF asked nothing")
        self._click(f"{VIEWPORT} button", "No")
        wait_for(lambda: "continue tracking" not in self.words(), why="OHIF asks on")

    def words(self) -> str:
        """Return what can be read in the viewport, its annotations too."""
        return self._browser.evaluate(f"document.querySelector('{VIEWPORT}')?.innerText ?? ''")

    def says(self, words: str) -> bool:
        """Whether these words stand anywhere on the page, its notices too."""
        return words in self._browser.evaluate("document.body.innerText")

    def lines(self) -> dict[str, Box]:
        """Return each line that is written over the picture, and where, from the viewport's corner."""
        return {
            text: Box(*place)
            for text, *place in self._browser.evaluate(
                f"""(pane => [...pane.querySelectorAll('svg tspan')].map(e => {{
                    const corner = pane.getBoundingClientRect();
                    // a tspan has no box of its own, its letters have
                    const letters = document.createRange();
                    letters.selectNodeContents(e);
                    const b = letters.getBoundingClientRect();
                    return [e.textContent, b.left - corner.left, b.top - corner.top, b.width, b.height];
                }}))(document.querySelector('{VIEWPORT}'))"""
            )
        }

    def viewport(self) -> tuple[int, int]:
        """Return the viewport's width and height."""
        width, height = self._browser.evaluate(
            f"(pane => [pane.clientWidth, pane.clientHeight])(document.querySelector('{VIEWPORT}'))"
        )
        return width, height

    def shows(self, selector: str) -> bool:
        """Whether the page has such an element."""
        return self._browser.evaluate(f"document.querySelector('{selector}') !== null")

    def readable_part(self, description: str) -> str:
        """Return how much of the series' description fits into the list."""
        return self._browser.evaluate(
            f"""(() => {{
                const label = [...document.querySelectorAll('{SERIES} {LABEL}')]
                    .find(e => e.innerText === {json.dumps(description)});
                const text = label.firstChild, range = document.createRange();
                const end = label.getBoundingClientRect().right;
                let count = 0;
                for (; count < text.length; count++) {{
                    range.setStart(text, count); range.setEnd(text, count + 1);
                    if (range.getBoundingClientRect().right > end) break;
                }}
                return text.data.slice(0, count);
            }})()"""
        )

    def regions(self) -> list[Box]:
        """Return the lines drawn over the picture, each by the box around it, from the canvas's corner.

        On a busy machine OHIF 3.13 may draw the picture before it has read the report, and the lines only when the
        viewport next has a reason to draw, such as a change of the window; so it is asked to draw.
        """
        self._browser.evaluate("cornerstone.getRenderingEngines().forEach(engine => engine.render())")
        boxes = self._browser.evaluate(
            f"""[...document.querySelectorAll('{VIEWPORT} svg :is(polyline, polygon)')].map(e => {{
                const b = e.getBBox(); return [b.x, b.y, b.width, b.height]; }})"""
        )
        return [Box(*each) for each in boxes]

    def canvas(self) -> NDArray[np.uint8]:
        """Return what is seen where the viewport's canvas is, (rows, columns, 3)."""
        box = self._browser.evaluate(
            f"""(b => [b.left, b.top, b.right, b.bottom])(
                document.querySelector('{VIEWPORT} canvas').getBoundingClientRect())"""
        )
        return np.asarray(self.page().crop([round(each) for each in box]))

    def is_drawn(self) -> bool:
        """Whether a picture is in the middle of the viewport, beside the words in its corners."""
        if not self.shows(f"{VIEWPORT} canvas"):
            return False
        canvas = self.canvas()
        rows, columns, _ = canvas.shape
        return bool(canvas[rows // 4 : -rows // 4, columns // 4 : -columns // 4].std() > 10)

    def page(self) -> Image.Image:
        """Return the whole page as a person sees it."""
        return Image.open(BytesIO(self._browser.screenshot())).convert("RGB")

    def _click(self, selector: str, text: str, times: int = 1) -> None:
        place = self._browser.evaluate(
            f"""(() => {{
                const found = [...document.querySelectorAll('{selector}')]
                    .find(e => e.innerText.includes({json.dumps(text)}));
                found.scrollIntoView({{block: 'nearest'}});
                const b = found.getBoundingClientRect();
                return [b.left + b.width / 2, b.top + b.height / 2];
            }})()"""
        )
        self._browser.click(*place, times=times)
