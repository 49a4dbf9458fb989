"""Chromium without a window, spoken to in its own DevTools protocol.

The protocol goes over a pipe (`--remote-debugging-pipe`: the browser reads its file descriptor 3 and writes 4, each
message ends with a zero byte), so no driver, package or port is needed, and the browser ends when the test does.
Methods and events: https://chromedevtools.github.io/devtools-protocol/.
"""

import base64
import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any

ANSWER_SECONDS = 60.0
READ_AT_ONCE = 1 << 20
FLAGS = [
    "--headless=new",
    "--no-sandbox",  # root in a container has no other way
    "--disable-dev-shm-usage",  # a container's /dev/shm is small
    "--remote-debugging-pipe",
    "--no-first-run",
    "--hide-scrollbars",
    # WebGL without a graphics card
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    # nothing leaves this machine
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


class Chromium:
    """One page of `width` x `height` pixels, in a browser of its own with a fresh profile."""

    def __init__(self, executable: str, folder: Path, width: int, height: int) -> None:
        self.errors: list[str] = []
        """What stands in red on the console since the last visit: also uncaught exceptions and failed requests."""
        self._unread = b""
        self._last_id = 0
        self._session: str | None = None
        options = [*FLAGS, f"--user-data-dir={folder / 'profile'}"]
        with (folder / "chromium.log").open("ab") as log:
            self._process = subprocess.Popen(
                # the protocol's descriptors are the ends of these pipes
                ["sh", "-c", 'exec "$@" 3<&0 4>&1 1>&2', "sh", executable, *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        page = self.command("Target.createTarget", url="about:blank")
        attached = self.command("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.command(f"{domain}.enable")
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def before_every_page(self, script: str) -> None:
        """Run a script in each new page before the page's own."""
        self.command("Page.addScriptToEvaluateOnNewDocument", source=script)

    def visit(self, address: str) -> None:
        """Leave the page, empty the console, and go to the address."""
        self.command("Page.navigate", url="about:blank")
        self.errors.clear()
        self.command("Page.navigate", url=address)

    def evaluate(self, expression: str) -> Any:
        """Return what the JavaScript expression is in the page."""
        answer = self.command("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def click(self, x: float, y: float, times: int = 1) -> None:
        """Press and release the left button, twice for a double click."""
        self.command("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for count in range(1, times + 1):
            for what in ("mousePressed", "mouseReleased"):
                self.command("Input.dispatchMouseEvent", type=what, x=x, y=y, button="left", clickCount=count)

    def screenshot(self) -> bytes:
        """Return the page as a PNG file."""
        return base64.b64decode(self.command("Page.captureScreenshot")["data"])

    def close(self) -> None:
        """End the browser and all that it started."""
        self._session = None
        self.command("Browser.close")
        self._process.communicate(timeout=ANSWER_SECONDS)

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command and return its answer; events that come before it are looked through for errors."""
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\0")
        self._process.stdin.flush()
        deadline = time.monotonic() + ANSWER_SECONDS
        while (answer := self._next_message(deadline)).get("id") != self._last_id:
            self._note(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def _next_message(self, deadline: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        while b"\0" not in self._unread:
            seconds = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self._process.stdout], [], [], seconds)
            assert ready, f"Chromium did not answer within {ANSWER_SECONDS:.0f} seconds"
            read = os.read(self._process.stdout.fileno(), READ_AT_ONCE)
            assert read, "Chromium ended: see chromium.log"
            self._unread += read
        message, _, self._unread = self._unread.partition(b"\0")
        told: dict[str, Any] = json.loads(message)
        return told

    def _note(self, event: dict[str, Any]) -> None:
        said = event.get("params", {})
        match event["method"]:
            case "Runtime.consoleAPICalled" if said["type"] in ("error", "assert"):
                self.errors.append(" ".join(str(each.get("value", each)) for each in said["args"]))
            case "Runtime.exceptionThrown":
                thrown = said["exceptionDetails"]
                self.errors.append(thrown.get("exception", {}).get("description", thrown["text"]))
            case "Log.entryAdded" if said["entry"]["level"] == "error":
                self.errors.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")
