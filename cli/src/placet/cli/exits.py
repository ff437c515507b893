"""How a verb ends, as an exit status that scripts rely on."""

from __future__ import annotations

from placet.errors import PlacetError, Unavailable

DONE = 0
REFUSED = 1
"""A rule said no, or it failed."""
USAGE = 2
UNAVAILABLE = 3
AWAITING = 4
"""Nothing is wrong; a person has to approve first."""
INTERRUPTED = 130
CUT_SHORT = 141
"""Whoever read its lines has gone, as a shell says it of what SIGPIPE ended: what would have come is not known."""


class WrongUsageError(PlacetError):
    """What was typed cannot be meant. Told beside the verb's usage line, which is `usage` once it is known."""

    def __init__(self, detail: str, *, fix: str | None = None, usage: str | None = None) -> None:
        super().__init__(detail, fix=fix)
        self.usage = usage


class WrongSettingError(PlacetError):
    """What the environment says cannot be meant; no line of usage would help."""


class CutOffError(PlacetError):
    """Ctrl-C before the platform had anything to go on with."""


def of_state(state: str) -> int:
    if state == "awaiting":
        return AWAITING
    return REFUSED if state in ("refused", "failed", "stalled", "quarantined") else DONE


def of_error(error: PlacetError) -> int:
    if isinstance(error, WrongUsageError | WrongSettingError):
        return USAGE
    if isinstance(error, CutOffError):
        return INTERRUPTED
    return UNAVAILABLE if isinstance(error, Unavailable) else REFUSED
