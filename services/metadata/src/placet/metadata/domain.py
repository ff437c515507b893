"""What the log notices about itself: positions of a producer that stay missing.

The audit log's own order is not decided here: the store gives positions, and each producer's are contiguous
because a stream of the log has their numbers as its versions (`handlers.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from placet.events.contracts.metadata import GapDetected
from placet.events.decider import Decider


@dataclass(frozen=True, kw_only=True)
class NoteGap:
    producer: str
    epoch: str
    after: int
    upto: int


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """Where gaps of one producer were noted to begin, so that each is said once."""

    noted: frozenset[tuple[str, int]] = frozenset()


def decide(command: NoteGap, gaps: Gaps) -> Sequence[GapDetected]:
    if (command.epoch, command.after) in gaps.noted:
        return []
    return [
        GapDetected(producer=command.producer, epoch=command.epoch, after=command.after, upto=command.upto)
    ]


def evolve(gaps: Gaps, event: GapDetected) -> Gaps:
    return Gaps(noted=gaps.noted | {(event.epoch, event.after)})


LOG: Decider[NoteGap, Gaps, GapDetected] = Decider(initial=Gaps(), decide=decide, evolve=evolve)
