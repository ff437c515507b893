"""A child that keeps the audit log without a pause and says what is acknowledged, until it is killed.

Everything that `metadata` does to its database goes on at the same time: events are appended, others come over a bus
that loses some and are filled in from their producer's store, the tree grows over them, checkpoints are signed and kept
by two witnesses, the index follows and is built anew, and producers say what their stores hold.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from opentelemetry import trace
from placet.errors import Unavailable
from placet.events import Context, Heard, Service, UnitOfWork, Wiring
from placet.events.adapters.in_process_bus import InProcessBus, InProcessHub
from placet.events.bus import Outgoing, Subscription
from placet.events.clocks import SystemClock, TimeOrderedIds
from placet.events.codec import Codec
from placet.events.contracts import CATALOG
from placet.events.envelope import Actor, Event
from placet.events.inbox import Inbox
from placet.events.outbox import Relay
from placet.events.projection import ProjectionRunner
from placet.events.store import ANY_VERSION, Append, Unit
from placet.events.wiring import open_distributed_store
from placet.metadata import handlers
from placet.metadata.adapters.checkpoint_folder import CheckpointFolder
from placet.metadata.adapters.http_receivers import HttpReceivers
from placet.metadata.adapters.signed_file import SignedFile
from placet.metadata.bootstrap import build
from placet.metadata.ports import Knows, Ports
from placet.metadata.projections import AUDIT, INDEX, TABLES, stream_of
from placet.metadata.reach import Reach
from placet.metadata.settings import MetadataSettings
from placet.trust import OwnKeys, own_key
from placet.trust.checkpoints import Checkpoint
from placet.trust.key_files import KeyFiles
from placet.trust.notes import SIGNS, NoteKey, Signature
from placet.trust.proofs import ConsistencyProof
from placet.witness import Witness
from placet.witness.witness import OtherSize, open_witness

from tests.unit.gateway.roads import asked, cleared

ORIGIN = "placet.example/audit"
PRODUCER = "gateway"
"""Has a store of its own, and a bus that loses what it says."""
DIRECT = "certifier"
"""Is heard without a bus: what is appended is acknowledged at once."""
WITNESS = "witness.example"

log = sa.table(AUDIT, sa.column("stream"), sa.column("version"))


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where the log, its producer and its witnesses are. `keys` is beside what may be lost, as keys are."""

    folder: Path
    keys_folder: Path
    database_url: str | None

    async def wiring(self, hub: InProcessHub | None = None) -> Wiring:
        return await self._wiring("metadata", hub or InProcessHub(), tables=(TABLES,), logs=(AUDIT,))

    async def producer(self, hub: InProcessHub | None = None) -> Wiring:
        return await self._wiring(PRODUCER, hub or InProcessHub())

    async def _wiring(self, service: str, hub: InProcessHub, **kept: Any) -> Wiring:
        if self.database_url is None:
            return await Wiring.embedded(service, data=self.folder, hub=hub, **kept)
        return Wiring(
            store=await open_distributed_store(service, self.database_url, **kept),
            bus=InProcessBus(hub, service),
            codec=Codec(CATALOG),
            clock=SystemClock(),
            ids=TimeOrderedIds(),
            tracer=trace.get_tracer("test"),
        )

    def begin(self) -> None:
        """What is there before anything is at risk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.keys_folder.mkdir(parents=True, exist_ok=True)
        self.kept.mkdir(exist_ok=True)
        self.keys().begin()
        own_key(self.keys_folder / "tokens.pem")
        self.witness()

    def keys(self) -> OwnKeys:
        return OwnKeys(self.keys_folder / "checkpoints.pem", SystemClock().now)

    @property
    def log_key(self) -> NoteKey:
        return NoteKey(name=ORIGIN, kind=SIGNS, key=self.keys().active().key.public)

    @property
    def kept(self) -> Path:
        return self.folder / "kept"

    @property
    def signed(self) -> SignedFile:
        return SignedFile(self.folder / "checkpoints.last")

    def witness(self) -> Witness:
        return open_witness(
            name=WITNESS,
            logs=[self.log_key],
            key=self.keys_folder / "witness.pem",
            state=self.folder / "witness",
            now=SystemClock().now,
            tell=lambda said: None,
        )


Told = Callable[..., None]
"""Takes the words of one line."""


class TellingSigned:
    """The `SignedBefore` port, which says what it is given: that is signed, whether or not it is committed then."""

    def __init__(self, file: SignedFile, told: Told) -> None:
        self._file = file
        self._told = told

    async def last(self) -> Checkpoint | None:
        return await self._file.last()

    async def keep(self, checkpoint: Checkpoint) -> None:
        self._told("signed", checkpoint.size, checkpoint.root.hex())
        await self._file.keep(checkpoint)


class NearWitness:
    """The `Witness` port over a witness in this process; what it cosigned is told."""

    name = WITNESS
    pace = timedelta()

    def __init__(self, witness: Witness, told: Told) -> None:
        self._witness = witness
        self._told = told

    async def show(self, proof: ConsistencyProof) -> Signature | Knows:
        try:
            signature = await asyncio.to_thread(self._witness.add_checkpoint, str(proof).encode())
        except OtherSize as other:
            return Knows(size=other.size)
        self._told("cosigned", Checkpoint.from_text(proof.checkpoint.text).size)
        return signature


class LosingBus(InProcessBus):
    """Of what is published it loses some, and says that it arrived."""

    def __init__(self, hub: InProcessHub, service: str, chance: random.Random) -> None:
        super().__init__(hub, service)
        self._chance = chance

    async def publish(self, window: Sequence[Outgoing]) -> None:
        share = self._chance.choice((0.0, 0.02, 0.3))
        await super().publish([each for each in window if self._chance.random() >= share])


class AtWork:
    """One process of metadata and of the producer, with everything that they do."""

    def __init__(self, target: Target, told: Told, chance: random.Random) -> None:
        self._target = target
        self._told = told
        self._chance = chance

    async def run(self) -> None:
        """Until killed, or cancelled. A disk that fails ends nothing."""
        while True:
            try:
                parts = await self._parts()
            except Unavailable as error:
                self._told("away", error)
                await asyncio.sleep(0)
                continue
            async with asyncio.TaskGroup() as tasks:
                for part in parts:
                    tasks.create_task(self._patiently(part))

    @asynccontextmanager
    async def resting(self) -> AsyncIterator[tuple[Wiring, Wiring]]:
        """The same where nothing new is said and nothing is lost, as long as the block lasts."""
        hub = InProcessHub()
        wiring, producer = await self._target.wiring(hub), await self._target.producer(hub)
        tasks = [asyncio.ensure_future(part()) for part in await self._lasting(hub, wiring, producer)]
        try:
            yield wiring, producer
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await wiring.store.close()
            await producer.store.close()

    async def _patiently(self, part: Callable[[], Awaitable[object]]) -> None:
        while True:
            try:
                await part()
            except Unavailable as error:
                self._told("away", error)
            await asyncio.sleep(0)

    async def _parts(self) -> list[Callable[[], Awaitable[object]]]:
        hub = InProcessHub()
        wiring, producer = await self._target.wiring(hub), await self._target.producer(hub)
        losing = Wiring(
            store=producer.store,
            bus=LosingBus(hub, PRODUCER, self._chance),
            codec=producer.codec,
            clock=producer.clock,
            ids=producer.ids,
            tracer=producer.tracer,
        )

        async def keep() -> None:
            await self._keep(wiring)

        async def say() -> None:
            await self._say(producer)

        async def rebuild() -> None:
            if self._chance.random() < 0.2:
                await ProjectionRunner("metadata", wiring, INDEX).rebuild()
            await asyncio.sleep(0.02)

        return [keep, say, rebuild, *await self._lasting(hub, wiring, losing)]

    async def _lasting(
        self, hub: InProcessHub, wiring: Wiring, producer: Wiring
    ) -> list[Callable[[], Awaitable[object]]]:
        """What a leader does, and the producer's outbox."""
        service = await self._service(wiring)
        inbox = Inbox("metadata", wiring, service.reaction, ask_after=0.02)
        relay, own = Relay(PRODUCER, producer, announce_every=0.05), Relay("metadata", wiring)
        assert service.on_gap is not None
        assert service.on_head is not None
        inbox.on_gap(service.on_gap)
        inbox.on_head(service.on_head)
        inbox.on_resend_asked(own.resend)
        hub.join(Subscription(service=PRODUCER, producers=frozenset()), Asked(relay))
        await inbox.load()
        subscription = Subscription(service="metadata", producers=service.hears)
        return [
            *(inbox.run, relay.run, own.run, ProjectionRunner("metadata", wiring, INDEX).run),
            lambda: wiring.bus.consume(subscription, inbox),
            *(each.run for each in service.periodic if each.name != "webhooks"),
        ]

    async def _service(self, wiring: Wiring) -> Service:
        settings = MetadataSettings(
            token_keys=self._target.keys_folder / "tokens.json",
            signing_key=self._target.keys_folder / "checkpoints.pem",
            log_origin=ORIGIN,
        )
        ports = Ports(
            receivers=HttpReceivers(Reach()),
            keys=KeyFiles(self._target.keys()),
            signed=TellingSigned(self._target.signed, self._told),
            witnesses=(
                CheckpointFolder(self._target.kept),
                NearWitness(self._target.witness(), self._told),
            ),
        )
        return await build(settings, wiring, ports)

    async def _keep(self, wiring: Wiring) -> None:
        """Events of a producer that no bus stands before."""
        [row] = await wiring.store.rows(
            sa.select(sa.func.max(log.c.version).label("last")).where(log.c.stream == stream_of(DIRECT, "1"))
        )
        last = row.last or 0
        heard = [heard_of(wiring, last + at) for at in range(1, self._chance.choice((1, 2, 5, 40, 300)) + 1)]
        work = UnitOfWork(wiring, "metadata", Context.after(heard[0].event, "metadata"))
        await handlers.on_events(heard, work, wiring.store)
        for each in await wiring.store.commit(work.unit()):
            self._told("kept", each.position, sha256(each.event.raw).hexdigest())
        await asyncio.sleep(0.001)

    async def _say(self, producer: Wiring) -> None:
        """Events of one that publishes them when they are in its store."""
        events = [event_of(producer, asked(), PRODUCER) for _ in range(self._chance.choice((1, 3, 20)))]
        append = Append(stream="stream", expected=ANY_VERSION, events=tuple(events))
        for each in await producer.store.commit(Unit(appends=(append,))):
            self._told("said", each.position, sha256(each.event.raw).hexdigest())
        await asyncio.sleep(0.001)


class Asked:
    """The producer's ear: for who asks it to send something again."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def receive(self, deliveries: Sequence[Any]) -> None:
        """It hears nobody's events."""

    async def hear(self, note: Any) -> None:
        self._relay.resend(note.after, note.upto)


def event_of(wiring: Wiring, payload: Any, producer: str) -> Event[Any]:
    return wiring.codec.seal(
        payload,
        id=wiring.ids.new(),
        time=wiring.clock.now(),
        subject="stream",
        partitionkey="churn",
        correlationid=wiring.ids.new(),
        actor=Actor.service(producer),
    )


def heard_of(wiring: Wiring, position: int) -> Heard[Any]:
    event = wiring.codec.read_envelope(event_of(wiring, cleared(release=position), DIRECT).raw)
    return Heard(event=event, epoch="1", position=position)
