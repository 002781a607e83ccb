"""A headless Chromium, driven over its DevTools protocol: what a person sees and does on a page."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket

COMMANDS = ("chromium", "chromium-browser", "google-chrome")


class Tab:
    """One tab. What its page writes to the console, and errors nobody caught, are kept."""

    def __init__(self, address: str) -> None:
        self._websocket = websocket.create_connection(address, timeout=30, suppress_origin=True)
        self._numbers = itertools.count(1)
        self.problems: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a DevTools command. Raises AssertionError with its error."""
        number = next(self._numbers)
        self._websocket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._websocket.recv())
            self._note(message)
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result

    def _note(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description") or details["text"])
        elif message.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.problems.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")

    def show(self, *, width: int = 1360, height: int = 840, dark: bool = False, phone: bool = False) -> None:
        """Set the size of the window, and the preferred colours."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Go to a page."""
        self.call("Page.navigate", url=url)

    def js(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited if it is a promise."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def text(self, selector: str) -> str:
        """The text of the first element of a CSS selector, as it is seen; empty if there is none."""
        return str(self.js(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def until(self, expression: str, seconds: float = 30.0) -> float:
        """Wait until a JavaScript expression is true; returns the seconds that it took."""
        begun = time.monotonic()
        while not self.js(f"(() => {{ try {{ return Boolean({expression}) }} catch {{ return false }} }})()"):
            waited = time.monotonic() - begun
            assert waited < seconds, (
                f"not within {seconds:g} s: {expression}; the page says: {self.text('body')[:1500]}"
            )
            time.sleep(0.05)
        return time.monotonic() - begun

    def press(self, key: str) -> None:
        """Press and release a key."""
        text = key if len(key) == 1 else "\r" if key == "Enter" else ""
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def click(self, x: float, y: float) -> None:
        """Click there."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path: Path) -> None:
        """What is seen, as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def browser(folder: Path) -> Iterator[Tab]:
    """A tab of a new Chromium, with its profile in a folder."""
    command = next((found for name in COMMANDS if (found := shutil.which(name))), None)
    if command is None:
        pytest.skip("no Chromium: apt-get install chromium")
    profile = folder / "chromium"
    process = subprocess.Popen(
        [
            command,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--hide-scrollbars",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            "about:blank",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Tab(_address(profile, process))
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def _address(profile: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, f"Chromium ended with exit code {process.returncode}"
        assert time.monotonic() < deadline, "Chromium does not answer"
        with suppress(OSError, ValueError, IndexError, requests.RequestException):
            port = (profile / "DevToolsActivePort").read_text(encoding="utf-8").split()[0]
            tabs = requests.get(f"http://127.0.0.1:{port}/json", timeout=5).json()
            return str(next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"))
        time.sleep(0.05)
