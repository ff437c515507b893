"""What people do to webhooks: add, rotate, enable, try and remove one."""

from __future__ import annotations

import asyncio
import difflib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from placet.errors import Conflict, Refused
from placet.events import Context, UnitOfWork, Wiring, transact
from placet.events.codec import timestamp
from placet.events.contracts import CATALOG
from placet.events.envelope import PLATFORM, Actor
from placet.events.store import Claim, ClaimLost, Signal
from placet.metadata.delivering import SERVICE, sealed
from placet.metadata.ports import Receivers
from placet.metadata.projections import AUDIT, webhooks
from placet.metadata.queries import Filter, Queries, is_like
from placet.metadata.webhooks import (
    BOTH_SIGN,
    SECRET_BYTES,
    WEBHOOK,
    Add,
    Command,
    Enable,
    Remove,
    Rotate,
    secret_of,
    stream,
    unknown,
)

MOST = 100
"""Webhooks at once: each may wait for its receiver at the same time as all others."""
TRIES_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """`after`: the position of the audit log behind which events are told; none: what happens from now on."""

    url: str
    type: str | None = None
    project: str | None = None
    after: int | None = None


class Subscribing:
    """`changed` fires where whoever sends should look."""

    def __init__(
        self,
        wiring: Wiring,
        receivers: Receivers,
        changed: Signal,
        *,
        draw: Callable[[int], bytes] = secrets.token_bytes,
        most: int = MOST,
    ) -> None:
        self._wiring = wiring
        self._queries = Queries(wiring.store)
        self._receivers = receivers
        self._changed = changed
        self._draw = draw
        self._most = most
        self._tries = asyncio.Semaphore(TRIES_AT_ONCE)

    async def add(self, wanted: Wanted, person: str) -> dict[str, Any]:
        """The webhook with its secret. Raises Conflict where there is the same one, Refused where it may not lead, and
        for a type that no event has."""
        _must_be_a_type(wanted.type)
        await self._receivers.judge(wanted.url)
        webhook, secret = self._wiring.ids.new(), secret_of(self._draw(SECRET_BYTES))
        at = await self._begin(wanted.after)

        async def change(work: UnitOfWork) -> None:
            await self._may_be_added(wanted)
            await work.decide(WEBHOOK, stream(webhook), Add(webhook=webhook))
            work.run(
                sa.insert(webhooks).values(
                    webhook=webhook,
                    url=wanted.url,
                    type=wanted.type,
                    project=wanted.project,
                    added_by=person,
                    added_at=work.now.timestamp(),
                    secret=secret,
                    position=at,
                    turn=1,
                    failures=0,
                )
            )

        await self._change(change, person)
        return {**await self.one(webhook), "position": at, "secret": secret}

    async def rotate(self, webhook: str, person: str) -> dict[str, Any]:
        """The webhook with another secret. The one before signs for a day, too; one before that no more."""
        row, secret = await self._row(webhook), secret_of(self._draw(SECRET_BYTES))
        until = (self._wiring.clock.now() + BOTH_SIGN).timestamp()
        values = {"secret": secret, "old_secret": row.secret, "old_until": until}
        is_as_it_was = webhooks.c.secret == row.secret
        await self._decide(Rotate(webhook=webhook), person, values, is_as_it_was)
        return {**await self.one(webhook), "secret": secret}

    async def enable(self, webhook: str, after: int | None, person: str) -> dict[str, Any]:
        """Go on at once, where it was or behind another position: of one that waits between two tries, too."""
        row = await self._row(webhook)
        if after is not None:
            await self._begin(after, otherwise="what it has not taken yet")
        values: dict[str, Any] = {"why": None, "failures": 0, "failing_since": None, "next_at": None}
        if (
            after is not None
        ):  # else it may move meanwhile, and is not to be set back to where it was just now
            values |= {"position": after, "turn": row.turn + 1}
        command = Enable(webhook=webhook, position=row.position if after is None else after)
        await self._decide(command, person, values, webhooks.c.turn == row.turn)
        return await self.one(webhook) | ({} if after is None else {"position": after})

    async def remove(self, webhook: str, person: str) -> None:
        async def change(work: UnitOfWork) -> None:
            await work.decide(WEBHOOK, stream(webhook), Remove(webhook=webhook))
            work.run(sa.delete(webhooks).where(webhooks.c.webhook == webhook))

        await self._change(change, person)

    async def try_out(self, webhook: str) -> dict[str, Any]:
        """Send it a message that is no event, once and at once, whatever becomes of its events."""
        row, now = await self._row(webhook), self._wiring.clock.now()
        id = f"test-{self._wiring.ids.new()}"
        event = {
            "specversion": "1.0",
            "id": id,
            "source": SERVICE,
            "type": "placet.webhook.test",
            "subject": stream(webhook),
            "time": timestamp(now),
            "datacontenttype": "application/json",
            "data": {"webhook": webhook},
        }
        body = msgspec.json.encode(event)
        async with self._tries:
            answer = await self._receivers.send(row.url, body, sealed(row, id=id, at=now, body=body))
        return {"taken": answer.is_taken, "status": answer.status, "trouble": answer.in_words, "id": id}

    async def one(self, webhook: str) -> dict[str, Any]:
        """Raises Unknown."""
        row, head = await self._row(webhook), await self._head()
        return _document(row, await self._told_up_to(row), head)

    async def all(self) -> list[dict[str, Any]]:
        """Of those there are, the first one first."""
        head = await self._head()
        rows = await self._wiring.store.rows(sa.select(webhooks).order_by(webhooks.c.webhook))
        return [_document(row, await self._told_up_to(row), head) for row in rows]

    async def _told_up_to(self, row: sa.Row[Any]) -> int:
        """What its filter leaves out is not written down with each event: here it is no lag."""
        wanted = Filter(type=row.type, project=row.project)
        if wanted.is_open:
            return int(row.position)
        page = await self._queries.events(row.position, 1, wanted)
        return page.events[0].position - 1 if page.events else page.next

    async def _may_be_added(self, wanted: Wanted) -> None:
        rows = await self._wiring.store.rows(sa.select(webhooks))
        for row in rows:
            if (row.url, row.type, row.project) == (wanted.url, wanted.type, wanted.project):
                raise Conflict(
                    f"the webhook {row.webhook} tells the same to the same address",
                    fix=f"`placet webhook rotate {row.webhook}` gives it another secret, if that is lost",
                )
        if len(rows) >= self._most:
            raise Refused(
                f"there are {self._most} webhooks, and no more can be", fix="remove one that nobody needs"
            )

    async def _decide(
        self, command: Command, person: str, values: dict[str, Any], is_as_it_was: sa.ColumnElement[bool]
    ) -> None:
        own = sa.and_(webhooks.c.webhook == command.webhook, is_as_it_was)

        async def change(work: UnitOfWork) -> None:
            await work.decide(WEBHOOK, stream(command.webhook), command)

        try:
            await self._change(
                change, person, Claim(statement=sa.update(webhooks).where(own).values(**values))
            )
        except ClaimLost as error:
            raise Conflict(
                f"somebody else did something to webhook {command.webhook} at the same time",
                fix=f"look first: placet webhook show {command.webhook}",
            ) from error

    async def _change(self, change: Any, person: str, *claims: Claim) -> None:
        context = Context(project=PLATFORM, correlation=self._wiring.ids.new(), actor=Actor.person(person))
        await transact(self._wiring, SERVICE, context, change, *claims)
        self._changed.fire()

    async def _row(self, webhook: str) -> sa.Row[Any]:
        rows = await self._wiring.store.rows(sa.select(webhooks).where(webhooks.c.webhook == webhook))
        if not rows:
            raise unknown(webhook)
        return rows[0]

    async def _begin(self, after: int | None, *, otherwise: str = "what happens from now on") -> int:
        """Where to begin. Raises Refused behind the log's end: what happens up to there would never be told."""
        head = await self._head()
        if after is not None and after > head:
            raise Refused(
                f"the audit log ends at position {head}, and what follows position {after} is still to come: what"
                " happens until then would be told to nobody",
                fix=f"begin with position {head + 1} at most, or leave it out for {otherwise}",
            )
        return head if after is None else after

    async def _head(self) -> int:
        return (await self._wiring.store.head(AUDIT)).position


