"""What the log noticed about itself."""

from __future__ import annotations

from typing import Literal

from placet.events.catalog import event
from placet.events.contracts.shapes import Denial


@event("metadata", "gap.detected")
class GapDetected:
    """Positions `after` + 1 to `upto` of a producer's log exist and had not arrived; they were asked for again."""

    producer: str
    epoch: str
    after: int
    upto: int


@event("metadata", "webhook.added")
class WebhookAdded:
    """Events are told to an address outside from now on. Where that is, and the secret, are in no event."""

    webhook: str


@event("metadata", "webhook.rotated")
class WebhookRotated:
    """What is sent is signed with another secret from now on, and for a day with the one before, too."""

    webhook: str


@event("metadata", "webhook.disabled")
class WebhookDisabled:
    """Nothing is sent any more until somebody enables it: who receives said that he is gone, or failed for days."""

    webhook: str
    why: Literal["gone", "failing"]
    position: int
    """Of the audit log: everything up to it that was asked for was taken."""


@event("metadata", "webhook.enabled")
class WebhookEnabled:
    """Sending goes on, with what comes after `position` of the audit log."""

    webhook: str
    position: int


@event("metadata", "webhook.removed")
class WebhookRemoved:
    webhook: str


@event("metadata", "access.denied")
class AccessDenied(Denial, frozen=True, kw_only=True, gc=False):
    """So many requests were answered with 401 or 403 by metadata itself, as `gateway.access.denied` tells of the
    gateway's."""
