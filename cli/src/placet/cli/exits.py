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


class WrongUsageError(Exception):
    """What was typed cannot be meant. Told beside the verb's usage line, like any other mistyped argument."""


def of_state(state: str) -> int:
    if state == "awaiting":
        return AWAITING
    return REFUSED if state in ("refused", "failed", "stalled", "quarantined") else DONE


def of_error(error: PlacetError) -> int:
    return UNAVAILABLE if isinstance(error, Unavailable) else REFUSED
