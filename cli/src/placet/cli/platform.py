"""The embedded platform: all six services in this process, one SQLite file each, one HTTP port.

This is the one place that knows every service. It starts no broker, no database server and no container
engine; models run as processes, and images lie in a folder as an OCI image layout. The services are the very
same as in production: only their wiring and settings are made here.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import gc
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import anyio
import sqlalchemy as sa
import uvicorn
from filelock import FileLock, Timeout
from sse_starlette.sse import AppStatus

import placet.builder.bootstrap
import placet.builder.projections
import placet.certifier.bootstrap
import placet.certifier.projections
import placet.deployer.bootstrap
import placet.deployer.projections
import placet.gateway.bootstrap
import placet.gateway.projections
import placet.indexer.bootstrap
import placet.indexer.projections
import placet.metadata.bootstrap
import placet.metadata.projections
from placet.builder.settings import BuilderSettings
from placet.certifier.settings import CertifierSettings
from placet.cli.exits import WrongSettingError
from placet.connections import BoundedServer, Bounds, bounded
from placet.deployer.settings import DeployerSettings
from placet.errors import Refused, Unavailable
from placet.events import Service, ServiceRunner, Wiring, tables
from placet.events.adapters.in_process_bus import InProcessHub
from placet.events.adapters.sqlite_store import SqliteStore, open_sqlite_store
from placet.events.clocks import SystemClock, TimeOrderedIds
from placet.events.codec import Codec
from placet.events.contracts import CATALOG
from placet.events.http import http_app
from placet.events.restoring import must_not_be_half_restored
from placet.events.service import CLOSE_SECONDS, in_words, run_together
from placet.events.settings import HttpSettings, ServiceSettings, load
from placet.events.store import EVENTS, Run, Unit
from placet.events.tasks import TaskGroup, to_the_end
from placet.events.tls import ShownCertificate, shown_certificate
from placet.events.traces import trace_this_process, traced
from placet.gateway.console.signing_in import client_of
from placet.gateway.settings import GatewaySettings
from placet.gateway.told_routes import ToldRoutes
from placet.identity import own_person_key
from placet.indexer.settings import IndexerSettings
from placet.metadata.settings import MetadataSettings
from placet.trust import OwnKeys, own_key

Build = Callable[[Wiring], Awaitable[Service]]
Tell = Callable[[str], None]
Settings = TypeVar("Settings", bound=ServiceSettings)

DRAIN_SECONDS = 5
FIRST_HANDED = 3
"""The number of the first socket that is handed to a process, as systemd counts (sd_listen_fds(3))."""
LEASE_SECONDS = 30.0
"""Nobody competes for them, and each renewal is a commit on the disk of an idle laptop."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One service of the platform: how it is built, and what its database holds besides the library's tables."""

    name: str
    build: Build
    tables: Sequence[sa.MetaData] = ()
    logs: Sequence[str] = ()


async def serve(
    data: Path,
    host: str,
    port: int,
    *,
    on_ready: Callable[[str, str], Awaitable[None]],
    tell: Tell = lambda text: None,
    only: Collection[str] = (),
    again: asyncio.Event | None = None,
) -> list[socket.socket]:
    """Run the platform with its state below `data` until cancelled, or `only` some of its services.

    `on_ready` is awaited with the platform's URL and an admin token once requests are answered; `tell` is for people:
    what will not work as it is set up. Raises Unavailable where the port or the folder is taken,
    WrongSettingError, and what a service ends with.

    With `again` set it ends for another process to go on, as which `hand_over` becomes: models stay, and what is
    returned are the socket that it listened on, on which clients wait for that process, and those of its clients.
    """
    send_last_spans = trace_this_process("placet", version("placet-cli"))
    try:
        return await _serve_all(
            data,
            host,
            port,
            on_ready=on_ready,
            tell=tell,
            only=only,
            again=again or asyncio.Event(),
        )
    except BaseExceptionGroup as group:
        if (told := in_words(group)) is None:
            raise
        raise told from None
    finally:
        send_last_spans()  # nothing else runs any more that could be kept waiting


