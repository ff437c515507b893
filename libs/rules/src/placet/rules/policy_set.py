"""The policies in force at a moment: those that ship with the platform, and what was published until then."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from placet.rules.policy import Policy, read_policy
from placet.rules.publication import Version, in_force, version_of


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A file was published, at that moment."""

    digest: str
    at: datetime


class Published(Protocol):
    """What was published, as whoever judges by it keeps it."""

    async def publications(self) -> Sequence[Publication]:
        """In the order in which they were published."""

    async def file(self, digest: str) -> bytes: ...


class PolicySet:
    """Each file is read once. Which of them were published is asked every time, so that nobody need be told."""

    def __init__(self, shipped: Sequence[Policy], published: Published) -> None:
        self._shipped = tuple(shipped)
        self._published = published
        self._known = {policy.digest: policy for policy in shipped}

    async def in_force(self, at: datetime) -> tuple[Policy, ...]:
        """By days in UTC; of what is published at that moment or before."""
        versions = await self.versions(at)
        return tuple(self._known[each.digest] for each in in_force(versions, at.astimezone(UTC).date()))

    async def versions(self, at: datetime) -> tuple[Version, ...]:
        """All there are at that moment, in the order in which they were published."""
        found = [version_of(policy) for policy in self._shipped]
        for each in await self._published.publications():
            if each.at <= at:
                policy = await self._policy(each.digest)
                found.append(version_of(policy, published=each.at.astimezone(UTC).date()))
        return tuple(found)

    async def _policy(self, digest: str) -> Policy:
        if digest not in self._known:
            file = await self._published.file(digest)
            self._known[digest] = await asyncio.to_thread(read_policy, file, name=digest)
        return self._known[digest]
