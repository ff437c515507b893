"""The models' own URLs, `/models/{project}/…`, where no edge proxy does it: the embedded platform.

Requests stream through to where the deployer says the model listens, and to nowhere else. A model is other
people's code: it never sees the console's cookies, nor a token that it does not ask for; its answers are
sandboxed, and it cannot speak for the origin that it shares with the platform. What is not live says so,
with the next step.

Each request here takes two descriptors of the gateway's. A model that does not answer must not take them all, so
there are limits to how many are under way, to one model and together, and to how long it may say nothing.

It is an ASGI application of its own: what a framework does for each request takes longer than all that is done here.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import msgspec
import sqlalchemy as sa
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from placet.errors import Unavailable, Unknown
from placet.events import Clock
from placet.events.codec import timestamp
from placet.events.store import Signal
from placet.events.unit_of_work import current_traceparent
from placet.gateway.model_connections import (
    Answer,
    Header,
    ModelConnections,
    NoHttp,
    NoneFree,
    NotAnswered,
    NotReached,
    Silent,
    Streamed,
)
from placet.gateway.projections import read_canary
from placet.gateway.queries import Queries
from placet.gateway.told_routes import Told, ToldRoutes
from placet.projects import PROJECT_PATTERN

log = logging.getLogger(__name__)

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_SAID_BY_PROXIES = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-forwarded-server",
        b"x-real-ip",
    }
)
"""A client says them to be taken for another: the model hears what we see, as from any edge."""
# `expect` is answered by our own server, when the body is asked for. Host and length are said anew.
_NOT_FOR_MODELS = _HOP_BY_HOP | _SAID_BY_PROXIES | {b"cookie", b"expect", b"host", b"content-length"}
_NOR_TOKENS = _NOT_FOR_MODELS | {b"authorization"}
# What speaks for a whole origin is not for a model to say: it has only a folder of ours.
_NOT_FOR_CLIENTS = _HOP_BY_HOP | {
    b"date",  # our own server says it
    b"set-cookie",
    b"alt-svc",
    b"clear-site-data",
    b"nel",
    b"report-to",
    b"reporting-endpoints",
    b"service-worker-allowed",
    b"strict-transport-security",
    b"x-content-type-options",  # ours, of which a browser reads the first
}
_WITHOUT_BODY = frozenset({204, 304})
SANDBOX = "sandbox allow-scripts allow-forms; default-src 'self' 'unsafe-inline'; frame-ancestors 'self'"
_SAID_FOR_MODELS = ((b"content-security-policy", SANDBOX.encode()), (b"x-content-type-options", b"nosniff"))
_IN_A_PATH = "/:@!$&'()*+,;=-._~"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_PROJECT = re.compile(PROJECT_PATTERN)


BEGUN_WITHIN = 5.0
"""Seconds: until a model takes a connection, and until one of those that are allowed is free."""
HEARD_WITHIN = 2.0
"""Seconds: for news of where a model listens now to arrive here, where nobody listens any more."""
LOOK_EVERY = 0.02
LOOK_AFTER = 0.05
"""Seconds that a client waits before it is looked whether it is still there."""
SMALL = 16_384
"""Bytes of a body that is passed on when it is there as a whole."""
KNOWN_FOR = 0.1
"""Seconds that a route is taken for what it was, unless something is committed here: another process may do that."""


@dataclass(frozen=True, kw_only=True)
class ProxyLimits:
    """`silence` is in seconds; the others count requests that are under way."""

    silence: float
    one_model: int
    together: int

    def within(self, descriptors: int) -> ProxyLimits:
        """No more than half of what this process may open is for models' requests."""
        together = max(1, min(self.together, descriptors // 4))
        return replace(self, together=together, one_model=min(self.one_model, together))


class ModelProxy:
    """`told` is where the deployer of the same process says that requests go, if there is one."""

    def __init__(
        self,
        queries: Queries,
        committed: Signal,
        limits: ProxyLimits,
        clock: Clock,
        told: ToldRoutes | None = None,
    ) -> None:
        self._routes = _Routes(queries, committed)
        self._told = told
        self._clock = clock
        self._limits = limits
        self._connections = ModelConnections(
            one_model=limits.one_model,
            together=limits.together,
            begun_within=BEGUN_WITHIN,
            silence=limits.silence,
        )
        self._turns: Counter[str] = Counter()
        """How many requests each project got."""

    async def close(self) -> None:
        await self._connections.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises PlacetError for what is not served, as long as no answer has begun."""
        method: str = scope["method"]
        if method not in METHODS:
            raise HTTPException(405, headers={"Allow": ", ".join(METHODS)})
        _, _, project, *path = scope["path"].split("/", 3)
        body = _Body(scope, receive)
        async with _WhileThere(body):
            answer = await self._answer(scope, project, path[0] if path else "", body)
            try:
                await _pass_on(answer, send)
            except _ClientLeft:
                return
            except NotAnswered as error:  # its client hears that: our server cuts off what does not end
                log.warning("%s broke off its answer: %s", project, error)
            finally:
                answer.close()

    async def _answer(self, scope: Scope, project: str, path: str, body: _Body) -> Answer:
        way = await self._way(project)
        try:
            try:
                answer = await self._ask(scope, project, way, path, body)
            except NotReached:
                # It was ended since we looked, and nothing was sent: whoever serves in its place may be asked.
                way = await self._successor(project, way)
                answer = await self._ask(scope, project, way, path, body)
        except NoneFree as error:
            raise Unavailable(f"{project} takes no more requests at the moment", retry_after=1.0) from error
        except Silent as error:
            raise Unavailable(
                f"{project} said nothing for {self._limits.silence:g} s", fix=f"see `placet logs {project}`"
            ) from error
        except NoHttp as error:
            raise Unavailable(
                f"{project} gave an answer that is no HTTP", fix=f"see `placet logs {project}`"
            ) from error
        except NotAnswered as error:
            raise Unavailable(
                f"{project} does not answer at the moment", fix=f"see `placet logs {project}`"
            ) from error
        return answer

    def _sent_to(self, project: str, way: _Way) -> Sequence[str]:
        """Where this request goes, and whom it goes to where that takes no connection: replicas take turns, and a
        canary's share of a hundred requests is spread evenly over them."""
        turn = self._turns[project]
        self._turns[project] = turn + 1
        canary = read_canary(way.row)
        stands = canary is not None and not self._lacks_standing(
            way.row.canary_standing, way.row.canary_not_after
        )
        if way.told is not None:
            theirs = frozenset[str]() if canary is None else frozenset(canary.endpoints)
            serving = tuple(each for each in dict.fromkeys(way.told.turns) if each not in theirs)
            first = way.told.turns[turn % len(way.told.turns)]
            if not serving:  # it was promoted, which was not heard yet
                return (first,)
            return (first, *_from(turn, serving)) if stands or first not in theirs else _from(turn, serving)
        serving = _from(turn, msgspec.json.decode(way.row.endpoints, type=tuple[str, ...]))
        if canary is None or not stands:
            return serving
        is_its = (turn + 1) * canary.weight // 100 > turn * canary.weight // 100
        return (*_from(turn, canary.endpoints), *serving) if is_its else serving

    async def _ask(self, scope: Scope, project: str, way: _Way, path: str, body: _Body) -> Answer:
        """The first of its endpoints that takes a connection: one that takes none was not asked anything."""
        method, target = scope["method"], _target(path, scope["query_string"])
        host, headers = _for_model(scope, way.access)
        sent = await body.sent()
        *others, last = self._sent_to(project, way)
        ask = self._connections.request
        for endpoint in others:
            with suppress(NotReached):
                return await ask(project, endpoint, method, target, headers, host=host, body=sent)
        return await ask(project, last, method, target, headers, host=host, body=sent)

    async def _successor(self, project: str, gone: _Way) -> _Way:
        """Where it listens now, or still, as far as was heard within a moment. Raises why it is not served."""
        deadline = asyncio.get_running_loop().time() + HEARD_WITHIN
        while True:
            way = await self._way(project)
            has_moved = (way.told, way.row.endpoints) != (gone.told, gone.row.endpoints)
            if has_moved or asyncio.get_running_loop().time() > deadline:
                return way
            await asyncio.sleep(LOOK_EVERY)

    async def _way(self, project: str) -> _Way:
        """What the deployer told counts first, as it would at any edge: it is earlier than what it says to all."""
        if _PROJECT.fullmatch(project) is None:
            raise Unknown("no project has such a name", fix="see `placet list`")
        row = await self._routes.read(project)
        told = None if self._told is None else self._told.of(project)
        if told is not None and not told.turns:
            _must_be_served(project, row)
            raise told.why or Unavailable(
                f"{project} is not served at the moment: it was just taken off its URL",
                fix=f"see `placet status {project}`",
            )
        if told is None:
            _must_be_served(project, row)
        self._must_stand(project, row)
        return _Way(row=row, told=told)

    def _must_stand(self, project: str, row: sa.Row[Any]) -> None:
        """The deployer takes a model off when it has heard. What is known here comes first: after a crash right behind
        a revocation nothing of it is heard for a moment.
        """
        how = self._lacks_standing(row.standing, row.not_after)
        if how is not None:
            raise Unavailable(
                f"{project} is not served: {row.serves_on} is {how}",
                fix=f"see `placet status {project}`",
                retry_after=60.0,
            )

    def _lacks_standing(self, standing: str | None, not_after: str | None) -> str | None:
        """How a certificate does not stand, if it does not."""
        if standing is None and not_after is not None and not_after <= timestamp(self._clock.now()):
            return "out of its time"
        return standing


@dataclass(frozen=True, kw_only=True)
class _Way:
    row: sa.Row[Any]
    told: Told | None

    @property
    def access(self) -> str | None:
        return self.row.access if self.told is None else self.told.access


def _must_be_served(project: str, row: sa.Row[Any]) -> None:
    """Raises why it is not, as far as was heard."""
    if row.endpoints is not None:
        return
    if row.state == "stopped":
        raise Unknown(f"{project} is stopped", fix=f"start it: placet start {project}")
    if row.state == "deleted":
        raise Unknown(f"{project} is deleted", fix="deploy it again, if it is still wanted")
    if row.state == "quarantined":
        said = f"{project} is not served: {row.certificate} does not stand, since {row.why}"
        fix = row.fix or f"see `placet status {project}`"
        raise Unavailable(said, fix=fix, rule=row.rule, retry_after=60.0)
    raise Unavailable(
        f"{project} is not served at the moment: it is {row.state}", fix=f"see `placet status {project}`"
    )


class _Routes:
    """Those that lead to a model, each read once between two commits: a read takes longer than all that a small request
    costs here otherwise. Whatever is heard, a revocation say, is committed before anybody is told, and read again.
    """

    def __init__(self, queries: Queries, committed: Signal) -> None:
        self._queries = queries
        self._committed = committed
        self._seen = 0
        self._known: dict[str, tuple[float, sa.Row[Any]]] = {}

    async def read(self, project: str) -> sa.Row[Any]:
        """Raises Unknown."""
        now, seen = asyncio.get_running_loop().time(), self._committed.count
        if seen != self._seen:
            self._seen, self._known = seen, {}
        read_at, row = self._known.get(project, (-KNOWN_FOR, None))
        if row is not None and now - read_at < KNOWN_FOR:
            return row
        row = await self._queries.route(project)
        if row.endpoints is not None and seen == self._committed.count == self._seen:
            self._known[project] = (now, row)
        return row


def _from(turn: int, endpoints: tuple[str, ...]) -> tuple[str, ...]:
    first = turn % len(endpoints)
    return endpoints[first:] + endpoints[:first]


class _ClientLeft(NotAnswered):
    """Nobody is there any more to whom an answer could be said."""


class _Body:
    """A request's body on its way to the model, and whether the client is still there."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._sent = asyncio.Event()
        self._has_left = False
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        is_chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
        self._length = int(lengths[0]) if lengths and not is_chunked else None
        self.is_there = is_chunked or self._length is not None
        self._whole: bytes | None = None

    async def sent(self) -> bytes | Streamed | None:
        """One that is small goes to the model in one piece with its head. Where it did not arrive, it is asked for
        again: of one that streams nothing was taken then."""
        if self._length is None or self._length > SMALL:
            return Streamed(self._chunks(), self._length) if self.is_there else None
        if self._whole is None:
            message = await self._next()
            whole: bytes = message.get("body", b"")
            while message.get("more_body", False):
                message = await self._next()
                whole += message.get("body", b"")
            self._whole = whole
            self._sent.set()
        return self._whole

    async def _chunks(self) -> AsyncIterator[bytes]:
        is_more = True
        while is_more:
            message = await self._next()
            is_more = message.get("more_body", False)
            yield message.get("body", b"")
        self._sent.set()

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._has_left = True
            self._sent.set()
            raise _ClientLeft("the client left")
        return message

    async def client_left(self) -> None:
        """Return when the client is gone. Whoever streams its body notices that first."""
        if self.is_there:
            await self._sent.wait()
        while not self._has_left:
            self._has_left = (await self._receive())["type"] == "http.disconnect"


class _WhileThere:
    """Nobody computes for a client that left: what is done within is cut off then, and ends without an error."""

    def __init__(self, body: _Body) -> None:
        self._body = body
        self._has_left = False

    async def __aenter__(self) -> None:
        self._task = asyncio.current_task()
        self._looking: asyncio.Task[None] | None = None
        # Most answers are there before anybody leaves: to look after each client would cost each request a task.
        self._timer = asyncio.get_running_loop().call_later(LOOK_AFTER, self._begin)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> bool:
        self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()
        if self._has_left and self._task is not None:
            return self._task.uncancel() == 0 and kind is asyncio.CancelledError
        return False

    def _begin(self) -> None:
        self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        await self._body.client_left()
        self._has_left = True
        if self._task is not None:
            self._task.cancel()


def _target(path: str, query: bytes) -> bytes:
    """Whatever the path says, it is quoted anew, so that no part of it ends as host or query."""
    target = b"/" + quote(path, safe=_IN_A_PATH).encode()
    return b"%b?%b" % (target, query) if query else target


def _for_model(scope: Scope, access: str | None) -> tuple[bytes | None, list[Header]]:
    """The host that was asked, and the other headers. A model that asks for tokens checks them itself; any other sees
    none, as it would learn to be its caller."""
    dropped = _NOT_FOR_MODELS if access == "token" else _NOR_TOKENS
    host, named, kept = None, frozenset[bytes](), []
    for name, value in scope["headers"]:
        if name not in dropped:
            kept.append((name, value if value.isascii() else _in_utf8(value)))
        elif name == b"host":
            host = value
        elif name == b"connection":
            named |= _named_by_connection(value)
    if named:
        kept = [each for each in kept if each[0] not in named]
    if (ours := current_traceparent()) is not None:  # where this is traced, models go on from here
        kept = [each for each in kept if each[0] != b"traceparent"]
        kept.append((b"traceparent", ours.encode()))
    kept.append((b"x-forwarded-proto", scope["scheme"].encode()))
    if host is not None:
        kept.append((b"x-forwarded-host", host))
    if scope["client"] is not None:
        kept.append((b"x-forwarded-for", scope["client"][0].encode()))
    return None if b"host" in named else host, kept


def _in_utf8(value: bytes) -> bytes:
    """What is none of it becomes that."""
    try:
        value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1").encode()
    return value


def _for_client(answer: Answer) -> list[Header]:
    """The model's headers as they are, with our sandbox added: of several policies a browser keeps to all."""
    dropped, is_without_body = _NOT_FOR_CLIENTS, answer.status in _WITHOUT_BODY
    for name, value in answer.headers:
        if name == b"connection":
            dropped |= _named_by_connection(value)
    kept = [each for each in answer.headers if each[0] not in dropped]
    if is_without_body:  # of what would have been sent: our own server would wait for it
        kept = [each for each in kept if each[0] != b"content-length"]
    kept.extend(_SAID_FOR_MODELS)
    return kept


def _named_by_connection(value: bytes) -> frozenset[bytes]:
    return frozenset(name.strip().lower() for name in value.split(b","))


async def _pass_on(answer: Answer, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": _for_client(answer)})
    is_more = True
    while is_more:
        piece = await answer.read()
        is_more = not answer.is_read
        await send({"type": "http.response.body", "body": piece, "more_body": is_more})
