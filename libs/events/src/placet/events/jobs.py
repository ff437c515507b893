"""Long work: accepted as a row, leased by a worker, taken up by another when the lease runs out.

A build or a start never holds a message. The unit that accepts it also enqueues a job; a worker leases it,
renews the lease while it works, and ends it in the transaction that holds what it has to say. Whoever lost
the lease meanwhile finds the row gone or another's, and what it staged is not committed: effects in the log
happen once. Effects outside (a pushed blob, a started process) are the job's own to make repeatable.

Jobs of a kind are shared by who asked for them (`asker`): next is the oldest of the asker whose last turn is longest
ago, so that nobody waits for more turns than there are others, whatever anybody asks for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa
from opentelemetry import trace

from placet.errors import PlacetError, Unavailable, Unreadable
from placet.events import tables
from placet.events.leases import shared_now
from placet.events.logs import working_for
from placet.events.metrics import WORKED, outcome_of
from placet.events.outcome import (
    DONE,
    MAX_ATTEMPTS,
    Done,
    Outcome,
    Park,
    Retry,
    after_attempt,
    backoff,
    of_error,
    storable,
)
from placet.events.store import Claim, ClaimLost, Run, Unit
from placet.events.tasks import TaskGroup
from placet.events.traces import after
from placet.events.unit_of_work import Context, UnitOfWork, current_traceparent, transact
from placet.events.wiring import Wiring

Payload = TypeVar("Payload")

log = logging.getLogger(__name__)

LOOK_EVERY = 0.5
"""Seconds between looks for jobs of other replicas or whose time has come."""
GIVE_BACK_WITHIN = 2.0
"""Seconds to give a lease back; a database that hangs must not hold up an end, and the lease runs out by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job(Generic[Payload]):
    kind: str
    key: str
    payload: Payload
    context: Context
    attempts: int
    """How often it has been tried before."""
    asker: str
    """Whose turn it takes."""


