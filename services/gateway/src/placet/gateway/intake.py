"""Sources coming in: inspected, kept in the registry, and said. A source belongs to no release yet."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread

from placet.errors import Refused
from placet.events import Actor, Context, UnitOfWork, Wiring, transact
from placet.events.contracts.gateway import SourceUploaded
from placet.gateway import projections as p
from placet.gateway.git_address import parse
from placet.gateway.ports import Ports
from placet.projects import Limits, inspect_archive, pack, parse_manifest

SERVICE = "gateway"


@dataclass(frozen=True, kw_only=True)
class Source:
    """An archive that is kept. `size` is in bytes as sent, `project` what its placet.yaml calls it."""

    source: str
    size: int
    project: str
    files: int


class Intake:
    def __init__(self, wiring: Wiring, ports: Ports, *, max_bytes: int) -> None:
        self._wiring = wiring
        self._ports = ports
        self._limits = Limits(max_archive=max_bytes)

    async def keep(self, archive: Path, digest: str, actor: Actor, *, origin: str | None = None) -> Source:
        """Inspect an archive that has this digest, and keep it. Raises Refused, TooLarge, Unavailable."""
        kept = await to_thread.run_sync(_inspected, archive, digest, self._limits)
        await self._ports.sources.keep(digest, archive)
        await self._say(kept, actor, origin)
        return kept

    async def fetch(self, address: str, actor: Actor) -> Source:
        """The project at a git address, as `placet deploy` would pack a clone of it: the same files, the same digest.

        Raises Refused, TooLarge, Unavailable; nothing is left of what was fetched.
        """
        wanted = parse(address)
        with tempfile.TemporaryDirectory(prefix="placet-git-") as folder:
            clone, archive = Path(folder) / "clone", Path(folder) / "source.tar"
            clone.mkdir()
            commit = await self._ports.repositories.check_out(wanted, clone)
            packed = await to_thread.run_sync(pack, clone / wanted.subdirectory, archive, self._limits)
            return await self.keep(archive, packed.digest, actor, origin=wanted.at(commit))

    async def _say(self, kept: Source, actor: Actor, origin: str | None) -> None:
        context = Context(project=kept.project, correlation=self._wiring.ids.new(), actor=actor)
        uploaded = SourceUploaded(source=kept.source, size=kept.size, project=kept.project, origin=origin)

        async def change(work: UnitOfWork) -> None:
            if any(each.origin == origin for each in await work.history(f"source/{kept.source}")):
                return
            work.stage(f"source/{kept.source}", [uploaded])
            work.put(p.sources, source=kept.source, size=kept.size, project=kept.project, files=kept.files)

        await transact(self._wiring, SERVICE, context, change)


def _inspected(archive: Path, digest: str, limits: Limits) -> Source:
    """A manifest takes up to a second to read: not on the loop."""
    contents = inspect_archive(archive, limits)
    if contents.manifest is None:
        raise Refused(
            "the archive holds no placet.yaml at its top",
            fix="run `placet init` in the project's folder",
        )
    project = parse_manifest(contents.manifest).project
    return Source(source=digest, size=contents.size, project=project, files=len(contents.files))
