"""The process of one service: settings, wiring, HTTP and the run loop, until SIGTERM. A `__main__.py` calls `main`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import faulthandler
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from functools import cache, partial
from importlib.metadata import version
from types import FrameType
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from placet.connections import BoundedServer, Bounds, bounded
from placet.errors import PlacetError, Unavailable
from placet.events import mending
from placet.events.clocks import SystemClock
from placet.events.http import http_app
from placet.events.logs import log_to_stderr
from placet.events.parked import all_parked, retry_all
from placet.events.restoring import must_not_be_half_restored
from placet.events.service import Service, ServiceRunner, in_words
from placet.events.settings import ProcessSettings, ServiceSettings, describe, load
from placet.events.store import EVENTS
from placet.events.tls import ShownCertificate, shown_certificate
from placet.events.traces import trace_this_process, traced
from placet.events.wiring import Wiring, open_distributed_store

Settings = TypeVar("Settings", bound=ServiceSettings)

log = logging.getLogger(__name__)

END_SECONDS = 55.0
"""From when a process is told to end, or one of its parts failed, to its end, whatever hangs: less than who runs
services gives them (`stop_grace_period` is a minute, and `terminationGracePeriodSeconds` that and the `preStop` that it
counts, too). What was not finished by then, another replica or the next start does."""


def main(
    name: str,
    settings_type: type[Settings],
    build: Callable[[Settings, Wiring], Awaitable[Service]],
    *,
    tables: Iterable[sa.MetaData] = (),
    logs: Sequence[str] = (),
) -> None:
    """Run the service `name` alone. Ends the process: 0 after a drain, 1 when it failed, 2 for wrong settings.

    What the database refuses, a password or its own name, is a wrong setting too: no waiting cures it.
    """
    # Whoever calls put collections off while all was imported: they took a quarter of the start, and found nothing.
    gc.freeze()
    gc.enable()
    parser = argparse.ArgumentParser(
        prog=f"python -m placet.{name}", description=f"placet's {name}, by itself."
    )
    parser.add_argument(
        "--help-settings", action="store_true", help="list the environment variables and exit"
    )
    parser.add_argument(
        "--parked", action="store_true", help="list the messages put aside, one JSON object a line, and exit"
    )
    parser.add_argument(
        "--retry-parked",
        action="store_true",
        help="hand parked messages back to the running service and exit",
    )
    parser.add_argument(
        "--begin-epoch",
        action="store_true",
        help="say that this service's database was restored from a backup, before the service runs again, and exit",
    )
    parser.add_argument(
        "--prepare-database",
        metavar="ROLE",
        help="as the owner of the tables, make what is missing, let ROLE do what the service needs, and exit",
    )
    parser.add_argument(
        "--rebuild",
        metavar="FILE",
        nargs="?",
        const="",
        help="make read models anew, beside those that serve, and exit: from the audit log, one entry a line (-: from"
        " standard input; `placet audit rebuild` does it all), or without FILE those of this service's own logs",
    )
    parser.add_argument(
        "--restore",
        metavar="FILE",
        help="fill this service's empty database from the audit log, one entry a line (-: from standard input), or go"
        " on with that, and exit; `placet audit restore` does it all",
    )
    parser.add_argument(
        "--until",
        metavar="N",
        type=int,
        help="of a restore: the log's last position, so that one that breaks off is not taken for whole",
    )
    arguments = parser.parse_args()
    if arguments.help_settings:
        sys.stdout.write(f"{describe(ProcessSettings)}\n{describe(settings_type)}\n")
        sys.exit(0)
    try:
        process, settings = load(ProcessSettings), load(settings_type)
    except PlacetError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    log_to_stderr(name, level=process.log_level, format=process.log_format)
    logging.getLogger("aiormq").setLevel(
        logging.CRITICAL
    )  # the bus says itself what becomes of its connections
    cut_short = 128 + signal.SIGTERM
    if arguments.parked or arguments.retry_parked:
        work = _show_parked(name, process, retry=arguments.retry_parked)
    elif arguments.begin_epoch:
        work = _begin_epoch(name, process, logs)
    elif arguments.prepare_database:
        work = _prepare_database(name, process, arguments.prepare_database, tables, logs)
    elif arguments.restore:
        work = _restore(name, process, settings, build, tables, logs, (arguments.restore, arguments.until))
    elif arguments.rebuild is not None:
        work = _rebuild(name, process, settings, build, tables, logs, arguments.rebuild)
    else:
        work = _serve(name, process, settings, build, tables, logs)
        cut_short = 0  # it was asked to end, and did
    send_last_spans = trace_this_process(f"placet-{name}", version(f"placet-{name}"))
    try:
        status = asyncio.run(_until_told(work, cut_short))
    except PlacetError as error:
        sys.stderr.write(f"{error}\n")
        status = 1 if isinstance(error, Unavailable) else 2
    finally:
        send_last_spans()
    sys.exit(status)


async def _until_told(work: Coroutine[Any, Any, int], cut_short: int) -> int:
    """Its status, or `cut_short` once this process is told to end: also while it waits for its database, when there is
    no HTTP yet that would hear of it. In a container nobody else does: the kernel keeps a signal that is not handled
    from a process that is the first of its machine."""
    task = asyncio.ensure_future(work)
    with _told_to_end(lambda _: task.cancel()):
        try:
            return await task
        except asyncio.CancelledError:
            return cut_short


async def _serve(
    name: str,
    process: ProcessSettings,
    settings: Settings,
    build: Callable[[Settings, Wiring], Awaitable[Service]],
    tables: Iterable[sa.MetaData],
    logs: Iterable[str],
) -> int:
    shown = shown_certificate(process, SystemClock().now, process.http_tls_client_ca)
    wiring = await _wire(name, process, tables, logs)
    try:
        await must_not_be_half_restored(name, wiring.store)
        return await serve(await build(settings, wiring), process, shown)
    finally:
        await wiring.bus.close()
        await wiring.store.close()


async def serve(service: Service, process: ProcessSettings, shown: ShownCertificate | None = None) -> int:
    """Run a service and its HTTP, encrypted where there is a certificate to be shown, until SIGTERM or SIGINT; the exit
    status: 0 after a drain, 1 when it failed."""
    runner = ServiceRunner(service, lease_seconds=process.lease_seconds)
    server = _Server(
        bounded(
            traced(http_app(f"placet {service.name}", [runner], version="1")),
            Bounds(connections=process.http_connections).for_this_process(),
            encryption=shown,
            proxies=process.http_trusted_proxies,
            host=process.http_host,
            port=process.http_port,
            timeout_graceful_shutdown=10,
        )
    )
    # What is loaded by now stays. A collection of garbage that looks at all of it takes a tenth of a second, in which
    # nobody is answered.
    gc.collect()
    gc.freeze()
    running = asyncio.create_task(runner.run(), name=service.name)
    running.add_done_callback(lambda _: server.end())
    await server.serve()
    running.cancel()
    (result,) = await asyncio.gather(running, return_exceptions=True)
    if isinstance(result, Exception):
        told = in_words(result)
        log.critical("%s ends: %s", service.name, told or result, exc_info=None if told else result)
        return 1
    return 0


class _Server(BoundedServer):
    """uvicorn ends a stopped process by the signal that stopped it; the service has yet to drain then."""

    def end(self) -> None:
        self.should_exit = True
        _end_in_time()
        _say_so()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        with _told_to_end(lambda number: self.handle_exit(number, None)):
            yield


@contextlib.contextmanager
def _told_to_end(do: Callable[[int], object]) -> Iterator[None]:
    """Whoever sends SIGTERM or SIGINT meanwhile has the event loop do this, and the process end in time, also where the
    loop hangs, which is not asked for that. Once there was one, the next ends the process at once."""
    loop = asyncio.get_running_loop()
    is_told = False

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal is_told
        is_told = True
        _end_in_time()
        loop.call_soon_threadsafe(_say_so)
        loop.call_soon_threadsafe(do, number)

    before = {number: signal.signal(number, hear) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if is_told else handler)


@cache
def _end_in_time() -> None:
    """A second after it was to be said. By a thread of the interpreter's own, which waits for none of its locks: this
    process must end also where one is held for good, where the log cannot be written, or where a thread does not end
    that the interpreter would wait for."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    faulthandler.dump_traceback_later(END_SECONDS + 1.0, exit=True, file=nowhere)


