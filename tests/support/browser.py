"""A real browser, for what only one can tell: whether a page's own policy lets the page work.

Chromium without a window: one for each process of pytest, since its start takes seconds of a processor, and whoever
asks has a tab of their own in it. It is driven by the DevTools protocol over a WebSocket, with no more of it than these
tests need; the console's visitors (`tests.support.visitors`) drive theirs by Playwright.
"""

from __future__ import annotations

import base64
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.eventually import eventually
from tests.support.servers import sources

WITHIN = 120
"""Seconds for its start: it is large, and the machine may be busy."""
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
    "--window-size=900,1100",
    "--hide-scrollbars",
    # It does nothing that no page asks for, and slows no page because others are in front of it.
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-hang-monitor",
    "--disable-ipc-flooding-protection",
)


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
            lambda: self.run("document.readyState === 'complete' && location.href !== 'about:blank'"),
            within=WITHIN,
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
    """A page; skips the test where there is no browser, unless one is required."""
    async with aiohttp.ClientSession(await devtools()) as session:
        async with session.put("/json/new?about:blank") as answer:
            tab = await answer.json()
        async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=2**26) as socket:
            yield Page(socket)
        async with session.get(f"/json/close/{tab['id']}") as answer:
            answer.raise_for_status()


async def devtools() -> str:
    """Where this process's browser is spoken to: `http://127.0.0.1:PORT`. It is started for who asks first."""
    process, folder = _running()

    def port() -> str:
        assert process.poll() is None, "Chromium ended by itself"
        told = folder / "DevToolsActivePort"
        return told.read_text().partition("\n")[0] if told.exists() else ""

    return f"http://127.0.0.1:{await eventually(port, within=WITHIN)}"


@cache
def _running() -> tuple[subprocess.Popen[bytes], Path]:
    program = shutil.which("chromium")
    if program is None:
        sources.cannot_be_had("chromium", "it is not installed")
    folder = Path(tempfile.mkdtemp(prefix="placet-browser-"))
    process = subprocess.Popen(
        [program, *OPTIONS, f"--user-data-dir={folder}", "about:blank"],
        env={**os.environ, "HOME": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return process, folder


def end() -> None:
    """The browser, if one was started."""
    if not _running.cache_info().currsize:
        return
    process, folder = _running()
    process.terminate()
    process.wait()
    shutil.rmtree(folder, ignore_errors=True)
    _running.cache_clear()
