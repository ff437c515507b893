"""Evidence of one project in one archive: its events with their proofs, and everything that they name by digest.

The archive is the same, to the byte, for the same project, moment and checkpoint, and whoever sees as much. What the
registry has no more is left out, and whoever verifies says so. `placet.verifier` reads it, and makes again what people
read in it; this module knows the form of an archive and nothing else of how it is checked.
"""

from __future__ import annotations

import zipfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from anyio import to_thread

from placet.errors import Refused, TooLarge, Unavailable, Unknown, Unreadable
from placet.events import Recorded
from placet.events.codec import timestamp
from placet.events.envelope import PLATFORM
from placet.metadata.ports import CheckpointKeys, Evidence
from placet.metadata.queries import Filter, Queries, is_hidden
from placet.metadata.tree import Signed, Tree
from placet.trust.keys import verifying_key
from placet.trust.notes import SIGNS, NoteKey
from placet.verifier.dossier import FORM, dossier, said_in
from placet.verifier.dossier import PAGE as DOSSIER
from placet.verifier.failures import Wrong
from placet.verifier.names import CERTIFICATES, MANIFEST, Named, beside, named_by_certificate, named_in
from placet.verifier.readme import README, LeftOut, readme

FORMAT = "https://placet.dev/bundle/v1"
MAX_EVENTS = 20_000
MAX_BYTES = 256 * 1024**2
"""Of what is in one archive: it is put together in memory, as it is read by whoever verifies it."""
AT_ONCE = 2
"""Archives that are made at the same time, so that memory has a bound whoever asks."""
RETRY_AFTER = 5.0
PAGE = 1000
LEFT_OUT = "placet.deployer.model.observed."
"""A window of measurements each, for years."""
OF_PLATFORM = (
    "placet.certifier.key.rotated.*",
    "placet.certifier.key.compromised.*",
    "placet.certifier.policy.published.*",
    "placet.gateway.questionnaire.imported.*",
)
"""What is said of no project, and certificates rest on."""
_BUILT, _REUSED = "placet.builder.image.built.", "placet.builder.image.reused."
_THEN = (1980, 1, 1, 0, 0, 0)
"""When each file of an archive was made: the earliest that there is."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """`people`: with what was recorded about people. `size` is the checkpoint's, none for the newest. `asked`: whoever
    asks named the moment, and did not just mean now. `hidden` are projects that are private to others: of what one of
    them built, and this one took over, nothing is told."""

    project: str
    at: datetime
    asked: bool = False
    people: bool = False
    size: int | None = None
    hidden: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Made:
    name: str
    events: int
    size: int


class _Files(dict[str, bytes]):
    """What an archive is made of, by path. Raises TooLarge where it is more than one can have."""

    def __init__(self, project: str, most: int) -> None:
        super().__init__()
        self._project = project
        self._most = most
        self._left = most

    def put(self, path: str, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise TooLarge(
                f"what is known of {self._project} takes more than {self._most // 1024**2} MiB, and no archive does",
                fix="ask up to an earlier moment (--at), or take the whole log: `placet audit replay`",
            )
        self[path] = data


class Bundling:
    def __init__(
        self,
        *,
        queries: Queries,
        tree: Tree,
        keys: CheckpointKeys,
        evidence: Evidence | None,
        most: int = MAX_BYTES,
        at_once: int = AT_ONCE,
    ) -> None:
        self._queries = queries
        self._tree = tree
        self._keys = keys
        self._evidence = evidence
        self._most = most
        self._at_once = at_once
        self._under_way = 0

    async def bundle(self, wanted: Wanted, into: Path) -> Made:
        """Write it. Raises Unknown of a project that nothing happened to by then, TooLarge of one with more than an
        archive takes, Refused without a registry, and Unavailable while others are made."""
        if self._evidence is None:
            raise Refused(
                "this audit log was told of no registry, and evidence lies there",
                fix="set PLACET_REGISTRY of the service metadata, as the other services have it",
            )
        if self._under_way >= self._at_once:
            raise Unavailable(
                f"{self._at_once} archives of evidence are being made here, and no more can be at once",
                fix="ask again in a few seconds",
                retry_after=RETRY_AFTER,
            )
        self._under_way += 1
        try:
            return await self._bundle(wanted, into, self._evidence)
        finally:
            self._under_way -= 1

    async def _bundle(self, wanted: Wanted, into: Path, evidence: Evidence) -> Made:
        signed = await self._signed(wanted.size)
        all_own, windows = await self._own(wanted, signed.size)
        own = [each for each in all_own if not is_hidden(each, wanted.hidden)]
        if not own:
            raise Unknown(
                f"nothing had happened to a project {wanted.project} at {timestamp(wanted.at)}"
                + (f", within the first {signed.size} events" if wanted.size is not None else ""),
                fix="`placet list --all` names the projects; give a later moment"
                + (", or a larger size" if wanted.size is not None else ""),
            )
        general = [each async for each in self._general(wanted, signed.size)]
        all_elsewhere = await self._built_elsewhere(own, wanted, signed.size)
        elsewhere = [each for each in all_elsewhere if not is_hidden(each, wanted.hidden)]
        private = len(all_own) - len(own) + len(all_elsewhere) - len(elsewhere)
        events = sorted(
            {each.position: each for each in (*own, *general, *elsewhere)}.values(),
            key=lambda one: one.position,
        )
        files = _Files(wanted.project, self._most)
        for each in events:
            stem = f"events/{each.position:012}"
            files.put(f"{stem}.json", each.event.raw)
            files.put(
                f"{stem}.tlog-proof", str(await self._tree.inclusion(each.position - 1, signed)).encode()
            )
        await self._gather(events, wanted, evidence, files)
        files.put("checkpoint.txt", str(signed.note).encode())
        files.put("keys/log.txt", await self._log_keys(signed.origin))
        words = readme(wanted.project, signed.origin, timestamp(wanted.at), LeftOut(windows, private))
        files.put(README, words.encode())
        # Of many events it takes a second, which others would wait for.
        await to_thread.run_sync(_write, into, files, events, wanted, signed)
        return Made(name=_name(wanted, signed.size), events=len(events), size=signed.size)

    async def _signed(self, size: int | None) -> Signed:
        signed = await (self._tree.latest() if size is None else self._tree.of_size(size))
        if signed is None:
            raise Unknown("no such checkpoint was signed", fix="leave size out for the newest")
        return signed

    async def _own(self, wanted: Wanted, size: int) -> tuple[list[Recorded[Any]], int]:
        found, left_out = list[Recorded[Any]](), 0
        async for each in self._pages(Filter(project=wanted.project, until=wanted.at), size):
            if each.event.type.startswith(LEFT_OUT):
                left_out += 1
            else:
                found.append(each)
            if len(found) > MAX_EVENTS:
                raise TooLarge(
                    f"more than {MAX_EVENTS} events are of {wanted.project}",
                    fix="take the whole log: `placet audit replay`, and `placet audit verify`",
                )
        return found, left_out

    async def _general(self, wanted: Wanted, size: int) -> AsyncIterator[Recorded[Any]]:
        for kind in OF_PLATFORM:
            async for each in self._pages(Filter(type=kind, project=PLATFORM, until=wanted.at), size):
                yield each

    async def _pages(self, wanted: Filter, size: int) -> AsyncIterator[Recorded[Any]]:
        after = 0
        while True:
            page = await self._queries.events(after, PAGE, wanted)
            for each in page.events:
                if each.position <= size:
                    yield each
            if page.next <= after or page.next >= size:
                return
            after = page.next

    async def _log_keys(self, origin: str) -> bytes:
        history = await self._keys.history()
        vkeys = [
            NoteKey(name=origin, kind=SIGNS, key=verifying_key(each.kid, each.x)).vkey for each in history
        ]
        return "".join(f"{each}\n" for each in vkeys).encode()

    async def _built_elsewhere(
        self, own: Sequence[Recorded[Any]], wanted: Wanted, size: int
    ) -> list[Recorded[Any]]:
        """How those images were built that the project did not build itself: it was said of another one's release, and
        the bill of materials and the provenance are named there alone."""
        reused = {_data(each)["image"]: each.position for each in own if each.event.type.startswith(_REUSED)}
        for each in own:
            if each.event.type.startswith(_BUILT):
                reused.pop(_data(each)["image"], None)
        found: dict[str, Recorded[Any]] = {}
        if reused:
            async for each in self._pages(Filter(type=f"{_BUILT}*", until=wanted.at), size):
                image = _data(each)["image"]
                if each.position < reused.get(image, 0):
                    found[image] = each
        return list(found.values())

    async def _gather(
        self, events: Sequence[Recorded[Any]], wanted: Wanted, evidence: Evidence, files: _Files
    ) -> None:
        """Everything that the events name by digest, and what that names."""
        asked = dict.fromkeys(
            each for event in events for each in named_in(event.event.type.rpartition(".")[0], _data(event))
        )
        known: set[Named] = set()
        while asked:
            following: dict[Named, None] = {}
            for each in asked:
                if each in known or each.digest is None or (each.is_of_people and not wanted.people):
                    continue
                known.add(each)
                # Of a release that was judged twice both have one name; neither takes the other's place.
                path = each.path if each.path not in files else beside(each.path, each.digest)
                if each.kind == "artifact":
                    kept = await evidence.artifact(each.repository, each.digest)
                    if kept is not None:
                        files.put(path, kept.content)
                        files.put(path + MANIFEST, kept.manifest)
                        if each.path.startswith(CERTIFICATES):
                            following |= dict.fromkeys(named_by_certificate(kept.content))
                    continue
                read = evidence.tagged if each.kind == "tagged" else evidence.blob
                found = await read(each.repository, each.digest)
                if found is not None:
                    files.put(path, found)
            asked = following


def _name(wanted: Wanted, size: int) -> str:
    """Archives of one project in one folder take no name from each other."""
    moment = f"-{wanted.at:%Y%m%dt%H%M%Sz}" if wanted.asked else ""
    people = "-people" if wanted.people else ""
    return f"{wanted.project}{moment}{people}-{size}.zip"


def _data(recorded: Recorded[Any]) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.json.decode(recorded.event.raw)["data"]
    return data


def _write(
    into: Path, files: _Files, events: Sequence[Recorded[Any]], wanted: Wanted, signed: Signed
) -> None:
    at = timestamp(wanted.at)
    try:
        said = [said_in(each.position, each.event.raw) for each in events]
    except Wrong as error:
        raise Unreadable(str(error), fix="`placet audit verify` says what was changed") from error
    files.put(DOSSIER, dossier(wanted.project, at, said, files).encode())
    listed = [
        {"path": path, "digest": f"sha256:{sha256(files[path]).hexdigest()}", "size": len(files[path])}
        for path in sorted(files)
    ]
    manifest = {
        "format": FORMAT,
        "dossier": FORM,
        "project": wanted.project,
        "at": at,
        "origin": signed.origin,
        "size": signed.size,
        "people": wanted.people,
        "files": listed,
    }
    files.put("manifest.json", msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(files):
            entry = zipfile.ZipInfo(path, date_time=_THEN)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # the same wherever it is made
            archive.writestr(entry, files[path])
