"""What the log noticed about itself."""

from __future__ import annotations

from placet.events.catalog import event


@event("metadata", "gap.detected")
class GapDetected:
    """Positions `after` + 1 to `upto` of a producer's log exist and had not arrived; they were asked for again."""

    producer: str
    epoch: str
    after: int
    upto: int
