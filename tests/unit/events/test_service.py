"""The run loop: one leads, a failing part ends the whole, and stopping is a drain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from placet.errors import Refused, Unavailable
from placet.events import tables
from placet.events.adapters.in_process_bus import InProcessBus, InProcessHub
from placet.events.bus import Delivery, HeadAnnounced, Note, Outgoing, Receiver, Subscription
from placet.events.clocks import SystemClock
from placet.events.decider import Decider
from placet.events.jobs import Finish, Job, Worker
from placet.events.leadership import Leadership
from placet.events.reaction import ByType, Heard
from placet.events.service import DidNotEnd, Periodic, Service, ServiceRunner, in_words, run_together
from placet.events.store import EventStore, Run, Unit
from placet.events.testing import CountingIds
from placet.events.unit_of_work import UnitOfWork, transact
from placet.events.wiring import Wiring

from tests.support.eventually import eventually
from tests.unit.events.harness import (
    CONTEXT,
    AlphaNoted,
    FatefulStore,
    ProducerLog,
    ScriptedBus,
    ThingKept,
    open_wiring,
)

THING: Decider[str, tuple[()], ThingKept] = Decider(
    initial=(), decide=lambda text, _: [ThingKept(text=text)], evolve=lambda state, _: state
)
LEASE = 2.0
LONGER = 6.0
"""Of a lease that is to be kept: two thirds of it are what this machine may stand still."""


class Ear:
    """Hears what the service says."""

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.heads: list[HeadAnnounced] = []

    async def receive(self, deliveries: Sequence[Delivery]) -> None:
        self.positions.extend(each.position for each in deliveries)

    async def hear(self, note: Note) -> None:
        if isinstance(note, HeadAnnounced):
            self.heads.append(note)


@dataclass
class Place:
    """A platform in miniature: `alpha` speaks, the service keeps what it hears and says so, an ear listens."""

    folder: Path
    ids: CountingIds = field(default_factory=CountingIds)
    hub: InProcessHub = field(default_factory=InProcessHub)
    alpha: ProducerLog = field(default_factory=lambda: ProducerLog("alpha"))
    ear: Ear = field(default_factory=Ear)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    begun: list[str] = field(default_factory=list)
    wirings: list[Wiring] = field(default_factory=list)

    async def service(self, **parts: Any) -> Service:
        wiring = await open_wiring(self.folder / "tester.db", clock=SystemClock(), ids=self.ids)
        wiring = replace(wiring, bus=InProcessBus(self.hub, "tester"))
        self.wirings.append(wiring)

        async def on_noted(heard: Heard[AlphaNoted], work: UnitOfWork) -> None:
            self.begun.append(heard.data.text)
            await self.gate.wait()
            await work.decide(THING, f"thing/{heard.position}", heard.data.text)

        return Service(
            name="tester",
            wiring=wiring,
            hears=frozenset({"alpha"}),
            reaction=ByType({AlphaNoted: on_noted}),
            says=(ThingKept,),
            **parts,
        )

    async def say(self, text: str) -> None:
        """As alpha's relay would, to whoever listens."""
        said = self.alpha.say(AlphaNoted(text=text))
        bus = InProcessBus(self.hub, "alpha")
        await bus.publish(
            [
                Outgoing(
                    id=text,
                    routing_key=said.routing_key,
                    epoch=said.epoch,
                    position=said.position,
                    raw=said.raw,
                )
            ]
        )
        await bus.tell(self.alpha.head)

    async def said(self) -> list[str]:
        return [each.data.text for each in await self.wirings[0].store.read_all(0, 100)]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    place = Place(tmp_path)
    place.gate.set()
    place.hub.join(Subscription(service="ear", producers=frozenset({"tester"})), place.ear)
    yield place
    for wiring in place.wirings:
        await wiring.store.close()


@asynccontextmanager
async def running(
    service: Service, *, lease_seconds: float = LEASE
) -> AsyncIterator[tuple[ServiceRunner, asyncio.Task[None]]]:
    runner = ServiceRunner(service, lease_seconds=lease_seconds)
    task = asyncio.create_task(runner.run())
    yield runner, task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def leads(runner: ServiceRunner) -> None:
    await eventually(lambda: runner.is_leading and runner.is_started)


async def test_what_is_heard_is_handled_and_what_is_said_goes_out(place: Place) -> None:
    async with running(await place.service()) as (runner, _):
        await leads(runner)
        await eventually(lambda: place.hub.service("tester"))
        await place.say("a")
        await eventually(lambda: place.ear.positions == [1])
        await eventually(lambda: runner.outbox_backlog == 0 and runner.inbox_pending == 0)
        assert runner.inbox_lag == {"alpha": 0}
    assert await place.said() == ["a"]


