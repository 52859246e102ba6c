"""A real Chromium without a window, spoken to by its own protocol over pipes: NUL ends each JSON message."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, final

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_S = 60.0


def program() -> str | None:
    """Where a Chromium is, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@final
class Browser:
    """One page. console: what it said there at level warning or error, and exceptions that nobody caught.

    requests: addresses that it asked for.
    """

    def __init__(self, folder: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        self.console: list[str] = []
        self.requests: list[str] = []
        self._size = width, height
        self._dark = dark
        self._folder = folder
        self._number = 0
        self._session = ""
        self._received = b""

    def __enter__(self) -> Browser:
        from_us, to_it = os.pipe()
        from_it, to_us = os.pipe()
        self._to, self._from = to_it, from_it
        switches = (
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
            *("--no-first-run", "--remote-debugging-pipe", f"--user-data-dir={self._folder}"),
        )
        found = program()
        assert found is not None
        # It reads from descriptor 3 and writes to 4. A shell puts them there: pass_fds keeps numbers as they are.
        command = f'exec "$0" "$@" 3<&{from_us} 4>&{to_us}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, found, *switches, "about:blank"],
            pass_fds=(from_us, to_us),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(from_us)
        os.close(to_us)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        width, height = self._size
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = "dark" if self._dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._to)
        os.close(self._from)
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE_S)

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; of a promise, what it came to."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def wait_until(self, expression: str) -> None:
        """Until a JavaScript expression holds."""
        ends = time.monotonic() + PATIENCE_S
        while not self.evaluate(expression):
            if time.monotonic() > ends:
                text = self.evaluate("document.body.innerText")
                raise AssertionError(f"{expression} never held; console: {self.console}; page: {text}")
            self._pump(0.1)

    def screenshot(self, form: str = "png", quality: int | None = None) -> bytes:
        more = {"quality": quality} if quality is not None else {}
        return base64.b64decode(self.call("Page.captureScreenshot", format=form, **more)["data"])

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask for something and wait for the answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            for answer in self._pump(1.0):
                if answer.get("id") == self._number:
                    if "error" in answer:
                        raise AssertionError(f"{method}: {answer['error']}")
                    found: dict[str, Any] = answer["result"]
                    return found
        raise AssertionError(f"{method}: no answer from the browser")

    def _pump(self, timeout_s: float) -> list[dict[str, Any]]:
        """Messages that have come; events are noted."""
        ready, _, _ = select.select([self._from], [], [], timeout_s)
        if not ready:
            return []
        received = os.read(self._from, 1 << 20)
        if not received:
            raise AssertionError("the browser has ended")
        *whole, self._received = (self._received + received).split(b"\0")
        messages = [json.loads(message) for message in whole]
        for message in messages:
            self._note(message.get("method", ""), message.get("params", {}))
        return messages

    def _note(self, method: str, said: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.console.append(json.dumps(said["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning", "assert"):
            self.console.append(json.dumps(said["args"]))
        elif method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.console.append(json.dumps(said["entry"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