async def _serve_all(
    data: Path,
    host: str,
    port: int,
    *,
    on_ready: Callable[[str, str], Awaitable[None]],
    tell: Tell,
    only: Collection[str],
    again: asyncio.Event,
) -> list[socket.socket]:
    os.umask(0o077)  # a folder that was there before may be open to all, and models may run as other users
    await anyio.to_thread.run_sync(lambda: data.mkdir(parents=True, exist_ok=True, mode=0o700))
    async with AsyncExitStack() as stack:
        stack.enter_context(_only_one(data))
        opened, clients = listen(host, port)
        opened.setblocking(False)  # a copy of it would make it wait again, and the server with it
        listening = stack.enter_context(contextlib.closing(opened))
        shown = await anyio.to_thread.run_sync(_shown_certificate)
        proxies = _load(HttpSettings).http_trusted_proxies
        scheme = "http" if shown is None else "https"
        url = f"{scheme}://{_shown(host)}:{listening.getsockname()[1]}"
        hub = InProcessHub()
        parts = await anyio.to_thread.run_sync(_parts, data, url, again.is_set, tell)
        runners = [
            ServiceRunner(await _wired(part, data, hub, stack), lease_seconds=LEASE_SECONDS)
            for part in parts
            if not only or part.name in only
        ]
        server = _Server(
            bounded(
                traced(http_app("placet", runners, version="1")),
                Bounds().for_this_process(),
                encryption=shown,
                proxies=proxies,
                timeout_graceful_shutdown=DRAIN_SECONDS,
            ),
            clients,
        )
        handed: list[socket.socket] = []
        async with TaskGroup() as tasks:
            services = tasks.create_task(run_together(runners))
            # Who waits on a socket that was handed over is let in when there is somebody to answer.
            await _until(lambda: all(each.is_started or each.waits_for for each in runners), services)
            serving = tasks.create_task(_serve(server, listening.dup()))
            restarting = tasks.create_task(again.wait())
            try:
                await _until(lambda: server.started and all(each.is_leading for each in runners), services)
                token = await anyio.Path(data / "keys" / "admin.token").read_text(encoding="ascii")
                # As where a service runs alone: a collection of garbage that looks at all that six of them loaded takes
                # two tenths of a second, every few seconds while somebody asks, and nobody is answered meanwhile.
                gc.collect()
                gc.freeze()
                await on_ready(url, token)
                await asyncio.wait({services, serving, restarting}, return_when=asyncio.FIRST_COMPLETED)
                if again.is_set():
                    # Who follows events asks the next process, and keeps nobody waiting.
                    AppStatus.should_exit = True
                    given = await server.hand_over(DRAIN_SECONDS)
                    handed = [listening.dup(), *given]
            finally:
                restarting.cancel()
                server.end()
                await asyncio.shield(asyncio.wait({serving}))
                AppStatus.should_exit = False  # of a server after this one in this process
                services.cancel()
        return handed


