"""Windows out of counters that only grow: nothing is lost between two readings, and nothing told twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from placet.deployer.observations import (
    LEAST_ROWS,
    MOST,
    MOST_COLUMNS,
    Column,
    Counters,
    Seconds,
    Watched,
    Window,
    observe,
)
from placet.events.codec import MAX_EVENT_BYTES
from placet.events.contracts.deployer import ModelObserved
from placet.events.contracts.shapes import stability

REFERENCE = (100, 100, 100, 0)


def counters(
    requests: int = 0,
    *,
    refused: int = 0,
    failed: int = 0,
    seconds: Sequence[int] = (0, 0, 0),
    columns: Mapping[str, tuple[int, ...]] | None = None,
    started: float = 1.0,
) -> Counters:
    return Counters(
        started=started,
        requests=requests,
        refused=refused,
        failed=failed,
        rows=requests,
        seconds=Seconds(bounds=(0.001, 0.1), counts=tuple(seconds)),
        columns=tuple(
            Column(name=name, reference=REFERENCE, counts=counts) for name, counts in (columns or {}).items()
        ),
    )


def window(number: int = 1, release: int = 1) -> Window:
    return Window(
        project="churn",
        release=release,
        since=f"2026-01-01T00:0{number}",
        until=f"2026-01-01T00:0{number + 1}",
    )


def told(
    readings: Sequence[Counters], before: Watched | None = None
) -> tuple[list[ModelObserved], Watched | None]:
    said = []
    for number, reading in enumerate(readings):
        found = observe(window(number), {1: reading}, before)
        if found is not None:
            observed, before = found
            said.append(observed)
    return said, before


def test_what_replicas_counted_is_told_together() -> None:
    first, before = observe(window(0), {1: counters(10, failed=1), 2: counters(5)}, None) or (None, None)
    second, before = observe(window(1), {1: counters(12, failed=1)}, before) or (None, None)
    third, _ = observe(window(2), {1: counters(12, failed=1), 2: counters(9)}, before) or (None, None)

    told = [(each.requests, each.errors) for each in (first, second, third) if each is not None]
    assert told == [(15, 1), (2, 0), (4, 0)]


def test_a_window_is_what_came_between_two_readings() -> None:
    (first, second), _ = told(
        [
            counters(10, refused=2, failed=1, seconds=(6, 1, 0)),
            counters(25, refused=2, failed=4, seconds=(8, 10, 1)),
        ]
    )

    assert (first.requests, first.refused, first.errors) == (10, 2, 1)
    assert (second.requests, second.refused, second.errors) == (15, 0, 3)
    assert (first.p50_ms, first.p99_ms) == (1.0, 100.0)
    assert (second.p50_ms, second.p99_ms) == (100.0, 100.0)
    assert (second.since, second.until) == ("2026-01-01T00:01", "2026-01-01T00:02")


def test_who_is_asked_nothing_is_told_nothing_of() -> None:
    said, _ = told([counters(), counters(), counters(5, seconds=(5, 0, 0)), counters(5, seconds=(5, 0, 0))])

    assert [observed.requests for observed in said] == [5]


def test_of_what_was_only_refused_there_are_no_times() -> None:
    (observed,), _ = told([counters(3, refused=3)])

    assert (observed.p50_ms, observed.p99_ms, observed.drift) == (None, None, None)


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=12), st.sets(st.integers(0, 11))
)
def test_a_reading_that_is_missed_loses_nothing(steps: list[tuple[int, int]], missed: set[int]) -> None:
    readings, low, high = [], 0, 0
    for a, b in steps:
        low, high = low + a, high + b
        readings.append(counters(low + high, seconds=(low, high, 0), columns={"age": (low, high, 0, 0)}))
    read = [each for number, each in enumerate(readings) if number not in missed]

    said, _ = told(read)

    assert sum(observed.requests for observed in said) == (read[-1].requests if read else 0)
    drifts = [observed.drift for observed in said if observed.drift is not None]
    assert all(drift.rows >= LEAST_ROWS for drift in drifts)
    untold = sum(observed.rows for observed in said) - sum(drift.rows for drift in drifts)
    assert 0 <= untold < LEAST_ROWS


def test_drift_waits_for_rows_and_covers_all_since_it_was_told_last() -> None:
    (few, more, next_ones), _ = told(
        [
            counters(60, columns={"age": (20, 20, 20, 0)}),
            counters(120, columns={"age": (40, 40, 40, 0)}),
            counters(240, columns={"age": (40, 40, 160, 0)}),
        ]
    )

    assert few.drift is None
    assert more.drift is not None
    assert (more.drift.rows, more.drift.psi, more.drift.since) == (120, 0.0, "2026-01-01T00:00")
    assert next_ones.drift is not None
    assert next_ones.drift.since == "2026-01-01T00:02"
    assert next_ones.drift.psi > 3


def test_another_start_counts_from_nothing() -> None:
    said, _ = told(
        [
            counters(500, columns={"age": (0, 0, 500, 0)}),
            counters(200, started=2.0, columns={"age": (66, 67, 67, 0)}),
        ]
    )

    assert [observed.requests for observed in said] == [500, 200]
    assert said[1].drift is not None
    assert (said[1].drift.rows, said[1].drift.psi < 0.001) == (200, True)


@pytest.mark.parametrize(
    "after",
    [
        counters(9),
        counters(11, seconds=(4, 0, 0)),
        counters(11, seconds=(5, 0, 0), columns={"age": (4, 0, 0, 0)}),
        counters(11, seconds=(5, 0, 0), columns={"height": (5, 0, 0, 0)}),
        counters(11, seconds=(5, 0, 0), columns={}),
        counters(11, seconds=(5, 0), columns={"age": (5, 0, 0, 0)}),
        counters(11, seconds=(5, 0, 0), columns={"age": (5, 0, 0)}),
    ],
)
def test_a_model_that_contradicts_itself_is_taken_for_a_new_one(after: Counters) -> None:
    said, _ = told([counters(10, seconds=(5, 0, 0), columns={"age": (5, 0, 0, 0)}), after])

    assert said[1].requests == after.requests


def test_another_release_is_told_of_by_itself() -> None:
    _, before = told([counters(500)])

    found = observe(window(2, release=2), {1: counters(7)}, before)

    assert found is not None
    assert (found[0].release, found[0].requests, found[1].release) == (2, 7, 2)


def test_the_most_drifted_columns_are_named_and_all_others_are_not() -> None:
    columns = {f"c{number:03}": (100 + number, 100, 100 - number // 3, 0) for number in range(200)}

    (observed,), _ = told([counters(400, columns=columns)])

    assert observed.drift is not None
    assert (observed.drift.column, len(observed.drift.columns)) == ("c199", MOST_COLUMNS)
    assert observed.drift.psi == max(column.psi for column in observed.drift.columns)


def test_the_index_is_the_textbooks() -> None:
    assert stability((50, 50), (50, 50)) == 0
    assert stability((50, 50), (80, 20)) == pytest.approx(0.3 * 0.47 + 0.3 * 0.9163, abs=1e-4)
    assert stability((50, 50), ()) == stability((), (1, 2)) == stability((0, 0), (1, 2)) == 0
    assert stability((50, 50, 0), (50, 50, 0)) == 0


PARTS = st.lists(st.integers(0, 2**53), max_size=20).map(tuple)


@given(PARTS, PARTS)
def test_no_counts_surprise_the_index(reference: tuple[int, ...], counts: tuple[int, ...]) -> None:
    index = stability(reference, counts)

    assert isfinite(index)
    assert index >= 0 or len(reference) != len(counts)


@pytest.mark.parametrize(
    "lie",
    [
        {"requests": -1},
        {"requests": MOST + 1},
        {"requests": 1.5},
        {"started": None},
        {"columns": [{"name": "a" * 201, "reference": [], "counts": []}]},
        {"columns": [{"name": "a\nb", "reference": [], "counts": []}]},
        {"columns": [{"name": "a", "reference": [1] * 101, "counts": []}]},
        {"columns": [{"name": "a", "reference": [], "counts": []}] * 257},
        {"seconds": {"bounds": [-1], "counts": [1, 1]}},
    ],
)
def test_what_a_hostile_model_says_is_bounded(lie: dict[str, object]) -> None:
    honest = msgspec.to_builtins(counters(1))
    assert msgspec.json.decode(msgspec.json.encode(honest), type=Counters) == counters(1)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(honest | lie), type=Counters)


def test_whatever_a_model_may_say_an_event_can_hold() -> None:
    most = (MOST,) * 100
    parts = [
        {"name": f"{number:03}" + "\U0001f600" * 197, "reference": most, "counts": most}
        for number in range(256)
    ]
    lie = {"requests": MOST, "refused": MOST, "failed": MOST, "rows": MOST, "columns": parts}
    reading = msgspec.convert(msgspec.to_builtins(counters(1)) | lie, Counters)
    found = observe(window(), {1: reading}, None)
    assert found is not None

    raw = rfc8785.dumps(msgspec.to_builtins(found[0]))

    assert len(raw) < MAX_EVENT_BYTES - 2048  # which the envelope may take
