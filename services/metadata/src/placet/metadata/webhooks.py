"""A webhook: what happens to it, what becomes of an answer, and how a message is signed. Pure.

As Standard Webhooks 1.0 has it: `webhook-id`, `webhook-timestamp`, `webhook-signature`, and its example of a schedule.
A message is one event of the audit log and its id is the event's, so what is sent twice is known to be the same. The
address and the secrets are rows, and never in an event.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal, assert_never

from placet.errors import Conflict, Refused, Unknown
from placet.events.contracts.metadata import (
    WebhookAdded,
    WebhookDisabled,
    WebhookEnabled,
    WebhookRemoved,
    WebhookRotated,
)
from placet.events.decider import Decider

PREFIX = "whsec_"
SECRET_BYTES = 32
BOTH_SIGN = timedelta(days=1)
"""How long the secret before the last rotation signs, too."""

DELAYS = tuple(
    timedelta(seconds=each)
    for each in (5, 300, 1800, 7200, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
)
"""Before the second attempt, the third …: after ten, three days and a quarter, it is over."""
SPAN = sum(DELAYS, timedelta())
JITTER = 0.1
"""What is added to a delay at most, so that webhooks that failed together do not come back together."""
MOST_ASKED = timedelta(days=1)
"""What Retry-After may ask for."""

Why = Literal["gone", "failing"]


# What happens to it


@dataclass(frozen=True, kw_only=True)
class Add:
    webhook: str


@dataclass(frozen=True, kw_only=True)
class Rotate:
    webhook: str


@dataclass(frozen=True, kw_only=True)
class Disable:
    webhook: str
    why: Why
    position: int


@dataclass(frozen=True, kw_only=True)
class Enable:
    webhook: str
    position: int


@dataclass(frozen=True, kw_only=True)
class Remove:
    webhook: str


@dataclass(frozen=True, kw_only=True)
class Hook:
    is_enabled: bool = True
    is_removed: bool = False


Command = Add | Rotate | Disable | Enable | Remove
Happened = WebhookAdded | WebhookRotated | WebhookDisabled | WebhookEnabled | WebhookRemoved
State = Hook | None


def stream(webhook: str) -> str:
    return f"webhook/{webhook}"


def decide(command: Command, state: State) -> Sequence[Happened]:
    if isinstance(command, Add):
        if state is not None:
            raise Conflict(f"there is a webhook {command.webhook} already")
        return [WebhookAdded(webhook=command.webhook)]
    if state is None or state.is_removed:
        raise unknown(command.webhook)
    match command:
        case Rotate():
            return [WebhookRotated(webhook=command.webhook)]
        case Disable():
            if not state.is_enabled:
                return []
            return [WebhookDisabled(webhook=command.webhook, why=command.why, position=command.position)]
        case Enable():
            if state.is_enabled:
                return []
            return [WebhookEnabled(webhook=command.webhook, position=command.position)]
        case Remove():
            return [WebhookRemoved(webhook=command.webhook)]
    assert_never(command)


def evolve(state: State, event: Happened) -> State:
    match event:
        case WebhookAdded():
            return Hook()
        case WebhookRotated():
            return state
        case WebhookDisabled():
            return replace(state or Hook(), is_enabled=False)
        case WebhookEnabled():
            return replace(state or Hook(), is_enabled=True)
        case WebhookRemoved():
            return replace(state or Hook(), is_removed=True)
    assert_never(event)


WEBHOOK: Decider[Command, State, Happened] = Decider(initial=None, decide=decide, evolve=evolve)


def unknown(webhook: str) -> Unknown:
    return Unknown(f"there is no webhook {webhook!r}", fix="`placet webhook list` shows those there are")


# What becomes of an answer


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back. `status` is none where nothing did; `trouble` says why then."""

    status: int | None = None
    trouble: str | None = None
    retry_after: str | None = None
    """The header as it came."""

    @property
    def is_taken(self) -> bool:
        return self.status is not None and 200 <= self.status <= 299

    @property
    def in_words(self) -> str | None:
        """What was wrong with it; none of one that took the message."""
        if self.is_taken:
            return None
        if self.status is None:
            return self.trouble
        if 300 <= self.status <= 399:
            return f"it answers {self.status}, and redirections are not followed"
        return f"it answers {self.status}"


@dataclass(frozen=True, kw_only=True)
class Failures:
    """Of one message, in a row. What Retry-After asked for counts as none of them, and goes on for as long at most."""

    count: int
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Again:
    """The message is sent again at a time, and those behind it wait."""

    at: datetime
    failures: Failures


@dataclass(frozen=True, kw_only=True)
class Over:
    why: Why
    failures: Failures


def after(answer: Answer, failures: Failures | None, *, now: datetime, webhook: str) -> Again | Over:
    """What follows on an `answer` that took nothing, after the failures before it."""
    known = failures or Failures(count=0, since=now)
    asked = _asked(answer, now)
    if answer.status == 410:
        return Over(why="gone", failures=replace(known, count=known.count + 1))
    if asked is not None:
        if now - known.since >= SPAN:
            return Over(why="failing", failures=known)
        return Again(at=now + asked, failures=known)
    known = replace(known, count=known.count + 1)
    if known.count > len(DELAYS):
        return Over(why="failing", failures=known)
    return Again(at=now + _delay(known.count, webhook), failures=known)


def _asked(answer: Answer, now: datetime) -> timedelta | None:
    """For how long one who has too much to do asks to be left alone: seconds or a date (RFC 9110, 10.2.3)."""
    if answer.status not in (429, 503) or answer.retry_after is None:
        return None
    text = answer.retry_after.strip()
    if text.isascii() and text.isdecimal():
        asked = timedelta(seconds=int(text[:9]))
    else:
        try:
            until = parsedate_to_datetime(text)
            # A date in GMT that says so by -0000 comes without a zone.
            asked = (until if until.tzinfo else until.replace(tzinfo=UTC)) - now
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return min(max(asked, timedelta(seconds=1)), MOST_ASKED)


def _delay(count: int, webhook: str) -> timedelta:
    """Drawn from its name: the same after a crash."""
    drawn = hashlib.sha256(f"{webhook}/{count}".encode()).digest()[0] / 255
    return DELAYS[count - 1] * (1 + JITTER * drawn)


# How a message is signed


def secret_of(random: bytes) -> str:
    if len(random) < 24:
        raise Refused("a secret has 24 bytes at least")
    return PREFIX + base64.b64encode(random).decode()


def headers(secrets: Sequence[str], *, id: str, at: datetime, body: bytes) -> dict[str, str]:
    """Those of Standard Webhooks; each secret signs, so that a receiver may know either."""
    stamp = str(int(at.timestamp()))
    return {
        "webhook-id": id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(f"v1,{_signature(each, id, stamp, body)}" for each in secrets),
    }


def _signature(secret: str, id: str, stamp: str, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = hmac.digest(key, b"%s.%s.%s" % (id.encode(), stamp.encode(), body), hashlib.sha256)
    return base64.b64encode(signed).decode()
