"""The process: read settings, load the model, serve until told to stop.

Exit status 0 after a drained stop, 1 when the model cannot be loaded, 2 when a setting is wrong. A SIGTERM
closes the listener, lets every accepted request finish and then ends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from time import perf_counter
from typing import Any

from placet.connections import BoundedServer, Bounds, Connection, bounded
from placet.runtime import memory, reference
from placet.runtime import model as models
from placet.runtime import sample as samples
from placet.runtime import settings as configuration
from placet.runtime.access import Tokens
from placet.runtime.app import App
from placet.runtime.batching import Batcher
from placet.runtime.exchange import Room
from placet.runtime.logs import Log
from placet.runtime.metrics import Metrics
from placet.runtime.model import CannotLoad, Model
from placet.runtime.observations import Observations, Sketch
from placet.runtime.plain import PlainCodec
from placet.runtime.problems import Problem
from placet.runtime.sample import Sample
from placet.runtime.settings import Settings, WrongSetting
from placet.runtime.sharing import answers_by_row

STOPPED, CANNOT_LOAD, WRONG = 0, 1, 2
WHILE_LOADING = 50_000
"""Objects made between two collections: libraries make a million as they are imported, and hardly any is garbage."""
TRIED_WITHIN = 2.0
"""Seconds that the sample may take for it to be asked again, and beside others: a start has an end."""
BODY_SECONDS = 300.0
"""In which a request's body has to have come: it goes to a model, and none is that large."""
_COLLECTING = gc.get_threshold()


def main(arguments: Sequence[str] | None = None) -> int:
    gc.freeze()
    gc.enable()
    options = _parser().parse_args(arguments)
    try:
        settings = configuration.read(options.root)
        sample = samples.read(settings.sample) if settings.sample else None
        listener = _listen(options)
    except WrongSetting as error:
        return _say(str(error), WRONG)
    log = Log(settings.project)
    started = perf_counter()
    gc.set_threshold(WHILE_LOADING, *gc.get_threshold()[1:])
    try:
        model = models.load(
            settings.format,
            settings.artifact,
            settings.trusted,
            settings.columns,
            settings.module,
            method=settings.method,
            may_unpickle=settings.may_unpickle,
        )
        sketch = None if settings.reference is None else _sketch(model, settings.reference)
    except CannotLoad as error:
        return _say(str(error), CANNOT_LOAD)
    log.info("model loaded", platform=model.signature.platform, seconds=round(perf_counter() - started, 3))
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(model, settings, sample, Observations(sketch, started=_now()), listener, log))
    log.info("stopped")
    return STOPPED


def _sketch(model: Model, path: Path) -> Sketch:
    return Sketch(model.signature, reference.read(path, model.signature))


async def _serve(
    model: Model,
    settings: Settings,
    sample: Sample | None,
    observations: Observations,
    listener: socket.socket,
    log: Log,
) -> None:
    metrics = Metrics()
    batcher = Batcher(
        model,
        max_rows=settings.max_batch_rows,
        max_waiting=settings.max_waiting,
        within=settings.answer_seconds,
        observe=metrics.called,
    )
    if sample is not None:
        await _warm_up(model, batcher, sample, log)
    gc.collect()
    gc.set_threshold(*_COLLECTING)
    gc.freeze()  # what is loaded stays: collections need not look at it again, a quarter of a small request's time
    room = settings.max_bodies or memory.for_requests(settings.memory)
    app = App(
        model,
        batcher,
        project=settings.project,
        release=settings.release,
        root_path=settings.root_path,
        max_body=settings.max_body or min(memory.LARGEST_BODY, room // 4),
        room=Room(room),
        sample=sample,
        example=settings.example,
        tokens=None if settings.token_keys is None else Tokens(settings.token_keys, now=_now),
        supervisors=None if settings.supervisor_keys is None else Tokens(settings.supervisor_keys, now=_now),
        metrics=metrics,
        observations=observations,
        log=log,
    )
    server = _Server(
        bounded(
            app,
            Bounds(connections=settings.max_connections, whole_body_seconds=BODY_SECONDS).for_this_process(),
            connection=_Connection,
            server_header=False,
        ),
        linger=settings.linger_seconds,
    )
    log.info("serving", address=_address(listener), memory_for_requests=room)
    await server.serve(sockets=[listener])
    batcher.close()


async def _warm_up(model: Model, batcher: Batcher, sample: Sample, log: Log) -> None:
    """The first call of many models is slow, so no client should make it. Deployers judge the answer."""
    codec = PlainCodec(model.signature)
    try:
        inputs = codec.decode(sample.request)
        started = _now()
        await batcher.submit(inputs, codec.outputs)
        is_tried = model.signature.is_by_row is None and model.signature.has_rows
        if is_tried and _now() - started < TRIED_WITHIN:
            outputs = tuple(tensor.name for tensor in model.signature.outputs)
            if await answers_by_row(lambda asked: batcher.submit(asked, outputs), inputs):
                batcher.share()
            else:
                log.info("each request is computed alone: together, rows are answered otherwise")
    except Exception as error:  # noqa: BLE001 -- a model may raise anything
        log.warning("the sample request fails", error=f"{type(error).__name__}: {error}")


class _Connection(Connection):
    """Says what every answer of ours says, `error` among it."""

    def problem(self, status: HTTPStatus, why: str, fix: str | None) -> bytes:
        return Problem(status, why, fix=fix).body()


class _Server(BoundedServer):
    """uvicorn ends a drained process by the signal that stopped it; supervisors want to see status 0.

    Where a cluster stops it, nobody has seen to it that proxies keep no connection to it: what they send on one while
    it is closed is lost. For `linger` seconds each of them hears with an answer that it was the last.
    """

    def __init__(self, configured: Any, *, linger: float) -> None:
        super().__init__(configured)
        self._linger = linger
        self._leaving: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _stop(self, number: int) -> None:
        """At once where it is the second signal, or nobody is waited for."""
        if not self._linger or self._leaving is not None:
            self.handle_exit(number, None)
            return
        self._leaving = asyncio.create_task(self._leave(number))

    async def _leave(self, number: int) -> None:
        await self.take_leave(self._linger)
        self.handle_exit(number, None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m placet.runtime",
        description="Serve one model over REST: /predict, Open Inference Protocol v2, /docs, /metrics.",
        epilog="environment (overrides placet.json):\n"
        + "\n".join(f"  {name:<22} {meaning}" for name, meaning in configuration.VARIABLES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--root", type=Path, required=True, metavar="DIR", help="holds placet.json and the folder project/"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", type=int, help="port to listen on; 0 takes a free one")
    where.add_argument("--fd", type=int, metavar="N", help="an inherited listening socket instead")
    return parser


def _listen(options: argparse.Namespace) -> socket.socket:
    try:
        if options.fd is not None:
            return socket.socket(fileno=options.fd)
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        return socket.create_server((options.host, options.port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        where = f"--fd {options.fd}" if options.fd is not None else f"{options.host} port {options.port}"
        raise WrongSetting(f"cannot listen on {where}: {error}") from error


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.Loop


def _address(listener: socket.socket) -> str:
    address = listener.getsockname()
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address)


def _now() -> float:
    return time.time()  # noqa: TID251 -- the clock of a process that has no Wiring


def _say(message: str, status: int) -> int:
    print(f"placet.runtime: {message}", file=sys.stderr)  # noqa: T201 -- for the person or deployer who started it
    return status