def _parts(
    data: Path, url: str, models_stay: Callable[[], bool] = lambda: False, tell: Tell = lambda text: None
) -> list[Part]:
    registry, keys, routes = str(data / "registry"), data / "keys", ToldRoutes()
    certificate_keys, token_keys = keys / "certificates.json", keys / "tokens.json"
    # Before whoever needs the public halves looks for them.
    own_key(keys / "tokens.pem")
    OwnKeys(keys / "certificates.pem", SystemClock().now).begin()
    people = own_person_key(keys / "people.key")
    gateway = _load(
        GatewaySettings,
        registry=registry,
        token_key=keys / "tokens.pem",
        admin_token_file=keys / "admin.token",
        api_url=url,
        oidc_person_key=people,
    )
    _read_now(gateway)
    certifier = _load(
        CertifierSettings,
        registry=registry,
        signing_key=keys / "certificates.pem",
        token_keys=token_keys,
        oidc_person_key=people,
    )
    builder = _load(
        BuilderSettings,
        registry=registry,
        data_dir=data / "builder",
        token_keys=token_keys,
        oidc_person_key=people,
    )
    indexer = _load(IndexerSettings, registry=registry, token_keys=token_keys, oidc_person_key=people)
    metadata = _load(
        MetadataSettings,
        token_keys=token_keys,
        signing_key=keys / "checkpoints.pem",
        registry=registry,
        oidc_person_key=people,
    )
    deployer = _load(
        DeployerSettings,
        registry=registry,
        data=data / "deployer",
        certifier_keys=certificate_keys,
        token_keys=token_keys,
        public_url=url,
        oidc_person_key=people,
        stop_models_on_exit=True,
    )
    if deployer.model_host != "process" and builder.base_image == "none":
        tell(
            f"models run with PLACET_MODEL_HOST={deployer.model_host}, and PLACET_BASE_IMAGE is not set: what is built"
            " without a Dockerfile of its own has no Python to run with, and its start is refused\n"
            "  fix: set PLACET_BASE_IMAGE to a base by digest, as docs/how-to/run-models-as-containers.md says, and"
            " start again"
        )
    return [
        Part(
            name="metadata",
            build=lambda wiring: placet.metadata.bootstrap.build(metadata, wiring),
            tables=(placet.metadata.projections.TABLES,),
            logs=(placet.metadata.projections.AUDIT,),
        ),
        Part(
            name="gateway",
            build=lambda wiring: placet.gateway.bootstrap.build(gateway, wiring, told=routes),
            tables=(placet.gateway.projections.TABLES,),
        ),
        Part(
            name="certifier",
            build=lambda wiring: placet.certifier.bootstrap.build(certifier, wiring),
            tables=(placet.certifier.projections.TABLES,),
        ),
        Part(
            name="builder",
            build=lambda wiring: placet.builder.bootstrap.build(builder, wiring),
            tables=(placet.builder.projections.TABLES,),
        ),
        Part(
            name="indexer",
            build=lambda wiring: placet.indexer.bootstrap.build(indexer, wiring),
            tables=(placet.indexer.projections.TABLES,),
        ),
        Part(
            name="deployer",
            build=lambda wiring: placet.deployer.bootstrap.build(
                deployer, wiring, models_stay=models_stay, edge=routes
            ),
            tables=(placet.deployer.projections.TABLES,),
        ),
    ]


def _load(kind: type[Settings], **known: Any) -> Settings:
    try:
        return load(kind, **known)
    except Refused as wrong:
        raise WrongSettingError(wrong.detail, fix=wrong.fix) from wrong


def _shown_certificate() -> ShownCertificate | None:
    try:
        return shown_certificate(_load(HttpSettings), SystemClock().now)
    except Refused as wrong:
        raise WrongSettingError(wrong.detail, fix=wrong.fix) from wrong


def _read_now(gateway: GatewaySettings) -> None:
    """The files that it would read later: what is wrong with them is told as every wrong setting."""
    try:
        client_of(gateway)
    except Refused as wrong:
        raise WrongSettingError(wrong.detail, fix=wrong.fix) from wrong


async def _closed(wiring: Wiring) -> None:
    """Whatever else ended badly: each of the six has its own."""
    await to_the_end(wiring.store.close(), within=CLOSE_SECONDS)


async def _wired(part: Part, data: Path, hub: InProcessHub, stack: AsyncExitStack) -> Service:
    wiring = await Wiring.embedded(part.name, data=data / "log", hub=hub, tables=part.tables, logs=part.logs)
    stack.push_async_callback(_closed, wiring)
    await must_not_be_half_restored(part.name, wiring.store)
    await _end_leases(wiring)
    return await part.build(wiring)


