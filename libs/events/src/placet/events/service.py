"""What a service is made of, and the loop that runs it.

`Service` is data: a bootstrap puts it together and starts nothing. `ServiceRunner` runs one in a structured
group of tasks: every replica works on jobs and serves HTTP; the leader also hears, publishes, keeps time and
keeps projections. If any part fails for good, the whole service ends with that error rather than look
healthy and do nothing. Stopping is a drain: hearing ends, what is in hand is finished, the outbox is
emptied as far as the broker allows, leases are given back, and all that within a bound. A part that does not end
in time is left behind, and the service ends with `DidNotEnd`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from fastapi import APIRouter
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.types import ASGIApp

from placet.errors import PlacetError, Unavailable
from placet.events.bus import HeadAnnounced, Subscription
from placet.events.catalog import contract_of
from placet.events.inbox import Gap, Inbox
from placet.events.jobs import JobRunner, Worker
from placet.events.leadership import RELEASE_WITHIN, Leadership
from placet.events.metrics import Measure
from placet.events.outbox import Relay
from placet.events.projection import Progress, Projection, ProjectionRunner
from placet.events.reaction import Reaction
from placet.events.tasks import TaskGroup, to_the_end
from placet.events.wiring import Wiring

log = logging.getLogger(__name__)

DRAIN_SECONDS = 20.0
"""For what is in hand to be finished and the outbox to be emptied."""
CLOSE_SECONDS = 5.0
"""For each thing that a service itself opened: whoever is at its other side may be gone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Periodic:
    """Something the leader does `every` so many seconds; `Unavailable` is only logged, the next time comes anyway."""

    name: str
    every: float
    run: Callable[[], Awaitable[None]]


class Caller(Protocol):
    """Who asks something of a service, once it is known: the opaque id of a person, and what they may do."""

    @property
    def person(self) -> str: ...

    @property
    def roles(self) -> Collection[str]: ...


Admits = Callable[[Request], AbstractAsyncContextManager[Caller]]
"""Lets in who asks, until they are answered. Raises Unauthenticated for nobody known, and Unavailable for one who has
too many requests under way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """One service, wired and not yet running. `hears` are whole producers, `says` the event types it may append."""

    name: str
    wiring: Wiring
    hears: frozenset[str]
    reaction: Reaction
    says: tuple[type, ...]
    recalls: Reaction | None = None
    """What a restore makes of the service's own events: the rows that were written together with them. And of others'
    that are known to have been handled, where handling them again would not bring the rows back."""
    shows: Reaction | None = None
    """What its read models are made of, its own events among it, where handling all again would do more than show it.
    None: the reaction and what it `recalls`, which then do nothing outside of the service's own rows."""
    settles: tuple[Callable[[], Awaitable[None]], ...] = ()
    """What time alone makes of read models: awaited when they were made anew, before anybody sees them."""
    workers: tuple[Worker[Any], ...] = ()
    periodic: tuple[Periodic, ...] = ()
    projections: tuple[Projection, ...] = ()
    routers: Callable[[], Iterable[APIRouter]] = tuple
    """What it is asked over HTTP, made where that is served: a framework takes as long for it as a start does else."""
    mounts: Mapping[str, ASGIApp] = field(default_factory=dict)
    """Applications that answer by themselves whatever is below a path, say `/models`, without what a framework does
    for each request. A PlacetError of theirs is answered as any."""
    admits: Admits | None = None
    """Who asks how the service stands (`placet.events.services_api`). None: nobody is told but by `/readyz`."""
    on_gap: Callable[[Gap], Awaitable[None]] | None = None
    """Told when a producer's positions stay missing after they were asked for."""
    on_alive: Callable[[str], Awaitable[None]] | None = None
    """Told when a producer gives a sign of life."""
    on_head: Callable[[HeadAnnounced], Awaitable[None]] | None = None
    """Told how far a producer's log has been sent, and what is in it."""
    measures: tuple[Measure, ...] = ()
    """What it tells of itself to who watches it, beside what every service does."""
    counts: tuple[Collector, ...] = ()
    """What it counts by itself for them."""
    start: tuple[Callable[[], Awaitable[None]], ...] = ()
    """Awaited before anything runs, one after the other; one that raises Unavailable again and again, until it does
    not."""
    close: tuple[Callable[[], Awaitable[None]], ...] = ()
    """Awaited once after everything stopped, last first, whatever became of those before."""
    close_seconds: float = CLOSE_SECONDS
    """What each of them has. One that takes longer is cancelled, and said."""

    def __post_init__(self) -> None:
        """What is not its own it cannot say: `UnitOfWork` refuses others' events, and `make flow` events unsaid."""
        for event in self.says:
            if contract_of(event).producer != self.name:
                raise TypeError(f"{self.name} cannot say {contract_of(event).type}")


