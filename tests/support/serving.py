"""An app on a real socket, for as long as a test needs it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import uvicorn
from placet.connections import BoundedServer, Bounds, bounded

from tests.support.eventually import eventually


class EndsAtOnce(uvicorn.Server):
    """Mixed into a server: `end` is heard at once.

    uvicorn looks ten times a second and then waits a tenth more: nothing to a platform, minutes to a thousand tests.
    """

    _loop: asyncio.AbstractEventLoop | None = None

    def capture_signals(self) -> Any:
        return nullcontext()  # they are pytest's

    async def main_loop(self) -> None:
        self._told = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        counter = 0
        while not await self.on_tick(counter):
            counter += 1
            try:
                await asyncio.wait_for(self._told.wait(), 0.1)
            except TimeoutError:
                continue

    def end(self) -> None:
        """From any thread."""
        self.should_exit = True
        if self._loop is not None:  # else it is told before its first look
            self._loop.call_soon_threadsafe(self._told.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for each in (*self.servers, *(sockets or ())):
            each.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        try:
            graceful = float(self.config.timeout_graceful_shutdown or 0)
            await eventually(lambda: not state.connections and not state.tasks, within=graceful, every=0.005)
        except AssertionError:
            for task in state.tasks:
                task.cancel("it took longer than a graceful end may")


class PromptServer(EndsAtOnce, BoundedServer):
    """As the platform serves."""


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """The app within the platform's bounds; its URL."""
    bound = bounded(app, Bounds(), port=0, timeout_graceful_shutdown=1)
    server = PromptServer(bound)
    running = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.end()
        await running
