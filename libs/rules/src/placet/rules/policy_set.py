"""The policies in force at a moment: those that ship with the platform, and what was published until then."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from placet.rules.policy import Policy, read_policy
from placet.rules.publication import Version, in_force, version_of


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A file was published, at that moment. Until `warn_until` it only warns of what was certified before."""

    digest: str
    at: datetime
    warn_until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Edition:
    """The policies in force at a moment. Those that are `shipped` nobody published; `warn_first` were published so."""

    policies: tuple[Policy, ...]
    shipped: frozenset[str]
    warn_first: frozenset[str]

    @property
    def digest(self) -> str:
        """Another one whenever what was certified before may be judged otherwise."""
        lines = sorted(f"{each.digest} {each.id in self.warn_first}\n" for each in self.policies)
        return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"


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
        return (await self.edition(at)).policies

    async def edition(self, at: datetime) -> Edition:
        """What is in force then, and with which force on what was certified before."""
        published = await self._published_by(at)
        versions = await self._versions(published)
        policies = tuple(self._known[each.digest] for each in in_force(versions, at.astimezone(UTC).date()))
        until = {each.digest: each.warn_until for each in published}
        return Edition(
            policies=policies,
            shipped=frozenset(each.id for each in policies if each.digest not in until),
            warn_first=frozenset(
                each.id for each in policies if (last := until.get(each.digest)) is not None and at < last
            ),
        )

    async def versions(self, at: datetime) -> tuple[Version, ...]:
        """All there are at that moment, in the order in which they were published."""
        return await self._versions(await self._published_by(at))

    async def _published_by(self, at: datetime) -> list[Publication]:
        return [each for each in await self._published.publications() if each.at <= at]

    async def _versions(self, published: Sequence[Publication]) -> tuple[Version, ...]:
        found = [version_of(policy) for policy in self._shipped]
        for each in published:
            policy = await self._policy(each.digest)
            found.append(version_of(policy, published=each.at.astimezone(UTC).date()))
        return tuple(found)

    async def _policy(self, digest: str) -> Policy:
        if digest not in self._known:
            file = await self._published.file(digest)
            self._known[digest] = await asyncio.to_thread(read_policy, file, name=digest)
        return self._known[digest]
