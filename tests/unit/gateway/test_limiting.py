"""Buckets of tokens, with a clock of the test's own."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from placet.events.testing import ManualClock
from placet.gateway.limiting import BURST_SECONDS, Buckets
from placet.identity.networks import network_of


def taken(buckets: Buckets, clock: ManualClock, caller: str = "ada", of: int = 10_000) -> int:
    """How often in a row it may ask now."""
    for number in range(of):
        if buckets.wait(caller, clock.now()):
            return number
    return of


def test_a_caller_may_ask_for_ten_seconds_at_once_and_then_as_time_passes() -> None:
    clock, buckets = ManualClock(), Buckets(3)
    assert taken(buckets, clock) == 3 * BURST_SECONDS
    clock.pass_(timedelta(seconds=2))
    assert taken(buckets, clock) == 6
    clock.pass_(timedelta(days=1))
    assert taken(buckets, clock) == 3 * BURST_SECONDS


def test_who_has_to_wait_is_told_for_how_long_and_need_not_wait_longer() -> None:
    clock, buckets = ManualClock(), Buckets(0.25)
    assert taken(buckets, clock) == 2
    seconds = buckets.wait("ada", clock.now())
    assert seconds == 2
    clock.pass_(timedelta(seconds=seconds))
    assert buckets.wait("ada", clock.now()) == 0


def test_one_caller_takes_nothing_of_another() -> None:
    clock, buckets = ManualClock(), Buckets(1)
    assert taken(buckets, clock, "ada") == 10
    assert taken(buckets, clock, "grace") == 10


def test_zero_is_no_limit() -> None:
    clock, buckets = ManualClock(), Buckets(0)
    assert taken(buckets, clock, of=100_000) == 100_000
    assert len(buckets) == 0


def test_as_many_callers_are_remembered_as_there_is_room_for() -> None:
    clock, buckets = ManualClock(), Buckets(1, most=3)
    for caller in ("ada", "grace", "joan", "ada", "edith"):
        buckets.wait(caller, clock.now())
    assert len(buckets) == 3
    assert taken(buckets, clock, "ada") == 8, "who asked lately is still known"
    assert taken(buckets, clock, "grace") == 10, "who was silent the longest begins anew"


@given(st.lists(st.tuples(st.sampled_from(("ada", "grace")), st.integers(-3600, 3600)), max_size=200))
def test_no_clock_that_is_set_lets_anybody_ask_more_than_it_goes_forward(
    asked: list[tuple[str, int]],
) -> None:
    clock, buckets = ManualClock(), Buckets(1)
    let_in = dict.fromkeys(("ada", "grace"), 0)
    forward = 0
    for caller, seconds in asked:
        clock.pass_(timedelta(seconds=seconds))
        forward += max(0, seconds)
        wait = buckets.wait(caller, clock.now())
        let_in[caller] += wait == 0
        assert wait <= 1
    assert max(let_in.values()) <= BURST_SECONDS + forward


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("testclient", "unknown"),
        (None, "unknown"),
    ],
)
def test_who_is_nobody_is_known_by_where_they_ask_from(address: str | None, network: str) -> None:
    assert network_of(address) == network
