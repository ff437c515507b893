"""Windows that are added up, compared with a limit, and kept again only below another one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from placet.certifier.conditions import (
    HOUR,
    SLICES,
    Watched,
    broken,
    facts,
    heard,
    in_words,
    measured,
    on_trial,
    settled,
    watched,
)
from placet.events.codec import timestamp
from placet.events.contracts.deployer import ModelObserved
from placet.events.contracts.shapes import ColumnDrift, ColumnParts, Condition, Drift, Measured

START = datetime(2026, 1, 1, tzinfo=UTC)
ERRORS = Condition(
    metric="errors", max=0.1, recovery=0.05, window=3600, min_samples=100, action="suspend", retry_after=600
)
PSI = Condition(metric="psi", max=0.2, recovery=0.1, window=3600, min_samples=200, action="suspend")
REFERENCE = (100, 100)


def observed(
    minute: float,
    *,
    requests: int = 100,
    errors: int = 0,
    refused: int = 0,
    ages: tuple[int, ...] | None = None,
    **columns: tuple[int, ...],
) -> ModelObserved:
    until = START + timedelta(minutes=minute)
    columns |= {"age": ages} if ages else {}
    return ModelObserved(
        project="churn",
        release=1,
        since=timestamp(until - timedelta(minutes=1)),
        until=timestamp(until),
        requests=requests,
        refused=refused,
        errors=errors,
        rows=requests,
        p50_ms=1.0,
        p99_ms=2.0,
        drift=Drift(
            since=timestamp(until),
            rows=requests,
            psi=9.0,
            column="age",
            columns=(ColumnDrift(column="age", psi=9.0),),
            parts=tuple(
                ColumnParts(column=name, reference=REFERENCE, counts=counts)
                for name, counts in columns.items()
            ),
        )
        if columns
        else None,
    )


def after(conditions: Condition | tuple[Condition, ...], *windows: ModelObserved) -> Watched:
    """Each window judged as it comes."""
    of = watched(conditions if isinstance(conditions, tuple) else (conditions,))
    for window in windows:
        of = settled(heard(of, window) or of)
    return of


def only(of: Watched) -> Measured | None:
    (watch,) = of.watches
    return measured(watch)


def value(of: Watched) -> float | None:
    found = only(of)
    return found.value if found else None


def test_a_share_is_one_of_all_requests_in_the_window() -> None:
    few = observed(1, requests=60, errors=6)
    assert value(after(ERRORS, few)) is None, "of 60 nothing is said"
    found = only(after(ERRORS, few, observed(2, requests=140, errors=24)))
    assert found == Measured(metric="errors", value=0.15, limit=0.05, window=3600, samples=200)
    refusals = msgspec.structs.replace(ERRORS, metric="refusals")
    assert value(after(refusals, observed(1, refused=30, errors=1))) == 0.3


def test_drift_is_that_of_all_rows_of_a_column_and_not_a_mean_of_small_windows() -> None:
    """Two windows of the same hundred rows each drift by themselves, and together they do not."""
    one, other = observed(1, ages=(80, 20)), observed(2, ages=(20, 80))
    assert value(after(PSI, one)) is None
    assert value(after(PSI, one, other)) == 0
    found = only(after(PSI, one, observed(2, ages=(80, 20), height=(55, 45))))
    assert found is not None
    assert (found.column, found.samples, found.value > 0.2) == ("age", 200, True)


def test_what_left_the_window_counts_no_more() -> None:
    bad, good = observed(1, errors=100), [observed(minute) for minute in (30, 62, 64)]
    assert value(after(ERRORS, bad, good[0])) == 0.5
    assert value(after(ERRORS, bad, *good)) == 0


@pytest.mark.parametrize("minutes", [0, -1, -600])
def test_an_older_window_or_the_same_again_changes_nothing(minutes: float) -> None:
    of = after(ERRORS, observed(600, errors=50))
    assert heard(of, observed(600 + minutes)) is None


def test_what_was_not_kept_is_kept_again_only_at_its_recovery() -> None:
    of = after(ERRORS, observed(1, errors=11))
    assert (of.watches[0].is_broken, of.watches[0].limit) == (True, 0.05)
    of = settled(heard(of, observed(120, errors=8)) or of)
    assert broken(of, "suspend") != (), "under max, and over recovery"
    of = settled(heard(of, observed(240, errors=5)) or of)
    assert (broken(of, "suspend"), of.watches[0].limit) == ((), 0.1)
    of = settled(heard(of, observed(360, errors=8)) or of)
    assert broken(of, "suspend") == (), "over recovery, and never over max since"


def test_too_few_samples_leave_what_was_judged_as_it_was() -> None:
    of = after(ERRORS, observed(1, errors=50))
    of = settled(heard(of, observed(120, requests=5)) or of)
    assert of.watches[0].is_broken
    shown = facts(of, project="churn", now="", at=0.0)["monitoring"]["conditions"]
    assert shown == [{"metric": "errors", "action": "suspend", "limit": 0.05}], "without a value"
    kept = after(ERRORS, observed(1, requests=5))
    assert facts(kept, project="churn", now="", at=0.0)["monitoring"]["conditions"] == []


def test_on_trial_only_what_comes_now_counts_and_has_to_recover() -> None:
    of = on_trial(after((ERRORS, PSI), observed(1, errors=50, ages=(50, 50))))
    assert of.watches[0].slices == ()
    assert len(of.watches[1].slices) == 1, "what was kept goes on"
    of = settled(heard(of, observed(2, errors=8)) or of)
    assert [each.value for each in broken(of, "suspend")] == [0.08]


def test_who_never_says_when_to_try_again_leaves_it_to_people() -> None:
    def suspended(*conditions: Condition) -> Watched:
        of = after(conditions, observed(1, errors=50, ages=(200, 0), requests=200))
        return msgspec.structs.replace(of, suspended_at=1000.0)

    assert suspended(ERRORS).retry_at == 1600.0
    assert suspended(ERRORS, PSI).retry_at is None
    assert after(ERRORS, observed(1)).retry_at is None
    assert suspended(ERRORS).look_at(0.0) == min(1600.0, HOUR)
    assert msgspec.structs.replace(suspended(PSI), is_live=False).look_at(0.0) is None


def test_a_reader_is_told_value_limit_samples_and_window() -> None:
    found = only(after(ERRORS, observed(1, errors=11)))
    assert found is not None
    assert in_words(found) == "errors is 0.11, over 0.05, in 100 requests of 1 h"
    drift = Measured(metric="psi", value=0.31, limit=0.2, window=90, samples=1200, column="age")
    assert in_words(drift) == "psi of age is 0.31, over 0.2, in 1200 rows of 90 s"


def test_another_form_of_a_column_is_another_model() -> None:
    of = after(PSI, observed(1, ages=(900, 0)), observed(2, ages=(100, 100, 100)))
    found = only(of)
    assert found is not None
    assert found.samples == 300


windows = st.lists(
    st.tuples(st.integers(1, 300), st.integers(1, 500), st.integers(0, 500)), min_size=1, max_size=60
)


@given(windows, st.sampled_from([60, 3600, 86400]))
def test_a_window_holds_about_what_was_told_within_it_and_never_grows(steps: Any, window: int) -> None:
    """Exactly what is in it, and at most the part of it that is leaving."""
    condition = msgspec.structs.replace(ERRORS, window=window, min_samples=1)
    of, minute, told = watched((condition,)), 0.0, []
    for step, requests, errors in steps:
        minute += step / 10
        told.append((minute * 60, requests, min(errors, requests)))
        of = heard(of, observed(minute, requests=requests, errors=min(errors, requests))) or of
        found, (watch,) = only(of), of.watches
        assert found is not None
        assert len(watch.slices) <= SLICES + 1
        inside = [each for each in told if each[0] > minute * 60 - window]
        near = [each for each in told if each[0] > minute * 60 - window * (1 + 1 / SLICES)]
        assert sum(each[1] for each in inside) <= found.samples <= sum(each[1] for each in near)


def test_a_column_that_the_last_window_says_nothing_of_counts_by_those_before() -> None:
    of = after(PSI, observed(1, ages=(50, 50), wages=(290, 10)), observed(2, ages=(50, 50)))

    assert of.watches[0].references.keys() == {"age", "wages"}
    assert measured(of.watches[0]) is not None
    assert [each.column for each in broken(of, "suspend")] == ["wages"]


def test_what_is_known_of_columns_goes_with_the_last_window_that_had_them() -> None:
    columns: list[dict[str, Any]] = [{f"c{number}": (500, 0)} for number in range(60)]
    of = after(PSI, *(observed(10 * number, **each) for number, each in enumerate(columns)))

    assert len(of.watches[0].references) <= SLICES + 1


def test_more_samples_than_an_event_can_count_are_told_as_so_many() -> None:
    of = after(ERRORS, observed(1, requests=2**53 - 1), observed(2, requests=2**53 - 1, errors=2**52))

    found = measured(of.watches[0])

    assert found is not None
    assert found.samples == 2**53 - 1
