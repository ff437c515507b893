"""A service's lost database, filled again from the audit log.

The audit log has what the service said, to the byte, and what it heard. A restore reads it once, into a table; then
its own log is written again, with the positions and epochs it had; then its rows are folded again, in the order of the
audit log: from its own events by what the service `recalls`, from those it heard by the handlers that hear them
always. What a handler decides on what was decided already is dropped: it is in the log. A message of which nobody
knows that it was handled, and whose handling would say something, is left to the service itself, with all of its
project that came later. Then a new epoch begins, since what the service said last may not have reached the audit log.

Whatever dies in between goes on where it was. People's names and words were never in the log, and do not come back.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import rfc8785
import sqlalchemy as sa

from placet.errors import Conflict, PlacetError, Refused, Unavailable, Unreadable
from placet.events import tables
from placet.events.bus import routing_key
from placet.events.clocks import Clock
from placet.events.codec import moment
from placet.events.envelope import Event
from placet.events.leadership import LEADER
from placet.events.leases import shared_now
from placet.events.outcome import Done, Outcome
from placet.events.reaction import Heard
from placet.events.service import Service
from placet.events.store import (
    ANY_VERSION,
    EVENTS,
    Append,
    Claim,
    ClaimLost,
    EventStore,
    Put,
    RestorableStore,
    Run,
    Unit,
)
from placet.events.unit_of_work import Context, UnitOfWork

log = logging.getLogger(__name__)

AT_ONCE = 500
"""Lines, or events, in one unit."""


class Line(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An entry as `GET /v1/audit/entries` gives it."""

    position: int
    producer: str
    epoch: str
    producer_position: int
    event: msgspec.Raw


class Read(msgspec.Struct, kw_only=True):
    """What was read, kept with it. `digest` is of all lines so far: a restore that goes on is given them again, and
    what it was given at first may have been another log, which nobody has verified to its end."""

    last: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    """By producer and epoch, the last of its positions."""
    digest: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Restored:
    """How far a restore is, or what it came to."""

    phase: str
    position: int
    """In the audit log."""
    left: int = 0
    """Messages that are left to the service."""


