"""Which keys were certificates signed with, and which of them are not to be believed any more?

The history is a file beside the keys, whose owner rotates them; what is new in it is said once, in the order in which
it is there. What the log has heard is never taken back: a key that is compromised stays so, from then or an earlier
moment. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from placet.events.codec import moment, timestamp
from placet.events.contracts.certifier import KeyCompromised, KeyRotated
from placet.events.decider import Decider
from placet.trust.history import Key

STREAM = "keys"


@dataclass(frozen=True, kw_only=True)
class Tell:
    """The whole history, from its first key on."""

    history: Sequence[Key]


Command = Tell
Happened = KeyRotated | KeyCompromised


@dataclass(frozen=True, kw_only=True)
class Told:
    """Keys that were told of, each with since when it counts for nothing; none: it does count."""

    keys: Mapping[str, datetime | None] = field(default_factory=dict)


def decide(command: Command, state: Told) -> Sequence[Happened]:
    history = command.history
    rotated = [
        _rotated(before, key)
        for before, key in zip((None, *history), history, strict=False)
        if key.kid not in state.keys
    ]
    compromised = [
        KeyCompromised(key=key.kid, since=timestamp(key.compromised))
        for key in history
        if key.compromised is not None and _is_sooner(key.compromised, state.keys.get(key.kid))
    ]
    return [*rotated, *compromised]


def _rotated(before: Key | None, key: Key) -> KeyRotated:
    return KeyRotated(
        key=key.kid,
        public=key.x,
        since=None if key.from_ is None else timestamp(key.from_),
        before=None if before is None else before.kid,
        why=None if before is None else before.why,
    )


def _is_sooner(since: datetime, than: datetime | None) -> bool:
    return than is None or since < than


def forgotten(history: Sequence[Key], told: Told) -> Sequence[str]:
    """Keys of which the history says less than the log has heard: an older copy of it was put in its place."""
    distrusted = {key.kid: key.compromised for key in history}
    return [
        key
        for key, since in told.keys.items()
        if key not in distrusted or (since is not None and _is_sooner(since, distrusted[key]))
    ]


def evolve(state: Told, event: Happened) -> Told:
    match event:
        case KeyRotated(key=key):
            return Told(keys={**state.keys, key: None})
        case KeyCompromised(key=key, since=since):
            return Told(keys={**state.keys, key: moment(since)})
    assert_never(event)


KEYS: Decider[Command, Told, Happened] = Decider(initial=Told(), decide=decide, evolve=evolve)
