"""An attempt that failed is made again later and later, and however often it failed."""

from __future__ import annotations

import pytest
from placet.events.outcome import MAX_DELAY, backoff


def test_the_delay_doubles_up_to_a_minute() -> None:
    assert [backoff(attempts) for attempts in (1, 2, 3)] == [0.2, 0.4, 0.8]
    delays = [backoff(attempts) for attempts in range(1, 20)]
    assert delays == sorted(delays)
    assert delays[-1] == MAX_DELAY


@pytest.mark.parametrize("attempts", [1023, 1024, 10**6])
def test_an_outage_of_a_day_has_a_delay_like_any_other(attempts: int) -> None:
    assert backoff(attempts) == MAX_DELAY