class AsOf:
    """The time at which what is being recalled happened. Before that, the time it is."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.at: datetime | None = None

    def now(self) -> datetime:
        return self.at or self._clock.now()


class Restoration:
    """Of one service, which does not run meanwhile. `clock` is the one that the service was built with."""

    def __init__(
        self,
        service: Service,
        store: RestorableStore,
        clock: AsOf,
        tell: Callable[[Restored], None] = lambda _: None,
    ) -> None:
        self._service = service
        self._name = service.name
        self._wiring = service.wiring
        self._store = store
        self._clock = clock
        self._tell = tell
        self._handled: dict[tuple[str, str], int] = {}
        self._left: set[str] = set()

    async def run(self, lines: AsyncIterable[bytes], *, until: int | None = None) -> Restored:
        """Restore from `lines`, the whole audit log from its first entry, or go on with what was begun. Where they end
        before position `until`, they broke off.

        Raises Refused for a database that holds something, or what was read of another log; Unreadable for a log with a
        hole or with an entry that was changed.
        """
        state = await self._begun()
        if state.phase == "reads":
            await self._read(lines, state.sequence, msgspec.json.decode(state.seen, type=Read), until)
        for phase in ("logs", "rows", "ends"):
            if (await self._begun()).phase == phase:
                await self._must_not_run()
                await getattr(self, f"_{phase}")()
        return Restored(phase="ends", position=await self._last(), left=await self._count_left())

    async def _begun(self) -> Any:
        rows = await self._store.rows(sa.select(tables.restoring))
        if rows:
            return rows[0]
        await self._must_be_empty()
        await self._must_not_run()
        await self._begin()
        return (await self._store.rows(sa.select(tables.restoring)))[0]

    async def _begin(self) -> None:
        """Where nothing was restored between the look at what is there and this."""
        row = {"id": 1, "phase": "reads", "sequence": 0, "seen": b"{}"}
        table, columns = tables.restoring, tables.restoring.c
        is_empty = [
            sa.not_(sa.exists().select_from(each)) for each in (tables.inbox_cursors, tables.relay_cursor)
        ]
        values = [sa.literal(value, columns[name].type).label(name) for name, value in row.items()]
        try:
            await self._commit(sa.insert(table).from_select(list(row), sa.select(*values).where(*is_empty)))
        except Conflict as error:
            raise self._beaten() from error

    async def _must_be_empty(self) -> None:
        head = await self._store.head()
        heard = await self._store.rows(sa.select(tables.inbox_cursors.c.producer).limit(1))
        if head.position or heard:
            what = f"its log ends at {head.position}" if head.position else "it has heard others"
            raise Refused(
                f"the database of {self._name} is not empty: {what}",
                fix=f"to throw away what is there, drop the schema {self._name} (embedded: remove"
                f" log/{self._name}.db*) and restore again; for a backup"
                f" that was restored: python -m placet.{self._name} --begin-epoch",
            )

    async def _must_not_run(self) -> None:
        """Raises Refused while the service does: it would write among what is restored."""
        table = tables.leases
        held = sa.and_(table.c.name == LEADER, table.c.until > shared_now(self._wiring.clock.now()))
        if await self._store.rows(sa.select(table.c.owner).where(held)):
            raise Refused(
                f"{self._name} runs on the database that is to be restored",
                fix="stop it; where it was killed just now, wait a minute until it is known to be gone",
            )

    async def _move(self, before: str, after: str, *writes: Put | Run) -> None:
        """From one phase to the next."""
        here = sa.update(tables.restoring).where(tables.restoring.c.phase == before)
        await self._commit(here.values(phase=after), *writes)

    async def _commit(self, claim: Any, *writes: Put | Run, appends: tuple[Append, ...] = ()) -> None:
        """With a step that is taken once. Raises Conflict where somebody else has taken it: of two who restore at the
        same time only one goes on."""
        try:
            await self._store.commit(Unit(appends=appends, claims=(Claim(statement=claim),), writes=writes))
        except ClaimLost as error:
            raise self._beaten() from error

    def _beaten(self) -> Conflict:
        return Conflict(
            f"somebody else restores {self._name} at the same time, and was faster",
            rule="audit.restore",
            fix="let that one come to its end; where it was killed, run the same again: it goes on from there",
        )

    # Reading the audit log.

    async def _read(
        self,
        lines: AsyncIterable[bytes],
        sequence: int,
        read: Read,
        until: int | None,
    ) -> None:
        sequence = await self._read_on(self._behind(lines, sequence, read), sequence, read)
        if not sequence:
            raise Refused("the audit log that was given is empty", fix="see that it was read to its end")
        if until is not None and sequence < until:
            raise Unavailable(
                f"the audit log broke off at position {sequence} of {until}; go on with it by the same"
            )
        await self._move("reads", "logs")

    async def _read_on(self, lines: AsyncIterable[bytes], sequence: int, read: Read) -> int:
        """All of `lines` behind `sequence`; returns the position of the last."""
        writes: list[Put | Run] = []
        kept = sequence
        async for text in lines:
            line = _line(text)
            if line.position <= sequence:
                continue
            if line.position != sequence + 1:
                raise Unreadable(
                    f"the audit log has no position {sequence + 1}, but {line.position}",
                    fix="give all of it, from its first entry: GET /v1/audit/entries as application/jsonl",
                )
            self._must_follow(line, read.last)
            read.digest = _with(read.digest, line)
            writes.extend(self._kept(line))
            sequence = line.position
            if sequence - kept >= AT_ONCE:
                await self._keep(writes, kept, sequence, read)
                writes, kept = [], sequence
        if sequence > kept:
            await self._keep(writes, kept, sequence, read)
        return sequence

    async def _behind(self, lines: AsyncIterable[bytes], sequence: int, read: Read) -> AsyncIterator[bytes]:
        """What follows on what was read before the restore was broken off, which is given again and has to be the same.
        Raises Refused: whoever could give one log to begin with and another to verify could have anything restored."""
        before, again = read.digest, ""
        is_same = not sequence
        async for text in lines:
            if is_same:
                yield text
                continue
            line = _line(text)
            if line.position <= sequence:
                again = _with(again, line)
                continue
            self._must_be_the_same(before, again)
            is_same = True
            yield text
        if not is_same:
            self._must_be_the_same(before, again)

    def _must_be_the_same(self, before: str, again: str) -> None:
        if before != again:
            raise Refused(
                f"what was read of the audit log for {self._name} before is not what is given now",
                rule="audit.restore",
                fix=f"give all of it, from its first entry; where that was done, drop the schema {self._name}, which"
                " holds what was read of another log, and restore again",
            )

    def _must_follow(self, line: Line, seen: dict[str, dict[str, int]]) -> None:
        """Raises Unreadable where something of a producer is missing between this and what came before."""
        epochs = seen.setdefault(line.producer, {})
        last = epochs.get(line.epoch)
        if last is None:
            # An epoch begins at the end of the one before, or further back: what its database forgot.
            begins = line.producer_position - 1
            if begins > max(epochs.values(), default=0) or (not epochs and begins):
                raise _hole(line, max(epochs.values(), default=0) + 1)
        elif line.producer_position != last + 1:
            raise _hole(line, last + 1)
        epochs[line.epoch] = line.producer_position

    def _kept(self, line: Line) -> Sequence[Put | Run]:
        event = self._wiring.codec.read_envelope(bytes(line.event))
        attributes = event.attributes
        if attributes.source != line.producer:
            raise Unreadable(f"entry {line.position} is {attributes.source}'s, and not {line.producer}'s")
        key = routing_key(event.type, attributes.partitionkey)
        is_heard = line.producer in self._service.hears
        writes: list[Put | Run] = []
        if is_heard:
            row = {"producer": line.producer, "epoch": line.epoch, "position": line.producer_position}
            writes.append(Put(table=tables.inbox_cursors, row=row))
        if line.producer == self._name or (is_heard and self._service.reaction.wants(key)):
            place = {"sequence": line.position, "epoch": line.epoch, "position": line.producer_position}
            recalled = self._row(event, **place)
            writes.append(Put(table=tables.recalled, row=recalled))
        return writes

    def _row(self, event: Event[Any], **place: Any) -> dict[str, Any]:
        attributes = event.attributes
        producer, key = attributes.source, routing_key(event.type, attributes.partitionkey)
        return {
            "id": attributes.id,
            "causation": attributes.causationid if producer == self._name else None,
            "producer": producer,
            "routing_key": key,
            "lane": self._service.reaction.lane(producer, key),
            "raw": event.raw,
            "is_done": False,
            **place,
        }

    async def _keep(self, writes: Sequence[Put | Run], before: int, sequence: int, read: Read) -> None:
        table = tables.restoring
        here = sa.update(table).where(table.c.phase == "reads", table.c.sequence == before)
        moved = here.values(sequence=sequence, seen=msgspec.json.encode(read))
        await self._commit(moved, *_last_of_each(writes))
        self._tell(Restored(phase="reads", position=sequence))

    # Its own log.

    async def _logs(self) -> None:
        """To the byte, at the positions and in the epochs that the audit log has them."""
        head = await self._store.head()
        epochs = await self._epochs()
        if not head.position and epochs:
            await self._store.take_up_epochs(epochs)
        position = head.position
        while rows := await self._own_behind(position, epochs):
            events = [self._wiring.codec.read_envelope(row.raw) for row in rows]
            unit = Unit(appends=tuple(again(event) for event in events))
            places = await self._store.commit(unit)
            if [each.position for each in places] != [row.position for row in rows]:
                raise Unreadable(f"the audit log has no position {position + 1} of {self._name}'s own log")
            position = rows[-1].position
            self._tell(Restored(phase="logs", position=rows[-1].sequence))
        relayed = Put(table=tables.relay_cursor, row={"log": EVENTS, "position": position})
        await self._move("logs", "rows", relayed)

    async def _epochs(self) -> list[tuple[str, int]]:
        """Its own, oldest first, with the position that each began after."""
        table = tables.recalled
        first = sa.func.min(table.c.position).label("first")
        query = sa.select(table.c.epoch, first).where(table.c.producer == self._name).group_by(table.c.epoch)
        rows = await self._store.rows(query.order_by(table.c.epoch))
        return [(row.epoch, row.first - 1) for row in rows]

    async def _own_behind(self, position: int, epochs: Sequence[tuple[str, int]]) -> Sequence[Any]:
        """What an epoch held behind the beginning of the next one was forgotten: others heard it, the service did not
        know of it any more."""
        if not epochs:
            return ()
        table = tables.recalled
        ends = [began_after for _, began_after in epochs[1:]] + [None]
        epoch, until = next(
            (
                (name, end)
                for (name, began_after), end in zip(epochs, ends, strict=True)
                if began_after <= position and (end is None or position < end)
            ),
            ("", None),
        )
        mine = sa.and_(table.c.producer == self._name, table.c.epoch == epoch, table.c.position > position)
        if until is not None:
            mine = sa.and_(mine, table.c.position <= until)
        return await self._store.rows(sa.select(table).where(mine).order_by(table.c.position).limit(AT_ONCE))

    # Its rows.

    async def _rows(self) -> None:
        """What it knew, from what it said and what it heard."""
        waiting = await self._store.rows(sa.select(tables.inbox.c.lane).distinct())
        self._left = {row.lane for row in waiting}
        await self._fold(sa.true())
        await self._move("rows", "ends")

    async def _fold(self, which: sa.ColumnElement[bool]) -> None:
        """Those of `which` that were read and are not folded yet."""
        table, at = tables.recalled, 0
        while True:
            query = sa.select(table).where(which, self._is_open(), table.c.sequence > at)
            rows = await self._store.rows(query.order_by(table.c.sequence).limit(AT_ONCE))
            if not rows:
                break
            entered: set[int] = set()
            for row in rows:
                await self._recall_after_its_cause(row, which, entered)
            at = rows[-1].sequence
            self._tell(Restored(phase="rows", position=at))
        self._clock.at = None

    async def _recall_after_its_cause(
        self, row: Any, which: sa.ColumnElement[bool], entered: set[int]
    ) -> None:
        """The audit log may have heard of what came of something before it heard of that; the service did not: what
        it said itself it knew first. So a cause, and what its producer said before it of the same project, comes first.
        """
        if row.sequence in entered:
            return
        entered.add(row.sequence)
        table = tables.recalled
        causation = self._wiring.codec.read_envelope(row.raw).attributes.causationid
        cause = sa.select(table).where(which, self._is_open(), table.c.id == causation)
        for found in await self._store.rows(cause) if causation else ():
            before = sa.and_(
                table.c.producer == found.producer,
                table.c.lane == found.lane,
                table.c.sequence <= found.sequence,
            )
            query = sa.select(table).where(which, self._is_open(), before).order_by(table.c.sequence)
            for each in await self._store.rows(query):
                await self._recall_after_its_cause(each, which, entered)
        await self._recall(row)

    def _is_open(self) -> sa.ColumnElement[bool]:
        return sa.not_(tables.recalled.c.is_done)

    async def _recall(self, row: Any) -> None:
        event = self._wiring.codec.read_envelope(row.raw)
        self._clock.at = moment(event.time)
        if row.producer == self._name and self._name not in self._service.hears:
            unit = await self._unit_of_own(row)
        else:
            heard = None if row.lane in self._left else await self._unit_of_heard(row)
            unit = self._leave(row) if heard is None else heard
        done = sa.update(tables.recalled).where(
            tables.recalled.c.sequence == row.sequence, sa.not_(tables.recalled.c.is_done)
        )
        await self._commit(done.values(is_done=True), *unit.writes, appends=unit.appends)

    async def _unit_of_own(self, row: Any) -> Unit:
        recalls = self._service.recalls
        if recalls is None or not recalls.wants(row.routing_key):
            return Unit()
        heard = self._heard(recalls.read(self._wiring, row.raw), row)
        work = _Recalling(self._wiring, self._name, Context.after(heard.event, self._name))
        await recalls([heard], work)
        return Unit(writes=work.unit().writes)

    async def _unit_of_heard(self, row: Any) -> Unit | None:
        """None: it is for the service to handle."""
        is_answered = bool(await self._answers(row.id))
        is_handled = is_answered or row.sequence <= await self._handled_up_to(row.producer, row.lane)
        try:
            outcome, work = await self._hear_again(row, is_handled=is_handled)
        except Unavailable:
            raise
        except PlacetError as error:
            log.warning("%s: %s is left to the service: %s", self._name, row.routing_key, error)
            return None
        if not isinstance(outcome, Done) or work.said:
            return None
        unit = work.unit()
        return Unit(
            appends=tuple(each for each in unit.appends if each.log != EVENTS),
            # What came of it is known; else the job is to be done still.
            writes=tuple(each for each in unit.writes if not (is_answered and is_job(each))),
        )

    async def _hear_again(self, row: Any, *, is_handled: bool) -> tuple[Outcome, UnitOfWork]:
        reaction, recalls = self._service.reaction, self._service.recalls
        if is_handled and recalls is not None and recalls.wants(row.routing_key):
            reaction = recalls
        heard = self._heard(reaction.read(self._wiring, row.raw), row)
        kind = _Recalling if is_handled else UnitOfWork
        work = kind(self._wiring, self._name, Context.after(heard.event, self._name))
        return await reaction([heard], work), work

    async def _answers(self, id: str) -> Sequence[Any]:
        mine = tables.recalled.c.causation == id
        return await self._store.rows(sa.select(tables.recalled.c.sequence).where(mine).limit(1))

    async def _handled_up_to(self, producer: str, lane: str) -> int:
        """The last that it is known to have reacted to: what came before of the same lane was handled in order."""
        known = self._handled.get((producer, lane))
        if known is None:
            heard, said = tables.recalled.alias("heard"), tables.recalled.alias("said")
            last = sa.func.coalesce(sa.func.max(heard.c.sequence), 0).label("last")
            query = sa.select(last).join(said, said.c.causation == heard.c.id)
            rows = await self._store.rows(query.where(heard.c.producer == producer, heard.c.lane == lane))
            known = self._handled[producer, lane] = int(rows[0].last)
        return known

    def _heard(self, event: Event[Any], row: Any) -> Heard[Any]:
        return Heard(event=event, epoch=row.epoch, position=row.position)

    def _leave(self, row: Any) -> Unit:
        self._left.add(row.lane)
        waiting = {
            "producer": row.producer,
            "epoch": row.epoch,
            "position": row.position,
            "routing_key": row.routing_key,
            "lane": row.lane,
            "raw": row.raw,
            "state": "waiting",
            "attempts": 0,
            "next_at": 0.0,
            "reason": None,
            "received_at": self._clock.now().timestamp(),
        }
        return Unit(writes=(Put(table=tables.inbox, row=waiting),))

    # The end.

    async def _ends(self) -> None:
        epochs = await self._store.epochs()
        known = {epoch for epoch, _ in await self._epochs()}
        if epochs[-1].epoch in known:  # else it never said anything, and began one when its database was made
            await self._store.begin_epoch()
        self._tell(Restored(phase="ends", position=await self._last(), left=await self._count_left()))
        # The next start of the service looks whether this is gone.
        await self._commit(sa.delete(tables.restoring), Run(statement=sa.delete(tables.recalled)))

    async def _last(self) -> int:
        rows = await self._store.rows(sa.select(tables.restoring.c.sequence))
        return int(rows[0].sequence) if rows else 0

    async def _count_left(self) -> int:
        waiting = sa.select(sa.func.count().label("rows")).select_from(tables.inbox)
        return int((await self._store.rows(waiting))[0].rows)


class _Recalling(UnitOfWork):
    """What came of it is in the log: nothing is decided anew, and whoever asks hears that nothing came of it."""

    async def decide(self, decider: Any, stream: str, command: Any) -> Sequence[Any]:
        await self.state(decider, stream)
        return ()

    def stage(self, stream: str, happened: Sequence[Any]) -> None:
        return

    def report(self, stream: str, payload: Any) -> None:
        return


async def must_not_be_half_restored(service: str, store: EventStore) -> None:
    """Raises Refused: a service that ran on what is there would say again what it said before."""
    if await store.rows(sa.select(tables.restoring)):
        raise Refused(
            f"the database of {service} is being restored, and that did not come to its end",
            fix=f"go on with it: `placet audit restore {service}` (embedded: with --data), or python -m"
            f" placet.{service} --restore FILE",
        )


def _line(text: bytes) -> Line:
    try:
        line = msgspec.json.decode(text, type=Line)
        canonical = rfc8785.dumps(msgspec.json.decode(line.event))
    except (
        msgspec.MsgspecError,
        rfc8785.CanonicalizationError,
        UnicodeDecodeError,
        RecursionError,
    ) as error:
        raise Unreadable(
            f"{text[:80]!r} is no entry of an audit log: {error}",
            fix="give GET /v1/audit/entries as application/jsonl, whole lines",
        ) from error
    if canonical != bytes(line.event):
        digest = hashlib.sha256(bytes(line.event)).hexdigest()
        raise Unreadable(
            f"the event at {line.position} (sha256 {digest}) is not as it was said: its bytes are not canonical",
            fix="`placet audit verify` names what was changed; restore from a copy that was not",
        )
    return line


def _with(digest: str, line: Line) -> str:
    return hashlib.sha256(digest.encode() + msgspec.json.encode(line)).hexdigest()


def _hole(line: Line, missing: int) -> Unreadable:
    return Unreadable(
        f"the audit log has no position {missing} of {line.producer} in epoch {line.epoch}, but"
        f" {line.producer_position}",
        fix="`placet audit verify` says whether it is so there, too; give all of the log",
    )


def again(event: Event[Any]) -> Append:
    return Append(stream=event.subject, expected=ANY_VERSION, events=(event,))


def is_job(write: Put | Run) -> bool:
    return isinstance(write, Put) and write.table in (tables.jobs, tables.job_turns)


def _last_of_each(writes: Sequence[Put | Run]) -> list[Put | Run]:
    """Of many moves of one cursor, the last."""
    moves = {
        each.row["producer"]: each
        for each in writes
        if isinstance(each, Put) and each.table is tables.inbox_cursors
    }
    rest = [each for each in writes if not (isinstance(each, Put) and each.table is tables.inbox_cursors)]
    return [*rest, *moves.values()]
