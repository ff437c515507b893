"""The event store in a relational database: tables, the one transaction of a batch, and reading.

What SQLite and PostgreSQL do differently (taking the logs' lock, writing many events at once, upserting,
saying that they are away) is in `sqlite_store.py` and `postgresql_store.py`. Positions come from the head row
under its lock, never from a sequence: a sequence gives numbers before commits, and a reader then skips whoever
commits late.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.util.concurrency import greenlet_spawn

from placet.errors import Conflict, Refused, Unavailable, Unreadable
from placet.events.appender import Apart, Appender, Places
from placet.events.clocks import Ids
from placet.events.codec import Codec
from placet.events.envelope import Event, Recorded
from placet.events.store import EVENTS, PAGE, Alone, Claim, ClaimLost, Head, Put, Run, Signal, Unit
from placet.events.tables import APPEND_ONLY

_log = logging.getLogger(__name__)
_STREAMS_AT_ONCE = 1000
"""That one question names: databases bound how many values it has."""
ALONE = "alone"
"""The option of a connection of one statement, which needs no transaction around it where that is work of its own."""


def _log_table(name: str, metadata: sa.MetaData) -> sa.Table:
    """The table of one log. `raw` is bytes, not JSON: a database that understands JSON reorders its keys."""
    return sa.Table(
        name,
        metadata,
        sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("stream", "version", name=f"{name}_stream_version"),
        info=APPEND_ONLY,
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One event on its way into a log table."""

    position: int
    id: str
    stream: str
    version: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """Events next to each other in a log, a sequence for each column: a database hands a page over faster that way."""

    last: int
    """The position of the last of them; what is asked for where there is none."""
    versions: Sequence[int]
    streams: Sequence[str] | None
    """None: each event's subject is its stream."""
    raws: Sequence[bytes]
    end: int
    """Where the log ended when they were read."""


GetPage = Callable[[int, int], Awaitable[Page]]
"""Called with the position to begin after, and how many events at most."""


@dataclass(slots=True)
class End:
    """Where a log ends while a batch is put together, and the rows and their ids that bring it there."""

    position: int
    versions: dict[str, int]
    rows: list[Row] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)


class NotUnique(Exception):
    """An id or a version is in the log already: the unit is in conflict, or its first commit was not heard of."""


class Objected(Exception):
    """The database would not run a statement of the store's own, whoever's rows it was about."""


