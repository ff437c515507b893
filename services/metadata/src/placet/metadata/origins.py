"""Under which name is a checkpoint signed, so that no two of one name contradict each other?

A log's origin is what others pin together with its key. It stays as long as the log goes on where its last checkpoint
ended. A database that was restored may have lost what was signed already; what follows is another log then, with a
number behind its name, and whoever pinned the old one is told rather than shown a tree that contradicts it. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from placet.errors import Refused
from placet.trust.checkpoints import Checkpoint


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of earlier checkpoints as a log is opened."""

    epoch: str
    """Of the audit log now: another one after a restore."""
    number: int
    """How many epochs it has had."""
    in_database: tuple[str, str] | None
    """Origin and epoch of the largest checkpoint in the database."""
    signed: Checkpoint | None
    """The last that was signed from here, kept outside the database."""
    goes_on: bool
    """Whether the log as it is now begins with that."""


def origin_of(base: str, evidence: Evidence) -> str:
    """Raises Refused where the log contradicts what was signed, and nobody said that it was restored."""
    renamed = base if evidence.number == 1 else f"{base}/{evidence.number}"
    known = evidence.in_database
    if evidence.signed is not None:
        if evidence.goes_on:
            return _of(base, evidence.signed.origin)
        if evidence.number == 1 or (known is not None and known[1] == evidence.epoch):
            raise Refused(
                f"the audit log is not the one of which a checkpoint of {evidence.signed.size} events was signed:"
                " events were removed or changed, or it is an older copy",
                fix="restore the newest copy; if that is this one, say so: "
                "python -m placet.metadata --begin-epoch",
            )
        return renamed
    if known is None:
        return renamed
    return _of(base, known[0]) if known[1] == evidence.epoch else renamed


def _of(base: str, origin: str) -> str:
    if origin != base and not origin.startswith(f"{base}/"):
        raise Refused(
            f"this log has been called {origin} since its first checkpoint, and PLACET_LOG_ORIGIN says {base}",
            fix=f"set it to {origin}: others know the log by its name",
        )
    return origin