@dataclass(slots=True)
class _Term:
    """What exists only while leading."""

    inbox: Inbox
    relay: Relay
    projections: list[ProjectionRunner] = field(default_factory=list)


class ServiceRunner:
    """Runs one service in this process."""

    def __init__(
        self, service: Service, *, lease_seconds: float = 10.0, drain_seconds: float = DRAIN_SECONDS
    ) -> None:
        self.service = service
        self._wiring = service.wiring
        self._owner = service.wiring.ids.new()
        self._lease_seconds = lease_seconds
        self._drain_seconds = drain_seconds
        self._drained_by = 0.0
        """In the event loop's time, of who was told to end last."""
        self._left_behind: DidNotEnd | None = None
        """Not raised where it happens: who is cancelled hears of that, and of nothing else."""
        self._leadership = Leadership(service.name, self._wiring, owner=self._owner, seconds=lease_seconds)
        self._term: _Term | None = None
        self._jobs: list[JobRunner] = []
        self.is_started = False
        self.waits_for: str | None = None
        """What keeps it from starting: it goes on as soon as that is there."""
        self.hampered: dict[str, str] = {}
        """What it does again and again and could not do the last time, each with what was away."""

    @property
    def is_leading(self) -> bool:
        return self._leadership.is_held

    @property
    def impediment(self) -> str | None:
        """What keeps it from starting, from hearing or from saying; who stands by needs no more than to be able to take
        over."""
        if self.waits_for is not None:
            return self.waits_for
        return self._wiring.bus.impediment if self.is_leading else self._leadership.impediment

    @property
    def inbox_pending(self) -> int:
        return self._term.inbox.pending if self._term else 0

    @property
    def inbox_lag(self) -> dict[str, int]:
        return dict(self._term.inbox.lag()) if self._term else {}

    @property
    def outbox_backlog(self) -> int:
        return self._term.relay.backlog if self._term else 0

    @property
    def outbox_sent(self) -> int | None:
        """The position up to which its events are sent, where this process sends them."""
        return self._term.relay.sent if self._term else None

    async def look_for_retried(self) -> None:
        """Take up at once what a person handed back, where this process leads; who leads elsewhere looks by itself."""
        if self._term is not None:
            await self._term.inbox.look()

    @property
    def jobs_running(self) -> int:
        return sum(runner.running for runner in self._jobs)

    async def projections(self) -> list[Progress]:
        runners = [
            ProjectionRunner(self.service.name, self._wiring, each) for each in self.service.projections
        ]
        return [await runner.progress() for runner in runners]

    async def run(self) -> None:
        """Run until cancelled, then drain. Raises what ended the service if it was not asked to stop, and what failed
        meanwhile if it was."""
        service = self.service
        failed: BaseExceptionGroup[BaseException] | None = None
        try:
            for step in service.start:
                await self._patiently(step)
            self._jobs = [
                JobRunner(service.name, self._wiring, worker, owner=self._owner, lease=self._lease_seconds)
                for worker in service.workers
            ]
            self.is_started = True
            async with TaskGroup() as tasks:
                for runner in self._jobs:
                    jobs = self._ending_in_time("jobs", runner.run())
                    tasks.create_task(jobs, name=f"{service.name} jobs")
                tasks.create_task(self._lead_whenever_possible(), name=f"{service.name} leader")
        except BaseExceptionGroup as group:
            failed = group
            raise
        finally:
            self.is_started = False
            try:
                await to_the_end(self._close(), within=(len(service.close) + 1) * service.close_seconds)
            finally:  # also where it was told to end meanwhile: that it ended badly must not get lost
                if self._left_behind is not None:
                    raise self._left_behind
                if failed is not None:
                    raise failed

    async def _close(self) -> None:
        failed: list[Exception] = []
        for last in reversed(self.service.close):
            try:
                async with asyncio.timeout(self.service.close_seconds):
                    await last()
            except TimeoutError:
                log.warning(
                    "%s: %s did not end within %.0f s",
                    *(self.service.name, getattr(last, "__qualname__", last), self.service.close_seconds),
                )
            except Exception as error:  # noqa: BLE001 - the others are closed all the same
                failed.append(error)
        if failed:
            raise failed[0]

    async def _patiently(self, step: Callable[[], Awaitable[None]]) -> None:
        """What is away at the start may come back as what is away later does."""
        while True:
            try:
                await step()
            except Unavailable as error:
                if self.waits_for != (told := str(error)):
                    log.warning("%s waits: %s", self.service.name, told)
                self.waits_for = told
                await asyncio.sleep(1.0)
            else:
                self.waits_for = None
                return

    async def _lead_whenever_possible(self) -> None:
        while True:
            try:
                await self._leadership.acquire()
                log.info("%s: leads", self.service.name)
                await self._lead()
            finally:
                self._term = None
                await to_the_end(self._leadership.release(), within=2 * RELEASE_WITHIN)
            if self._left_behind is not None:
                raise self._left_behind

    async def _lead(self) -> None:
        inbox = self._inbox()
        relay = Relay(self.service.name, self._wiring)
        inbox.on_resend_asked(relay.resend)
        if self.service.on_gap is not None:
            inbox.on_gap(self.service.on_gap)
        if self.service.on_alive is not None:
            inbox.on_alive(self.service.on_alive)
        if self.service.on_head is not None:
            inbox.on_head(self.service.on_head)
        term = _Term(inbox=inbox, relay=relay)
        term.projections = [
            ProjectionRunner(self.service.name, self._wiring, each) for each in self.service.projections
        ]
        subscription = Subscription(service=self.service.name, producers=self.service.hears)
        try:
            await self._lead_while_held(self._hear_and_publish(term, subscription))
        except (asyncio.CancelledError, BaseExceptionGroup):
            if self._drained_by:  # else it was not told to end
                with suppress(asyncio.CancelledError):  # which it hears of here, if a part failed meanwhile
                    await to_the_end(self._drain(relay), within=self._drain_seconds)
            raise

    async def _drain(self, relay: Relay) -> None:
        with suppress(TimeoutError):  # the rest is published by who leads next
            async with asyncio.timeout_at(self._drained_by):
                await relay.drain()

    async def _lead_while_held(self, work: Coroutine[Any, Any, None]) -> None:
        """Returns when another replica leads. The lease is kept from the first moment: loading may outlast it."""
        try:
            async with TaskGroup() as tasks:
                tasks.create_task(self._until_deposed())
                tasks.create_task(self._ending_in_time("what a leader does", work))
        except* _Deposed:
            pass

    async def _hear_and_publish(self, term: _Term, subscription: Subscription) -> None:
        """The leader's tasks, until cancelled."""
        await _patiently(term.inbox.load)
        self._term = term
        async with TaskGroup() as tasks:
            tasks.create_task(self._wiring.bus.consume(subscription, term.inbox))
            tasks.create_task(term.inbox.run())
            tasks.create_task(term.relay.run())
            for projection in term.projections:
                tasks.create_task(projection.run())
            for periodic in self.service.periodic:
                tasks.create_task(periodically(self.service.name, periodic, self.hampered))

    async def _ending_in_time(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        """Do `work`; once cancelled, wait for its end, but not for ever: then it is left behind."""
        task = asyncio.create_task(work, name=f"{self.service.name}: {what}")
        try:
            await asyncio.wait({task})  # which, cancelled, leaves the task alone
        except asyncio.CancelledError:
            task.cancel()
            self._drained_by = asyncio.get_running_loop().time() + self._drain_seconds
            if (await asyncio.wait({task}, timeout=self._drain_seconds))[1]:
                self._left_behind = DidNotEnd(
                    f"{self.service.name}: {what} did not end within {self._drain_seconds:.0f} s"
                )
                raise
            await task
            raise
        await task

    async def _until_deposed(self) -> None:
        await self._leadership.keep()
        raise _Deposed

    def _inbox(self) -> Inbox:
        return Inbox(self.service.name, self._wiring, self.service.reaction)


class DidNotEnd(Exception):
    """A part went on after it was told to end. It is left behind, and its process must not go on with it."""


class _Deposed(Exception):
    """Another replica leads now."""


async def periodically(service: str, periodic: Periodic, hampered: dict[str, str] | None = None) -> None:
    """As long as this process leads, until cancelled. What was away the last time is noted in `hampered`."""
    hampered = {} if hampered is None else hampered
    try:
        while True:
            try:
                await periodic.run()
            except Unavailable as error:
                log.warning("%s: %s: %s", service, periodic.name, error)
                hampered[periodic.name] = str(error)
            else:
                hampered.pop(periodic.name, None)
            await asyncio.sleep(periodic.every)
    finally:
        hampered.pop(periodic.name, None)  # who leads next says so


async def _patiently(step: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await step()
        except Unavailable as error:
            log.warning("waiting for the database: %s", error)
            await asyncio.sleep(1.0)
        else:
            return


def in_words(error: BaseException) -> PlacetError | None:
    """What ended a service, where that is one error in our own words, however many groups of tasks it came through."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, PlacetError) else None


async def run_together(runners: Sequence[ServiceRunner]) -> None:
    """Run several services in one process until cancelled; one that fails ends them all."""
    async with TaskGroup() as tasks:
        for runner in runners:
            tasks.create_task(runner.run(), name=runner.service.name)
