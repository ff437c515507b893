"""Packages whose locks hold for a while, so that one changed line of code does not ask the index about every package.

What was resolved for the same requirements and target is used again, until it is as old as a package index lets its
clients be (PyPI: ten minutes). A requirement that names another version is another requirement, and asked anew. It is
kept by one process and in memory: it begins empty, and none of it outlives an index that was exchanged. After a package
that cannot be installed nothing of it holds, since the index may have taken a file back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from placet.builder.ports import Packages, Target
from placet.errors import PlacetError

_MOST = 256


class RememberedLocks:
    """The `Packages` port, in front of another one. `monotonic` says the seconds since any moment."""

    def __init__(
        self, packages: Packages, *, seconds: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._packages = packages
        self._seconds = seconds
        self._monotonic = monotonic
        self._locks: dict[tuple[tuple[str, ...], tuple[str, ...], Target], tuple[float, str]] = {}

    async def resolve(
        self, project: Sequence[str], runtime: Sequence[str], target: Target, workspace: Path
    ) -> str:
        key = (tuple(project), tuple(runtime), target)
        asked = self._monotonic()
        if (known := self._locks.get(key)) is not None and asked - known[0] < self._seconds:
            return known[1]
        text = await self._packages.resolve(project, runtime, target, workspace)
        while len(self._locks) >= _MOST:
            del self._locks[next(iter(self._locks))]
        self._locks[key] = asked, text
        return text

    async def fetch(self, requirements: Sequence[str], target: Target, workspace: Path) -> None:
        await self._packages.fetch(requirements, target, workspace)

    async def install(self, requirement: str, target: Target, into: Path, workspace: Path) -> None:
        try:
            await self._packages.install(requirement, target, into, workspace)
        except PlacetError:
            self._locks.clear()
            raise
