"""The audit log's edge as data: it hears everybody, itself included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from placet.events import Everything, Heard, UnitOfWork
from placet.events.catalog import contract_of
from placet.events.contracts import CATALOG, metadata
from placet.metadata import handlers
from placet.metadata.ports import Reads

HEARS: frozenset[str] = frozenset(contract_of(event).producer for event in CATALOG.types)
"""Whole producers: every event there is."""

SAYS: tuple[type, ...] = (
    metadata.GapDetected,
    metadata.WebhookAdded,
    metadata.WebhookRotated,
    metadata.WebhookDisabled,
    metadata.WebhookEnabled,
    metadata.WebhookRemoved,
    metadata.AccessDenied,
)


def reaction(reads: Reads) -> Everything:
    async def on_events(heard: Sequence[Heard[Any]], work: UnitOfWork) -> None:
        await handlers.on_events(heard, work, reads)

    return Everything(on_events)
