"""What a cluster has of some kinds of objects, as far as it was heard: listed once, and watched from there on.

Whoever writes to the cluster puts what it answered here, too, so that its own writes are read at once. A watch that
broke is begun anew where it was, or with a list where the server does not remember; while the server is away, nothing
is told of what may have changed since.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from typing import TypeVar

from placet.deployer.adapters.kubernetes_cluster import Gone, Json, Kind, KubernetesCluster, Selection
from placet.errors import PlacetError, Unavailable

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0


class KubernetesMirror:
    """Call `begin` before anything else, and `close` at the end."""

    def __init__(self, cluster: KubernetesCluster, selections: Sequence[Selection]) -> None:
        self._cluster = cluster
        self._parts = {each.kind: _Part(each) for each in selections}
        self._watching: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()

    async def begin(self) -> None:
        """Raises what the first list raises. Repeating it changes nothing."""
        if self._watching:
            return
        for part in self._parts.values():
            await self._list(part)
        self._watching = [
            asyncio.create_task(self._follow(part), name=f"watch {part.selection.kind.plural}")
            for part in self._parts.values()
        ]

    async def close(self) -> None:
        watching, self._watching = self._watching, []
        for each in watching:
            each.cancel()
        if watching:
            await asyncio.wait(watching)

    def all(self, kind: Kind) -> Sequence[Json]:
        """Raises `Unavailable` while it is not known."""
        return list(self._part(kind).found.values())

    def named(self, kind: Kind, name: str) -> Json | None:
        return next((each for each in self.all(kind) if each["metadata"]["name"] == name), None)

    def put(self, document: Json) -> None:
        """What the cluster answered to a write of ours."""
        for kind, part in self._parts.items():
            if kind.name == document["kind"]:
                part.put(document)
        self._tell()

    def drop(self, document: Json) -> None:
        """It was deleted by us. What is on its way of its life before is not believed."""
        for kind, part in self._parts.items():
            if kind.name == document["kind"]:
                part.drop(document)
        self._tell()

    async def until(self, look: Callable[[], Answer | None], within: float) -> Answer | None:
        """What `look` gives, as soon as it gives something; None if it never does."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while (found := look()) is None:
                    await self._changed.wait()
                return found
        return None

    def _part(self, kind: Kind) -> _Part:
        part = self._parts[kind]
        if part.away is not None:
            raise part.away
        return part

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _list(self, part: _Part) -> None:
        found, version = await self._cluster.listed(part.selection)
        part.replace(found, version)
        self._tell()

    async def _follow(self, part: _Part) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                if part.away is not None:
                    await self._list(part)
                await self._watch(part)
                pause = FIRST_PAUSE
            except Gone:
                part.away = part.away or Unavailable("the cluster is listed anew", retry_after=1.0)
            except PlacetError as trouble:
                await self._rest(part, trouble, pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            except (KeyError, TypeError, ValueError) as trouble:
                # Nothing else would watch on, and what was heard before would be taken for what is.
                said = Unavailable(f"the cluster says what is not understood: {trouble!r}")
                await self._rest(part, said, pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _rest(self, part: _Part, trouble: PlacetError, pause: float) -> None:
        if part.away is None:
            log.warning("%s are not watched: %s", part.selection.kind.plural, trouble)
        part.away = Unavailable(trouble.detail, fix=trouble.fix, retry_after=1.0)
        await asyncio.sleep(pause)

    async def _watch(self, part: _Part) -> None:
        async with aclosing(self._cluster.watched(part.selection, part.version)) as heard:
            async for happened, document in heard:
                part.hear(happened, document)
                self._tell()


class _Part:
    """The objects of one kind, by uid. `away` is why they are not known at the moment."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.away: Unavailable | None = Unavailable("the cluster was not looked at yet", retry_after=1.0)
        self.found: dict[str, Json] = {}
        self.version = ""
        self._dropped: set[str] = set()

    def replace(self, found: Sequence[Json], version: str) -> None:
        self._dropped &= {_uid(each) for each in found}
        self.found = {_uid(each): each for each in found if _uid(each) not in self._dropped}
        self.version = version
        self.away = None

    def hear(self, happened: str, document: Json) -> None:
        self.version = document["metadata"]["resourceVersion"]
        match happened:
            case "ADDED" | "MODIFIED":
                self.put(document)
            case "DELETED":
                self.found.pop(_uid(document), None)
                self._dropped.discard(_uid(document))
            case _:  # a bookmark says the version alone
                return

    def put(self, document: Json) -> None:
        uid = _uid(document)
        known = self.found.get(uid)
        if uid not in self._dropped and (known is None or not _is_older(document, known)):
            self.found[uid] = document

    def drop(self, document: Json) -> None:
        if self.found.pop(_uid(document), None) is not None:
            self._dropped.add(_uid(document))


def _uid(document: Json) -> str:
    uid: str = document["metadata"]["uid"]
    return uid


def _is_older(document: Json, known: Json) -> bool:
    """Versions are the server's own; all servers count them, and what is no number is taken for newer."""
    one, other = (each["metadata"].get("resourceVersion", "") for each in (document, known))
    return one.isdigit() and other.isdigit() and int(one) < int(other)
