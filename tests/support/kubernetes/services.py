"""What leads from the addresses of Services to pods that are ready, as every node of a cluster does."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from tests.support.kubernetes.addresses import PORT


class ServiceAddresses:
    """Nobody takes a connection at an address behind which no pod is ready. One that was taken goes on to its end."""

    def __init__(self) -> None:
        self._pods: Mapping[str, Sequence[str]] = {}
        self._doors: dict[str, asyncio.Server] = {}
        self._connections: set[asyncio.Task[None]] = set()

    async def lead(self, pods: Mapping[str, Sequence[str]]) -> None:
        """To these, by the address of their Service."""
        self._pods = pods
        for address in self._doors.keys() - pods.keys():
            self._doors.pop(address).close()
        for address in pods.keys() - self._doors.keys():
            self._doors[address] = await asyncio.start_server(partial(self._take, address), address, PORT)

    def pods_at(self, address: str) -> Sequence[str]:
        """Those that who connects to it now is led to."""
        return self._pods[address] if address in self._doors else ()

    async def close(self) -> None:
        await self.lead({})
        for each in self._connections:
            each.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _take(self, address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            pods = self._pods.get(address)
            if pods:
                far_reader, far_writer = await asyncio.open_connection(secrets.choice(pods), PORT)
                try:
                    await asyncio.gather(_hand_on(reader, far_writer), _hand_on(far_reader, writer))
                finally:
                    far_writer.transport.abort()
        except (OSError, asyncio.CancelledError):  # either end is gone, or all is
            pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()


async def _hand_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    with suppress(OSError):
        sink.write_eof()
