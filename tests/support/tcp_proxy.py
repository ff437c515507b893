"""A TCP connection that can fall silent: what a pulled cable or a lost route looks like from here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class TcpProxy:
    """Forwards to `port` of this machine, until `fall_silent`; open it with `tcp_proxy`."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._forwarding: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0

    @property
    def connections(self) -> int:
        """Those over which bytes still travel."""
        return len(self._forwarding) // 2

    def fall_silent(self) -> None:
        """Stop forwarding on what is connected now, without closing it. New connections work."""
        for task in self._forwarding:
            task.cancel()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except ConnectionError:
            writer.transport.abort()
            return
        self._writers += [writer, far_writer]
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._forward(source, sink))
            self._forwarding.add(task)
            task.add_done_callback(self._forwarding.discard)

    @staticmethod
    async def _forward(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
            sink.close()

    def close(self) -> None:
        self.fall_silent()
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def tcp_proxy(port: int) -> AsyncIterator[TcpProxy]:
    proxy = TcpProxy(port)
    async with await asyncio.start_server(proxy.accept, "127.0.0.1", 0) as server:
        proxy.port = server.sockets[0].getsockname()[1]
        yield proxy
        proxy.close()