async def test_what_is_away_at_the_start_is_waited_for(place: Place) -> None:
    is_there = asyncio.Event()

    async def look() -> None:
        if not is_there.is_set():
            raise Unavailable("the engine is away")

    async with running(await place.service(start=(look,))) as (runner, _):
        await eventually(lambda: runner.impediment == "the engine is away")
        assert not runner.is_started
        is_there.set()
        await leads(runner)
        assert runner.impediment is None


async def test_stopping_finishes_what_is_in_hand_and_sends_it(place: Place) -> None:
    place.gate.clear()
    service = await place.service()
    async with running(service) as (runner, task):
        await leads(runner)
        await eventually(lambda: place.hub.service("tester"))
        await place.say("a")
        await eventually(lambda: place.begun)
        task.cancel()
        await asyncio.sleep(0)
        place.gate.set()
        await asyncio.gather(task, return_exceptions=True)

        assert task.cancelled()
        assert await place.said() == ["a"]
        assert place.ear.positions == [1]
        assert await service.wiring.store.rows(sa.select(tables.leases)) == []


async def test_what_was_not_begun_is_there_after_the_restart(place: Place) -> None:
    place.gate.clear()
    async with running(await place.service()) as (runner, task):
        await leads(runner)
        await eventually(lambda: place.hub.service("tester"))
        for text in "abc":
            await place.say(text)
        await eventually(lambda: place.begun == ["a"])
        task.cancel()
        place.gate.set()
    assert await place.said() == ["a"]

    async with running(await place.service()):
        await eventually(lambda: place.ear.positions == [1, 2, 3])
    assert await place.said() == ["a", "b", "c"]