@cache
def _say_so() -> None:
    """In time to be read."""

    def say() -> None:
        log.critical("this process did not end within %.0f s, and is ended as it is", END_SECONDS)

    timer = threading.Timer(END_SECONDS, say)
    timer.daemon = True
    timer.start()


async def _show_parked(name: str, process: ProcessSettings, *, retry: bool) -> int:
    """Print what is parked; with `retry`, the leader of the running service takes it up within seconds."""
    store = await open_distributed_store(name, process.database_url)
    try:
        for each in await all_parked(store):
            sys.stdout.write(msgspec.json.encode(each).decode() + "\n")
        if retry:
            sys.stderr.write(f"{await retry_all(store)} messages go back to {name}\n")
    finally:
        await store.close()
    return 0


async def _begin_epoch(name: str, process: ProcessSettings, logs: Sequence[str]) -> int:
    """What follows in each of the service's logs has positions that others may know from before the restore."""
    store = await open_distributed_store(name, process.database_url, logs=logs)
    try:
        for each in (EVENTS, *logs):
            head = await store.begin_epoch(each)
            sys.stderr.write(
                f"{name}: log {each!r} goes on behind {head.began_after} as epoch {head.epoch}\n"
            )
    finally:
        await store.close()
    return 0


async def _prepare_database(
    name: str, process: ProcessSettings, role: str, tables: Iterable[sa.MetaData], logs: Sequence[str]
) -> int:
    store = await open_distributed_store(name, process.database_url, tables=tables, logs=logs)
    try:
        for each in await store.grant(role):
            sys.stderr.write(f"{name}: {role} has {each}\n")
    finally:
        await store.close()
    return 0


