"""What a model's counters tell of a window: how much it was asked, how it answered, how far its inputs drifted.

A model counts from its start on, so a window is the difference of two readings, and a reading that was missed only
makes the next window longer. Counters of another start, or smaller ones, are a new life: they count from zero, and
what the former life counted after its last reading is lost. Pure: no clock, no I/O.

Drift is the population stability index of each column against the reference in the image: the sum over its parts of
(p - q) ln(p / q). It says little of few rows, so it is told once `LEAST_ROWS` have come, over as many windows as that
takes. What a model counts is its own word: it is other people's code, and bounded here in all it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec

from placet.events.contracts.deployer import ModelObserved
from placet.events.contracts.shapes import ColumnDrift, ColumnParts, Drift, stability

LEAST_ROWS = 100
MOST_COLUMNS = 50
"""Named in an event, the most drifted first; all count for its maximum."""
PARTS_BYTES = 20_000
"""Of the columns' counts in an event, which holds 64 KiB."""

MOST = 2**40
"""Of anything. An event holds no whole number beyond 2**53, and what is told adds a hundred parts up."""

Count = Annotated[int, msgspec.Meta(ge=0, le=MOST)]
Counts = Annotated[tuple[Count, ...], msgspec.Meta(max_length=100)]
Name = Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f\ud800-\udfff]*$")]


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows fell into each of its parts: of the reference, and of what was asked."""

    name: Name
    reference: Counts
    counts: Counts


class Seconds(msgspec.Struct, frozen=True, kw_only=True):
    """How many answers took no longer than each bound; the last count is of those that took longer than all."""

    bounds: Annotated[tuple[Annotated[float, msgspec.Meta(ge=0, le=1e6)], ...], msgspec.Meta(max_length=100)]
    counts: Annotated[tuple[Count, ...], msgspec.Meta(max_length=101)]


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """What a model counted since `started`."""

    started: float
    requests: Count
    refused: Count
    failed: Count
    rows: Count
    seconds: Seconds
    columns: Annotated[tuple[Column, ...], msgspec.Meta(max_length=256)]


Readings = Mapping[int, Counters]
"""By replica."""


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """How far a release that serves was told of: up to `until`, and of its drift up to `drift_until`."""

    release: int
    until: str
    counters: Readings
    drift_until: str
    drift_counters: Readings


@dataclass(frozen=True, kw_only=True)
class Window:
    """`since` is when the model was last looked at, `until` is now."""

    project: str
    release: int
    since: str
    until: str


def observe(
    window: Window, readings: Readings, before: Watched | None
) -> tuple[ModelObserved, Watched] | None:
    """What to say of the window, and how far it is told then. Nothing if nobody asked the model anything.

    A replica that was not read counts for a later window.
    """
    if before is not None and before.release != window.release:
        before = None
    told = before.counters if before else {}
    new = together(since(each, told.get(number)) for number, each in readings.items())
    if new is None or new.requests == 0:
        return None
    drift_since = before.drift_until if before else window.since
    drift_before = before.drift_counters if before else {}
    drifted = together(since(each, drift_before.get(number)) for number, each in readings.items())
    drift = None if drifted is None else _drift(drifted, drift_since)
    observed = ModelObserved(
        project=window.project,
        release=window.release,
        since=window.since,
        until=window.until,
        requests=new.requests,
        refused=new.refused,
        errors=new.failed,
        rows=new.rows,
        p50_ms=_milliseconds(new.seconds, 0.5),
        p99_ms=_milliseconds(new.seconds, 0.99),
        drift=drift,
    )
    watched = Watched(
        release=window.release,
        until=window.until,
        counters={**told, **readings},
        drift_until=window.until if drift else drift_since,
        drift_counters={**drift_before, **readings} if drift else drift_before,
    )
    return observed, watched


def together(counted: Iterable[Counters]) -> Counters | None:
    """Of several replicas. They are of one image, so they count alike; of one that does not, what is told apart by
    bounds and parts is left out. None of none."""
    total: Counters | None = None
    for each in counted:
        total = each if total is None else _sum(total, each)
    return total


def _sum(total: Counters, each: Counters) -> Counters:
    same_times = _bounds(total) == _bounds(each)
    same_columns = [_form(column) for column in total.columns] == [_form(column) for column in each.columns]
    return Counters(
        started=max(total.started, each.started),
        requests=total.requests + each.requests,
        refused=total.refused + each.refused,
        failed=total.failed + each.failed,
        rows=total.rows + each.rows,
        seconds=Seconds(bounds=total.seconds.bounds, counts=_more(total.seconds.counts, each.seconds.counts))
        if same_times
        else total.seconds,
        columns=tuple(
            msgspec.structs.replace(mine, counts=_more(mine.counts, theirs.counts))
            for mine, theirs in zip(total.columns, each.columns, strict=True)
        )
        if same_columns
        else total.columns,
    )


def since(counters: Counters, before: Counters | None) -> Counters:
    """What was counted since `before`, or since the start of another life."""
    if before is None or not _goes_on(counters, before):
        return counters
    return Counters(
        started=counters.started,
        requests=counters.requests - before.requests,
        refused=counters.refused - before.refused,
        failed=counters.failed - before.failed,
        rows=counters.rows - before.rows,
        seconds=Seconds(
            bounds=counters.seconds.bounds, counts=_less(counters.seconds.counts, before.seconds.counts)
        ),
        columns=tuple(
            msgspec.structs.replace(now, counts=_less(now.counts, then.counts))
            for now, then in zip(counters.columns, before.columns, strict=True)
        ),
    )


def _goes_on(counters: Counters, before: Counters) -> bool:
    """Whether it is the same life, in which nothing ever gets less."""
    pairs = zip(_every(counters), _every(before), strict=False)
    return (
        counters.started == before.started
        and _bounds(counters) == _bounds(before)
        and [_form(each) for each in counters.columns] == [_form(each) for each in before.columns]
        and all(now >= then for now, then in pairs)
    )


def _form(column: Column) -> tuple[str, Counts, int]:
    return column.name, column.reference, len(column.counts)


def _every(counters: Counters) -> Iterator[int]:
    yield from (counters.requests, counters.refused, counters.failed, counters.rows)
    yield from counters.seconds.counts
    for column in counters.columns:
        yield from column.counts


def _bounds(counters: Counters) -> tuple[tuple[float, ...], int]:
    return counters.seconds.bounds, len(counters.seconds.counts)


def _more(one: Counts, other: Counts) -> Counts:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _less(now: Counts, then: Counts) -> Counts:
    return tuple(a - b for a, b in zip(now, then, strict=True))


def _milliseconds(seconds: Seconds, share: float) -> float | None:
    """No fewer than this share of the answers took no longer; the last bound stands for all that is beyond."""
    left = share * sum(seconds.counts)
    if left == 0 or not seconds.bounds:
        return None
    for bound, count in zip(seconds.bounds, seconds.counts, strict=False):
        left -= count
        if left <= 0:
            return round(bound * 1000, 3)
    return round(seconds.bounds[-1] * 1000, 3)


def _drift(counters: Counters, begun: str) -> Drift | None:
    rows = max((sum(column.counts) for column in counters.columns), default=0)
    if rows < LEAST_ROWS:
        return None
    columns = [
        ColumnDrift(column=column.name, psi=round(stability(column.reference, column.counts), 4))
        for column in counters.columns
    ]
    columns.sort(key=lambda each: (-each.psi, each.column))
    return Drift(
        since=begun,
        rows=rows,
        psi=columns[0].psi,
        column=columns[0].column,
        columns=tuple(columns[:MOST_COLUMNS]),
        parts=tuple(_parts(counters.columns)),
    )


def _parts(columns: Iterable[Column]) -> Iterator[ColumnParts]:
    """In the model's order, however they drift, so that the windows that are added up have the same columns. Of the
    last few, where there are very many, those of some windows alone: long counts take the room of a column more."""
    left = PARTS_BYTES
    for column in columns:
        parts = ColumnParts(column=column.name, reference=column.reference, counts=column.counts)
        left -= len(msgspec.json.encode(parts))
        if left < 0:
            return
        yield parts