Finish = Callable[[UnitOfWork], Awaitable[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker(Generic[Payload]):
    """How jobs of one kind are done.

    `run` does the long part and returns what is to be staged when it is over; that part runs in the unit that
    ends the job, and may run again after a conflict. `gave_up` is staged when the job is parked, so that
    whoever waits hears of it.
    """

    kind: str
    payload: type[Payload]
    run: Callable[[Job[Payload]], Awaitable[Finish]]
    gave_up: Callable[[Job[Payload], str], Finish]
    slots: int = 2


class JobRunner:
    """Runs one worker's jobs in this process. `owner` names the process and must be its own."""

    def __init__(
        self,
        service: str,
        wiring: Wiring,
        worker: Worker[Any],
        *,
        owner: str,
        lease: float,
        look_every: float = LOOK_EVERY,
    ) -> None:
        self._service = service
        self._wiring = wiring
        self._worker = worker
        self._owner = owner
        self._lease = lease
        self._look_every = look_every
        self._keys: set[str] = set()
        self._is_unsure = False
        self._ended = asyncio.Event()
        self._whose_turn = self._build_whose_turn()

    @property
    def running(self) -> int:
        return len(self._keys)

    async def run(self) -> None:
        """Take jobs until cancelled; then running ones are cancelled and their leases given back."""
        try:
            await self._take_and_run()
        finally:
            if self._is_unsure:
                # A taking of which nobody heard the end may have come to it all the same: we would have a lease.
                every = tables.jobs.c.kind == self._worker.kind, tables.jobs.c.leased_by == self._owner
                await asyncio.shield(asyncio.ensure_future(self._free(sa.and_(*every))))

    async def _take_and_run(self) -> None:
        loop = asyncio.get_running_loop()
        async with TaskGroup() as tasks:
            while True:
                while self.running >= self._worker.slots:
                    self._ended.clear()
                    await self._ended.wait()
                held_until = loop.time() + self._lease
                seen = self._wiring.store.committed.count
                was_unsure, self._is_unsure = self._is_unsure, True
                try:
                    job = await self._take()
                except Unavailable as error:
                    log.warning("%s: %s jobs wait: %s", self._service, self._worker.kind, error)
                    await asyncio.sleep(self._look_every)
                    continue
                self._is_unsure = was_unsure
                if job is None:
                    await self._wiring.store.committed.wait(self._look_every, after=seen)
                    continue
                self._keys.add(job.key)
                tasks.create_task(self._run(job, held_until), name=f"{self._service} {job.kind} {job.key}")

    async def _take(self) -> Job[Any] | None:
        """The next job, leased. Whoever was quicker took a turn with it, so who is next is looked up again."""
        while (row := await self._next()) is not None:
            job = self._read(row)
            now, turns = self._now(), tables.job_turns
            values: dict[str, Any] = {"leased_by": self._owner, "leased_until": now + self._lease}
            writes: tuple[Run, ...] = ()
            if isinstance(job, Unreadable):
                # Nobody can give it up properly either, since that takes its payload: it stays, and is looked at again.
                log.error("%s: %s", self._service, job)
                attempts = row.attempts + 1
                values = {
                    "attempts": attempts,
                    "next_at": now + backoff(attempts),
                    "reason": storable(str(job)),
                }
            else:
                taken = sa.and_(turns.c.kind == row.kind, turns.c.asker == row.asker)
                writes = (Run(statement=sa.update(turns).where(taken).values(last=self._next_turn())),)
            is_due = self._is_due(now, sorted(self._keys))
            # Asked for anew between the look and the taking, it would be done as it was asked for before.
            is_as_read = sa.and_(
                tables.jobs.c.key == row.key,
                tables.jobs.c.attempts == row.attempts,
                tables.jobs.c.payload == row.payload,
                tables.jobs.c.context == row.context,
            )
            take = sa.update(tables.jobs).where(is_due, is_as_read).values(**values)
            try:
                await self._wiring.store.commit(Unit(claims=(Claim(statement=take),), writes=writes))
            except ClaimLost:
                continue
            if isinstance(job, Job):
                return job
        return None

    async def _next(self) -> sa.Row[Any] | None:
        """The job whose turn it is."""
        values = {"now": self._wiring.clock.now().timestamp(), "ours": sorted(self._keys)}
        rows = await self._wiring.store.rows(self._whose_turn, values)
        return rows[0] if rows else None

    def _build_whose_turn(self) -> sa.Select[Any]:
        """Each asker's oldest is found by index: how much anybody asked for costs nobody. To build it takes longer than
        to ask it, which is done twice a second for as long as the service runs."""
        jobs, turns = tables.jobs, tables.job_turns
        is_due = self._is_due(shared_now("now"), sa.bindparam("ours", expanding=True))
        oldest = (
            sa.select(jobs.c.next_at)
            .where(is_due, jobs.c.asker == turns.c.asker)
            .order_by(jobs.c.next_at)
            .limit(1)
            .correlate(turns)
            .scalar_subquery()
        )
        whose = (
            sa.select(turns.c.asker, turns.c.last, oldest.label("since"))
            .where(turns.c.kind == self._worker.kind)
            .subquery()
        )
        first = (
            sa.select(whose.c.asker)
            .where(whose.c.since.is_not(None))
            .order_by(whose.c.last, whose.c.since, whose.c.asker)
            .limit(1)
            .scalar_subquery()
        )
        query = sa.select(jobs).where(is_due, jobs.c.asker == first)
        return query.order_by(jobs.c.next_at, jobs.c.key).limit(1)

    def _is_due(self, now: shared_now, ours: Any) -> sa.ColumnElement[bool]:
        table = tables.jobs
        # A lease far in the future was taken before a clock was set back: nobody holds one for so long.
        is_free = sa.or_(table.c.leased_until <= now, table.c.leased_until > now + 10 * self._lease)
        # One of ours is so only if a busy loop renewed it too late, or it was asked for again meanwhile.
        is_another = table.c.key.not_in(ours)
        return sa.and_(table.c.kind == self._worker.kind, table.c.next_at <= now, is_free, is_another)

    def _next_turn(self) -> sa.ScalarSelect[Any]:
        turns = tables.job_turns.alias()
        last = sa.func.coalesce(sa.func.max(turns.c.last), 0)
        return sa.select(last + 1).where(turns.c.kind == self._worker.kind).scalar_subquery()

    def _read(self, row: sa.Row[Any]) -> Job[Any] | Unreadable:
        try:
            return Job(
                kind=row.kind,
                key=row.key,
                payload=msgspec.json.decode(row.payload, type=self._worker.payload),
                context=msgspec.json.decode(row.context, type=Context),
                attempts=row.attempts,
                asker=row.asker,
            )
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return Unreadable(
                f"the job {row.kind} {row.key} was written by another version of this service: {error}",
                fix="go back to that version, or on to one that reads it",
            )

    async def _run(self, job: Job[Any], held_until: float) -> None:
        try:
            with working_for(job.context):
                async with TaskGroup() as tasks:
                    renewing = tasks.create_task(self._renew(job, held_until))
                    await self._do(job)
                    renewing.cancel()
        except* _LeaseLost:
            log.warning(
                "%s: %s %s was asked for again or taken over; this run of it ends",
                self._service,
                job.kind,
                job.key,
            )
        except* Unavailable as errors:
            log.warning(
                "%s: %s %s waits for its lease: %s", self._service, job.kind, job.key, errors.exceptions[0]
            )
        finally:
            self._keys.discard(job.key)
            self._ended.set()

    async def _do(self, job: Job[Any]) -> None:
        outcome: Outcome = DONE
        began = time.perf_counter()
        try:
            with self._wiring.tracer.start_as_current_span(
                f"{self._service} {job.kind}",
                context=after(job.context.traceparent),
                kind=trace.SpanKind.CONSUMER,
                attributes={
                    "placet.project": job.context.project,
                    "placet.operation": job.context.correlation,
                    "placet.job": job.key,
                    "placet.attempt": job.attempts + 1,
                },
            ):
                finish = await self._worker.run(job)
                told = msgspec.structs.replace(
                    job.context, traceparent=current_traceparent() or job.context.traceparent
                )
                await transact(self._wiring, self._service, told, finish, self._claim(job))
        except asyncio.CancelledError:
            await asyncio.shield(asyncio.ensure_future(self._free(self._is_mine(job))))
            raise
        except ClaimLost as error:
            raise _LeaseLost from error
        except PlacetError as error:
            outcome = of_error(error)
        except Exception as error:
            log.exception("%s: %s %s failed", self._service, job.kind, job.key)
            # What a job is given up with becomes an event: a traceback would stay in the log of all logs for ever.
            reason = f"an unexpected {type(error).__name__}; the {self._service}'s own log says more"
            outcome = Retry(after=None, reason=reason)
        WORKED.labels(self._service, job.kind, outcome_of(outcome)).observe(time.perf_counter() - began)
        if not isinstance(outcome, Done):
            try:
                await self._put_aside(job, after_attempt(outcome, job.attempts + 1))
            except ClaimLost as error:
                raise _LeaseLost from error

    async def _put_aside(self, job: Job[Any], outcome: Retry | Park) -> None:
        if job.attempts + 1 >= MAX_ATTEMPTS and isinstance(outcome, Retry):
            # A message may wait for a database for days; somebody waits for a job.
            outcome = Park(reason=outcome.reason)
        # It may quote anything (a file's name, a tool's output), and is to fit into a row and an event.
        reason = storable(outcome.reason)
        match outcome:
            case Retry(after=after):
                log.info(
                    "%s: %s %s again in %.1f s: %s", self._service, job.kind, job.key, after or 0.0, reason
                )
                await self._put_back(job, after or 0.0, reason)
            case Park():
                log.error("%s: gave up %s %s: %s", self._service, job.kind, job.key, reason)
                await self._give_up(job, reason)

    async def _put_back(self, job: Job[Any], after: float, reason: str) -> None:
        values = {"attempts": job.attempts + 1, "next_at": self._now() + after, "reason": reason}
        again = sa.update(tables.jobs).where(self._is_mine(job))
        again = again.values(leased_by=None, leased_until=0.0, **values)
        await self._wiring.store.commit(Unit(claims=(Claim(statement=again),)))

    async def _give_up(self, job: Job[Any], reason: str) -> None:
        """Say that it is given up. Where even that fails the job stays, or each start would end in the same way."""
        try:
            finish = self._worker.gave_up(job, reason)
            await transact(self._wiring, self._service, job.context, finish, self._claim(job))
        except (ClaimLost, Unavailable):
            raise
        except Exception as error:
            log.exception("%s: %s %s cannot be given up and stays", self._service, job.kind, job.key)
            stays = storable(f"cannot be given up, {type(error).__name__}: {error}; given up for: {reason}")
            await self._put_back(job, backoff(job.attempts + 1), stays)

    async def _renew(self, job: Job[Any], held_until: float) -> None:
        """Keep the lease. Losing it, or not being able to renew it in time, ends the work.

        `held_until` is in the event loop's time, and counted from before the database was asked: it may answer late.
        """
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._lease / 3)
            asked_at = loop.time()
            until = self._now() + self._lease
            renewed = sa.update(tables.jobs).where(self._is_mine(job)).values(leased_until=until)
            try:
                async with asyncio.timeout_at(held_until):
                    await self._wiring.store.commit(Unit(claims=(Claim(statement=renewed),)))
                held_until = asked_at + self._lease
            except ClaimLost as error:
                raise _LeaseLost from error
            except TimeoutError as error:
                raise Unavailable("the database does not answer") from error
            except Unavailable:
                if loop.time() + self._lease / 3 >= held_until:
                    raise

    async def _free(self, which: sa.ColumnElement[bool]) -> None:
        """Give leases of ours back."""
        free = sa.update(tables.jobs).where(which).values(leased_by=None, leased_until=0.0)
        try:
            async with asyncio.timeout(GIVE_BACK_WITHIN):
                await self._wiring.store.commit(Unit(writes=(Run(statement=free),)))
        except (Unavailable, TimeoutError):
            return  # the lease runs out by itself

    def _claim(self, job: Job[Any]) -> Claim:
        return Claim(statement=sa.delete(tables.jobs).where(self._is_mine(job)))

    def _is_mine(self, job: Job[Any]) -> sa.ColumnElement[bool]:
        table = tables.jobs
        return sa.and_(table.c.kind == job.kind, table.c.key == job.key, table.c.leased_by == self._owner)

    def _now(self) -> shared_now:
        return shared_now(self._wiring.clock.now())


class _LeaseLost(Exception):
    """Somebody else answers for this job now."""
