"""What stands between a Docker Engine and who uses it, and can make an engine of it that is slow, ill or away.

It answers on a socket of its own and hands everything on, unless a test says otherwise. An engine that does what it is
asked and fails to say so is the worst: whoever asks again must not get two.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import aiohttp
from aiohttp import web

Trouble = Literal["errors", "loses its answers", "is slow"]


class TroubledEngine:
    """In front of the engine at `address`, `unix:///…`."""

    def __init__(self, address: str, socket: Path) -> None:
        self._behind = address.removeprefix("unix://")
        self._socket = socket
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._go = asyncio.Event()
        self.trouble: Trouble | None = None
        self.asked = 0

    @property
    def address(self) -> str:
        return f"unix://{self._socket}"

    async def begin(self) -> None:
        if self._runner is not None:
            return
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(self._behind), timeout=aiohttp.ClientTimeout(total=None)
        )
        app = web.Application(client_max_size=2**31)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self._socket)).start()

    async def go_away(self) -> None:
        """Nobody takes a connection."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        if self._session is not None:
            await self._session.close()

    def go_on(self) -> None:
        """Whatever is slow is no more."""
        self.trouble = None
        self._go.set()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        changes = request.method != "GET"
        if self.trouble == "errors":
            return web.json_response({"message": "driver failed: no space left on device"}, status=500)
        if self.trouble == "is slow" and changes:
            await self._go.wait()
        assert self._session is not None
        async with self._session.request(
            request.method,
            f"http://engine{request.path_qs}",
            headers={name: value for name, value in request.headers.items() if name.lower() != "host"},
            data=await request.read(),
        ) as said:
            body = await said.read()
        if self.trouble == "loses its answers" and changes:
            assert request.transport is not None
            request.transport.abort()
        kept = ("content-type", "api-version", "ostype", "docker-experimental")
        headers = {name: value for name, value in said.headers.items() if name.lower() in kept}
        return web.Response(status=said.status, body=body, headers=headers)


@asynccontextmanager
async def troubled_engine(address: str, folder: Path) -> AsyncIterator[TroubledEngine]:
    engine = TroubledEngine(address, folder / "engine.sock")
    await engine.begin()
    try:
        yield engine
    finally:
        engine.go_on()
        await engine.go_away()