class DeafAndDumb(ScriptedBus):
    """A broker that is away for good."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = True

    async def consume(self, subscription: Subscription, receiver: Receiver) -> None:
        await asyncio.get_running_loop().create_future()


async def test_a_drain_ends_though_the_broker_is_away(place: Place) -> None:
    service = await place.service()
    alone = replace(service, wiring=replace(service.wiring, bus=DeafAndDumb()))
    async with running(alone) as (runner, task):
        await leads(runner)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()


class SlowToLoad(FatefulStore):
    """A database that takes longer than a lease to give what an inbox begins with."""

    def __init__(self, store: EventStore) -> None:
        super().__init__(store)
        self.is_asked = False

    async def rows(
        self, query: sa.Select[Any], values: Mapping[str, Any] | None = None
    ) -> Sequence[sa.Row[Any]]:
        if any(each is tables.inbox_cursors for each in query.get_final_froms()):
            self.is_asked = True
            await self.released.wait()
        return await super().rows(query, values)


async def test_a_leader_keeps_its_lease_while_it_loads(place: Place) -> None:
    service = await place.service()
    store = SlowToLoad(service.wiring.store)
    loading = replace(service, wiring=replace(service.wiring, store=store))
    async with running(loading, lease_seconds=LONGER) as (first, task):
        await eventually(lambda: store.is_asked)
        async with running(await place.service(), lease_seconds=LONGER) as (second, _):
            renewed = service.wiring.store.committed.count + 5
            await eventually(lambda: service.wiring.store.committed.count >= renewed)
            assert (first.is_leading, second.is_leading) == (True, False)
            store.released.set()
            await eventually(lambda: place.hub.service("tester"))
            assert not task.done()


@dataclass
class Stuck:
    """A part that does not end when it is told to."""

    is_running: bool = False
    free: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        self.is_running = True
        while not self.free.is_set():
            with suppress(asyncio.CancelledError):
                await self.free.wait()
        self.is_running = False

    @property
    def periodic(self) -> Periodic:
        return Periodic(name="stuck", every=0.0, run=self.run)

    @property
    def worker(self) -> Worker[str]:
        async def run(job: Job[str]) -> Finish:
            await self.run()
            raise AssertionError("it was ended")

        def gave_up(job: Job[str], why: str) -> Finish:
            raise AssertionError(why)

        return Worker(kind="build", payload=str, run=run, gave_up=gave_up)


@pytest.fixture
async def stuck() -> AsyncIterator[Stuck]:
    stuck = Stuck()
    yield stuck
    stuck.free.set()  # or the event loop of a test that failed would wait for it


@pytest.mark.parametrize("kind", ["a periodic", "a worker"])
async def test_a_part_that_hangs_does_not_keep_a_stopped_service_from_ending(
    place: Place, stuck: Stuck, kind: str
) -> None:
    parts: dict[str, Any] = (
        {"periodic": (stuck.periodic,)} if kind == "a periodic" else {"workers": (stuck.worker,)}
    )
    service = await place.service(**parts)

    async def enqueue(work: UnitOfWork) -> None:
        work.enqueue("build", "churn", "churn")

    await transact(service.wiring, "tester", CONTEXT, enqueue)
    task = asyncio.create_task(ServiceRunner(service, lease_seconds=LEASE, drain_seconds=0.1).run())
    await eventually(lambda: stuck.is_running)
    task.cancel()
    with pytest.raises(DidNotEnd):
        await task
    assert stuck.is_running
    stuck.free.set()
    await eventually(lambda: not stuck.is_running)


async def test_who_is_told_to_stop_just_as_another_begins_to_lead_stops(place: Place) -> None:
    """A part takes its time to end; meanwhile the service is told to stop, and must not go on to stand by."""
    begun, free = asyncio.Event(), asyncio.Event()

    async def slow_to_end() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await free.wait()

    service = await place.service(periodic=(Periodic(name="slow", every=0.0, run=slow_to_end),))
    runner = ServiceRunner(service, lease_seconds=LEASE)
    task = asyncio.create_task(runner.run())
    await begun.wait()
    await _taken_by_another(service)
    await eventually(lambda: not runner.is_leading)
    task.cancel()
    await asyncio.sleep(0)
    free.set()

    await eventually(task.done)
    assert task.cancelled()


async def test_a_lease_that_was_taken_just_as_the_stop_came_is_given_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, acquire = asyncio.Event(), Leadership.acquire

    async def told_late(self: Leadership) -> None:
        await acquire(self)
        taken.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Leadership, "acquire", told_late)
    service = await place.service()
    task = asyncio.create_task(ServiceRunner(service, lease_seconds=1e6).run())
    await taken.wait()
    assert await service.wiring.store.rows(sa.select(tables.leases)) != []
    task.cancel()
    await eventually(task.done)
    assert await service.wiring.store.rows(sa.select(tables.leases)) == []


async def test_what_does_not_close_is_left_behind_and_the_rest_is_closed(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    closed = asyncio.Event()

    async def close() -> None:
        closed.set()

    service = await place.service(close=(close, asyncio.Event().wait), close_seconds=0.01)
    async with running(service) as (runner, task):
        await leads(runner)
        task.cancel()
        await asyncio.wait((task,))
    assert task.cancelled()
    assert closed.is_set()
    assert "tester: Event.wait did not end within" in caplog.text


async def test_what_fails_as_it_is_closed_is_told_and_the_rest_is_closed(place: Place) -> None:
    closed = asyncio.Event()

    async def close() -> None:
        closed.set()

    async def fail() -> None:
        raise ZeroDivisionError

    service = await place.service(close=(close, fail))
    async with running(service) as (runner, task):
        await leads(runner)
        task.cancel()
        await asyncio.wait((task,))
    assert closed.is_set()
    assert isinstance(task.exception(), ZeroDivisionError)


async def test_a_part_that_fails_while_the_service_stops_is_told_and_the_outbox_is_emptied(
    place: Place,
) -> None:
    begun, free = asyncio.Event(), asyncio.Event()

    async def fails_at_its_end() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await free.wait()
            raise ZeroDivisionError

    service = await place.service(periodic=(Periodic(name="fails", every=0.0, run=fails_at_its_end),))
    task = asyncio.create_task(ServiceRunner(service, lease_seconds=LEASE).run())
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)

    async def say(work: UnitOfWork) -> None:
        await work.decide(THING, "thing/1", "a")

    await transact(service.wiring, "tester", CONTEXT, say)
    free.set()
    await eventually(task.done)
    with pytest.raises(BaseExceptionGroup) as failed:
        await task
    assert failed.value.subgroup(ZeroDivisionError) is not None
    assert place.ear.positions == [1]
    assert await service.wiring.store.rows(sa.select(tables.leases)) == []


class NeverTells(InProcessBus):
    """A broker that takes nothing, and does not say so."""

    asked = 0

    async def publish(self, window: Sequence[Outgoing]) -> None:
        self.asked += 1
        await asyncio.Event().wait()


async def test_an_outbox_that_cannot_be_emptied_keeps_no_stopped_service_from_ending(place: Place) -> None:
    service = await place.service()
    bus = NeverTells(place.hub, "tester")
    service = replace(service, wiring=replace(service.wiring, bus=bus))
    task = asyncio.create_task(ServiceRunner(service, lease_seconds=LEASE, drain_seconds=0.1).run())

    async def say(work: UnitOfWork) -> None:
        await work.decide(THING, "thing/1", "a")

    await transact(service.wiring, "tester", CONTEXT, say)
    await eventually(lambda: bus.asked == 1)
    task.cancel()
    await eventually(task.done)
    assert task.cancelled()
    assert bus.asked == 2


async def test_a_part_that_hangs_ends_a_service_that_leads_no_longer(place: Place, stuck: Stuck) -> None:
    service = await place.service(periodic=(stuck.periodic,))
    task = asyncio.create_task(ServiceRunner(service, lease_seconds=LEASE, drain_seconds=0.1).run())
    await eventually(lambda: stuck.is_running)
    await _taken_by_another(service)

    await eventually(task.done)
    with pytest.raises(DidNotEnd):
        await task
    stuck.free.set()
    await eventually(lambda: not stuck.is_running)


async def _taken_by_another(service: Service) -> None:
    """The lease, by who leads from now on."""
    until = service.wiring.clock.now().timestamp() + 5 * LEASE
    taken = Run(statement=sa.update(tables.leases).values(owner="another", until=until))
    await service.wiring.store.commit(Unit(writes=(taken,)))


def _failing(how: str) -> dict[str, Any]:
    async def fail() -> None:
        raise ValueError("a bug")

    match how:
        case "a periodic":
            return {"periodic": (Periodic(name="fails", every=1.0, run=fail),)}
        case "a start":
            return {"start": (fail,)}
    raise AssertionError(how)


@pytest.mark.parametrize("how", ["a periodic", "a start"])
async def test_a_part_that_fails_for_good_ends_the_service(place: Place, how: str) -> None:
    closed = []

    async def close() -> None:
        closed.append(1)

    service = await place.service(close=(close,), **_failing(how))
    with pytest.RaisesGroup(ValueError, flatten_subgroups=True, allow_unwrapped=True):
        await ServiceRunner(service, lease_seconds=LEASE).run()
    assert closed == [1]
    assert await service.wiring.store.rows(sa.select(tables.leases)) == []


async def test_one_that_fails_ends_all_that_run_with_it(place: Place, tmp_path: Path) -> None:
    other = Place(tmp_path / "other")
    runners = [
        ServiceRunner(await place.service(), lease_seconds=LEASE),
        ServiceRunner(await other.service(**_failing("a periodic")), lease_seconds=LEASE),
    ]
    with pytest.RaisesGroup(ValueError, flatten_subgroups=True):
        await run_together(runners)
    await other.wirings[0].store.close()


def test_what_a_service_ends_with_is_told_in_its_own_words() -> None:
    refused = Refused("this is not so")
    assert in_words(refused) is refused
    assert in_words(ExceptionGroup("tasks", [ExceptionGroup("tasks", [refused])])) is refused
    assert in_words(ValueError("a bug")) is None
    assert in_words(ExceptionGroup("tasks", [refused, ValueError("a bug")])) is None


async def test_a_periodic_that_finds_something_away_goes_on(place: Place) -> None:
    calls = []

    async def look() -> None:
        calls.append(1)
        raise Unavailable("the registry")

    async with running(await place.service(periodic=(Periodic(name="look", every=0.0, run=look),))) as (
        _,
        task,
    ):
        await eventually(lambda: len(calls) > 3)
        assert not task.done()


async def test_a_standby_takes_over_when_the_leader_stops(place: Place) -> None:
    async with running(await place.service(), lease_seconds=LONGER) as (first, task):
        await leads(first)
        async with running(await place.service(), lease_seconds=LONGER) as (second, _):
            await eventually(lambda: second.is_started)
            assert not second.is_leading
            task.cancel()
            await leads(second)
            await eventually(lambda: len(place.hub.service("tester")) == 1)
            await place.say("a")
            await eventually(lambda: place.ear.positions == [1])


async def test_a_standby_takes_over_when_the_leader_is_gone_without_a_word(place: Place) -> None:
    service = await place.service()
    gone = tables.leases.insert().values(
        name="leader", owner="who crashed", until=service.wiring.clock.now().timestamp() + LEASE
    )
    await service.wiring.store.commit(Unit(writes=(Run(statement=gone),)))
    async with running(service) as (runner, _):
        await leads(runner)


async def test_jobs_run_on_every_replica(place: Place) -> None:
    done = []

    async def run(job: Job[str]) -> Finish:
        done.append(job.payload)

        async def finish(work: UnitOfWork) -> None:
            await work.decide(THING, "thing/job", "built")

        return finish

    def gave_up(job: Job[str], why: str) -> Callable[[UnitOfWork], Awaitable[None]]:
        raise AssertionError(why)

    worker = Worker(kind="build", payload=str, run=run, gave_up=gave_up)
    service = await place.service(workers=(worker,))

    async def enqueue(work: UnitOfWork) -> None:
        work.enqueue("build", "churn", "churn")

    await transact(service.wiring, "tester", CONTEXT, enqueue)
    # For as long as it takes: whose lease runs out is given to another, and done twice.
    async with running(service, lease_seconds=600) as (runner, _):
        await eventually(lambda: place.ear.positions == [1])
        assert runner.jobs_running == 0
    assert done == ["churn"]
