"""Webhooks are sent: to each in order, at least once, from where it was, by the replica that leads.

Each has a cursor, which moves with what was taken and in its own unit, so a process that is killed goes on with the
event whose answer it did not write down. One that fails is asked again for days and keeps no other waiting; then it is
disabled, which is an event. Whoever sends looks the webhook up before each message: one that was removed a moment ago
gets none, one that was rotated gets the new signature.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from placet.errors import Conflict, Unavailable
from placet.events import Context, Recorded, UnitOfWork, Wiring, transact
from placet.events.envelope import PLATFORM, Actor
from placet.events.store import Claim, ClaimLost, Signal, Unit
from placet.events.tasks import TaskGroup
from placet.metadata.ports import Receivers
from placet.metadata.projections import webhooks
from placet.metadata.queries import Filter, Page, shown
from placet.metadata.webhooks import (
    WEBHOOK,
    Again,
    Answer,
    Disable,
    Failures,
    Over,
    Why,
    after,
    headers,
    stream,
)

log = logging.getLogger(__name__)

SERVICE = "metadata"
MEDIA_TYPE = "application/cloudevents+json"
LOOK_EVERY = 1.0
"""Seconds between looks for webhooks that another replica added, removed or enabled."""
MOST_SKIPPED = 1000
"""Positions without an event that was asked for, until that is written down."""

Follow = Callable[[int, Filter], AsyncGenerator[Page, None]]


class Delivering:
    """Sends to every webhook that is enabled, for as long as this process leads. `changed` tells that people did
    something to one in this process."""

    def __init__(
        self,
        wiring: Wiring,
        receivers: Receivers,
        follow: Follow,
        changed: Signal,
        *,
        most_skipped: int = MOST_SKIPPED,
    ) -> None:
        self._wiring = wiring
        self._receivers = receivers
        self._follow = follow
        self._changed = changed
        self._most_skipped = most_skipped
        self._looked = Signal()
        """Fires after each look at the webhooks there are."""

    async def run(self) -> None:
        """Until cancelled. Raises Unavailable while the database is away."""
        under_way: dict[tuple[str, int], asyncio.Task[None]] = {}
        try:
            async with TaskGroup() as tasks:
                while True:
                    seen = self._changed.count
                    there = await self._enabled()
                    for known, task in list(under_way.items()):
                        if task.done() or known not in there:
                            task.cancel()
                            del under_way[known]
                    for known in there - under_way.keys():
                        under_way[known] = tasks.create_task(self._serve(*known), name=f"webhook {known[0]}")
                    self._looked.fire()
                    await self._changed.wait(LOOK_EVERY, after=seen)
        except* Unavailable as errors:
            away = Unavailable(str(errors.exceptions[0]))
        raise away  # not in there: up to Python 3.11.3 it would come as a group again

    async def _enabled(self) -> set[tuple[str, int]]:
        """Those, and in which turn: whom somebody set to another position begins anew there."""
        query = sa.select(webhooks.c.webhook, webhooks.c.turn).where(webhooks.c.why.is_(None))
        return {(row.webhook, row.turn) for row in await self._wiring.store.rows(query)}

    async def _serve(self, webhook: str, turn: int) -> None:
        row = await self._row(webhook, turn)
        if row is None:
            return
        kept = row.position
        try:
            async with aclosing(self._follow(kept, Filter(type=row.type, project=row.project))) as pages:
                async for page in pages:
                    for event in page.events:
                        if not await self._until_taken(webhook, turn, event):
                            return
                        kept = event.position
                    if page.next - kept >= self._most_skipped:
                        await self._move(webhook, turn, kept, position=page.next)
                        kept = page.next
        except ClaimLost:
            return  # somebody did something to it: it is looked up again

    async def _until_taken(self, webhook: str, turn: int, event: Recorded[Any]) -> bool:
        """Whether it was: not where the webhook is disabled or gone, or somebody set it to another position."""
        body, id = msgspec.json.encode(shown(event)), event.event.id
        while True:
            seen = self._looked.count
            row = await self._row(webhook, turn)
            if row is None:
                return False
            if row.position >= event.position:
                return True  # by another process, which led until now or leads already
            now = self._wiring.clock.now()
            if row.next_at is not None and row.next_at > now.timestamp():
                await self._looked.wait(row.next_at - now.timestamp(), after=seen)
                continue
            answer = await self._receivers.send(row.url, body, sealed(row, id=id, at=now, body=body))
            if answer.is_taken:
                await self._move(
                    webhook,
                    turn,
                    row.position,
                    position=event.position,
                    failures=0,
                    failing_since=None,
                    next_at=None,
                    **self._of(answer, event.position),
                )
                return True
            if not await self._go_on(row, event, answer):
                return False

    async def _go_on(self, row: sa.Row[Any], event: Recorded[Any], answer: Answer) -> bool:
        """Write down what is to follow on a failure, and whether something does."""
        since = None if row.failing_since is None else datetime.fromtimestamp(row.failing_since, UTC)
        before = None if since is None else Failures(count=row.failures, since=since)
        follows = after(answer, before, now=self._wiring.clock.now(), webhook=row.webhook)
        values = {
            "failures": follows.failures.count,
            "failing_since": follows.failures.since.timestamp(),
            **self._of(answer, event.position),
        }
        match follows:
            case Again(at=at):
                await self._move(row.webhook, row.turn, row.position, next_at=at.timestamp(), **values)
                return True
            case Over(why=why):
                await self._disable(row, why, values)
                return False

    async def _disable(self, row: sa.Row[Any], why: Why, values: dict[str, Any]) -> None:
        log.warning("%s: webhook %s is disabled: %s", SERVICE, row.webhook, values["trouble"])
        actor = Actor.service(SERVICE)
        context = Context(project=PLATFORM, correlation=self._wiring.ids.new(), actor=actor)
        command = Disable(
            webhook=row.webhook, why="gone" if why == "gone" else "failing", position=row.position
        )

        async def change(work: UnitOfWork) -> None:
            await work.decide(WEBHOOK, stream(row.webhook), command)

        values = {**values, "why": why, "next_at": None}
        await transact(
            self._wiring, SERVICE, context, change, self._claim(row.webhook, row.turn, row.position, values)
        )

    def _of(self, answer: Answer, position: int) -> dict[str, Any]:
        return {
            "answered_at": self._wiring.clock.now().timestamp(),
            "answer_status": answer.status,
            "trouble": answer.in_words,
            "answered_position": position,
        }

    async def _move(self, webhook: str, turn: int, at: int, **values: Any) -> None:
        """Raises ClaimLost where it is not there any more, or not as it was: whoever is late sets nobody back."""
        try:
            await self._wiring.store.commit(Unit(claims=(self._claim(webhook, turn, at, values),)))
        except ClaimLost:
            raise
        except Conflict as error:
            raise ClaimLost(str(error)) from error

    def _claim(self, webhook: str, turn: int, at: int, values: dict[str, Any]) -> Claim:
        as_it_was = sa.and_(_is(webhook, turn), webhooks.c.position == at)
        return Claim(statement=sa.update(webhooks).where(as_it_was).values(**values))

    async def _row(self, webhook: str, turn: int) -> sa.Row[Any] | None:
        rows = await self._wiring.store.rows(sa.select(webhooks).where(_is(webhook, turn)))
        return rows[0] if rows else None


def sealed(row: sa.Row[Any], *, id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The headers of a message to a webhook, signed with every secret of it that counts at this time."""
    both = row.old_secret is not None and at.timestamp() < row.old_until
    secrets = (row.secret, row.old_secret) if both else (row.secret,)
    return {"content-type": MEDIA_TYPE, **headers(secrets, id=id, at=at, body=body)}


def _is(webhook: str, turn: int) -> sa.ColumnElement[bool]:
    table = webhooks.c
    return sa.and_(table.webhook == webhook, table.turn == turn, table.why.is_(None))
