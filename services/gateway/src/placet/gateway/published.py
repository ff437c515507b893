"""Policies as the gateway knows them: those that ship, and what was submitted, with what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from placet.errors import Unknown, Unreadable
from placet.events.codec import moment
from placet.events.store import EventStore
from placet.gateway import projections as p
from placet.gateway.queries import Queries
from placet.rules import Publication, Version, load_shipped, shipped_files, standing, version_of
from placet.rules.policy import Policy


class PublishedPolicies:
    """What a `PolicySet` asks, over the gateway's own table."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def publications(self) -> Sequence[Publication]:
        table = p.policies
        query = sa.select(table.c.digest, table.c.decided_at).where(table.c.number.is_not(None))
        rows = await self._store.rows(query.order_by(table.c.number))
        return [Publication(digest=row.digest, at=moment(row.decided_at)) for row in rows]

    async def file(self, digest: str) -> bytes:
        rows = await self._store.rows(sa.select(p.policies.c.file).where(p.policies.c.digest == digest))
        if not rows:
            raise Unknown(f"there is no policy {digest} here", fix="see `placet policy list`")
        return bytes(rows[0].file)


class PolicyQueries:
    def __init__(self, store: EventStore, queries: Queries) -> None:
        self._store = store
        self._queries = queries
        self._published = PublishedPolicies(store)
        self._shipped = load_shipped()
        self._files = {
            each.digest: data for each, data in zip(self._shipped, shipped_files().values(), strict=True)
        }

    async def all(self, now: datetime) -> list[dict[str, Any]]:
        """Every version there is, by policy, the highest first."""
        rows = await self._store.rows(_ROWS)
        published = sorted((row for row in rows if row.number is not None), key=lambda row: int(row.number))
        versions = (*map(version_of, self._shipped), *map(_version, published))
        day = now.astimezone(UTC).date()
        states: dict[str, str] = {each.digest: standing(each, versions, day) for each in versions}
        shown = await self._queries.people.all_shown(row.submitted_by for row in rows)
        told = [_shipped(each, states[each.digest]) for each in self._shipped]
        told += [_told(row, states.get(row.digest, row.state), shown[row.submitted_by]) for row in rows]
        return sorted(told, key=lambda each: (each["policy"], -each["version"], each["digest"]))

    async def page(self, now: datetime, *, after: str | None, limit: int) -> list[dict[str, Any]]:
        """`after` is the digest of the last one that was told before."""
        told = await self.all(now)
        if after is None:
            return told[:limit]
        place = next((place for place, each in enumerate(told) if each["digest"] == after), None)
        if place is None:
            raise Unreadable(f"no page ends with {after!r}", fix="give the `next` of the page before")
        return told[place + 1 : place + 1 + limit]

    async def policy(self, id: str, now: datetime) -> list[dict[str, Any]]:
        """Its versions, the highest first. Raises Unknown."""
        versions = [each for each in await self.all(now) if each["policy"] == id]
        if not versions:
            raise Unknown(f"there is no policy {id!r} here", fix="see `placet policy list`")
        return versions

    async def submitted(self, digest: str, now: datetime) -> dict[str, Any] | None:
        rows = await self._store.rows(sa.select(p.policies.c.policy).where(p.policies.c.digest == digest))
        if not rows:
            return None
        return next(each for each in await self.policy(rows[0].policy, now) if each["digest"] == digest)

    async def file(self, digest: str) -> bytes:
        """As it was sent, or as it ships. Raises Unknown."""
        return self._files.get(digest) or await self._published.file(digest)


_ROWS = sa.select(*(column for column in p.policies.c if column.name != "file"))


def _version(row: sa.Row[Any]) -> Version:
    return Version(
        policy=row.policy,
        version=row.version,
        digest=row.digest,
        rules=frozenset(),  # no two policies in force share one, and where a version stands does not ask
        supersedes=row.supersedes,
        begins=date.fromisoformat(row.effective_from),
        ends=None if row.effective_until is None else date.fromisoformat(row.effective_until),
    )


def _told(row: sa.Row[Any], state: str, by: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "policy": row.policy,
        "version": row.version,
        "digest": row.digest,
        "title": row.title,
        "owner": row.owner,
        "state": state,
        "shipped": False,
        "supersedes": row.supersedes,
        "effectiveFrom": row.effective_from,
        "effectiveUntil": row.effective_until,
        "warnUntil": row.warn_until,
        "submittedBy": by,
        "submittedAt": row.submitted_at,
        "decidedAt": row.decided_at,
        "problems": msgspec.json.decode(row.problems) if row.problems else [],
    }


def _shipped(policy: Policy, state: str) -> dict[str, Any]:
    span = policy.effective
    return {
        "policy": policy.id,
        "version": policy.version,
        "digest": policy.digest,
        "title": policy.title,
        "owner": policy.owner,
        "state": state,
        "shipped": True,
        "supersedes": policy.supersedes,
        "effectiveFrom": None if span is None else span.from_.isoformat(),
        "effectiveUntil": None if span is None or span.until is None else span.until.isoformat(),
        "warnUntil": None,
        "submittedBy": None,
        "submittedAt": None,
        "decidedAt": None,
        "problems": [],
    }
