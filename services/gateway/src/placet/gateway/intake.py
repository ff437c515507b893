"""Sources coming in: inspected, kept in the registry, and said. A source belongs to no release yet."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from anyio import to_thread

from placet.assessments import declared
from placet.errors import PlacetError, Refused
from placet.events import PLATFORM, Actor, Context, UnitOfWork, Wiring, transact
from placet.events.codec import timestamp
from placet.events.contracts.gateway import SourceUploaded
from placet.events.turns import Turns
from placet.gateway import projections as p
from placet.gateway.git_address import GitAddress, parse
from placet.gateway.names import normalised
from placet.gateway.people import OWNER_OF_SOURCE, Owner, People
from placet.gateway.ports import Ports
from placet.gateway.queries import Queries
from placet.gateway.standings import Known
from placet.gateway.uploads import Uploaded
from placet.projects import (
    MANIFEST_NAME,
    MAX_CARD_BYTES,
    MLMODEL,
    Card,
    DocumentRefused,
    Limits,
    Measured,
    inspect_archive,
    parse_card,
    parse_manifest,
    project_name,
    read_one,
)
from placet.projects.full_disk import told_when_full
from placet.rules import Verdict, excepted
from placet.rules.examination import ARCHIVE

SERVICE = "gateway"
FETCHED_AT_ONCE = 4
"""Repositories; each is a program that holds what it fetched."""
PACKED_AT_ONCE = JUDGED_AT_ONCE = 2
"""Each takes a process with a lot of memory, if what it looks at is hostile."""
INSPECTED_AT_ONCE = 2
"""A manifest takes up to a second to read, of which the loop has its share only if few are read beside it."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """An archive that is kept, and what it says of itself. `size` is in bytes as sent, `project` what its placet.yaml
    calls it; `card` is as it lies there, `results` what it says was measured; `declared` are digests of the purpose and
    of the data."""

    source: str
    size: int
    project: str
    files: int
    owner: str | None
    builders: Sequence[str]
    card: bytes | None
    results: Sequence[Measured]
    declared: tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What lay at a git address, as an archive that nobody keeps. `origin` names the commit."""

    archive: Path
    digest: str
    origin: str


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A folder that came in: what was made of it, what of it was left out, and what the rules would say."""

    source: Source
    is_new: bool
    is_trial: bool
    ignored: Sequence[str]
    verdicts: Sequence[Verdict]


class MistakesRefused(Refused):
    """A placet.yaml with mistakes, and what the rules say of the rest: the same list as `placet check` has."""

    def __init__(self, mistakes: DocumentRefused, verdicts: Sequence[Verdict]) -> None:
        super().__init__(mistakes.detail, fix=mistakes.fix)
        self._parts = (
            *mistakes.parts,
            *(
                Refused(each.why or each.title, fix=each.fix, rule=each.rule)
                for each in verdicts
                if each.is_refusal
            ),
        )

    @property
    def parts(self) -> tuple[PlacetError, ...]:
        return self._parts


class Intake:
    """Each part of the work is done for a few at once, who take turns by person."""

    def __init__(self, wiring: Wiring, queries: Queries, ports: Ports, *, max_bytes: int) -> None:
        self._wiring = wiring
        self._queries = queries
        self._ports = ports
        self._limits = Limits(max_archive=max_bytes)
        self._fetching = Turns(FETCHED_AT_ONCE)
        self._packing = Turns(PACKED_AT_ONCE)
        self._judging = Turns(JUDGED_AT_ONCE)
        self._inspecting = Turns(INSPECTED_AT_ONCE)

    async def keep(self, archive: Path, digest: str, who: Known, *, origin: str | None = None) -> Source:
        """Inspect an archive that has this digest, and keep it. Raises Refused, TooLarge, Unavailable."""
        kept = await self._inspected(archive, digest, who)
        await self._ports.sources.keep(digest, archive)
        await self._say(kept, who, origin)
        return kept

    async def fetch(self, address: str, who: Known) -> Source:
        """Fetch the project at a git address, and keep it as an upload of it is kept.

        Raises Refused, TooLarge, Unavailable; nothing is left of what was fetched then.
        """
        async with self.fetched(address, who) as fetched:
            return await self.keep(fetched.archive, fetched.digest, who, origin=fetched.origin)

    @asynccontextmanager
    async def fetched(self, address: str, who: Known) -> AsyncIterator[Fetched]:
        """The project at a git address, as `placet deploy` would pack a clone of it: the same files, the same digest.

        Raises Refused, TooLarge, Unavailable. It is there for as long as it is looked at.
        """
        wanted = parse(address)
        with told_when_full(), tempfile.TemporaryDirectory(prefix="placet-git-") as folder:
            # A folder that says no project's name is called as the repository is.
            clone, archive = Path(folder) / "clone" / project_name(wanted.name), Path(folder) / "source.tar"
            clone.mkdir(parents=True)
            async with self._fetching.taken_by(who.person):
                commit = await self._ports.repositories.check_out(wanted, clone)
            await to_thread.run_sync(_must_hold_a_project, clone, wanted)
            async with self._packing.taken_by(who.person):
                packed = await self._ports.packing.pack(clone / wanted.subdirectory, archive, self._limits)
            yield Fetched(archive=archive, digest=packed.digest, origin=wanted.at(commit))

    async def take(self, uploaded: Uploaded, workspace: Path, who: Known) -> Taken:
        """Pack a folder as `placet deploy` would, so that it has the same digest; see what the rules say; keep it.

        `workspace` is an empty folder. Raises Refused, TooLarge, Unavailable; nothing is kept then.
        """
        archive = workspace / ARCHIVE
        async with self._packing.taken_by(who.person):
            packed = await self._ports.packing.pack(
                uploaded.folder, archive, self._limits, sent=uploaded.archive
            )
        digest = packed.digest
        try:
            source = await self._inspected(archive, digest, who)
        except DocumentRefused as mistakes:
            async with self._judging.taken_by(who.person):
                verdicts = await self._ports.rules.judge(workspace, self._wiring.clock.now(), partial=True)
            raise MistakesRefused(mistakes, verdicts) from mistakes
        async with self._judging.taken_by(who.person):
            now = self._wiring.clock.now()
            in_force = await self._exceptions(source, who, timestamp(now))
            verdicts = excepted(await self._ports.rules.judge(workspace, now), in_force)
        is_new = await self._queries.source(digest) is None or not await self._ports.sources.has(digest)
        if is_new:
            await self._ports.sources.keep(digest, archive)
            await self._say(source, who, None)
        return Taken(
            source=source,
            is_new=is_new,
            is_trial=packed.is_trial,
            ignored=packed.left_out,
            verdicts=verdicts,
        )

    async def _exceptions(self, source: Source, who: Known, now: str) -> Mapping[str, str]:
        """Those of the project that it says it is, unless that is hidden from who sends it."""
        if not await self._queries.standings.may(source.project, "viewer", who):
            return {}
        return await self._queries.exceptions_in_force(source.project, source.source, now=now)

    async def _inspected(self, archive: Path, digest: str, who: Known) -> Source:
        async with self._inspecting.taken_by(who.person):
            return await to_thread.run_sync(inspected, archive, digest, self._limits)

    async def _say(self, kept: Source, who: Known, origin: str | None) -> None:
        """That it is here. What it says of people goes into rows alone, sealed with the key of who sends it.

        It belongs to the project that it says it is where its sender may deploy there: anybody can write any name into
        a placet.yaml, and would fill others' histories.
        """
        source, people, actor = kept.source, self._queries.people, Actor.person(who.person)
        is_theirs = await self._queries.standings.may(kept.project, "deployer", who)
        project = kept.project if is_theirs else PLATFORM
        context = Context(project=project, correlation=self._wiring.ids.new(), actor=actor)
        uploaded = SourceUploaded(source=source, size=kept.size, project=kept.project, origin=origin)

        async def change(work: UnitOfWork) -> None:
            # In this order: of two that are sent at once, the later one finds the row of the other behind its event.
            is_said = any(each.origin == origin for each in await work.history(f"source/{source}"))
            if is_said and await self._queries.source(source) is not None:
                return
            sender = await people.owner(actor.id)
            work.stage(f"source/{source}", [uploaded])
            await show_source(work, kept, actor.id, people, sender)

        await transact(self._wiring, SERVICE, context, change)


async def show_source(
    work: UnitOfWork, kept: Source, person: str, people: People, sender: Owner | None
) -> None:
    """`person` sent it, unless somebody did before. Without the key of the `sender` nothing is kept of whom it names as
    its owner."""
    owner = kept.owner if sender is not None else None
    work.put(
        p.sources,
        keep=("owner", "owner_alike"),
        source=kept.source,
        size=kept.size,
        project=kept.project,
        files=kept.files,
        owner=sender.seal(owner, place=OWNER_OF_SOURCE) if sender and owner else None,
        owner_alike=await people.looks(owner) if owner else None,
    )
    work.put(p.senders, keep=("person",), source=kept.source, person=person)
    for name in kept.builders:
        work.put(p.builders, source=kept.source, alike=await people.looks(normalised(name)))
    if kept.card is not None:
        work.put(p.cards, source=kept.source, card=kept.card)
    purpose, data = kept.declared
    work.put(p.declarations, source=kept.source, purpose=purpose, data=data)
    for number, result in enumerate(kept.results):
        metric = result.metric.lower()
        work.put(p.results, source=kept.source, number=number, metric=metric, value=result.value)


def _must_hold_a_project(clone: Path, wanted: GitAddress) -> None:
    """Else it is most likely in a folder of the repository's, which the address does not name."""
    top = clone / wanted.subdirectory
    if (top / MANIFEST_NAME).exists() or (top / MLMODEL).exists():
        return
    found = sorted(path.parent.relative_to(clone).as_posix() for path in top.rglob(MANIFEST_NAME))
    fix = "run `placet init` in the project's folder, or name another one with #subdirectory=FOLDER"
    if found:
        ref = f"@{wanted.ref}" if wanted.ref else ""
        others = f"; others are {', '.join(found[1:_MOST_NAMED])}" if found[1:] else ""
        fix = f"name the project's folder: {wanted.url}{ref}#subdirectory={quote(found[0])}{others}"
    where = f"in {wanted.subdirectory}" if wanted.subdirectory else "at its top"
    raise Refused(f"{wanted.url} has no {MANIFEST_NAME} {where}", fix=fix)


_MOST_NAMED = 5


def searchable(card: bytes) -> Card:
    """The card; one that breaks the rules, which is the certifier's to say, has nothing to be searched by."""
    try:
        return parse_card(card)
    except DocumentRefused:
        return Card(prose=card.decode(errors="replace"))


def inspected(archive: Path, digest: str, limits: Limits) -> Source:
    """What an archive says of itself: not on the loop."""
    contents = inspect_archive(archive, limits)
    if contents.manifest is None:
        raise Refused(
            "the archive holds no placet.yaml at its top",
            fix="run `placet init` in the project's folder",
        )
    manifest = parse_manifest(contents.manifest)
    card = read_one(archive, manifest.card, limit=MAX_CARD_BYTES, limits=limits) if manifest.card else None
    return Source(
        source=digest,
        size=contents.size,
        project=manifest.project,
        files=len(contents.files),
        owner=manifest.governance.owner,
        builders=manifest.governance.builders,
        card=card,
        results=searchable(card).results if card is not None else (),
        declared=declared(manifest.governance),
    )
