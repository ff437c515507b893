"""Read models of a service that runs, made anew from the audit log while it serves.

What the service heard and said is folded again, by the machinery of a restore, into a database *beside*: a file of the
process that does it, so that nobody needs more rights than the service has, and nobody sees it. Then, in one
transaction of the service's own database, its rows take the place of those that are other. Whoever reads sees the old
ones until then.

What is beside shows exactly what the service has handled, no less and no more. While the last of it is folded and the
rows are compared, nothing else is written: seconds, in which who writes waits. Where the audit log is behind what the
service heard, that is let go again, and tried when the log has gone on; where the two never meet, it is held until they
do. Whoever dies in between leaves what was there, and the next one begins anew.

Only tables that are `READ_MODEL` are touched, and of those only rows that are other than the log says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import sqlalchemy as sa

from placet.errors import PlacetError, Refused, Unavailable
from placet.events import tables
from placet.events.envelope import Recorded
from placet.events.outcome import Done
from placet.events.reaction import Reaction
from placet.events.restoring import AsOf, Read, Restoration, Restored, again, is_job
from placet.events.service import Service
from placet.events.store import Alone, Head, HoldableStore, Put, RestorableStore, Run, Unit
from placet.events.unit_of_work import Context, UnitOfWork

COMPARED_AT_ONCE = 500
"""Rows; each is a few values in one question, of which databases bound the number."""
HELD_FOR = 5.0
"""Seconds that who writes is let wait for the audit log: a service gives a commit longer than that."""
BRIEF_TRIES = 3
"""Before that is done."""
TRIES = 10
_BEHIND_THE_LOG = 1 << 62
"""What the service has said and the audit log has not heard yet comes after all that it has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rebuilt:
    """What it came to: by table, how many rows were other than the log says, one that was missing or too many among
    them."""

    position: int
    """In the audit log, up to which that was read."""
    changed: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Handled:
    """What a service that runs has worked off."""

    own: Sequence[Head]
    heard: Mapping[str, tuple[str, int]]
    """By producer the epoch and the position up to which it has everything."""
    waiting: Sequence[tuple[str, str, int]]
    """But for these."""


class Rebuild:
    """Of one service. `service` is wired to the store `beside`, and `clock` is the one that it was built with."""

    def __init__(
        self,
        service: Service,
        beside: RestorableStore,
        clock: AsOf,
        live: HoldableStore,
        models: Sequence[sa.Table],
        tell: Callable[[Restored], None] = lambda _: None,
        *,
        held_for: float = HELD_FOR,
    ) -> None:
        self._held_for = held_for
        self._beside = _Beside(service, beside, clock, tell)
        self._service = service
        self._live = live
        self._rows = _Rows(beside, models)
        self._tell = tell

    async def run(self, lines: AsyncIterable[bytes]) -> Rebuilt:
        """Make them anew from `lines`, the whole audit log from its first entry; an empty line says that all before it
        is to be believed, and so does their end.

        Raises Unreadable for a log with a hole or with an entry that was changed, Refused for one that ends before what
        the service has heard, and Unavailable where that is the audit log's fault. Nothing was changed then.
        """
        await self._beside.begin()
        reading = _Reading(self._beside, lines)
        for number in range(1, TRIES + 1):
            await reading.go_on()
            await self._beside.must_be_its_own(await self._live.epochs())
            await self._beside.fold(await self._handled(), self._live)
            rebuilt = await self._swap(reading, held_for=self._held_for if number > BRIEF_TRIES else 0.0)
            if rebuilt is not None:
                return rebuilt
            if reading.is_at_its_end:
                raise Refused(
                    f"{self._service.name} has heard more than the audit log has that was given",
                    fix="give a newer one, to its end",
                )
        raise Unavailable(
            f"the audit log stays behind what {self._service.name} has heard: see why metadata does"
        )

    async def _swap(self, reading: _Reading, *, held_for: float) -> Rebuilt | None:
        """None where the audit log is behind."""
        async with self._live.alone() as alone:
            handled = await self._handled()
            if not await self._has_heard(handled, reading, held_for):
                return None
            await self._beside.fold(handled, self._live, to_the_end=True)
            for settle in self._service.settles:
                await settle()
            position = await self._beside.position()
            self._tell(Restored(phase="swaps", position=position))
            changed = {table.name: await self._rows.replace(alone, table) for table in self._rows.models}
        return Rebuilt(position=position, changed=changed)

    async def _has_heard(self, handled: Handled, reading: _Reading, held_for: float) -> bool:
        """Whether the audit log has all that the service has, or has it within the time that is given."""
        loop = asyncio.get_running_loop()
        until = loop.time() + held_for
        while await self._beside.is_behind(handled):
            left = until - loop.time()
            if left <= 0 or not await reading.goes_on_within(left):
                return False
        return True

    async def _handled(self) -> Handled:
        """In this order: what arrives meanwhile is not taken for handled."""
        heard = await self._live.rows(sa.select(tables.inbox_cursors))
        of_inbox = tables.inbox.c
        query = sa.select(of_inbox.producer, of_inbox.epoch, of_inbox.position)
        waiting = await self._live.rows(query.where(of_inbox.state != "early"))
        return Handled(
            own=await self._live.epochs(),
            heard={row.producer: (row.epoch, row.position) for row in heard},
            waiting=[(row.producer, row.epoch, row.position) for row in waiting],
        )


