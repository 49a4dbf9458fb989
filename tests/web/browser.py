"""A person before the pages: sees what is there, fills in, presses, and waits until something shows."""

import json
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import Chromium
from tests.peers import wait_for

AXE = Path(__file__).parents[2] / ".peers" / "axe-core-4.14.1" / "axe.min.js"
_KEYS = {"Enter": (13, "\r"), "Tab": (9, ""), "Escape": (27, ""), "ArrowDown": (40, ""), "ArrowUp": (38, "")}
_KEYS |= {"ArrowLeft": (37, ""), "ArrowRight": (39, ""), " ": (32, " ")}


class Browser:
    """One page of Chromium, spoken of as a person sees it: by labels, and by the words on buttons and links."""

    def __init__(self, chromium: Chromium, url: str) -> None:
        self.chromium = chromium
        self.url = url

    def visit(self, path: str) -> None:
        """Go to a page of the node, and wait until it stands."""
        self.chromium.visit(urllib.parse.urljoin(self.url, path))
        self._wait_until_loaded()

    @property
    def path(self) -> str:
        """Where the browser is now."""
        return str(self.chromium.evaluate("location.pathname"))

    @property
    def text(self) -> str:
        """What can be read on the page."""
        return str(self.chromium.evaluate("document.body ? document.body.innerText : ''"))

    def sees(self, text: str, seconds: float = 60.0) -> None:
        """Wait until these words stand on the page."""
        wait_for(lambda: text in self.text, seconds, f"{text!r} is not on {self.path}")

    def sees_no_more(self, text: str, seconds: float = 60.0) -> None:
        """Wait until these words are gone."""
        wait_for(lambda: text not in self.text, seconds, f"{text!r} is still on {self.path}")

    def fill(self, label: str, text: str) -> None:
        """Replace what stands in the field with this label by typing."""
        found = self._do(
            "const wanted = [...document.querySelectorAll('label')].find(each => shown(each) && says(each, name));"
            "const field = wanted && (wanted.control || wanted.querySelector('input, textarea, select'));"
            "if (!field) return false; field.focus(); if (field.select) field.select(); return true;",
            label,
        )
        assert found, f"no field {label!r} on {self.path}"
        self.chromium.command("Input.insertText", text=text)
        if not text:
            self.key("Delete", 46)

    def choose(self, label: str, option: str) -> None:
        """Choose what is called so from the list with this label."""
        found = self._do(
            "const wanted = [...document.querySelectorAll('label')].find(each => shown(each) && says(each, name[0]));"
            "const list = wanted && wanted.control; if (!list) return false;"
            "const option = [...list.options].find(each => each.text.trim() === name[1]); if (!option) return false;"
            "list.value = option.value; list.dispatchEvent(new Event('input', {bubbles: true}));"
            "list.dispatchEvent(new Event('change', {bubbles: true})); return true;",
            [label, option],
        )
        assert found, f"no {option!r} in a list {label!r} on {self.path}"

    def bring(self, label: str, path: Path) -> None:
        """Choose a file in the field with this label."""
        root = self.chromium.command("DOM.getDocument")["root"]["nodeId"]
        field = self._do(
            "return [...document.querySelectorAll('label')].find(each => says(each, name)).htmlFor;", label
        )
        found = self.chromium.command("DOM.querySelector", nodeId=root, selector=f"#{field}")["nodeId"]
        self.chromium.command("DOM.setFileInputFiles", nodeId=found, files=[str(path)])

    def press(self, words: str) -> None:
        """Click on the button or link, or whatever else is labelled so; where it leads is waited for."""
        self._wait_until_loaded()  # a page that is still coming does nothing yet
        place = self._do(
            "const all = [...document.querySelectorAll('button, a, summary, label, [role=button]')];"
            "const wanted = all.find(each => shown(each) && !each.disabled && says(each, name));"
            "if (!wanted) return null; wanted.scrollIntoView({block: 'center'});"
            # of a link that goes over two lines the middle of the first
            "const [box] = wanted.getClientRects(); return [box.x + box.width / 2, box.y + box.height / 2];",
            words,
        )
        assert place, f"nothing to press that says {words!r} on {self.path}: {self.text}"
        self.chromium.click(*place)
        self._wait_until_loaded()

    def key(self, key: str, code: int = 0) -> None:
        """Press and release a key."""
        code, text = _KEYS.get(key, (code or ord(key[0].upper()), key if len(key) == 1 else ""))
        about: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code, "code": key}
        self.chromium.command("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
        self.chromium.command("Input.dispatchKeyEvent", type="keyUp", **about)

    def log_in(self, name: str, password: str) -> None:
        """Come in by name and password."""
        self.visit("/login")
        self.fill("Name", name)
        self.fill("Password", password)
        self.press("Log in")
        self.sees("Log out")

    def log_out(self) -> None:
        """Leave."""
        self.press("Log out")
        wait_for(lambda: self.path == "/login")

    def shot(self) -> bytes:
        """Return what is seen, as a PNG file."""
        return self.chromium.screenshot()

    def violations(self) -> list[str]:
        """What axe finds that keeps somebody from using the page: rules and places."""
        if not AXE.exists():
            pytest.skip(
                "optional peer missing: axe-core is not in .peers (`make peers` brings it where npm is)"
            )
        self.chromium.evaluate(AXE.read_text(encoding="utf-8") + "; 0")
        self.chromium.evaluate("window.found = null; axe.run(document).then(each => window.found = each); 0")
        found = wait_for(
            lambda: self.chromium.evaluate("window.found && JSON.stringify(window.found.violations)")
        )
        return [f"{each['id']}: {node['html']}" for each in json.loads(found) for node in each["nodes"]]

    def _wait_until_loaded(self) -> None:
        wait_for(
            lambda: self.chromium.evaluate(
                "document.readyState === 'complete' && location.href !== 'about:blank'"
            )
        )

    def _do(self, body: str, name: object) -> Any:
        helpers = (
            "const shown = each => each.getClientRects().length > 0;"
            "const said = each => (each.getAttribute('aria-label') || each.innerText).trim();"
            "const says = (each, words) => said(each).startsWith(words);"
        )
        return self.chromium.evaluate(f"(name => {{{helpers}{body}}})({json.dumps(name)})")
