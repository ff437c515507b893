"""Connections between processes that can be cut: what a pulled cable, a firewall or a lost route looks like from here.

They run in a thread of their own, so that who uses them may block.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

State = Literal["open", "silent", "refused"]
"""`silent`: nothing gets through and nobody is told, and what was under way goes on when it is open again. `refused`:
what is connected is reset, and so is whoever connects."""


class Links:
    """All of one test; close it, or use it as a context."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)
        self._thread.start()
        self._links: list[Link] = []

    def __enter__(self) -> Links:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def to(self, port: int) -> Link:
        """A new way to that port of this machine."""
        link = Link(port)
        asyncio.run_coroutine_threadsafe(link.open(), self._loop).result(30)
        self._links.append(link)
        return link

    def set(self, link: Link, state: State) -> None:
        self._in_the_loop(lambda: link.set(state))

    def close(self) -> None:
        for link in self._links:
            self._in_the_loop(link.close)
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _in_the_loop(self, do: Callable[[], None]) -> None:
        done = threading.Event()

        def run() -> None:
            try:
                do()
            finally:
                done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait(30)


class Link:
    def __init__(self, target: int) -> None:
        self._target = target
        self._open = asyncio.Event()
        self._open.set()
        self._refuses = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def set(self, state: State) -> None:
        self._refuses = state == "refused"
        if state == "silent":
            self._open.clear()
        else:
            self._open.set()
        if state == "refused":
            self._reset()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._reset()

    def _reset(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._open.wait()
            if self._refuses:
                writer.transport.abort()
                return
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._forward(reader, far_writer))
                tasks.create_task(self._forward(far_reader, writer))
        finally:
            self._writers -= {writer, far_writer}
            for each in (writer, far_writer):
                each.transport.abort()

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """To the end of one side, which the other is told: who was killed resets what it has not read."""
        with suppress(OSError):
            while data := await source.read(65536):
                await self._open.wait()
                sink.write(data)
                await sink.drain()
        await self._open.wait()
        with suppress(OSError):
            if sink.can_write_eof():
                sink.write_eof()


def by(link: Link, url: str) -> str:
    """The same server, by that way."""
    parts = urlsplit(url)
    user, _, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{link.port}"))
