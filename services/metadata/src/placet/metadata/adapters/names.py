"""Names are looked up beside everything else: a name server that does not answer holds up nothing but its own names.

The operating system looks a name up in a thread that nobody can stop, for half a minute where a name server is silent.
In threads that are shared with the rest of the process a few such names would keep files from being read and keys from
being checked. So each has a thread that is its own, one for all who ask for the same name, no more at once than a
number says, and nobody waits longer for it than a few seconds. No process waits for one when it ends.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

WITHIN = 5.0
"""Seconds."""

Resolve = Callable[[str, int], list[str]]


def resolve(host: str, port: int) -> list[str]:
    """Every address of a name, from the operating system. Raises OSError, and UnicodeError for what is no name."""
    return [str(address[0]) for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class NotInTime(OSError):
    """No name server said anything. Of another kind than `TimeoutError`, which is of a whole request."""


class Names:
    """Raises OSError where there are no addresses, and NotInTime where nobody says so `within` seconds."""

    def __init__(self, most: int, *, within: float = WITHIN, resolve: Resolve = resolve) -> None:
        self._most = most
        self._within = within
        self._resolve = resolve
        self._under_way: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    async def __call__(self, host: str, port: int) -> list[str]:
        name = host.lower(), port
        if name not in self._under_way:
            if len(self._under_way) >= self._most:
                raise OSError(f"{self._most} names are looked up already")
            self._begin(name)
        try:
            async with asyncio.timeout(self._within):
                # Others may wait for the same one, and whoever comes after this one gave up will.
                return await asyncio.shield(self._under_way[name])
        except TimeoutError as error:
            raise NotInTime(f"no name server says where {host} is") from error

    def _begin(self, name: tuple[str, int]) -> None:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[str]] = loop.create_future()
        self._under_way[name] = found

        def end(addresses: list[str], trouble: Exception | None) -> None:
            del self._under_way[name]
            if trouble is None:
                found.set_result(addresses)
            else:
                found.set_exception(trouble)
                found.exception()  # nobody may be waiting any more

        def look() -> None:
            said: tuple[Any, ...]
            try:
                said = self._resolve(*name), None
            except Exception as error:  # noqa: BLE001 - whatever it is, it is whoever waits that is to know
                said = [], error
            with suppress(RuntimeError):  # the loop is closed: nobody asks any more
                loop.call_soon_threadsafe(end, *said)

        threading.Thread(target=look, name=f"look up {name[0]}", daemon=True).start()