async def _rebuild(
    name: str,
    process: ProcessSettings,
    settings: Settings,
    build: Callable[[Settings, Wiring], Awaitable[Service]],
    tables: Iterable[sa.MetaData],
    logs: Sequence[str],
    file: str,
) -> int:
    store = await open_distributed_store(name, process.database_url, tables=tables, logs=logs)
    try:
        built = partial(build, settings)
        if file:
            await mending.rebuild(name, store, built, tables, file)
        else:
            await mending.rebuild_own(name, store, built)
    finally:
        await store.close()
    return 0


async def _restore(
    name: str,
    process: ProcessSettings,
    settings: Settings,
    build: Callable[[Settings, Wiring], Awaitable[Service]],
    tables: Iterable[sa.MetaData],
    logs: Sequence[str],
    source: tuple[str, int | None],
) -> int:
    store = await open_distributed_store(name, process.database_url, tables=tables, logs=logs)
    try:
        await mending.restore(name, store, partial(build, settings), *source)
    finally:
        await store.close()
    return 0


async def _wire(
    name: str, process: ProcessSettings, tables: Iterable[sa.MetaData], logs: Iterable[str]
) -> Wiring:
    told = ""
    while True:
        try:
            return await Wiring.distributed(
                name,
                amqp_url=process.amqp_url,
                database_url=process.database_url,
                tables=tuple(tables),
                logs=tuple(logs),
            )
        except Unavailable as error:
            if told != (told := str(error)):
                log.warning("%s waits: %s", name, error)
            await asyncio.sleep(1.0)
