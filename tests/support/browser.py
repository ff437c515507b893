"""A real browser, for what only one can tell: whether a page's own policy lets the page work.

Chromium without a window, driven by the DevTools protocol over a WebSocket; no more of it than these tests need.
"""

from __future__ import annotations

import base64
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.eventually import eventually
from tests.support.servers import sources

WITHIN = 120
"""Seconds for its start: it is large, and the machine may be busy."""


class Page:
    """One tab. `says` is what it wrote to its console, with what its policy kept from it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self.says: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._ids)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json()
            if message.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.says.append(str(message["params"]))
            if message.get("id") == number:
                if "error" in message:
                    raise AssertionError(message["error"])
                result: dict[str, Any] = message["result"]
                return result

    async def open(self, url: str) -> None:
        for domain in ("Page", "Log", "Runtime"):
            await self.call(f"{domain}.enable")
        await self.call("Page.navigate", url=url)
        await eventually(
            lambda: self.run("document.readyState === 'complete' && location.href !== 'about:blank'")
        )

    async def run(self, script: str) -> Any:
        """What a script of the tester's own comes to in the page."""
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def choose(self, selector: str, *paths: Path) -> None:
        """Pick files, or a folder, in an input, as a person does in the system's own dialog."""
        root = (await self.call("DOM.getDocument"))["root"]["nodeId"]
        found = await self.call("DOM.querySelector", nodeId=root, selector=selector)
        await self.call("DOM.setFileInputFiles", nodeId=found["nodeId"], files=[str(path) for path in paths])

    async def press(self, key: str) -> None:
        """A key, wherever the focus is."""
        text = {"Enter": "\r"}.get(key, "")
        code = {"Enter": 13, "Tab": 9}[key]
        for kind in ("keyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text
            )

    async def type(self, text: str) -> None:
        await self.call("Input.insertText", text=text)

    async def screenshot(self) -> bytes:
        picture = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(picture["data"])


@asynccontextmanager
async def browser() -> AsyncIterator[Page]:
    """A page of a browser with a profile of its own; skips the test where there is none, unless one is required."""
    with _running() as profile:
        async with aiohttp.ClientSession() as session:
            address = await eventually(lambda: _tab(session, profile), within=WITHIN)
            async with session.ws_connect(address, max_msg_size=2**26) as socket:
                yield Page(socket)


@contextmanager
def _running() -> Iterator[Path]:
    program = shutil.which("chromium")
    if program is None:
        sources.cannot_be_had("chromium", "it is not installed")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0")
    with tempfile.TemporaryDirectory(prefix="placet-browser-", ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [program, *options, f"--user-data-dir={folder}", "--window-size=900,1100", "about:blank"],
            env={**os.environ, "HOME": folder},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield Path(folder)
        finally:
            process.terminate()
            process.wait()


async def _tab(session: aiohttp.ClientSession, profile: Path) -> str:
    """Where its tab is spoken to; nothing yet."""
    port = _port(profile)
    if port is None:
        return ""
    async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
        tabs = [each for each in await answer.json() if each["type"] == "page"]
        return str(tabs[0]["webSocketDebuggerUrl"]) if tabs else ""


def _port(profile: Path) -> str | None:
    told = profile / "DevToolsActivePort"
    lines = told.read_text().split() if told.exists() else []
    return lines[0] if lines else None
