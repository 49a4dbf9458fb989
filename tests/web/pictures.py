"""The pages' pictures in docs/: `make pictures` takes them anew, from the tests that look at the pages."""

import os
from io import BytesIO
from pathlib import Path

from PIL import Image

from tests.web.browser import Browser

DOCS = Path(__file__).parents[2] / "docs"


def keep(browser: Browser, name: str) -> None:
    """Keep what is seen as a picture of the documentation, where `make pictures` asks for it."""
    if os.environ.get("MAKE_PICTURES"):
        with Image.open(BytesIO(browser.shot())) as seen:
            seen.convert("RGB").save(DOCS / f"page-{name}.jpg", quality=88)
