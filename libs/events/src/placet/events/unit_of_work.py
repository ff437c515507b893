"""One change in the making: load, fold, decide, and hand everything over as one `Unit`.

A handler, a job or a request gets a `UnitOfWork`, stages decisions and rows in it, and never commits by
itself: whoever runs it does, together with its own claim, and runs it again from the start after a conflict.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from opentelemetry import propagate

from placet.errors import Conflict, Unavailable
from placet.events import tables
from placet.events.catalog import contract_of
from placet.events.decider import Decider
from placet.events.envelope import Actor, Event, Recorded
from placet.events.leases import shared_now
from placet.events.store import ANY_VERSION, Append, Claim, ClaimLost, Put, Run, Unit
from placet.events.wiring import Wiring

Command = TypeVar("Command")
State = TypeVar("State")
Happened = TypeVar("Happened")
Answer = TypeVar("Answer")

MAX_CONFLICTS = 20


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Why something is done: for which project and operation, caused by which event, in whose name."""

    project: str
    correlation: str
    actor: Actor
    causation: str | None = None
    traceparent: str | None = None

    @classmethod
    def after(cls, event: Event[Any], service: str) -> Context:
        """The context of `service` reacting to `event`."""
        attributes = event.attributes
        return cls(
            project=attributes.partitionkey,
            correlation=attributes.correlationid,
            causation=attributes.id,
            actor=Actor.service(service),
            traceparent=current_traceparent() or attributes.traceparent,
        )


