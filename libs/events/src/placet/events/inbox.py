"""What a service has heard: in each producer's order, without holes, each message handled once.

A delivery is first stored and then acknowledged, so a slow or failing handler never holds a message of the
broker's. For each producer the inbox knows up to which position it has everything; what lies beyond a hole
waits as `early`, and the producer is asked to send the rest again. Handling is the `lanes`'. Nothing here knows a
broker.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from placet.errors import Conflict, Unavailable, Unreadable
from placet.events import tables
from placet.events.bus import Alive, Delivery, EpochBegan, HeadAnnounced, Note, ResendAsked, routing_key
from placet.events.lanes import Lanes, Waiting
from placet.events.outbox import RESEND_AT_MOST
from placet.events.reaction import Reaction
from placet.events.store import Claim, Put, Run, Unit
from placet.events.tasks import TaskGroup
from placet.events.wiring import Wiring

log = logging.getLogger(__name__)

FORGOTTEN_AFTER = 1.0
"""Seconds: an announcement on its way may be overtaken by what was said after it, and so may those before it."""
LOOK_EVERY = 3.0
"""Seconds between looks for parked messages that a person handed back."""
MAX_EARLY = RESEND_AT_MOST
"""Messages of a producer beyond a hole that are kept: those that one wish has sent again. The rest comes again, too."""
MAX_STRAYS = 1000
"""Strays that are kept for a person to look at: the newest."""


@dataclass(slots=True)
class _Producer:
    """What is known of one producer's log. `early` are positions beyond a hole; their rows are in the database."""

    epoch: str = ""
    position: int = 0
    is_stored: bool = False
    """Whether the database has a cursor for it."""
    early: dict[tuple[str, int], Delivery] = field(default_factory=dict)
    head: HeadAnnounced | None = None
    asked: int = 0
    ask_at: float = 0.0
    asked_times: int = 0
    ask_for_epochs_at: float = 0.0
    asked_for_epochs: int = 0
    gap_told: int = 0
    forgetting_since: float | None = None
    forgetting_told: int = 0

    def is_behind(self, epoch: str, position: int) -> bool:
        """Whether this place has been passed, so that its message can only be a repetition."""
        return self.is_before((epoch, position), (self.epoch, self.position + 1))

    def is_before(self, place: tuple[str, int], other: tuple[str, int]) -> bool:
        """Whether `place` is known to lie before `other`: lower in the same epoch, or in an earlier one."""
        if place[0] == other[0]:
            return place[1] < other[1]
        age, others_age = self._age(place[0]), self._age(other[0])
        return age is not None and others_age is not None and age < others_age

    def successor(self, epoch: str, position: int) -> EpochBegan | None:
        """The epoch that goes on after (`epoch`, `position`), once the producer has told of it.

        A producer that was restored from a backup may have begun it further back: it forgot what we still know. One
        that was restored to before `epoch` began, or made anew, has even forgotten that; it goes on with the next.
        """
        epochs = self.head.epochs if self.head else ()
        if epoch and epoch not in self._names and self._age(epoch) is not None:
            return next(each for each in epochs if each.epoch > epoch)
        for before, after in zip(("", *self._names), epochs, strict=False):
            if before == epoch and after.began_after <= position:
                return after
        return None

    @property
    def missing(self) -> range:
        """Positions that are behind one that arrived, in the epoch that is being heard."""
        early = [position for epoch, position in self.early if epoch == self.epoch or not self.epoch]
        return range(self.position + 1, min(early, default=0))

    @property
    def is_of_unknown_epoch(self) -> bool:
        """Whether something early belongs to an epoch that the producer has not told of."""
        return any(epoch != self.epoch and epoch not in self._names for epoch, _ in self.early)

    @property
    def _names(self) -> list[str]:
        return [each.epoch for each in self.head.epochs] if self.head else []

    def _age(self, epoch: str) -> float | None:
        """Its number among the producer's epochs; none where that is unknown.

        Epochs are named in their order, so one that the producer does not name, and that comes before one that it
        names, is forgotten. What comes after all of them is newer than the announcement.
        """
        names = self._names
        if epoch in names:
            return names.index(epoch)
        return bisect(names, epoch) - 0.5 if names and "" < epoch < names[-1] else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """Positions `after` + 1 to `upto` of a producer's log that did not come although later ones did."""

    producer: str
    epoch: str
    after: int
    upto: int