class SqlStore(ABC):
    """An `EventStore` over SQLAlchemy engines; open it with the adapters' `open_…` functions."""

    look_every = 0.25
    """As in `Signal`."""

    def __init__(
        self,
        *,
        writer: AsyncEngine,
        reader: AsyncEngine,
        codec: Codec,
        ids: Ids,
        tables: Iterable[sa.MetaData],
        logs: Iterable[str],
    ) -> None:
        self.committed = Signal(look_every=self.look_every)
        self._writer = writer
        self._reader = reader
        self._codec = codec
        self._ids = ids
        own = sa.MetaData()
        self._tables = (own, *tables)
        self._logs = {log: _log_table(log, own) for log in logs}
        self._heads = sa.Table(
            "log_heads",
            own,
            sa.Column("log", sa.Text, primary_key=True),
            sa.Column("position", sa.BigInteger, nullable=False),
        )
        self._epochs = sa.Table(
            "log_epochs",
            own,
            sa.Column("log", sa.Text, primary_key=True),
            sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("epoch", sa.Text, nullable=False),
            sa.Column("began_after", sa.BigInteger, nullable=False),
            sa.Column("database", sa.Text),  # in which it goes on, where the database can say
        )
        self._appender = Appender(self._commit_all)

    # What an adapter brings.

    @abstractmethod
    def locked(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that has the lock of every log from its beginning to its end."""

    @abstractmethod
    async def ends(
        self, connection: AsyncConnection, log: str, streams: Sequence[str]
    ) -> tuple[int, dict[str, int]]:
        """The last position of `log`, and the last version of each of `streams` (at least one), 0 for a new one."""

    @abstractmethod
    async def insert_events(
        self, connection: AsyncConnection, log: str, rows: Sequence[Row], position: int
    ) -> None:
        """Write `rows` and move the log's head to `position`."""

    @abstractmethod
    async def create_tables(self, connection: AsyncConnection) -> None:
        """Create what is missing; safe when several processes start at once."""

    @abstractmethod
    async def identity(self, connection: AsyncConnection) -> str | None:
        """Which database this is: another one after a restore or a failover. None where that cannot be known."""

    @abstractmethod
    def pages(self, log: str) -> AbstractAsyncContextManager[GetPage]:
        """A way to read pages of `log`, on one connection: to get one from the pool for each page takes longer than
        half a page."""

    @abstractmethod
    async def scrub(self, tables: Sequence[sa.Table]) -> bool:
        """As the port has it."""

    @abstractmethod
    def upsert(self, put: Put) -> sa.Insert:
        """What puts rows like this one, whose values are given when it is run."""

    @abstractmethod
    def is_away(self, error: DBAPIError) -> bool:
        """Whether the database could not be asked, as opposed to having objected to what it was asked."""

    def away(self, error: Exception) -> Unavailable:
        """What is said where it could not be asked."""
        said = error.orig if isinstance(error, DBAPIError) else error
        return Unavailable(f"the database is away: {str(said) or 'it does not answer'}", retry_after=1.0)

    def gave_up(self, error: DBAPIError) -> bool:
        """Whether the database began what it was asked and ended it because it took too long."""
        return False

    # The port.

    async def commit(self, unit: Unit) -> Places:
        for append in unit.appends:
            self._table(append.log)
        return await self._appender.commit(unit)

    async def read(self, stream: str, *, after: int = 0, log: str = EVENTS) -> list[Recorded[Any]]:
        table = self._table(log)
        return await self._of_streams(log, sa.and_(table.c.stream == stream, table.c.version > after))

    async def read_many(
        self, streams: Collection[str], *, log: str = EVENTS
    ) -> dict[str, list[Recorded[Any]]]:
        histories: dict[str, list[Recorded[Any]]] = {stream: [] for stream in streams}
        names = list(histories)
        for start in range(0, len(names), _STREAMS_AT_ONCE):
            those = self._table(log).c.stream.in_(names[start : start + _STREAMS_AT_ONCE])
            for recorded in await self._of_streams(log, those):
                histories[recorded.stream].append(recorded)
        return histories

    async def _of_streams(self, log: str, which: sa.ColumnElement[bool]) -> list[Recorded[Any]]:
        """In order, as far as they are of one stream."""
        table = self._table(log)
        query = sa.select(table.c.position, table.c.stream, table.c.version, table.c.raw).where(which)
        rows = await self.rows(query.order_by(table.c.stream, table.c.version))
        return [
            Recorded(event=event, position=row.position, version=row.version, stream=row.stream)
            for event, row in zip(self._events(log, [row.raw for row in rows]), rows, strict=True)
        ]

    async def read_all(
        self, after: int, limit: int, *, log: str = EVENTS, sealed: bool = False
    ) -> list[Recorded[Any]]:
        self._table(log)
        async with self._available(), self.pages(log) as get_page:
            page = await get_page(after, limit)
        await self._look_for_holes(log, after, limit, page)
        return self._recorded(log, page, sealed=sealed)

    async def replay(
        self, after: int = 0, *, limit: int = PAGE, log: str = EVENTS
    ) -> AsyncGenerator[list[Recorded[Any]], None]:
        self._table(log)
        async with self._available(), self.pages(log) as get_page:
            ahead = asyncio.ensure_future(get_page(after, limit))
            try:
                while True:
                    page = await ahead
                    await self._look_for_holes(log, after, limit, page)
                    if not page.raws:
                        return
                    after = page.last
                    ahead = asyncio.ensure_future(get_page(after, limit))
                    await asyncio.sleep(0)  # it asks the database, which works while this page is decoded
                    yield self._recorded(log, page)
            finally:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)

    async def _look_for_holes(self, log: str, after: int, limit: int, page: Page) -> None:
        """Raises Unreadable. Positions are unique and in order, so their number tells whether all are there."""
        if page.last != after + len(page.raws):
            position = self._table(log).c.position
            query = sa.select(position).where(position > after).order_by(position).limit(len(page.raws))
            positions = [row.position for row in await self.rows(query)]
            pairs = enumerate(positions, start=after + 1)
            missing, found = next(
                ((expected, found) for expected, found in pairs if found != expected), (after + 1, page.last)
            )
            raise _removed(log, missing, f"has {found}")
        if len(page.raws) < limit and page.last < page.end:
            raise _removed(log, page.last + 1, f"ends at {page.end}")

    async def head(self, log: str = EVENTS) -> Head:
        return (await self.epochs(log))[-1]

    async def epochs(self, log: str = EVENTS) -> list[Head]:
        table = self._epochs
        query = (
            sa.select(table.c.epoch, table.c.began_after, self._heads.c.position)
            .join(self._heads, self._heads.c.log == table.c.log)
            .where(table.c.log == log)
            .order_by(table.c.number)
        )
        rows = await self.rows(query)
        if not rows:
            raise Unreadable(f"there is no log {log!r} here")
        ends = [row.began_after for row in rows[1:]] + [rows[-1].position]
        return [
            Head(epoch=row.epoch, position=end, began_after=row.began_after)
            for row, end in zip(rows, ends, strict=True)
        ]

    async def begin_epoch(self, log: str = EVENTS) -> Head:
        self._table(log)
        async with self._available(), self.locked() as connection:
            await self._begin_epoch(connection, log, await self.identity(connection))
        return await self.head(log)

    async def take_up_epochs(self, epochs: Sequence[tuple[str, int]], log: str = EVENTS) -> None:
        self._table(log)
        async with self._available(), self.locked() as connection:
            here = sa.select(self._heads.c.position).where(self._heads.c.log == log)
            if position := await connection.scalar(here):
                raise Refused(
                    f"log {log!r} ends at {position}: it is not empty", fix="restore into an empty database"
                )
            database = await self.identity(connection)
            await connection.execute(sa.delete(self._epochs).where(self._epochs.c.log == log))
            for number, (epoch, began_after) in enumerate(epochs, start=1):
                row = {"epoch": epoch, "began_after": began_after, "database": database}
                await connection.execute(self._epochs.insert().values(log=log, number=number, **row))

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[Alone]:
        async with self._available(), self.locked() as connection:
            yield _Alone(connection)
        self.committed.fire()

    async def rows(
        self, query: sa.Select[Any], values: Mapping[str, Any] | None = None
    ) -> Sequence[sa.Row[Any]]:
        async with self._available():
            return await greenlet_spawn(self._read, query, values)

    def _read(self, query: sa.Select[Any], values: Mapping[str, Any] | None) -> Sequence[sa.Row[Any]]:
        """In one greenlet: to change into one and back for the connection, for the query and once more for the pool is
        as much work as the query itself."""
        with self._reader.sync_engine.connect().execution_options(**{ALONE: True}) as connection:
            return connection.execute(query, values).all()

    async def close(self) -> None:
        await self._appender.close()
        await self._writer.dispose()
        await self._reader.dispose()

    async def prepare(self) -> None:
        """Create the tables, and each log's head and first epoch."""
        try:
            await self._prepare()
        except BaseException:
            await self.close()
            raise

    async def _prepare(self) -> None:
        async with self._available(), self._writer.begin() as connection:
            await self.create_tables(connection)
            await self._add_database_column(connection)
            await self.recognise(connection)

    async def recognise(self, connection: AsyncConnection) -> None:
        """Begin the first epoch of logs that are new here, and another of those that come from another database."""
        database = await self.identity(connection)
        for log in sorted(self._logs):  # in the order in which `locked` takes their heads
            known = await connection.scalar(sa.select(self._heads.c.log).where(self._heads.c.log == log))
            if known is None:
                await connection.execute(self._heads.insert().values(log=log, position=0))
                await self._begin_epoch(connection, log, database)
            elif database is not None:
                await self._recognise(connection, log, database)

    async def _add_database_column(self, connection: AsyncConnection) -> None:
        """Tables made before epochs knew their database have no column for it."""
        columns = await connection.run_sync(lambda it: sa.inspect(it).get_columns(self._epochs.name))
        if self._epochs.c.database.name not in {column["name"] for column in columns}:
            await connection.execute(sa.text(f"ALTER TABLE {self._epochs.name} ADD COLUMN database TEXT"))

    async def _recognise(self, connection: AsyncConnection, log: str, database: str) -> None:
        """Begin an epoch if this log comes from another database: it may have lost events that others know."""
        latest = (
            sa.select(sa.func.max(self._epochs.c.number)).where(self._epochs.c.log == log).scalar_subquery()
        )
        is_latest = sa.and_(self._epochs.c.log == log, self._epochs.c.number == latest)
        before = await connection.scalar(sa.select(self._epochs.c.database).where(is_latest))
        if before is None:
            await connection.execute(sa.update(self._epochs).where(is_latest).values(database=database))
        elif before != database:
            _log.warning("log %r was in database %s and is in %s: a new epoch begins", log, before, database)
            await self._begin_epoch(connection, log, database)

    async def _begin_epoch(self, connection: AsyncConnection, log: str, database: str | None) -> None:
        # Another process may be committing: under the head's lock, nothing comes between this and the new epoch.
        head = sa.select(self._heads.c.position).where(self._heads.c.log == log).with_for_update()
        position = await connection.scalar(head)
        numbered = sa.select(self._epochs.c.number, self._epochs.c.epoch).where(self._epochs.c.log == log)
        last = (await connection.execute(numbered.order_by(self._epochs.c.number.desc()).limit(1))).first()
        await connection.execute(
            self._epochs.insert().values(
                log=log,
                number=last.number + 1 if last else 1,
                epoch=_after(last.epoch, self._ids.new()) if last else self._ids.new(),
                began_after=position,
                database=database,
            )
        )

    def append_only(self) -> list[str]:
        """The tables whose rows are written once."""
        every = (table for tables in self._tables for table in tables.sorted_tables)
        return [table.name for table in every if table.info.get("append_only")]

    # One transaction for many units.

    async def _commit_all(self, units: Sequence[Unit]) -> Sequence[Places]:
        async with self._available():
            try:
                async with self.locked() as connection:
                    places = await self._write(connection, units)
            except (IntegrityError, NotUnique, Objected) as error:
                if len(units) > 1:
                    raise _halves(len(units)) from error
                if isinstance(error, Objected):
                    raise
                return [await self._explain(units[0], error)]
        self.committed.fire()
        return places

    async def _write(self, connection: AsyncConnection, units: Sequence[Unit]) -> Sequence[Places]:
        # The lock came before anything is looked at. Under READ COMMITTED a statement sees what was committed when
        # the statement began, so what is read together with the lock could be from before the wait. And it came
        # before anything is written: whoever took rows first and the lock afterwards could wait for somebody who
        # has the lock and wants those rows.
        ends = await self._ends(connection, units)
        if len(units) == 1:
            places = [await self._write_one(connection, units[0], ends)]
        else:
            places = await self._write_many(connection, units, ends)
        for log, end in ends.items():
            if end.rows:
                await self.insert_events(connection, log, end.rows, end.position)
        return places

    async def _write_many(
        self, connection: AsyncConnection, units: Sequence[Unit], ends: dict[str, End]
    ) -> list[Places]:
        """Raises Apart: all that are in conflict are found at once, for who is not pays for each transaction too.

        What a guilty unit wrote before it was found out may make another look guilty. That one runs alone and is
        judged there.
        """
        places: list[Places] = []
        guilty: list[int] = []
        for number, unit in enumerate(units):
            try:
                places.append(await self._write_one(connection, unit, ends))
            except (Conflict, NotUnique):
                guilty.append(number)
            except SQLAlchemyError as error:
                if isinstance(error, DBAPIError) and self.is_away(error):
                    raise
                # After this the transaction may not go on, and nothing is known of the units behind.
                raise _apart(number + 1, [*guilty, number], len(units)) from error
        if guilty:
            raise _apart(len(units), guilty, len(units))
        return places

    async def _write_one(self, connection: AsyncConnection, unit: Unit, ends: dict[str, End]) -> Places:
        for claim in unit.claims:
            await self._claim(connection, claim)
        await self._judge(connection, unit, ends)
        places = _place(unit, ends)
        for alike in _alike(unit.writes):
            await self._run(connection, alike)
        return places

    async def _ends(self, connection: AsyncConnection, units: Sequence[Unit]) -> dict[str, End]:
        streams: dict[str, set[str]] = {}
        for unit in units:
            for append in unit.appends:
                streams.setdefault(append.log, set()).add(append.stream)
        return {log: End(*await self.ends(connection, log, sorted(streams[log]))) for log in sorted(streams)}

    async def _judge(self, connection: AsyncConnection, unit: Unit, ends: dict[str, End]) -> None:
        """Raises Conflict, or NotUnique where a unit may have been committed before."""
        versions: dict[tuple[str, str], int] = {}
        for append in unit.appends:
            end, at = ends[append.log], (append.log, append.stream)
            version = versions.get(at, end.versions[append.stream])
            if append.expected is not None and append.expected != version:
                # A unit whose first commit was not heard of comes again with the same ids: let the unique id tell it.
                if append.events and await self._known(connection, append.log, [append.events[0].id]):
                    raise NotUnique(append.events[0].id)
                raise Conflict(f"stream {append.stream} is at version {version}, not at {append.expected}")
            if not end.ids.isdisjoint(event.id for event in append.events):
                raise NotUnique(append.stream)
            versions[at] = version + len(append.events)

    async def _claim(self, connection: AsyncConnection, claim: Claim) -> None:
        result = await connection.execute(claim.statement)
        if result.rowcount != claim.rows:
            raise ClaimLost(f"claimed {claim.rows} rows and found {result.rowcount}: done already")

    async def _run(self, connection: AsyncConnection, alike: Sequence[Put] | Run) -> None:
        match alike:
            case Run(statement=statement, parameters=None):
                await connection.execute(statement)
            case Run(statement=statement, parameters=parameters):
                if parameters:
                    await connection.execute(statement, [dict(each) for each in parameters])
            case [Put() as put] if _is_computed(put):
                await connection.execute(self.upsert(put).values(**put.row))
            case _:
                await connection.execute(self.upsert(alike[0]), [dict(each.row) for each in alike])

    # Ids that are already there.

    async def _explain(self, unit: Unit, error: Exception) -> Places:
        """A unit on its own broke a constraint: it was committed before, or is in conflict."""
        async with self._reader.connect() as connection:
            places: list[Recorded[Any]] = []
            known_any = False
            for append in unit.appends:
                known = await self._known(connection, append.log, [event.id for event in append.events])
                for event in append.events:
                    row = known.get(event.id)
                    if row is None:
                        continue
                    known_any = True
                    if row[2] != event.raw:
                        raise Conflict(
                            f"event {event.id} is already in log {append.log!r} with other bytes"
                        ) from error
                    places.append(
                        Recorded(event=event, position=row[0], version=row[1], stream=append.stream)
                    )
        if not known_any:
            raise Conflict(f"the database refused a unit: {error}") from error
        if len(places) != sum(len(append.events) for append in unit.appends):
            raise Conflict("some events of this unit are in the log and some are not") from error
        return tuple(places)

    async def _known(
        self, connection: AsyncConnection, log: str, ids: Sequence[str]
    ) -> dict[str, tuple[int, int, bytes]]:
        table = self._table(log)
        query = sa.select(table.c.id, table.c.position, table.c.version, table.c.raw).where(
            table.c.id.in_(ids)
        )
        return {
            row.id: (row.position, row.version, bytes(row.raw))
            for row in (await connection.execute(query)).all()
        }

    @asynccontextmanager
    async def _available(self) -> AsyncIterator[None]:
        """The database's absence as `Unavailable`; its objections pass through."""
        try:
            yield
        except (OSError, NoConnectionFree) as error:  # OSError has ConnectionError and TimeoutError below it
            raise self.away(error) from error
        except Objected as error:
            # Without a time: the same again may never be answered, and whoever asks must end somewhere.
            raise Unavailable(f"the database objects: {error}") from error
        except DBAPIError as error:
            if self.gave_up(error):
                raise Unavailable(f"the database gave up: {error.orig}") from error
            if isinstance(error, IntegrityError) or not self.is_away(error):
                raise
            raise self.away(error) from error

    def _table(self, log: str) -> sa.Table:
        table = self._logs.get(log)
        if table is None:
            raise Unreadable(f"there is no log {log!r} here")
        return table

    def _recorded(self, log: str, page: Page, *, sealed: bool = False) -> list[Recorded[Any]]:
        events = self._events(log, page.raws, sealed=sealed)
        streams = [event.subject for event in events] if page.streams is None else page.streams
        positions = range(page.last - len(events) + 1, page.last + 1)
        return [
            Recorded(event=event, position=position, version=version, stream=stream)
            for event, position, version, stream in zip(
                events, positions, page.versions, streams, strict=True
            )
        ]

    def _events(self, log: str, raws: Sequence[bytes], *, sealed: bool = False) -> Sequence[Event[Any]]:
        # A log of other services' events keeps and passes on; it must not stumble over a type newer than itself.
        if sealed or log != EVENTS:
            return self._codec.read_envelopes(raws)
        return self._codec.read_all(raws)