class _Reading:
    """Of the audit log, from one place that is to be believed to the next."""

    def __init__(self, beside: _Beside, lines: AsyncIterable[bytes]) -> None:
        self._beside = beside
        self._lines = aiter(lines)
        self._under_way: asyncio.Task[None] | None = None
        self.is_at_its_end = False

    async def go_on(self) -> None:
        await self._next()
        self._under_way = None

    async def goes_on_within(self, seconds: float) -> bool:
        """False where it did not, or has come to its end. What is under way then is waited for by who goes on."""
        if self.is_at_its_end:
            return False
        task = self._next()
        if not (await asyncio.wait({task}, timeout=seconds))[0]:
            return False
        self._under_way = None
        await task
        return True

    def _next(self) -> asyncio.Task[None]:
        if self._under_way is None:
            self._under_way = asyncio.create_task(self._beside.read(self._to_the_mark()))
        return self._under_way

    async def _to_the_mark(self) -> AsyncIterator[bytes]:
        async for line in self._lines:
            if not line.strip():
                return
            yield line
        self.is_at_its_end = True


class _Beside(Restoration):
    """A restore that knows from the service itself what it has handled, and that goes on as the service does."""

    async def begin(self) -> None:
        await self._begun()

    async def read(self, lines: AsyncIterable[bytes]) -> None:
        state = await self._begun()
        if not await self._read_on(lines, state.sequence, msgspec.json.decode(state.seen, type=Read)):
            raise Refused("the audit log that was given is empty", fix="see that it was read to its end")

    async def position(self) -> int:
        return await self._last()

    async def is_behind(self, handled: Handled) -> bool:
        read = msgspec.json.decode((await self._begun()).seen, type=Read)
        for producer, (epoch, position) in handled.heard.items():
            epochs = read.last.get(producer, {})
            # Of one that has begun and says nothing yet: where the one before it ended.
            before = max((last for name, last in epochs.items() if name < epoch), default=0)
            if epochs.get(epoch, before) < position:
                return True
        return False

    async def must_be_its_own(self, epochs: Sequence[Head]) -> None:
        """Raises Refused for the log of another platform: the service's epochs are of one platform alone, and it may
        know fewer than the log, but not others."""
        read = msgspec.json.decode((await self._begun()).seen, type=Read).last.get(self._name, {})
        if read and epochs[-1].position and not read.keys() & {each.epoch for each in epochs}:
            raise Refused(
                f"what {self._name} says in the audit log that was given is not what this {self._name} says",
                fix="give the log of the platform that it is of",
            )

    async def fold(self, handled: Handled, live: HoldableStore, *, to_the_end: bool = False) -> None:
        """What was read, as far as the service has handled it; `to_the_end`: and what it said that was not read."""
        await self._say_again(live)
        if to_the_end:
            await self._take_the_rest(handled, live)
        await self._must_wait(handled.waiting)
        await self._fold(_is_handled(self._name, handled))

    async def _say_again(self, live: HoldableStore) -> None:
        """All that the service has said: what it decides on is its own log."""
        position = (await self._store.head()).position
        if not position:
            await self._store.take_up_epochs([(each.epoch, each.began_after) for each in await live.epochs()])
        async for page in live.replay(position):
            await self._store.commit(Unit(appends=tuple(again(each.event) for each in page)))

    async def _take_the_rest(self, handled: Handled, live: HoldableStore) -> None:
        seen = msgspec.json.decode((await self._begun()).seen, type=Read).last.get(self._name, {})
        ends = [min(seen[each.epoch], each.position) for each in handled.own if each.epoch in seen]
        async for page in live.replay(max(ends, default=0)):
            rows = [
                self._row(
                    each.event,
                    sequence=_BEHIND_THE_LOG + each.position,
                    epoch=_epoch_of(each, handled.own),
                    position=each.position,
                )
                for each in page
            ]
            await self._store.commit(
                Unit(writes=tuple(Put(table=tables.recalled, row=each) for each in rows))
            )

    async def _must_wait(self, waiting: Sequence[tuple[str, str, int]]) -> None:
        """What waits there waits here: nothing of it is folded."""
        unknown = {"routing_key": "", "lane": "", "raw": b"", "state": "waiting", "attempts": 0}
        rows = [
            {
                "producer": producer,
                "epoch": epoch,
                "position": position,
                **unknown,
                "next_at": 0.0,
                "received_at": 0.0,
            }
            for producer, epoch, position in waiting
        ]
        others = Run(statement=sa.delete(tables.inbox))
        await self._store.commit(
            Unit(writes=(others, Run(statement=sa.insert(tables.inbox), parameters=rows)))
        )

    async def _unit_of_own(self, row: Any) -> Unit:
        try:
            if self._service.shows is not None:
                return await self._shown(row, self._service.shows)
            return await super()._unit_of_own(row)
        except PlacetError as error:
            raise self._told(row, error) from error

    async def _unit_of_heard(self, row: Any) -> Unit:
        """It was handled: what is decided anew is dropped, and no job is done twice."""
        try:
            if self._service.shows is not None:
                return await self._shown(row, self._service.shows)
            outcome, work = await self._hear_again(row, is_handled=True)
        except PlacetError as error:
            raise self._told(row, error) from error
        if not isinstance(outcome, Done):
            raise Refused(f"{row.routing_key} ({row.id}) was handled once, and is put off now: {outcome}")
        return Unit(writes=tuple(each for each in work.unit().writes if not is_job(each)))

    async def _shown(self, row: Any, shows: Reaction) -> Unit:
        if not shows.wants(row.routing_key):
            return Unit()
        heard = self._heard(shows.read(self._wiring, row.raw), row)
        work = UnitOfWork(self._wiring, self._name, Context.after(heard.event, self._name))
        await shows([heard], work)
        return Unit(writes=work.unit().writes)

    def _told(self, row: Any, error: PlacetError) -> PlacetError:
        if isinstance(error, Unavailable):
            return error
        return Refused(
            f"{row.routing_key} ({row.id}) cannot be folded again, so nothing was changed: {error.detail}",
            rule=error.rule,
            fix=error.fix,
        )