async def open_part(data: Path, name: str) -> tuple[Part, SqliteStore]:
    """One service of the platform below `data`, and its database, for who mends that. Raises Refused."""
    if not (data / "log").is_dir():
        raise Refused(
            f"{data} is no folder of a platform", fix="name the one that `placet up` was given with --data"
        )
    os.umask(0o077)
    parts = await anyio.to_thread.run_sync(_parts, data, "http://127.0.0.1")
    (part,) = [each for each in parts if each.name == name]
    store = await open_sqlite_store(
        data / "log" / f"{name}.db",
        codec=Codec(CATALOG),
        ids=TimeOrderedIds(),
        tables=(tables.LIBRARY, *part.tables),
        logs=(EVENTS, *part.logs),
    )
    return part, store


async def _end_leases(wiring: Wiring) -> None:
    """Those that a crashed platform held: the lock on the folder says that it is gone."""
    free = sa.update(tables.jobs).values(leased_by=None, leased_until=0.0)
    await wiring.store.commit(Unit(writes=(Run(statement=sa.delete(tables.leases)), Run(statement=free))))


@contextlib.contextmanager
def _only_one(data: Path) -> Iterator[None]:
    """Two platforms on one folder would each believe the other's leases."""
    try:
        with FileLock(data / "platform.lock", timeout=0):
            yield
    except Timeout as error:
        raise Unavailable(
            f"another platform is running on {data}", fix="stop it, or name another folder with --data"
        ) from error


def listen(host: str, port: int) -> tuple[socket.socket, list[socket.socket]]:
    """The socket that was handed to this process, by systemd or by the platform before, or one of its own; and the
    clients of the platform before."""
    handed = _handed()
    listening = [each for each in handed if each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)]
    if not handed:
        return _opened(host, port), []
    if len(listening) != 1:
        raise Unavailable(
            f"{len(listening)} sockets to listen on were handed to the platform", fix="hand it one"
        )
    return listening[0], [each for each in handed if each is not listening[0]]


def _handed() -> list[socket.socket]:
    """Once: what we start has nothing to do with them."""
    is_ours = os.environ.pop("LISTEN_PID", "") == str(os.getpid())
    number = os.environ.pop("LISTEN_FDS", "0")
    os.environ.pop("LISTEN_FDNAMES", None)
    if not is_ours:
        return []
    handed = []
    for descriptor in range(FIRST_HANDED, FIRST_HANDED + int(number)):
        os.set_inheritable(descriptor, False)
        handed.append(socket.socket(fileno=descriptor))
    if any(
        each.type != socket.SOCK_STREAM or each.family not in (socket.AF_INET, socket.AF_INET6)
        for each in handed
    ):
        raise Unavailable(
            "a socket that was handed to the platform is none of TCP", fix="hand it one, to listen on"
        )
    return handed


def hand_over(sockets: Sequence[socket.socket]) -> NoReturn:
    """Become the same command anew, which gets the sockets."""
    # Out of the way first: one of them may be where another is to go.
    above = FIRST_HANDED + len(sockets)
    for number, high in enumerate([fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, above) for each in sockets]):
        os.dup2(high, FIRST_HANDED + number, inheritable=True)
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets))}
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - what was typed, and nothing a shell reads


def _opened(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, since asyncio sends small answers at once only on a socket that says it is TCP: 40 ms for each call.
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


class _Server(BoundedServer):
    """Leaves signals to the command, which cancels `serve`."""

    def end(self) -> None:
        """As by a signal: what follows events, and has no end of its own, hears of that alone."""
        self.handle_exit(signal.SIGTERM, None)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(server: uvicorn.Server, listening: socket.socket) -> None:
    await server.serve(sockets=[listening])


async def _until(condition: Callable[[], bool], services: asyncio.Task[None]) -> None:
    """Wait for the start; a service that fails meanwhile ends the wait with its error."""
    while not condition():
        if services.done():
            await services
        await asyncio.sleep(0.01)
