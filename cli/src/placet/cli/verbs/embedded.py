"""Verbs that run the platform here: `up` for as long as one likes, `demo` with a tour of it.

The platform itself is `placet.cli.platform`, an optional extra that is loaded only now. While it runs, a file
tells the same user's `placet` where it is; the file goes when the platform does, back to one that ran before.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import socket
import tempfile
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn, Protocol

import httpx

from placet.cli import exits
from placet.cli.loading import loading
from placet.cli.progress import Progress
from placet.cli.report import conclude, tell_verdicts
from placet.cli.screen import Screen
from placet.cli.submission import Folder, submit
from placet.cli.verbs.operations import begin, see_through
from placet.client import (
    Client,
    Connection,
    Operation,
    Verdict,
    leave_discovery,
    read_discovery,
    remove_discovery,
)
from placet.errors import PlacetError, Refused, Unavailable

_EXAMPLE = Path("examples") / "multiclass"
_USUAL_PORT = 8080
_ANSWER_SECONDS = 2


class Serve(Protocol):
    async def __call__(
        self,
        data: Path,
        host: str,
        port: int,
        *,
        on_ready: Callable[[str, str], Awaitable[None]],
        tell: Callable[[str], None] = ...,
        only: Collection[str] = (),
        again: asyncio.Event | None = None,
    ) -> list[socket.socket]: ...


async def up(arguments: Namespace, screen: Screen) -> int:
    return await run(load_platform(), arguments, screen)


async def demo(arguments: Namespace, screen: Screen) -> int:
    return await show(load_platform(), _example(), arguments, screen)


async def run(serve: Serve, arguments: Namespace, screen: Screen) -> int:
    data: Path = (arguments.data or _usual_data()).absolute()
    again = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, again.set)
    try:
        serving = _serving(serve, data, arguments.host, arguments.port, screen, again)
        async with serving as (connection, platform):
            screen.note(f"the platform is up, its data in {_short(data)}; Ctrl-C stops it")
            screen.note(f"to sign in there: the token in {_short(data / 'keys' / 'admin.token')}")
            screen.result(connection.url)
            screen.document({"url": connection.url, "data": str(data)})
            handed = await platform
        if handed:
            screen.note("the platform starts again")
            _start_again(handed)
    except asyncio.CancelledError:
        screen.note("the platform is down")
    return exits.DONE


async def show(serve: Serve, example: Path, arguments: Namespace, screen: Screen) -> int:
    try:
        async with AsyncExitStack() as stack:
            data = arguments.data or Path(
                stack.enter_context(
                    tempfile.TemporaryDirectory(prefix="placet-demo-", ignore_cleanup_errors=True)
                )
            )
            screen.note("starting the platform: one process, nothing else")
            serving = _serving(serve, data.absolute(), "127.0.0.1", _free_port(), screen)
            connection, platform = await stack.enter_async_context(serving)
            async with Client(connection) as client:
                if not await _tour(client, example, screen, is_short=arguments.once):
                    return exits.REFUSED
            if arguments.once:
                return exits.DONE
            screen.note(
                f"serving at {connection.url} until Ctrl-C; `placet list` in another terminal finds it"
            )
            await platform
    except asyncio.CancelledError:
        screen.note("the platform is down")
    return exits.DONE


async def _tour(client: Client, example: Path, screen: Screen, *, is_short: bool) -> bool:
    """The road of one model, told; whether all of it went well."""

    async def ask(platform: Client, steps: Progress) -> Operation:
        return await submit(platform, "deploy", Folder(example), steps)

    async def deploy() -> Operation:
        return await see_through(client, await begin(client, "deploy", None, ask, screen), screen)

    screen.note(f"\n$ placet deploy {_EXAMPLE}")
    first = await deploy()
    conclude(screen, first)
    if first.state != "live" or first.url is None or first.certificate is None:
        screen.document({"operations": [first.to_json()]})
        return False
    statement = (await client.certificate(first.certificate)).statement
    _tell_certificate(screen, statement.get("predicate", {}))

    request = _one_row(json.loads((example / "sample.json").read_text(encoding="utf-8"))["request"])
    body, url = json.dumps(request, separators=(",", ":")), f"{first.url.rstrip('/')}/predict"
    screen.note()
    screen.result(f"curl -s {shlex.quote(url)} -H 'Content-Type: application/json' -d {shlex.quote(body)}")
    answer = await _predict(url, body)
    screen.result(json.dumps(answer))

    seen: dict[str, Any] = {"url": first.url, "certificate": statement, "request": request, "answer": answer}
    operations = [first]
    if not is_short:
        screen.note(f"\n$ placet deploy {_EXAMPLE}    # the same source again")
        again = await deploy()
        operations.append(again)
        conclude(screen, again)
    screen.document({**seen, "operations": [operation.to_json() for operation in operations]})
    return operations[-1].state == "live" and all(later.built is False for later in operations[1:])


def _tell_certificate(screen: Screen, predicate: dict[str, Any]) -> None:
    policies = ", ".join(f"{policy['id']} {policy['version']}" for policy in predicate.get("policies", ()))
    screen.note()
    screen.result(f"{predicate.get('certificate')}, good until {predicate.get('notAfter')}, by {policies}")
    verdicts = [
        Verdict(rule=verdict["rule"], result=verdict["result"], stage=verdict.get("stage"))
        for verdict in predicate.get("verdicts", ())
    ]
    tell_verdicts(screen, verdicts)


async def _predict(url: str, body: str) -> Any:
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            response = await http.post(url, content=body, headers={"Content-Type": "application/json"})
            if not response.is_success:
                raise Refused(f"the model at {url} answered {response.status_code}: {response.text[:500]}")
            return response.json()
    except (httpx.HTTPError, ValueError) as silent:
        raise Refused(
            f"the model at {url} gave no answer: {silent}", fix="`placet logs` shows its side"
        ) from silent


def _one_row(request: dict[str, Any]) -> dict[str, Any]:
    """The sample's first row, its numbers written shortly, so that a line of curl stays one."""
    inputs = request["inputs"]
    if not isinstance(inputs, list):
        return request
    return {"inputs": [[int(value) if value == int(value) else value for value in row] for row in inputs[:1]]}


