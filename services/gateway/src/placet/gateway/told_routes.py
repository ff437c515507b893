"""Where models listen, as the deployer of the same process says it: the embedded platform, whose edge is the gateway.

It is the deployer's `Router`, as Caddy's admin API is elsewhere: a route moves when it is told, and not when the
event that says so was written down by everybody who hears it. Nothing here lasts. After a start, what the events say
counts, until a project's route is told again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from placet.errors import Unavailable


class Target(Protocol):
    """Of each hundred requests or so it gets as many as its `weight` is of all its project's targets'."""

    @property
    def endpoint(self) -> str: ...

    @property
    def weight(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Told:
    """`turns` are endpoints, one for each request, in turn; without any it is not served, and `why` may say why not."""

    turns: tuple[str, ...] = ()
    access: str | None = None
    why: Unavailable | None = None


class ToldRoutes:
    def __init__(self) -> None:
        self._told: dict[str, Told] = {}

    def of(self, project: str) -> Told | None:
        """None: nothing was told of it since the start."""
        return self._told.get(project)

    # What the deployer calls.

    async def route(self, project: str, targets: Sequence[Target], *, access: str) -> None:
        self._told[project] = Told(turns=in_turn(targets), access=access)

    async def unroute(self, project: str, *, why: Unavailable | None = None) -> None:
        self._told[project] = Told(why=why)

    async def routes(self) -> Mapping[str, frozenset[Any]] | None:
        """They are nobody else's to change: there is nothing to compare."""
        return None


def in_turn(targets: Sequence[Target]) -> tuple[str, ...]:
    """One round, in which each is named as often as its weight says, and as evenly spread as that goes (as nginx does:
    all gain their weight, and whoever has most pays for all)."""
    total = sum(each.weight for each in targets)
    gained = [0] * len(targets)
    turns = []
    for _ in range(total):
        gained = [have + each.weight for have, each in zip(gained, targets, strict=True)]
        most = max(range(len(targets)), key=gained.__getitem__)
        gained[most] -= total
        turns.append(targets[most].endpoint)
    return tuple(turns)
