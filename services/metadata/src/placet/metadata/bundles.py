"""Evidence of one project in one archive: its events with their proofs, and everything that they name by digest.

The archive is the same, to the byte, for the same project, moment and checkpoint. What the registry has no more is left
out, and whoever verifies says so. `placet.verifier` reads it; this module knows its form and nothing else of it.
"""

from __future__ import annotations

import zipfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
from anyio import to_thread

from placet.errors import TooLarge, Unavailable, Unknown, Unreadable
from placet.events import Recorded
from placet.events.codec import timestamp
from placet.events.envelope import PLATFORM
from placet.metadata.dossier import Said, dossier
from placet.metadata.ports import CheckpointKeys, Evidence, Kept
from placet.metadata.queries import Filter, Queries
from placet.metadata.tree import Signed, Tree
from placet.trust import dsse
from placet.trust.encoding import decoded
from placet.trust.keys import verifying_key
from placet.trust.notes import SIGNS, NoteKey

FORMAT = "https://placet.dev/bundle/v1"
MAX_EVENTS = 20_000
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
POLICIES, FACTS, PERSONAL, QUESTIONNAIRES, ANSWERS = (
    "policies",
    "facts",
    "personal",
    "questionnaires",
    "assessments",
)
_CERTIFICATES = "certificates"
_THEN = (1980, 1, 1, 0, 0, 0)
"""When each file of an archive was made: the earliest that there is."""
_README = """\
Evidence of the project {project}, as the log {origin} had it at {at}.

dossier.html      to be read by people: the technical documentation of Annex IV of the EU AI Act
manifest.json     every file here, with its digest
checkpoint.txt    how large the log is and which root its tree has, signed by the log
events/           what was said, byte for byte, each with the proof that it is in that tree
keys/log.txt      the log's own word on its keys: compare it with what you were told another way
policies/, facts/, people/, certificates/, assessments/, questionnaires/, answers/, images/
                  what the events name by digest, as far as the registry has it still

To check all of it with nothing but a Python, and to run the rules again on the recorded facts:

    python3 verifier.py ARCHIVE.zip --log-key NAME+ID+KEY
{left_out}"""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """`people`: with what was recorded about people. `size` is the checkpoint's, none for the newest. `asked`: whoever
    asks named the moment, and did not just mean now."""

    project: str
    at: datetime
    asked: bool = False
    people: bool = False
    size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Made:
    name: str
    events: int
    size: int


class Bundling:
    def __init__(
        self, *, queries: Queries, tree: Tree, keys: CheckpointKeys, evidence: Evidence | None
    ) -> None:
        self._queries = queries
        self._tree = tree
        self._keys = keys
        self._evidence = evidence

    async def bundle(self, wanted: Wanted, into: Path) -> Made:
        """Write it. Raises Unknown of a project that nothing happened to by then, Unavailable without a registry."""
        if self._evidence is None:
            raise Unavailable(
                "this audit log was told of no registry, and evidence lies there",
                fix="set PLACET_REGISTRY of the service metadata, as the other services have it",
            )
        signed = await self._signed(wanted.size)
        own, left_out = await self._own(wanted, signed.size)
        if not own:
            raise Unknown(
                f"nothing had happened to a project {wanted.project} at {timestamp(wanted.at)}"
                + (f", within the first {signed.size} events" if wanted.size is not None else ""),
                fix="`placet list --all` names the projects; give a later moment"
                + (", or a larger size" if wanted.size is not None else ""),
            )
        general = [each async for each in self._general(wanted, signed.size)]
        events = sorted(
            {each.position: each for each in (*own, *general)}.values(), key=lambda one: one.position
        )
        files = await self._evidence_of(events, wanted, self._evidence)
        said = [_said(each) for each in events]
        files["dossier.html"] = dossier(wanted.project, timestamp(wanted.at), said, files).encode()
        files["checkpoint.txt"] = str(signed.note).encode()
        files["keys/log.txt"] = await self._log_keys(signed.origin)
        files["README.txt"] = _README.format(
            project=wanted.project,
            origin=signed.origin,
            at=timestamp(wanted.at),
            left_out=f"\nLeft out: {left_out} windows of measurements (model.observed).\n"
            if left_out
            else "",
        ).encode()
        for each in events:
            stem = f"events/{each.position:012}"
            files[f"{stem}.json"] = each.event.raw
            files[f"{stem}.tlog-proof"] = str(await self._tree.inclusion(each.position - 1, signed)).encode()
        await to_thread.run_sync(_write, into, files, wanted, signed)
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

    async def _evidence_of(
        self, events: Sequence[Recorded[Any]], wanted: Wanted, evidence: Evidence
    ) -> dict[str, bytes]:
        files: dict[str, bytes] = {}
        asked = {each.path: each for event in events for each in _named(event.event.type, _data(event))}
        while asked:
            following: dict[str, _Named] = {}
            for each in asked.values():
                if each.digest is None or each.path in files or (each.is_of_people and not wanted.people):
                    continue
                if each.kind == "artifact":
                    kept = await evidence.artifact(each.repository, each.digest)
                    if kept is not None:
                        files |= {each.path: kept.content, f"{each.path}.manifest": kept.manifest}
                        following |= {one.path: one for one in _certified_by(each, kept)}
                    continue
                read = evidence.tagged if each.kind == "tagged" else evidence.blob
                found = await read(each.repository, each.digest)
                if found is not None:
                    files[each.path] = found
            asked = following
        return files


