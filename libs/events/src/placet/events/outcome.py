"""How handling a message or a job ends. An exception is translated here, once, so that no handler needs to."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import assert_never

from placet.errors import PlacetError, Refused, Unavailable, Unreadable


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """What was staged may be committed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """Nothing is committed; try again after `after` seconds. The project's later messages wait."""

    after: float | None
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Park:
    """Nothing is committed; a person decides. The project's later messages go on."""

    reason: str


Outcome = Done | Retry | Park

DONE = Done()
MAX_ATTEMPTS = 12
MAX_DELAY = 60.0
MAX_REASON = 4000
"""Characters."""


def of_error(error: Exception) -> Retry | Park:
    """What an exception out of a handler means."""
    match error:
        case Unavailable():
            return Retry(after=error.retry_after, reason=str(error))
        case Unreadable() | Refused():
            return Park(reason=str(error))
        case PlacetError():
            return Park(reason=str(error))
        case _:
            # A bug, or an adapter that lets a library's error through: worth another try, then a person.
            return Retry(after=None, reason="".join(traceback.format_exception(error)[-4:]).strip())


def is_failure(outcome: Retry | Park) -> bool:
    """Whether it counts among the attempts: who says when to try again waits, and does not fail."""
    return isinstance(outcome, Park) or outcome.after is None


def after_attempt(outcome: Retry | Park, failures: int) -> Retry | Park:
    """The outcome after so many failures, this one among them: with its delay, or parked when there were enough."""
    reason = storable(outcome.reason)
    match outcome:
        case Park():
            return Park(reason=reason)
        case Retry(after=None):
            if failures >= MAX_ATTEMPTS:
                return Park(reason=f"failed {failures} times: {reason}")
            return Retry(after=backoff(failures), reason=reason)
        case Retry(after=after):
            return Retry(after=after, reason=reason)
    assert_never(outcome)


def storable(text: str) -> str:
    """`text` as any database and any event can keep it, cut in its middle where it is long.

    What went wrong may quote what made it go wrong: a lone surrogate out of a file's name, a NUL out of a model.
    """
    kept = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    half = (MAX_REASON - len(" … ")) // 2
    return kept if len(kept) <= MAX_REASON else f"{kept[:half]} … {kept[-half:]}"


def backoff(attempts: int) -> float:
    """Seconds before the next attempt: 0.2, 0.4, 0.8 … up to a minute."""
    return MAX_DELAY if attempts > 9 else 0.1 * 2**attempts  # 2**1024 would not fit into a float
