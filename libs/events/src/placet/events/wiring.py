"""What a service is plugged into: its store, the bus, time, ids and traces.

There are two sets, and services do not know which they have: `Wiring.embedded` is everything in one process,
`Wiring.distributed` a broker and a database server.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from opentelemetry import trace

from placet.events.adapters.in_process_bus import InProcessBus, InProcessHub
from placet.events.adapters.postgresql_store import PostgreSQLStore, open_postgresql_store
from placet.events.adapters.rabbitmq_bus import open_rabbitmq_bus
from placet.events.adapters.sqlite_store import open_sqlite_store
from placet.events.bus import Bus
from placet.events.clocks import Clock, Ids, SystemClock, TimeOrderedIds
from placet.events.codec import Codec
from placet.events.contracts import CATALOG
from placet.events.store import EVENTS, EventStore
from placet.events.tables import LIBRARY
from placet.events.traces import TracedStore, is_traced


@dataclass(frozen=True, kw_only=True, slots=True)
class Wiring:
    store: EventStore
    bus: Bus
    codec: Codec
    clock: Clock
    ids: Ids
    tracer: trace.Tracer

    @classmethod
    async def embedded(
        cls,
        service: str,
        *,
        data: Path,
        hub: InProcessHub,
        tables: Iterable[sa.MetaData] = (),
        logs: Iterable[str] = (),
        clock: Clock | None = None,
        ids: Ids | None = None,
        is_kept: bool = True,
    ) -> Wiring:
        """A SQLite file below `data` and the in-process bus of `hub`. `logs` are kept beside the service's own.

        One that is not kept waits for no disk: it is of use to this process alone.
        """
        codec, names = Codec(CATALOG), ids or TimeOrderedIds()
        store = await open_sqlite_store(
            data / f"{service}.db",
            codec=codec,
            ids=names,
            tables=(LIBRARY, *tables),
            logs=(EVENTS, *logs),
            is_kept=is_kept,
        )
        tracer = trace.get_tracer("placet")
        return cls(
            store=_traced(store, tracer, "sqlite", service),
            bus=InProcessBus(hub, service),
            codec=codec,
            clock=clock or SystemClock(),
            ids=names,
            tracer=tracer,
        )

    @classmethod
    async def distributed(
        cls,
        service: str,
        *,
        amqp_url: str,
        database_url: str,
        tables: Iterable[sa.MetaData] = (),
        logs: Iterable[str] = (),
        clock: Clock | None = None,
        ids: Ids | None = None,
    ) -> Wiring:
        """PostgreSQL, in the schema named after the service, and RabbitMQ.

        Raises Unavailable while the database is away; the broker may come and go.
        """
        names = ids or TimeOrderedIds()
        store = await open_distributed_store(service, database_url, tables=tables, logs=logs, ids=names)
        tracer = trace.get_tracer("placet")
        return cls(
            store=_traced(store, tracer, "postgresql", service),
            bus=await open_rabbitmq_bus(amqp_url, service=service),
            codec=Codec(CATALOG),
            clock=clock or SystemClock(),
            ids=names,
            tracer=tracer,
        )

    @classmethod
    def apart(cls, service: str, store: EventStore, *, clock: Clock | None = None) -> Wiring:
        """A store and nobody to hear or to tell: for what is done beside the service that runs."""
        return cls(
            store=store,
            bus=InProcessBus(InProcessHub(), service),
            codec=Codec(CATALOG),
            clock=clock or SystemClock(),
            ids=TimeOrderedIds(),
            tracer=trace.get_tracer("placet"),
        )


def _traced(store: EventStore, tracer: trace.Tracer, system: str, service: str) -> EventStore:
    return TracedStore(store, tracer, system=system, namespace=service) if is_traced() else store


async def open_distributed_store(
    service: str,
    database_url: str,
    *,
    tables: Iterable[sa.MetaData] = (),
    logs: Iterable[str] = (),
    ids: Ids | None = None,
) -> PostgreSQLStore:
    """A service's store alone, for who looks at it from outside. Raises Unavailable while the database is away."""
    return await open_postgresql_store(
        database_url,
        schema=service,
        codec=Codec(CATALOG),
        ids=ids or TimeOrderedIds(),
        tables=(LIBRARY, *tables),
        logs=(EVENTS, *logs),
    )