def _must_be_a_type(glob: str | None) -> None:
    """Else it would wait for ever for what never happens, and nobody would see why."""
    if glob is None or any(is_like(name, glob) for name in CATALOG.names):
        return
    [near] = difflib.get_close_matches(glob, CATALOG.names, n=1, cutoff=0.0)
    raise Refused(
        f"no event has a type like {glob!r}",
        fix=f"the nearest known one is {near!r}; `*` stands for any text, and docs/reference/events.md has them all",
    )


def _document(row: sa.Row[Any], position: int, head: int) -> dict[str, Any]:
    """Without a secret: that is told once, to who made it."""
    return {
        "webhook": row.webhook,
        "url": row.url,
        "type": row.type,
        "project": row.project,
        "state": "disabled" if row.why else "failing" if row.failing_since is not None else "enabled",
        "why": row.why,
        "position": position,
        "head": max(head, position),
        "lastAnswer": None
        if row.answered_at is None
        else {
            "at": _moment(row.answered_at),
            "position": row.answered_position,
            "status": row.answer_status,
            "trouble": row.trouble,
        },
        "failures": row.failures,
        "failingSince": _moment(row.failing_since),
        "nextAttempt": _moment(row.next_at),
        "oldSecretUntil": _moment(row.old_until),
        "addedBy": row.added_by,
        "addedAt": _moment(row.added_at),
    }


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else timestamp(datetime.fromtimestamp(seconds, UTC))