def _name(wanted: Wanted, size: int) -> str:
    """Archives of one project in one folder take no name from each other."""
    moment = f"-{wanted.at:%Y%m%dt%H%M%Sz}" if wanted.asked else ""
    people = "-people" if wanted.people else ""
    return f"{wanted.project}{moment}{people}-{size}.zip"


def _data(recorded: Recorded[Any]) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.json.decode(recorded.event.raw)["data"]
    return data


def _said(recorded: Recorded[Any]) -> Said:
    event = msgspec.json.decode(recorded.event.raw)
    kind = event["type"].rpartition(".")[0].removeprefix("placet.")
    return Said(position=recorded.position, kind=kind, time=event["time"], data=event["data"])


class _Named(NamedTuple):
    """Something that an event names by digest, and where it goes in the archive."""

    kind: Literal["blob", "tagged", "artifact"]
    repository: str
    digest: str | None
    path: str
    is_of_people: bool = False


def _named(type: str, data: dict[str, Any]) -> Iterator[_Named]:
    match type.removeprefix("placet.").rpartition(".")[0]:
        case "certifier.release.cleared" | "certifier.release.refused":
            yield from _facts(data.get("facts"), f"{data.get('stage', 'submit')}-{data['release']}")
            yield from _policies(data["policies"])
        case "certifier.certificate.issued":
            name = data["certificate"].rpartition(":")[2]
            yield from _facts(data.get("facts"), f"certify-{data['release']}-{name}")
            yield _Named(
                "artifact", data["repository"], data["envelope"], f"{_CERTIFICATES}/{name}.dsse.json"
            )
        case "certifier.policy.published":
            yield from _policies([{**data, "id": data["policy"]}])
        case "certifier.approval.awaited":
            yield from _policies(data["binding"]["policies"])
        case "certifier.assessment.scored":
            name = data["assessment"].rpartition(":")[2]
            yield _Named("artifact", ANSWERS, data["envelope"], f"assessments/{name}.dsse.json")
        case "gateway.assessment.answered":
            name = data["assessment"].rpartition(":")[2]
            path = f"questionnaires/{data['questionnaire']}-{data['digest'][7:19]}"
            yield _Named("blob", QUESTIONNAIRES, data["digest"], path)
            yield _Named("blob", ANSWERS, data["answers"], f"answers/{name}.json", is_of_people=True)
        case "builder.image.built":
            name = data["image"][7:19]
            yield _Named("artifact", data["repository"], data.get("bom"), f"images/{name}.cdx.json")
            yield _Named(
                "artifact", data["repository"], data.get("provenance"), f"images/{name}.provenance.json"
            )
        case _:
            return


def _facts(recorded: dict[str, Any] | None, name: str) -> Iterator[_Named]:
    if recorded is not None:
        yield _Named("blob", FACTS, recorded["facts"], f"facts/{name}.json")
        yield _Named("tagged", PERSONAL, recorded.get("personal"), f"people/{name}.json", is_of_people=True)


def _policies(references: Iterable[dict[str, Any]]) -> Iterator[_Named]:
    for each in references:
        path = f"policies/{each['id']}-{each['version']}-{each['digest'][7:19]}.yaml"
        yield _Named("blob", POLICIES, each["digest"], path)


def _certified_by(named: _Named, kept: Kept) -> Iterator[_Named]:
    """The policies of both stages, which only a certificate names. What is none is for whoever verifies to say."""
    if named.path.startswith(_CERTIFICATES):
        with suppress(msgspec.MsgspecError, Unreadable, KeyError, TypeError, ValueError):
            payload = decoded(dsse.read(kept.content).payload, "a certificate")
            yield from _policies(msgspec.json.decode(payload)["predicate"]["policies"])


def _write(into: Path, files: dict[str, bytes], wanted: Wanted, signed: Signed) -> None:
    listed = [
        {"path": path, "digest": f"sha256:{sha256(files[path]).hexdigest()}", "size": len(files[path])}
        for path in sorted(files)
    ]
    manifest = {
        "format": FORMAT,
        "project": wanted.project,
        "at": timestamp(wanted.at),
        "origin": signed.origin,
        "size": signed.size,
        "people": wanted.people,
        "files": listed,
    }
    files["manifest.json"] = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(files):
            entry = zipfile.ZipInfo(path, date_time=_THEN)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # the same wherever it is made
            archive.writestr(entry, files[path])
