"""For tests of services: given/when/then for deciders, a clock that stands still, ids that count."""

from placet.events.testing.payloads import changed
from placet.events.testing.scenario import given
from placet.events.testing.wiring import CountingIds, ManualClock

__all__ = ["CountingIds", "ManualClock", "changed", "given"]
