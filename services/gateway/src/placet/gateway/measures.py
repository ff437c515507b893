"""What the gateway tells of models, certificates and operations to who watches the platform."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from prometheus_client import Histogram

from placet.events import Clock
from placet.events.codec import moment, timestamp
from placet.events.metrics import Measure, Samples
from placet.gateway import projections as p
from placet.gateway.operations import PATHS, Operation
from placet.gateway.ports import Reads

_SECONDS = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 86400.0)

STEPS = Histogram(
    "placet_step_seconds",
    "from the step before to this one, by the times of the events that say so",
    ("command", "step"),
    buckets=_SECONDS,
    registry=None,
)
OPERATIONS = Histogram(
    "placet_operation_seconds",
    "from the request to its end, or to where people are waited for",
    ("command", "state"),
    buckets=_SECONDS,
    registry=None,
)
_STANDINGS = ("valid", "expired", "suspended", "revoked")


def begin() -> None:
    """Every end that there can be is told of from the start, as none: of a series that begins with 1 Prometheus sees no
    increase, and the first operation that stalls is what somebody waits for."""
    for command, path in PATHS.items():
        for state in ("refused", "failed", "stalled", path[-1]):
            OPERATIONS.labels(command, state)


def count(before: Operation, after: Operation) -> None:
    """What an event, or silence, moved on: the steps that were reached by it, and the end."""
    for step in after.path:
        if step in after.reached and step not in before.reached:
            STEPS.labels(after.command, step).observe(_since_the_one_before(after, step))
    is_lifted = before.state == "stalled" != after.state
    if after.is_over and (is_lifted or not before.is_over):
        at = after.end.at if after.end is not None else max(at for at, _ in after.reached.values())
        OPERATIONS.labels(after.command, after.state).observe(_between(after.reached["requested"][0], at))


def _since_the_one_before(operation: Operation, step: str) -> float:
    """Events of several services come in any order: a step that was told of later may have been reached before."""
    at, _ = operation.reached[step]
    earlier = [when for name, (when, _) in operation.reached.items() if name != step and when <= at]
    return _between(max(earlier), at) if earlier else 0.0


def _between(since: str, until: str) -> float:
    return max(0.0, (moment(until) - moment(since)).total_seconds())


def measures(reads: Reads, clock: Clock) -> Iterable[Measure]:
    async def models() -> Samples:
        rows = await reads.rows(
            sa.select(p.models.c.state, sa.func.count().label("many")).group_by(p.models.c.state)
        )
        return [((row.state,), row.many) for row in rows]

    yield Measure(
        name="placet_models", help="projects by what became of their model", labels=("state",), read=models
    )

    async def diverged() -> Samples:
        is_it = sa.and_(p.models.c.state == "live", p.models.c.diverged.is_not(None))
        (row,) = await reads.rows(sa.select(sa.func.count().label("many")).where(is_it))
        return [((), row.many)]

    yield Measure(
        name="placet_models_diverged", help="live models that do not run as they should", read=diverged
    )

    async def certificates() -> Samples:
        c, now = p.certificates.c, timestamp(clock.now())
        stands = sa.case((c.not_after > now, "valid"), else_="expired")
        standing: Any = sa.func.coalesce(c.standing, stands).label("stands")
        many = sa.func.count().label("many")
        # By its name: with the moment in it twice, PostgreSQL takes it for two.
        rows = await reads.rows(sa.select(standing, many).group_by("stands"))
        found = dict.fromkeys(_STANDINGS, 0) | {row.stands: row.many for row in rows}
        return [((name,), many) for name, many in found.items()]

    yield Measure(
        name="placet_certificates",
        help="certificates by how they stand",
        labels=("state",),
        read=certificates,
    )

    async def expiry() -> Samples:
        serves = sa.and_(p.models.c.certificate == p.certificates.c.certificate, p.models.c.state == "live")
        first = sa.func.min(p.certificates.c.not_after).label("first")
        (row,) = await reads.rows(sa.select(first).join_from(p.models, p.certificates, serves))
        return [] if row.first is None else [((), (moment(row.first) - clock.now()).total_seconds())]

    yield Measure(
        name="placet_serving_certificate_expires_seconds",
        help="until the first certificate lapses that a model serves on",
        read=expiry,
    )

    is_under_way = ~p.operations.c.is_over

    async def under_way() -> Samples:
        (row,) = await reads.rows(sa.select(sa.func.count().label("many")).where(is_under_way))
        return [((), row.many)]

    yield Measure(
        name="placet_operations_under_way",
        help="operations that are neither over nor wait for people",
        read=under_way,
    )

    async def silence() -> Samples:
        (row,) = await reads.rows(
            sa.select(sa.func.min(p.operations.c.heard_at).label("at")).where(is_under_way)
        )
        return [((), 0.0 if row.at is None else max(0.0, clock.now().timestamp() - row.at))]

    yield Measure(
        name="placet_operation_silence_seconds",
        help="since anything was heard of the operation under way that is silent for the longest",
        read=silence,
    )

    async def approvals() -> Samples:
        waits = sa.select(sa.func.count().label("many")).where(p.awaited.c.state == "awaiting")
        (row,) = await reads.rows(waits)
        return [((), row.many)]

    yield Measure(name="placet_approvals_awaited", help="releases that wait for people", read=approvals)
