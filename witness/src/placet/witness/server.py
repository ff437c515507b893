"""One process, one state folder, one port; and no connection for ever.

uvicorn bounds the bytes of a request's head and the pause between two requests, and not how long a head may take or
an answer may wait to be read. A request to a witness takes milliseconds, so here all of a connection's life is bounded,
and of too many the oldest makes room: who asks again is answered. Floods are for a proxy in front to hold off.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from filelock import FileLock, Timeout
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from placet.errors import Refused, Unavailable

LIFETIME = 60.0
MAX_CONNECTIONS = 512
DRAIN_SECONDS = 5


class Connection(H11Protocol):
    """One client's, for `lifetime` seconds at most, and one of `most`."""

    def __init__(self, *, most: int, lifetime: float, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._most = most
        self._lifetime = lifetime
        self._since = 0.0
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        self._end = self.loop.call_later(self._lifetime, transport.abort)
        if len(self.connections) > self._most:
            ours = [each for each in self.connections if isinstance(each, Connection)]
            oldest = min(ours, key=lambda each: each._since)
            self.connections.discard(oldest)  # its end may take a moment to arrive
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(exc)


class _Server(uvicorn.Server):
    """Leaves signals to the command, which cancels `serve`, and tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:  # noqa: TID251 - given, not made
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    app: Starlette,
    host: str,
    port: int,
    *,
    on_ready: Callable[[str], Awaitable[None]],
    most: int = MAX_CONNECTIONS,
    lifetime: float = LIFETIME,
) -> None:
    """Answer until cancelled; `on_ready` is awaited with the URL. Raises Unavailable where the port is taken."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed != resource.RLIM_INFINITY:
        most = min(most, max(1, allowed // 2))
    with contextlib.closing(_listen(host, port)) as listening:
        server = _Server(
            uvicorn.Config(  # noqa: TID251 - its connections have bounds of their own
                app,
                http=partial(Connection, most=most, lifetime=lifetime),  # type: ignore[arg-type]
                ws="none",
                lifespan="off",
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=DRAIN_SECONDS,
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            await _either(server.listens, serving)
            await on_ready(f"http://{_shown(host)}:{listening.getsockname()[1]}")
            await asyncio.shield(serving)
        finally:
            server.should_exit = True
            await asyncio.wait({serving})


async def _either(listens: asyncio.Event, serving: asyncio.Task[None]) -> None:
    """Wait for the start; one that fails ends the wait with its error."""
    listening = asyncio.create_task(listens.wait())
    await asyncio.wait({listening, serving}, return_when=asyncio.FIRST_COMPLETED)
    listening.cancel()
    if serving.done():
        await serving
        raise Unavailable("the witness stopped before it was ready")


@contextlib.contextmanager
def only_one(state: Path) -> Iterator[None]:
    """Two processes on one folder would each sign from what it remembers. Raises Unavailable for the second."""
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise Refused(
            f"the folder {state} cannot be made: {error.strerror}",
            fix="choose a folder of yours with --state",
        ) from error
    try:
        with FileLock(state / "witness.lock", timeout=0):
            yield
    except Timeout as error:
        raise Unavailable(
            f"another witness is running on {state}", fix="stop it, or choose another folder with --state"
        ) from error


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, since asyncio sends small answers at once only on a socket that says it is TCP.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        is_elsewhere = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        raise Unavailable(
            f"cannot listen on {host}:{port}: {error.strerror}",
            fix="name an address of this machine with --host"
            if is_elsewhere
            else "choose another port with --port, or 0 for any",
        ) from error
    return listening


def _shown(host: str) -> str:
    """The host in a URL that works on this machine."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