class _Alone:
    """What somebody does who holds the logs' lock."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def rows(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        rows: Sequence[sa.Row[Any]] = (await self._connection.execute(query)).all()
        return rows

    async def run(
        self, statement: sa.Executable, parameters: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        if parameters is None:
            await self._connection.execute(statement)
        elif parameters:
            await self._connection.execute(statement, [dict(each) for each in parameters])


def _place(unit: Unit, ends: dict[str, End]) -> Places:
    """Give the events of `unit` the next places."""
    places: list[Recorded[Any]] = []
    for append in unit.appends:
        end, version = ends[append.log], ends[append.log].versions[append.stream]
        for event in append.events:
            end.position, version = end.position + 1, version + 1
            end.rows.append(Row(end.position, event.id, append.stream, version, event.raw))
            end.ids.add(event.id)
            places.append(Recorded(event=event, position=end.position, version=version, stream=append.stream))
        end.versions[append.stream] = version
    return tuple(places)


def _alike(writes: Sequence[Put | Run]) -> Iterator[Sequence[Put] | Run]:
    """In order; rows one after the other that one statement can put are together: a hundred ways to the database and
    back are most of what it takes to store a hundred messages."""
    puts: list[Put] = []
    for write in writes:
        if puts and not (isinstance(write, Put) and _same(write, puts[0])):
            yield puts
            puts = []
        if isinstance(write, Put):
            puts.append(write)
        else:
            yield write
    if puts:
        yield puts


def _same(one: Put, other: Put) -> bool:
    is_same = one.table is other.table and one.keep == other.keep and one.row.keys() == other.row.keys()
    return is_same and not _is_computed(one) and not _is_computed(other)


def _is_computed(put: Put) -> bool:
    """Whether the database is to work out one of its values: that is a part of the statement."""
    return any(isinstance(value, sa.ClauseElement) for value in put.row.values())


def _after(last: str, new: str) -> str:
    """An epoch's name, which sorts after the one before it, also where this machine's clock is behind the one that
    named that: hearers go by it."""
    if new > last:
        return new
    milliseconds, rest = UUID(last).int >> 80, UUID(new).int & ((1 << 80) - 1)
    return str(UUID(int=(milliseconds + 1) << 80 | rest))


def _apart(known: int, guilty: Sequence[int], total: int) -> Apart:
    """Of `total` units the first `known` were looked at."""
    innocent = [number for number in range(known) if number not in set(guilty)]
    parts = (innocent, *([number] for number in guilty), list(range(known, total)))
    return Apart([part for part in parts if part])


def _halves(total: int) -> Apart:
    """Nobody knows which of `total` units it was."""
    return Apart([range(total // 2), range(total // 2, total)])


def _removed(log: str, missing: int, but: str) -> Unreadable:
    return Unreadable(
        f"log {log!r} has no position {missing}, but {but}: somebody removed events from it",
        fix="restore the database, begin a new epoch and let the hearers compare",
    )