class Inbox:
    """The receiver of one service. Call `load`, then `run` and the bus's `consume` side by side."""

    def __init__(self, service: str, wiring: Wiring, reaction: Reaction, *, ask_after: float = 0.5) -> None:
        self._service = service
        self._wiring = wiring
        self._reaction = reaction
        self._ask_after = ask_after
        self._producers: dict[str, _Producer] = {}
        self._receiving = asyncio.Lock()
        self._behind = asyncio.Event()
        self._lanes = Lanes(service, wiring, reaction, storing=self._receiving)
        self._resend_asked: Callable[[int, int], None] = lambda after, upto: None
        self._gap_found: Callable[[Gap], Awaitable[None]] | None = None
        self._alive: Callable[[str], Awaitable[None]] | None = None
        self._head: Callable[[HeadAnnounced], Awaitable[None]] | None = None

    def on_resend_asked(self, resend: Callable[[int, int], None]) -> None:
        """Who is told when a hearer asks this service to send positions again: the relay."""
        self._resend_asked = resend

    def on_gap(self, tell: Callable[[Gap], Awaitable[None]]) -> None:
        """Who is told, once for each, when a hole is still there after it was asked for."""
        self._gap_found = tell

    def on_alive(self, tell: Callable[[str], Awaitable[None]]) -> None:
        """Who is told when a producer gives a sign of life."""
        self._alive = tell

    def on_head(self, tell: Callable[[HeadAnnounced], Awaitable[None]]) -> None:
        """Who is told how far a producer's log has been sent, and what is in it."""
        self._head = tell

    @property
    def pending(self) -> int:
        """Messages received and not yet handled or parked."""
        return self._lanes.waiting

    # What the bus calls.

    async def receive(self, deliveries: Sequence[Delivery]) -> None:
        async with self._receiving:
            await self._receive(deliveries)

    async def hear(self, note: Note) -> None:
        match note:
            case ResendAsked(producer=producer, after=after, upto=upto) if producer == self._service:
                self._resend_asked(after, upto)
            case HeadAnnounced():
                async with self._receiving:
                    await self._hear_head(note)
                if self._head is not None:
                    await self._head(note)
            case Alive(producer=producer) if self._alive is not None:
                await self._alive(producer)
            case _:
                return

    async def run(self) -> None:
        """Handle what was received and ask for what is missing, until cancelled; what is in hand is finished first."""
        async with TaskGroup() as tasks:
            tasks.create_task(self._lanes.run())
            tasks.create_task(self._chase())

    # Receiving: store, advance over what is whole, hand the wanted ones to their lanes.

    async def _receive(self, deliveries: Sequence[Delivery]) -> None:
        now = self._now()
        writes: list[Put | Run] = []
        fresh: dict[str, dict[tuple[str, int], Delivery]] = {}
        for delivery in deliveries:
            objection = self._objection(delivery)
            if objection is not None:
                log.warning("%s: a stray on %s: %s", self._service, delivery.routing_key, objection)
                writes.append(self._stray(delivery, objection, now))
                continue
            known = self._producers.setdefault(delivery.producer, _Producer())
            place = (delivery.epoch, delivery.position)
            if place in known.early or known.is_behind(*place):
                continue
            fresh.setdefault(delivery.producer, {})[place] = delivery
        if writes:
            writes.append(_forget_old_strays())
        await self._accept(fresh, writes, now)

    async def _accept(
        self, fresh: Mapping[str, Mapping[tuple[str, int], Delivery]], writes: list[Put | Run], now: float
    ) -> None:
        claims: list[Claim] = []
        moves: list[tuple[_Producer, str, int, list[Delivery], list[Delivery]]] = []
        for producer, arrived in fresh.items():
            known = self._producers[producer]
            together = {**known.early, **arrived}
            epoch, position, whole = self._advance(producer, known, together)
            early = [delivery for place, delivery in arrived.items() if place in together]
            # What there is no room for is as good as lost, and asked for when the hole is closed.
            early = early[: max(MAX_EARLY + len(early) - len(together), 0)]
            wanted: list[Delivery] = []
            for delivery in whole:
                was_early = (delivery.epoch, delivery.position) in known.early
                if self._reaction.wants(delivery.routing_key):
                    wanted.append(delivery)
                    if was_early:
                        writes.append(Run(statement=_row_of(delivery, sa.update).values(state="waiting")))
                    else:
                        writes.append(self._row(delivery, "waiting", now))
                elif was_early:
                    writes.append(Run(statement=_row_of(delivery, sa.delete)))
            writes.extend(self._row(delivery, "early", now) for delivery in early)
            passed = [
                each for place, each in together.items() if known.is_before(place, (epoch, position + 1))
            ]
            writes.extend(Run(statement=_row_of(each, sa.delete)) for each in passed)
            if arrived or (epoch, position) != (known.epoch, known.position):
                # Also when it stays: who is not where the database is must not write over another leader's rows.
                claims.append(_move_cursor(producer, known, epoch, position))
            moves.append((known, epoch, position, wanted, early))
        if writes or claims:
            try:
                await self._wiring.store.commit(Unit(claims=tuple(claims), writes=tuple(writes)))
            except Conflict as error:
                # The cursor is elsewhere: an earlier commit of ours whose answer got lost, or another leader.
                await self.load()
                raise Unavailable(f"{self._service}: the inbox moved meanwhile: {error}") from error
        for known, epoch, position, wanted, early in moves:
            known.epoch, known.position, known.is_stored = epoch, position, True
            together = {**known.early, **{(each.epoch, each.position): each for each in early}}
            known.early = {place: each for place, each in together.items() if not known.is_behind(*place)}
            if known.is_of_unknown_epoch:
                self._behind.set()  # no message on its way can help, as one may in a hole
            else:
                known.ask_for_epochs_at, known.asked_for_epochs = 0.0, 0
            for delivery in wanted:
                self._lanes.enter(
                    Waiting(
                        producer=delivery.producer,
                        epoch=delivery.epoch,
                        position=delivery.position,
                        routing_key=delivery.routing_key,
                        raw=delivery.raw,
                    )
                )

    def _advance(
        self, producer: str, known: _Producer, together: dict[tuple[str, int], Delivery]
    ) -> tuple[str, int, list[Delivery]]:
        """Take from `together` what follows without a hole; returns the new place and what was taken."""
        epoch, position, whole = known.epoch, known.position, []
        while True:
            delivery = together.pop((epoch, position + 1), None)
            if delivery is not None:
                position += 1
                whole.append(delivery)
                continue
            successor = known.successor(epoch, position)
            if successor is None:
                return epoch, position, whole
            if successor.began_after < position:
                log.error(
                    "%s: %s was restored or made anew: it forgot %d to %d of its epoch %s, which were heard here",
                    *(self._service, producer, successor.began_after + 1, position, epoch),
                )
            epoch, position = successor.epoch, successor.began_after

    def _objection(self, delivery: Delivery) -> str | None:
        """Why a delivery is not what it says it is, if so."""
        if delivery.sender != delivery.producer:
            return f"sent by {delivery.sender or 'nobody known'}, but says it is {delivery.producer or 'nobody'}'s"
        if not delivery.epoch or delivery.position < 1:
            return "carries no epoch or no position"
        try:
            event = self._wiring.codec.read_envelope(delivery.raw)
            attributes = event.attributes
            project = attributes.partitionkey
            told = routing_key(event.type, project)
        except Unreadable as error:
            return str(error)
        if attributes.source != delivery.producer:
            return f"its envelope says {attributes.source!r:.100}, its sender is {delivery.producer}"
        if told != delivery.routing_key:
            # Permissions are about routing keys, handlers about types: a key that does not tell the type gets by both.
            return f"it is a {event.type!r:.100} of {project!r:.100}, and its routing key says otherwise"
        return None

    def _stray(self, delivery: Delivery, reason: str, now: float) -> Put:
        return Put(
            table=tables.strays,
            row={
                "id": self._wiring.ids.new(),
                "sender": delivery.sender,
                "routing_key": delivery.routing_key,
                "raw": delivery.raw,
                "reason": reason,
                "received_at": now,
            },
        )

    def _row(self, delivery: Delivery, state: str, now: float) -> Put:
        return Put(
            table=tables.inbox,
            row={
                "producer": delivery.producer,
                "epoch": delivery.epoch,
                "position": delivery.position,
                "routing_key": delivery.routing_key,
                "lane": self._reaction.lane(delivery.producer, delivery.routing_key),
                "raw": delivery.raw,
                "state": state,
                "attempts": 0,
                "next_at": now,
                "reason": None,
                "received_at": now,
            },
        )

    # Holes.

    async def _hear_head(self, note: HeadAnnounced) -> None:
        known = self._producers.setdefault(note.producer, _Producer())
        known.head = note
        # An epoch's beginning may be what early messages were waiting for. Not only when it is news: the last time,
        # the database may have been away.
        await self._accept({note.producer: {}}, [], self._now())
        self._notice_forgetting(note, known)
        self._behind.set()

    def _notice_forgetting(self, note: HeadAnnounced, known: _Producer) -> None:
        """A log that ends before what was heard of it went back, and nobody has begun an epoch: say so, aloud, once."""
        is_same = bool(note.epochs) and note.epochs[-1].epoch == known.epoch
        if not is_same or note.end >= known.position:
            known.forgetting_since = None
            return
        since = known.forgetting_since = known.forgetting_since or self._now()
        if self._now() - since < FORGOTTEN_AFTER or known.forgetting_told == known.position:
            return
        known.forgetting_told = known.position
        log.error(
            "%s: %s says that its log ends at %d, and %d was heard: it was restored, and what it says now is taken for "
            "repetitions; stop it and run python -m placet.%s --begin-epoch",
            *(self._service, note.producer, note.end, known.position, note.producer),
        )

    async def _chase(self) -> None:
        """Ask for what is missing, again and again while it stays, and look for what was handed back."""
        looked = self._now()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._ask_after):
                    await self._behind.wait()
            self._behind.clear()
            if not 0 <= self._now() - looked < LOOK_EVERY:
                looked = self._now()
                with suppress(Unavailable):  # the next look is soon enough
                    await self._lanes.look()
            for producer, known in list(self._producers.items()):
                await self._ask(producer, known)

    async def _ask(self, producer: str, known: _Producer) -> None:
        """Not while messages are being stored: a broker that is full must not keep us from emptying it."""
        missing, head = known.missing, known.head.position if known.head else 0
        upto = max(missing.stop - 1, head)
        if upto > known.position:
            is_due = await self._is_hole_due(producer, known, missing)
        else:
            is_due = known.is_of_unknown_epoch and self._are_epochs_due(known)
        if not is_due:
            return
        note = ResendAsked(
            asker=self._service,
            producer=producer,
            after=known.position,
            upto=min(upto, known.position + RESEND_AT_MOST),
        )
        try:
            await self._wiring.bus.tell(note)
        except Unavailable:
            known.asked, known.ask_for_epochs_at = 0, 0.0

    async def _is_hole_due(self, producer: str, known: _Producer, missing: range) -> bool:
        now, is_asked = self._now(), known.asked == known.position + 1
        if is_asked and now < known.ask_at:
            return False
        if is_asked and missing and known.gap_told != known.asked and self._gap_found is not None:
            # Being behind is no gap; one is where later positions arrived and earlier ones did not.
            with suppress(Unavailable):  # the hole is asked for all the same, and told of the next time
                await self._gap_found(
                    Gap(producer=producer, epoch=known.epoch, after=known.position, upto=missing.stop - 1)
                )
                known.gap_told = known.asked
        known.asked, known.asked_times = known.position + 1, known.asked_times + 1 if is_asked else 0
        known.ask_at = now + self._ask_after * 2 ** min(known.asked_times + 1, 6)
        return True

    def _are_epochs_due(self, known: _Producer) -> bool:
        """Whatever else arrives meanwhile: an epoch that the producer never tells of must not make each of its messages
        a question, and each question an announcement to everybody."""
        now = self._now()
        if now < known.ask_for_epochs_at:
            return False
        known.asked_for_epochs += 1
        known.ask_for_epochs_at = now + self._ask_after * 2 ** min(known.asked_for_epochs, 6)
        return True

    async def look(self) -> None:
        """Find what a person handed back at once, where that is known here."""
        await self._lanes.look()

    def lag(self) -> Mapping[str, int]:
        """By producer: positions it is known to have that have not arrived here in order."""
        return {
            producer: max(
                (known.head.position if known.head else 0) - known.position,
                max((position for _, position in known.early), default=0) - known.position,
                0,  # its head is told from time to time, and what it said since may be here already
            )
            for producer, known in self._producers.items()
        }

    async def load(self) -> None:
        """Take up what the database holds and this process does not: at the start, and after a doubt."""
        cursors = await self._wiring.store.rows(sa.select(tables.inbox_cursors))
        for row in cursors:
            known = self._producers.setdefault(row.producer, _Producer())
            known.epoch, known.position, known.is_stored, known.early = row.epoch, row.position, True, {}
        for row in await self._wiring.store.rows(
            sa.select(tables.inbox).where(tables.inbox.c.state == "early")
        ):
            known = self._producers.setdefault(row.producer, _Producer())
            known.early[row.epoch, row.position] = Delivery(
                sender=row.producer,
                routing_key=row.routing_key,
                epoch=row.epoch,
                position=row.position,
                raw=row.raw,
            )
        await self._lanes.look()

    def _now(self) -> float:
        return self._wiring.clock.now().timestamp()


def _forget_old_strays() -> Run:
    """Who can send strays must not be able to fill the disk with them."""
    table = tables.strays
    kept = sa.select(table.c.id).order_by(table.c.id.desc()).limit(MAX_STRAYS)
    return Run(statement=sa.delete(table).where(table.c.id.not_in(kept)))


def _row_of(delivery: Delivery, kind: Callable[[sa.Table], Any]) -> Any:
    table = tables.inbox
    return kind(table).where(
        table.c.producer == delivery.producer,
        table.c.epoch == delivery.epoch,
        table.c.position == delivery.position,
    )


def _move_cursor(producer: str, known: _Producer, epoch: str, position: int) -> Claim:
    """Move it from where we believe it is, so that of two leaders only one goes on."""
    table = tables.inbox_cursors
    if not known.is_stored:
        return Claim(statement=sa.insert(table).values(producer=producer, epoch=epoch, position=position))
    here = sa.and_(
        table.c.producer == producer, table.c.epoch == known.epoch, table.c.position == known.position
    )
    return Claim(statement=sa.update(table).where(here).values(epoch=epoch, position=position))