class UnitOfWork:
    """Collects one caller's change. Not shared between tasks, not used twice."""

    def __init__(
        self, wiring: Wiring, service: str, context: Context, known: Mapping[str, Sequence[Any]] | None = None
    ) -> None:
        self._wiring = wiring
        self._service = service
        self.context = context
        self._loaded: dict[str, list[Any]] = {stream: list(each) for stream, each in (known or {}).items()}
        self._versions: dict[str, int] = {stream: len(each) for stream, each in self._loaded.items()}
        # Nobody looked when this was read: what is decided on it counts only if it is the whole of it still.
        self._said: list[Append] = [
            Append(stream=stream, expected=version, events=()) for stream, version in self._versions.items()
        ]
        self._writes: list[Put | Run] = []
        self._foreign: list[Append] = []
        self._then: list[Callable[[], None]] = []
        self._now: datetime | None = None

    @property
    def now(self) -> datetime:
        """One time for all of it: a row says when what it shows happened as the event does."""
        if self._now is None:
            self._now = self._wiring.clock.now()
        return self._now

    def new_id(self) -> str:
        return self._wiring.ids.new()

    async def history(self, stream: str) -> list[Any]:
        """The payloads of a stream, with what is staged here at its end. Loads it once."""
        if stream not in self._loaded:
            recorded = await self._wiring.store.read(stream)
            self._loaded[stream] = [each.data for each in recorded]
            self._versions[stream] = len(recorded)
        return self._loaded[stream]

    async def state(self, decider: Decider[Any, State, Any], stream: str) -> State:
        """The stream's state with what is staged here already folded in."""
        return decider.fold(await self.history(stream))

    async def decide(
        self, decider: Decider[Command, State, Happened], stream: str, command: Command
    ) -> Sequence[Happened]:
        """Decide on the stream's present state and stage what happened. Raises what the decider refuses with."""
        happened = tuple(decider.decide(command, await self.state(decider, stream)))
        self.stage(stream, happened)
        return happened

    def stage(self, stream: str, happened: Sequence[Any]) -> None:
        """Stage events for a stream that `state` or `decide` loaded; their order of staging is their order."""
        known = self._loaded[stream]
        events = tuple(self._seal(stream, payload) for payload in happened)
        if events:
            self._said.append(Append(stream=stream, expected=self._versions[stream], events=events))
            self._versions[stream] += len(events)
            known.extend(happened)

    def report(self, stream: str, payload: Any) -> None:
        """Stage an event that follows from nothing before it, for a stream that grows too long to be read each time."""
        self._said.append(Append(stream=stream, expected=ANY_VERSION, events=(self._seal(stream, payload),)))

    def put(self, table: sa.Table, /, *, keep: tuple[str, ...] = (), **row: Any) -> None:
        """Insert a row of the service's own tables, or update it; columns in `keep` are only inserted."""
        self._writes.append(Put(table=table, row=row, keep=keep))

    def run(self, statement: sa.Executable, parameters: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Run any statement on the service's own tables within the unit."""
        self._writes.append(Run(statement=statement, parameters=parameters))

    def enqueue(
        self, kind: str, key: str, payload: Any, *, asker: str | None = None, after: float = 0.0
    ) -> None:
        """Put a job into the service's own queue: it is taken up after the commit, and again after a crash.

        `asker` is whose turn it takes in the queue, none given: whoever acts here. It waits `after` seconds at least.
        """
        asker = asker or self.context.actor.id
        self.put(tables.job_turns, keep=("last",), kind=kind, asker=asker, last=0)
        self.put(
            tables.jobs,
            kind=kind,
            key=key,
            asker=asker,
            context=msgspec.json.encode(self.context),
            payload=msgspec.json.encode(payload),
            attempts=0,
            next_at=shared_now(self.now) + after,
            reason=None,
            leased_by=None,
            leased_until=0.0,
        )

    def append_to(self, log: str, stream: str, expected: int | None, events: Sequence[Event[Any]]) -> None:
        """Stage events that were sealed by somebody else for a log that keeps them (the audit log)."""
        self._foreign.append(Append(stream=stream, expected=expected, events=tuple(events), log=log))

    def once_committed(self, do: Callable[[], None]) -> None:
        """What nothing depends on, such as counting: done once, after the commit, and lost with the process."""
        self._then.append(do)

    def committed(self) -> None:
        for each in self._then:
            each()

    @property
    def said(self) -> tuple[Event[Any], ...]:
        """What is staged to be said, in order."""
        return tuple(event for append in self._said for event in append.events)

    def unit(self, *claims: Claim) -> Unit:
        return Unit(appends=(*self._said, *self._foreign), claims=claims, writes=tuple(self._writes))

    def _seal(self, stream: str, payload: Any) -> Event[Any]:
        contract = contract_of(payload)
        if contract.producer != self._service:
            raise TypeError(f"{self._service} cannot say {contract.type}: it is {contract.producer}'s")
        return self._wiring.codec.seal(
            payload,
            id=self._wiring.ids.new(),
            time=self.now,
            subject=stream,
            partitionkey=self.context.project,
            correlationid=self.context.correlation,
            causationid=self.context.causation,
            actor=self.context.actor,
            traceparent=self.context.traceparent,
        )


async def transact(
    wiring: Wiring,
    service: str,
    context: Context,
    change: Callable[[UnitOfWork], Awaitable[Answer]],
    *claims: Claim,
    known: Mapping[str, Sequence[Any]] | None = None,
) -> tuple[Answer, tuple[Recorded[Any], ...]]:
    """Run `change` on a fresh unit of work and commit it; again from the start whenever somebody else was first.

    `known` are payloads of whole streams that the caller has read, by stream: they are not loaded again. Where one has
    grown meanwhile, the unit is in conflict, whatever `change` made of it, and the next attempt loads it.

    Returns what `change` returned and the events as recorded. Raises ClaimLost, whatever `change` refuses
    with, and Unavailable when the stream is so busy that 20 attempts were all overtaken.
    """
    for attempt in range(MAX_CONFLICTS):
        work = UnitOfWork(wiring, service, context, known if attempt == 0 else None)
        answer = await change(work)
        unit = work.unit(*claims)
        if not (unit.appends or unit.claims or unit.writes):
            return answer, ()
        try:
            recorded = await wiring.store.commit(unit)
        except ClaimLost:
            raise
        except Conflict:
            continue
        work.committed()
        return answer, recorded
    # Without a time: a row that can never be written looks the same, and must end up parked.
    raise Unavailable(f"others were first {MAX_CONFLICTS} times")


def current_traceparent() -> str | None:
    """The W3C trace context of the span that is open now, if one is."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent")
