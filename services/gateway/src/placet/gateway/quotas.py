"""What teams and projects may hold altogether, and which team a project is of. The deployer keeps to it.

A quota ends nothing that runs. What is shown of it besides its limits is what is live now, by what was heard of that:
what is reserved or starting, the deployer alone knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from placet.errors import Unknown
from placet.events import PLATFORM, Actor, Context, UnitOfWork, Wiring, transact
from placet.events.contracts.gateway import ProjectAssigned, QuotaRemoved, QuotaSet
from placet.events.contracts.shapes import QuotaScope
from placet.events.unit_of_work import current_traceparent
from placet.gateway import projections as p
from placet.gateway.intake import SERVICE
from placet.gateway.standings import Hidden, seen

KEEPERS = frozenset({"operator", "admin"})
KINDS = ("cpu_millis", "memory_bytes", "gpus", "models")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """CPU in thousandths of a core, memory in bytes; none of a kind: as much as there is."""

    cpu_millis: int | None = None
    memory_bytes: int | None = None
    gpus: int | None = None
    models: int | None = None


class Quotas:
    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    async def set(self, scope: QuotaScope, of: str, limits: Limits, actor: Actor) -> dict[str, Any]:
        """The quota from here on, in place of the one that was. The same again changes nothing."""
        said = QuotaSet(
            scope=scope,
            of=of,
            cpu_millis=limits.cpu_millis,
            memory_bytes=limits.memory_bytes,
            gpus=limits.gpus,
            models=limits.models,
        )

        async def change(work: UnitOfWork) -> None:
            history = await work.history(_of_quota(scope, of))
            if history[-1:] == [said]:
                return
            work.stage(_of_quota(scope, of), [said])
            show_quota(work, said)

        await transact(self._wiring, SERVICE, self._context(scope, of, actor), change)
        [told] = await self._told(p.quotas.c.scope == scope, p.quotas.c.of == of, limit=1)
        return told

    async def remove(self, scope: QuotaScope, of: str, actor: Actor) -> None:
        """Raises Unknown where there is none: who mistypes a name would believe that nothing bounds it any more."""

        async def change(work: UnitOfWork) -> None:
            history = await work.history(_of_quota(scope, of))
            if not history or isinstance(history[-1], QuotaRemoved):
                raise Unknown(f"{scope} {of} has no quota", fix="see `placet quota list`")
            removed = QuotaRemoved(scope=scope, of=of)
            work.stage(_of_quota(scope, of), [removed])
            forget_quota(work, removed)

        await transact(self._wiring, SERVICE, self._context(scope, of, actor), change)

    async def assign(self, project: str, team: str | None, actor: Actor) -> None:
        """The project counts for this team from here on, for none if that is none. Again, nothing changes."""
        stream = f"assignment/{project}"

        async def change(work: UnitOfWork) -> None:
            history = await work.history(stream)
            if (history[-1].team if history else None) == team:
                return
            assigned = ProjectAssigned(project=project, team=team)
            work.stage(stream, [assigned])
            show_team(work, assigned)

        await transact(self._wiring, SERVICE, self._context("project", project, actor), change)

    async def page(self, *, after: str | None, limit: int, hidden: Hidden = None) -> list[dict[str, Any]]:
        """Quotas, those of projects first, by name. `after` is a scope and a name, as in `team/fraud`. Here as below,
        no projects that are `hidden`."""
        seen_ones = (
            [] if hidden is None else [sa.or_(p.quotas.c.scope != "project", p.quotas.c.of.not_in(hidden))]
        )
        if after is None:
            return await self._told(*seen_ones, limit=limit, hidden=hidden)
        scope, _, of = after.partition("/")
        place = sa.tuple_(p.quotas.c.scope, p.quotas.c.of)
        behind = place > sa.tuple_(sa.literal(scope), sa.literal(of))
        return await self._told(behind, *seen_ones, limit=limit, hidden=hidden)

    async def teams(self, *, after: str | None, limit: int, hidden: Hidden = None) -> list[dict[str, Any]]:
        """Teams that were made, and those that have projects or a quota, by name."""
        of_quotas = sa.select(p.quotas.c.of.label("team")).where(p.quotas.c.scope == "team")
        of_projects, made = sa.select(p.teams.c.team.label("team")), sa.select(p.made_teams.c.team)
        named = sa.union(of_projects, of_quotas, made).subquery()
        query = sa.select(named.c.team).order_by(named.c.team).limit(limit)
        if after is not None:
            query = query.where(named.c.team > after)
        teams = [row.team for row in await self._wiring.store.rows(query)]
        theirs = sa.select(p.teams).where(p.teams.c.team.in_(teams)).order_by(p.teams.c.project)
        projects = await self._wiring.store.rows(seen(theirs, p.teams.c.project, hidden))
        return [
            {"team": team, "projects": [each.project for each in projects if each.team == team]}
            for team in teams
        ]

    async def _told(
        self, *where: sa.ColumnElement[bool], limit: int, hidden: Hidden = None
    ) -> list[dict[str, Any]]:
        query = sa.select(p.quotas).where(*where).order_by(p.quotas.c.scope, p.quotas.c.of).limit(limit)
        rows = await self._wiring.store.rows(query)
        live = await self._live() if rows else []
        unnamed = set() if hidden is None else {row.project for row in await self._wiring.store.rows(hidden)}
        return [_quota(row, [each for each in live if _counts(row, each)], unnamed) for row in rows]

    async def _live(self) -> Sequence[sa.Row[Any]]:
        """What is live, with what each of its replicas asks for, how many there are, and of which team it is."""
        of = sa.and_(p.demands.c.project == p.models.c.project, p.demands.c.release == p.models.c.release)
        query = (
            sa.select(p.demands, p.models.c.endpoints, p.teams.c.team)
            .join_from(p.models, p.demands, of)
            .join(p.teams, p.teams.c.project == p.models.c.project, isouter=True)
            .where(p.models.c.state == "live")
            .order_by(p.models.c.project)
        )
        return await self._wiring.store.rows(query)

    def _context(self, scope: QuotaScope, of: str, actor: Actor) -> Context:
        return Context(
            project=of if scope == "project" else PLATFORM,
            correlation=self._wiring.ids.new(),
            actor=actor,
            traceparent=current_traceparent(),
        )


def show_quota(work: UnitOfWork, said: QuotaSet) -> None:
    limits = {kind: getattr(said, kind) for kind in KINDS}
    work.put(p.quotas, scope=said.scope, of=said.of, **limits)


def forget_quota(work: UnitOfWork, said: QuotaRemoved) -> None:
    work.run(sa.delete(p.quotas).where(p.quotas.c.scope == said.scope, p.quotas.c.of == said.of))


def show_team(work: UnitOfWork, said: ProjectAssigned) -> None:
    if said.team is None:
        work.run(sa.delete(p.teams).where(p.teams.c.project == said.project))
    else:
        work.put(p.teams, project=said.project, team=said.team)


def _of_quota(scope: QuotaScope, of: str) -> str:
    return f"quota/{scope}/{of}"


def _counts(quota: sa.Row[Any], live: sa.Row[Any]) -> bool:
    return bool(quota.of == (live.project if quota.scope == "project" else live.team))


def _quota(row: sa.Row[Any], live: Sequence[sa.Row[Any]], unnamed: Set[str]) -> dict[str, Any]:
    """`exceeded` names the kinds of which more is live than the quota allows. What is `unnamed` counts as well."""
    used = {kind: sum(getattr(each, kind) * _replicas(each) for each in live) for kind in KINDS[:-1]}
    used["models"] = len(live)
    limits = {kind: row._mapping[kind] for kind in KINDS}
    return {
        "scope": row.scope,
        "of": row.of,
        "limits": _document(limits),
        "live": _document(used),
        "projects": [each.project for each in live if each.project not in unnamed],
        "exceeded": [
            _SHOWN[kind] for kind, limit in limits.items() if limit is not None and used[kind] > limit
        ],
    }


_SHOWN = {"cpu_millis": "cpuMillis", "memory_bytes": "memoryBytes", "gpus": "gpus", "models": "models"}


def _document(amounts: Mapping[str, int | None]) -> dict[str, int | None]:
    return {_SHOWN[kind]: amount for kind, amount in amounts.items()}


def _replicas(live: sa.Row[Any]) -> int:
    return len(msgspec.json.decode(live.endpoints)) if live.endpoints else 1
