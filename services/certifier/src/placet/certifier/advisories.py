"""Which snapshot of advisories are packages matched with? The newest that was published; nothing is dated back.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from placet.events.codec import moment, timestamp
from placet.events.contracts.certifier import AdvisoriesPublished, AdvisoriesRejected
from placet.events.decider import Decider

STREAM = "advisories"
AHEAD = timedelta(days=1)
"""How far clocks may differ."""
MAX_TEXT = 500


@dataclass(frozen=True, kw_only=True)
class Publish:
    """A snapshot that was read, `taken` when its newest advisory was changed."""

    digest: str
    taken: datetime
    advisories: int
    packages: int
    now: datetime


@dataclass(frozen=True, kw_only=True)
class Reject:
    digest: str
    why: str
    fix: str | None


Command = Publish | Reject
Happened = AdvisoriesPublished | AdvisoriesRejected


@dataclass(frozen=True, kw_only=True)
class Snapshots:
    """`decided` are the digests of those that were published or rejected."""

    published: int = 0
    newest: datetime | None = None
    decided: frozenset[str] = frozenset()


def decide(command: Command, state: Snapshots) -> Sequence[Happened]:
    if command.digest in state.decided:
        return []
    match command:
        case Reject():
            return [
                AdvisoriesRejected(
                    digest=command.digest,
                    why=command.why[:MAX_TEXT],
                    fix=command.fix and command.fix[:MAX_TEXT],
                )
            ]
        case Publish(taken=taken) if state.newest is not None and taken < state.newest:
            return [
                AdvisoriesRejected(
                    digest=command.digest,
                    why=f"its newest advisory is of {timestamp(taken)}, and one with advisories up to"
                    f" {timestamp(state.newest)} is in use: nothing is dated back",
                    fix="fetch the advisories anew, and send those",
                )
            ]
        case Publish(taken=taken) if taken > command.now + AHEAD:
            return [
                AdvisoriesRejected(
                    digest=command.digest,
                    why=f"its newest advisory is of {timestamp(taken)}, which is to come",
                    fix="leave out what nobody can have written yet",
                )
            ]
        case Publish():
            return [
                AdvisoriesPublished(
                    digest=command.digest,
                    number=state.published + 1,
                    taken=timestamp(command.taken),
                    advisories=command.advisories,
                    packages=command.packages,
                )
            ]
    assert_never(command)


def evolve(state: Snapshots, event: Happened) -> Snapshots:
    decided = state.decided | {event.digest}
    match event:
        case AdvisoriesRejected():
            return replace(state, decided=decided)
        case AdvisoriesPublished():
            return Snapshots(published=event.number, newest=moment(event.taken), decided=decided)
    assert_never(event)


ADVISORIES: Decider[Command, Snapshots, Happened] = Decider(initial=Snapshots(), decide=decide, evolve=evolve)
