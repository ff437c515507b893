"""What the deployer tells of room and of what runs to who watches the platform."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import sqlalchemy as sa
from prometheus_client import Counter, Gauge

from placet.deployer import projections as p
from placet.deployer import queries
from placet.deployer.placements import Placements
from placet.deployer.vigil import CERTIFIER
from placet.events import Clock
from placet.events.codec import moment
from placet.events.contracts.deployer import ModelObserved
from placet.events.metrics import Measure, Samples, disk

_OF_A_MODEL = ("project", "release")

MODEL_REQUESTS = Counter(
    "placet_model_observed_requests",
    "requests that models answered, as the deployer read it from them; ok, refused (no good) or failed",
    (*_OF_A_MODEL, "outcome"),
    registry=None,
)
MODEL_SECONDS = Gauge(
    "placet_model_answer_seconds",
    "an upper bound of how long a model took to answer, in the last window in which it was asked",
    (*_OF_A_MODEL, "quantile"),
    registry=None,
)
MODEL_DRIFT = Gauge(
    "placet_model_drift",
    "the largest population stability index of a model's columns, as told last",
    _OF_A_MODEL,
    registry=None,
)


def count(observed: ModelObserved) -> None:
    named = (observed.project, str(observed.release))
    answered = observed.requests - observed.refused - observed.errors
    for outcome, many in (("ok", answered), ("refused", observed.refused), ("failed", observed.errors)):
        MODEL_REQUESTS.labels(*named, outcome).inc(max(0, many))
    for quantile, milliseconds in (("0.5", observed.p50_ms), ("0.99", observed.p99_ms)):
        if milliseconds is not None:
            MODEL_SECONDS.labels(*named, quantile).set(milliseconds / 1000)
    if observed.drift is not None:
        MODEL_DRIFT.labels(*named).set(observed.drift.psi)


def forget(gone: Collection[tuple[str, int]]) -> None:
    """Of releases that serve no more there is nothing to be seen any more."""
    for project, release in gone:
        named = (project, str(release))
        for outcome in ("ok", "refused", "failed"):
            _remove(MODEL_REQUESTS, *named, outcome)
        for quantile in ("0.5", "0.99"):
            _remove(MODEL_SECONDS, *named, quantile)
        _remove(MODEL_DRIFT, *named)


def _remove(metric: Counter | Gauge, *labels: str) -> None:
    try:
        metric.remove(*labels)
    except KeyError:
        return  # it was never told of


def measures(placements: Placements, clock: Clock, folder: Path) -> Iterable[Measure]:
    reads = placements.reads

    async def room() -> Samples:
        found, _ = await queries.room(reads, placements.total)
        return [
            ((resource, state), float(getattr(amount, resource)))
            for state, amount in (("total", found.total), ("free", found.free))
            for resource in ("cpu_millis", "memory_bytes", "gpus")
        ]

    yield Measure(
        name="placet_room",
        help="what models may use, and what is free of it",
        labels=("resource", "state"),
        read=room,
    )

    async def queue() -> Samples:
        (row,) = await reads.rows(sa.select(sa.func.count().label("many")).where(~p.queued.c.is_over))
        return [((), row.many)]

    yield Measure(name="placet_room_queue", help="requests that wait for room", read=queue)

    async def replicas() -> Samples:
        c = p.holdings.c
        wanted, ready = sa.func.sum(c.replicas).label("wanted"), sa.func.sum(c.ready).label("ready")
        (row,) = await reads.rows(sa.select(wanted, ready).where(c.is_live | c.is_canary))
        return [(("wanted",), float(row.wanted or 0)), (("ready",), float(row.ready or 0))]

    yield Measure(
        name="placet_replicas", help="of live models and canaries", labels=("state",), read=replicas
    )

    async def silence() -> Samples:
        query = sa.select(p.signs_of_life.c.at).where(p.signs_of_life.c.producer == CERTIFIER)
        rows = await reads.rows(query)
        return [((), max(0.0, (clock.now() - moment(row.at)).total_seconds())) for row in rows]

    yield Measure(
        name="placet_certifier_silence_seconds",
        help="since the certifier was heard of, without which models are taken off their routes in the end",
        read=silence,
    )
    yield disk(folder)
