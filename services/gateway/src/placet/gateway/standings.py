"""What whoever calls may do on a project, and which projects they do not see. It changes nothing (`granting.py`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import sqlalchemy as sa

from placet.events.contracts.shapes import ProjectRole
from placet.events.store import EventStore
from placet.gateway import projections as p
from placet.gateway.lately import Lately
from placet.gateway.people import People
from placet.identity.sharing import TEAM, Standing
from placet.projects import PROJECT_PATTERN

Hidden = sa.Select[Any] | None
"""The names of private projects that somebody does not read; None where they read all."""
_MOST_NAMED = 3


class Known(Protocol):
    """Somebody whose token holds; `teams` are those that it says they are of."""

    @property
    def person(self) -> str: ...

    @property
    def roles(self) -> frozenset[Any]: ...

    @property
    def teams(self) -> frozenset[str]: ...


class Standings:
    def __init__(self, store: EventStore, people: People) -> None:
        self._store = store
        self._people = people
        self._lately = Lately[tuple[str, str, frozenset[str]], Standing](store.committed)

    async def standing(self, project: str, who: Known) -> Standing:
        """As of a moment ago, where another replica changed it."""
        return await self._lately.known(
            (project, who.person, who.teams), partial(self._standing, project, who)
        )

    async def _standing(self, project: str, who: Known) -> Standing:
        if re.fullmatch(PROJECT_PATTERN, project) is None:  # nobody has a role on what cannot be there
            return Standing(project=project, role=None, is_shared=False, is_private=False)
        return await p.sharing.standing(self._store, project, who.person, who.teams)

    async def may(self, project: str, needed: ProjectRole, who: Known) -> bool:
        return (await self.standing(project, who)).may(needed, who.roles)

    async def must(self, project: str, needed: ProjectRole, who: Known) -> None:
        """Raises Forbidden unless they have the role on the project, or it takes none; names the owners who give it."""
        standing = await self.standing(project, who)
        if not standing.may(needed, who.roles):
            standing.must(needed, who.roles, by=await self._owners(project))

    def hidden_from(self, who: Known) -> Hidden:
        return p.sharing.hidden_from(who.person, who.teams, who.roles)

    async def _owners(self, project: str) -> str | None:
        of = p.sharing.roles.c
        query = sa.select(of.to).where(of.project == project, of.role == "owner").order_by(of.to)
        owners = [row.to for row in await self._store.rows(query.limit(_MOST_NAMED))]
        return " or ".join(await self._named(owners)) or None

    async def _named(self, owners: Sequence[str]) -> list[str]:
        shown = await self._people.all_shown(each for each in owners if not each.startswith(TEAM))
        return [str((shown.get(each) or {}).get("name") or each) for each in owners]


def seen(query: sa.Select[Any], project: sa.ColumnElement[Any], hidden: Hidden) -> sa.Select[Any]:
    """The query without what is of a project that is hidden."""
    return query if hidden is None else query.where(project.not_in(hidden))