def _is_handled(service: str, handled: Handled) -> sa.ColumnElement[bool]:
    row, waits = tables.recalled.c, tables.inbox.c
    own = [
        sa.and_(row.producer == service, row.epoch == each.epoch, row.position <= each.position)
        for each in handled.own
    ]
    heard = [
        sa.and_(
            row.producer == producer,
            sa.or_(row.epoch < epoch, sa.and_(row.epoch == epoch, row.position <= position)),
        )
        for producer, (epoch, position) in handled.heard.items()
    ]
    waiting = sa.exists().where(
        waits.producer == row.producer, waits.epoch == row.epoch, waits.position == row.position
    )
    return sa.and_(sa.or_(*own, *heard), sa.not_(waiting))


def _epoch_of(each: Recorded[Any], epochs: Sequence[Head]) -> str:
    return next(epoch.epoch for epoch in epochs if each.position <= epoch.position)


class _Rows:
    """The rows of read models, as they are beside."""

    def __init__(self, beside: RestorableStore, models: Sequence[sa.Table]) -> None:
        self._beside = beside
        self.models = models

    async def replace(self, alone: Alone, table: sa.Table) -> int:
        """Have `table` show what is beside. Returns how many rows were other."""
        changed = 0
        async for page in _pages(alone.rows, table):
            wrong = await self._find_wrong(table, page)
            await _remove(alone, table, wrong.other + wrong.too_many)
            changed += len(wrong.too_many)
        if await _count(alone.rows, table) == await _count(self._beside.rows, table):
            return changed
        async for page in _pages(self._beside.rows, table):
            there = {_key(table, row) for row in await alone.rows(_of_keys(table, page))}
            missing = [dict(row._mapping) for row in page if _key(table, row) not in there]
            await alone.run(sa.insert(table), missing)
            changed += len(missing)
        return changed

    async def _find_wrong(self, table: sa.Table, page: Sequence[sa.Row[Any]]) -> _Wrong:
        """Those that are other are removed, too, before any is written: in between, two may have what is unique."""
        right = {_key(table, row): row._mapping for row in await self._beside.rows(_of_keys(table, page))}
        wrong = _Wrong()
        keep: list[Mapping[str, Any]] = []
        for row in page:
            key, found = _key(table, row), row._mapping
            if key not in right:
                wrong.too_many.append(row)
            elif any(found[name] != right[key][name] for name in _told(table)):
                wrong.other.append(row)
                keep.append({f"its_{name}": found[name] for name in found})
        if not_told := [column for column in table.columns if column.info.get("not_told")]:
            its = sa.and_(*(column == sa.bindparam(f"its_{column.name}") for column in table.primary_key))
            values: dict[Any, Any] = {column: sa.bindparam(f"its_{column.name}") for column in not_told}
            kept = Run(statement=sa.update(table).where(its).values(values), parameters=keep)
            await self._beside.commit(Unit(writes=(kept,)))
        return wrong