@asynccontextmanager
async def _serving(
    serve: Serve, data: Path, host: str, port: int, screen: Screen, again: asyncio.Event | None = None
) -> AsyncIterator[tuple[Connection, asyncio.Task[list[socket.socket]]]]:
    """The platform, ready; stopped and forgotten at the end. With `again` set it ends for another to go on."""
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    ready: asyncio.Future[Connection] = loop.create_future()
    earlier = read_discovery(os.environ)

    async def on_ready(url: str, token: str) -> None:
        connection = Connection(url=url, token=token)
        leave_discovery(connection, os.environ)
        ready.set_result(connection)

    assert me is not None  # noqa: S101 (we run in a task: it is asyncio's own type that is loose)
    loop.add_signal_handler(signal.SIGTERM, me.cancel)
    platform = asyncio.create_task(serve(data, host, port, on_ready=on_ready, tell=screen.note, again=again))
    try:
        yield await _first(ready, platform), platform
    except Unavailable:
        if platform.done():
            platform.result()  # why the platform went says more than that it is away
        raise
    finally:
        if ready.done() and not _goes_on(platform):
            await _forget(ready.result(), earlier)
        was_running = not platform.done()
        platform.cancel()
        (ended,) = await asyncio.gather(platform, return_exceptions=True)
        if was_running and isinstance(ended, Exception):
            screen.error(f"the platform did not end as it should: {ended}")


def _goes_on(platform: asyncio.Task[list[socket.socket]]) -> bool:
    """As another process, at the same place."""
    return (
        platform.done() and not platform.cancelled() and not platform.exception() and bool(platform.result())
    )


async def _forget(connection: Connection, earlier: Connection | None) -> None:
    """Without the second half, a demo beside `placet up` would leave that one running where nobody finds it."""
    if remove_discovery(connection, os.environ) and earlier is not None and await _answers(earlier):
        leave_discovery(earlier, os.environ)


async def _answers(connection: Connection) -> bool:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS), Client(connection) as client:
            await client.me()
    except (PlacetError, TimeoutError):
        return False
    return True


async def _first(
    ready: asyncio.Future[Connection], platform: asyncio.Task[list[socket.socket]]
) -> Connection:
    either: set[asyncio.Future[Any]] = {ready, platform}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if ready.done():
        return ready.result()
    await platform
    raise Unavailable("the platform stopped before it was ready")


def _start_again(handed: Sequence[socket.socket]) -> NoReturn:
    from placet.cli.platform import hand_over

    hand_over(handed)


def load_platform() -> Serve:
    try:
        with loading():
            from placet.cli.platform import serve
    except ModuleNotFoundError as missing:
        raise Unavailable(
            f"the platform is not installed here ({missing.name} is missing)",
            fix="`pip install 'placet-cli[platform]'` installs it; PLACET_URL names one that runs elsewhere",
        ) from missing
    return serve


def _example() -> Path:
    """The example project of the checkout that this command belongs to, or is called in."""
    for place in (Path.cwd(), *Path(__file__).resolve().parents):
        if (place / _EXAMPLE / "placet.yaml").is_file():
            return place / _EXAMPLE
    raise Refused(
        "the demo needs a checkout of placet, and this is none",
        fix="`make demo` in a clone of it, or `placet up` and then `placet deploy` of your own folder",
    )


def _usual_data() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "placet"


def _short(path: Path) -> str:
    """As people write it."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _free_port() -> int:
    """The usual port while nobody has it, so that the URL looks as in the documentation."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", _USUAL_PORT))
        except OSError:
            return 0
    return _USUAL_PORT
