"""Every denial of a service in the log, and no way to flood it: the first of a caller at once, the same again as a
number. Each service has its own, and says them as its own event (`shapes.Denial`).

What is denied one caller for one reason is a series. Its first denial is said at once; those that follow within
`WINDOW` are counted, and said as one event at its end; a series ends with a window in which nothing was denied. There
are `MOST_SERIES` at a time of people who are known, and as many of callers who are not, so that nobody without a token
takes a name out of the log; what is denied beyond them is counted for each reason, and said as one event a window, of
nobody in particular. So each denial is counted in exactly one event, and whoever asks as often as they like makes a
bounded number of events.

Who is not known has no name here, and no address: `origin` is a digest of the network they ask from, with a key of
this process that no one has and that ends with it. It tells within one process whether two series are of the same.

Nobody waits for it: a denial is answered, and said a moment later. While the database is away, all is counted on. What
a process that is killed had not yet said is lost with it; one that is told to stop says it first.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import secrets
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from starlette.requests import Request

from placet.errors import Forbidden, PlacetError, TooMany, Unauthenticated, Unavailable
from placet.events import PLATFORM, Actor, Context, UnitOfWork, Wiring, transact
from placet.events.catalog import contract_of
from placet.events.codec import timestamp
from placet.events.contracts.shapes import Denial
from placet.events.problems import problem_of
from placet.identity.networks import network_of

log = logging.getLogger(__name__)

WINDOW = timedelta(minutes=1)
MOST_SERIES = 30
"""Of known people, and again of unknown callers."""
AGAIN_AFTER = 1.0
"""Seconds until it is tried again to say what could not be said."""
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_BY_STATUS = {401: "token.invalid", 403: "access.forbidden", 429: "rate.requests"}
_NONE = dict.fromkeys(_BY_STATUS.items(), 0)
"""What a denial is for that names no rule."""
_ORIGIN_DIGITS = 16
_PROJECT = re.compile(r"[a-z][a-z0-9-]{1,38}[a-z0-9]")


@dataclass(frozen=True, kw_only=True)
class What:
    """Was asked: the template of the path, never what somebody put into it, but for a project's name that is one.
    None of what several asked differently."""

    method: str | None
    route: str | None
    project: str | None

    def and_(self, other: What) -> What:
        return What(
            method=self.method if self.method == other.method else None,
            route=self.route if self.route == other.route else None,
            project=self.project if self.project == other.project else None,
        )


NOTHING_IN_PARTICULAR = What(method=None, route=None, project=None)


@dataclass(frozen=True, kw_only=True)
class _Key:
    """Whose series it is. `person` and `origin` are none of those that are beyond the bound."""

    person: str | None
    origin: str | None
    status: int
    reason: str


@dataclass(slots=True)
class _Series:
    id: str
    since: datetime
    """When its window began."""
    count: int = 0
    """Denials of this window that no event tells of yet."""
    what: What | None = None
    events: int = 0
    """That are made of it, said or not."""


@dataclass(frozen=True, kw_only=True)
class _Unsaid:
    """`number` is its place in its series: what is there already was said by a commit whose answer was lost."""

    number: int
    event: Denial


@dataclass(slots=True)
class Asking:
    """Who asks: nobody known, until their token says so."""

    person: str | None = None


class Denials(Collector):
    """Of one process of the service whose event it is. `start` and `close` are the service's."""

    def __init__(self, wiring: Wiring, event: type[Denial]) -> None:
        self._wiring = wiring
        self._event = event
        self._service = contract_of(event).producer
        self._key = secrets.token_bytes(32)
        self._series: OrderedDict[_Key, _Series] = OrderedDict()
        self._beyond: dict[_Key, _Series] = {}
        self._unsaid: list[_Unsaid] = []
        self._counted: Counter[tuple[int, str]] = Counter()
        self._news = asyncio.Event()
        self._saying: asyncio.Task[None] | None = None

    @contextmanager
    def noted(self, request: Request) -> Iterator[Asking]:
        """Around the request, until it is answered: whoever denies it, before it is looked at or meanwhile."""
        asking = Asking()
        try:
            yield asking
        except (Unauthenticated, Forbidden, TooMany) as denied:
            self.note(request, denied, asking.person)
            raise

    def note(self, request: Request, error: PlacetError, person: str | None) -> None:
        """`request` was denied with `error`; to `person`, where the token said whom it is of."""
        status = problem_of(error)[0]
        reason = error.rule or _BY_STATUS.get(status, "access.denied")
        self._counted[status, reason] += 1
        origin = None if person else self._origin_of(request)
        key = _Key(person=person, origin=origin, status=status, reason=reason)
        what, now = _asked(request), self._wiring.clock.now()
        series = self._series.get(key)
        if series is not None:
            _count(series, what)
        elif self._has_room(is_known=person is not None):
            self._series[key] = series = _Series(id=self._wiring.ids.new(), since=now, count=1, what=what)
            self._unsaid.append(self._told(key, series, until=now))
        else:
            beyond = replace(key, person=None, origin=None)
            if beyond not in self._beyond:
                self._beyond[beyond] = _Series(id=self._wiring.ids.new(), since=now)
            _count(self._beyond[beyond], what)
        self._news.set()

    def _has_room(self, *, is_known: bool) -> bool:
        return sum((each.person is not None) == is_known for each in self._series) < MOST_SERIES

    async def tell(self, *, to_the_end: bool = False) -> None:
        """Say what is to be said by now, or all that was counted. Raises Unavailable, and has it all still then."""
        if not self._unsaid:  # what could not be said is not made more: it is counted on meanwhile
            self._unsaid += self._ended(self._wiring.clock.now(), to_the_end=to_the_end)
        while self._unsaid:
            await self._append(self._unsaid[0])
            del self._unsaid[0]

    async def start(self) -> None:
        self._saying = asyncio.create_task(self._go_on(), name=f"{self._service}: denials")

    async def close(self) -> None:
        if self._saying is not None:
            self._saying.cancel()
            await asyncio.wait((self._saying,))
        try:
            await self.tell()
            await self.tell(to_the_end=True)
        except Unavailable as error:
            left = len(self._unsaid) + sum(each.count for each in self._all().values())
            log.warning("%s: %d denials are not in the log: %s", self._service, left, error)

    def collect(self) -> Iterable[CounterMetricFamily]:
        counter = CounterMetricFamily(
            "placet_denied_requests",
            "requests that were denied: nobody known, not allowed, too often",
            labels=("service", "status", "reason"),
        )
        # From the start: of a counter that begins with its first denials nobody sees that it grew.
        for (status, reason), count in sorted({**_NONE, **self._counted}.items()):
            counter.add_metric([self._service, str(status), reason], count)
        return [counter]

    def _all(self) -> dict[_Key, _Series]:
        return {**self._series, **self._beyond}

    def _ended(self, now: datetime, *, to_the_end: bool) -> list[_Unsaid]:
        """What the windows that are over counted. A clock that was set back ends them all."""
        found = []
        for open_series in (self._series, self._beyond):
            for key, series in list(open_series.items()):
                if not (to_the_end or now - series.since >= WINDOW or now < series.since):
                    continue
                if series.count == 0 or open_series is self._beyond:
                    del open_series[key]
                if series.count:
                    found.append(self._told(key, series, until=now))
                series.since = now
        return found

    def _seconds_left(self) -> float | None:
        """Until a window ends; none where there is none."""
        ends = [series.since + WINDOW for series in self._all().values()]
        if not ends:
            return None
        left = min(ends) - self._wiring.clock.now()
        return min(max(left, timedelta()), WINDOW).total_seconds()

    async def _go_on(self) -> None:
        while True:
            self._news.clear()
            wait = self._seconds_left()
            if not self._unsaid:
                with suppress(TimeoutError):
                    async with asyncio.timeout(
                        wait
                    ):  # wait_for of Python 3.11 may forget that it was cancelled
                        await self._news.wait()
            try:
                await self.tell()
            except Unavailable as error:
                log.warning("%s: denials are said later: %s", self._service, error)
                await asyncio.sleep(AGAIN_AFTER)

    async def _append(self, unsaid: _Unsaid) -> None:
        denied = unsaid.event
        stream = f"denial/{denied.denial}"
        context = Context(project=PLATFORM, correlation=denied.denial, actor=Actor.service(self._service))

        async def change(work: UnitOfWork) -> None:
            if len(await work.history(stream)) == unsaid.number:
                work.stage(stream, [denied])

        await transact(self._wiring, self._service, context, change)

    def _told(self, key: _Key, series: _Series, *, until: datetime) -> _Unsaid:
        """What was counted, which is counted anew from here on."""
        what = series.what or NOTHING_IN_PARTICULAR
        event = self._event(
            denial=series.id,
            person=key.person,
            origin=key.origin,
            status=key.status,
            reason=key.reason,
            method=what.method,
            route=what.route,
            project=what.project,
            count=series.count,
            since=timestamp(series.since),
            until=timestamp(until),
        )
        unsaid = _Unsaid(number=series.events, event=event)
        series.events, series.count, series.what = series.events + 1, 0, None
        return unsaid

    def _origin_of(self, request: Request) -> str:
        network = network_of(request.client.host if request.client else None)
        return f"origin:{hmac.digest(self._key, network.encode(), 'sha256').hex()[:_ORIGIN_DIGITS]}"


def _count(series: _Series, what: What) -> None:
    series.what = what if series.what is None else series.what.and_(what)
    series.count += 1


def _asked(request: Request) -> What:
    route = getattr(request.scope.get("route"), "path", None)
    project = (
        request.path_params.get("project")
        or getattr(request.state, "project", None)
        or request.query_params.get("project")
    )
    is_name = isinstance(project, str) and _PROJECT.fullmatch(project) is not None
    return What(
        method=request.method if request.method in _METHODS else "OTHER",
        route=route if isinstance(route, str) else None,
        project=project if is_name else None,
    )
