"""What can go wrong, in the three kinds a caller can act on.

`Refused` is an answer (the domain said no; asking again changes nothing), `Unavailable` is a state of
the world (ask again later), `Unreadable` is a message nobody can act on (put it aside for a person).
Every error names the thing, the rule and the next step. This module knows no HTTP and no broker: the
table that maps kinds to problem+json is `placet.events.problems`.
"""

from __future__ import annotations


class PlacetError(Exception):
    """The root. Raise one of its three kinds."""

    def __init__(self, detail: str, *, fix: str | None = None, rule: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fix = fix
        self.rule = rule

    @property
    def parts(self) -> tuple[PlacetError, ...]:
        """The errors that this one gathers; of most errors the error itself."""
        return (self,)

    def __str__(self) -> str:
        return f"{self.detail}; {self.fix}" if self.fix else self.detail


class Refused(PlacetError):
    """The domain said no: never retried. HTTP 422, or 409 as `Conflict`, 404 as `Unknown`."""


class Conflict(Refused):
    """Somebody else was first, or the same id names other bytes. HTTP 409."""


class Unknown(Refused):
    """The thing asked for does not exist here. HTTP 404."""


class Unauthenticated(Refused):
    """Nobody we know is asking: no token, or one that does not hold. HTTP 401."""


class Forbidden(Refused):
    """The caller is known and may not do this. HTTP 403."""


class TooLarge(Refused):
    """Over a limit that the message names. HTTP 413."""


class Unavailable(PlacetError):
    """Something needed is away or full: try again, after `retry_after` seconds where that is known."""

    def __init__(
        self,
        detail: str,
        *,
        fix: str | None = None,
        rule: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail, fix=fix, rule=rule)
        self.retry_after = retry_after


class TooMany(Unavailable):
    """Nothing is away: this caller alone asks too often. HTTP 429."""


class Unreadable(PlacetError):
    """Bytes that do not say what their type promises: parked for a person. HTTP 400."""