@dataclass(slots=True)
class _Wrong:
    other: list[sa.Row[Any]] = field(default_factory=list)
    too_many: list[sa.Row[Any]] = field(default_factory=list)


async def _pages(
    rows: Callable[[sa.Select[Any]], Awaitable[Sequence[sa.Row[Any]]]], table: sa.Table
) -> AsyncIterator[Sequence[sa.Row[Any]]]:
    """All of `table`, in the order of its keys as the database has it; those of a page may be removed meanwhile."""
    columns = list(table.primary_key)
    query = sa.select(table).order_by(*columns).limit(COMPARED_AT_ONCE)
    page = await rows(query)
    while page:
        yield page
        last = sa.tuple_(*(sa.literal(page[-1]._mapping[each.name], each.type) for each in columns))
        page = await rows(query.where(sa.tuple_(*columns) > last))


def _of_keys(table: sa.Table, page: Sequence[sa.Row[Any]]) -> sa.Select[Any]:
    return sa.select(table).where(_is_of(table, page))


def _is_of(table: sa.Table, page: Sequence[sa.Row[Any]]) -> sa.ColumnElement[bool]:
    return sa.tuple_(*table.primary_key).in_([_key(table, row) for row in page])


async def _remove(alone: Alone, table: sa.Table, rows: Sequence[sa.Row[Any]]) -> None:
    if rows:
        await alone.run(sa.delete(table).where(_is_of(table, rows)))


async def _count(rows: Callable[[sa.Select[Any]], Awaitable[Sequence[sa.Row[Any]]]], table: sa.Table) -> int:
    return int((await rows(sa.select(sa.func.count().label("rows")).select_from(table)))[0].rows)


def _key(table: sa.Table, row: sa.Row[Any]) -> tuple[Any, ...]:
    return tuple(row._mapping[column.name] for column in table.primary_key)


def _told(table: sa.Table) -> list[str]:
    return [column.name for column in table.columns if not column.info.get("not_told")]
