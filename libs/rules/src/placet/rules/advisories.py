"""Which packages are known to be vulnerable, or hostile? A snapshot of advisories in OSV's form, matched here.

A snapshot is a zip with a JSON document for each advisory, as OSV gives away a whole ecosystem's, or one that a house
made. Of each only what tells the packages of PyPI that it is about is kept in memory. Whether a version is affected
is told as OSV's schema says: it is listed, or lies in a range. One that cannot be compared is affected: nobody knows.

Strangers wrote it, so it is read in a process of its own: `python -P -m placet.rules.advisories … ZIP INTO`.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import cvss
import msgspec
from cvss.exceptions import CVSSError
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from placet.errors import Refused, TooLarge, Unreadable
from placet.projects.bounded import answer, asked
from placet.rules.facts import MAX_REASON

ECOSYSTEM = "PyPI"
MAX_SNAPSHOT_BYTES = 256 * 1024**2
MAX_ADVISORIES = 500_000
MAX_ADVISORY_BYTES = 4 * 1024**2
MAX_UNPACKED_BYTES = 2 * 1024**3
MAX_FOUND = 1000

MEMORY_BYTES = 2 * 1024**3
SECONDS = 600
"""Of processor time."""

_BANDS = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"))
_WORDS = {"critical": "critical", "high": "high", "moderate": "medium", "medium": "medium", "low": "low"}
_VECTORS = {"CVSS_V2": cvss.CVSS2, "CVSS_V3": cvss.CVSS3, "CVSS_V4": cvss.CVSS4}

Facts = dict[str, Any]


class Event(msgspec.Struct, frozen=True):
    """A point on a range's way; it has one of these."""

    introduced: str | None = None
    fixed: str | None = None
    last_affected: str | None = None
    limit: str | None = None

    @property
    def version(self) -> str:
        return self.introduced or self.fixed or self.last_affected or self.limit or "0"


class Range(msgspec.Struct, frozen=True):
    type: str = ""
    events: tuple[Event, ...] = ()


class _Package(msgspec.Struct, frozen=True):
    ecosystem: str = ""
    name: str = ""


class Severity(msgspec.Struct, frozen=True):
    """`score` is a CVSS vector."""

    type: str = ""
    score: str = ""


class Affected(msgspec.Struct, frozen=True):
    package: _Package = _Package()
    ranges: tuple[Range, ...] = ()
    versions: tuple[str, ...] = ()
    severity: tuple[Severity, ...] = ()


class _Own(msgspec.Struct, frozen=True):
    severity: Any = None


class _Document(msgspec.Struct, frozen=True):
    id: str
    modified: datetime
    withdrawn: str | None = None
    aliases: tuple[str, ...] | None = None
    summary: str = ""
    severity: tuple[Severity, ...] | None = None
    affected: tuple[Affected, ...] | None = None
    database_specific: _Own | None = None


class Advisory(msgspec.Struct, frozen=True, kw_only=True):
    """What one document says of one package."""

    id: str
    aliases: tuple[str, ...]
    summary: str
    severity: str
    affected: Affected


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """`taken` is when its latest advisory was changed: nobody can say that it is newer than what is in it."""

    taken: datetime
    advisories: int
    by_package: Mapping[str, Sequence[Advisory]]

    @classmethod
    def parse(cls, index: bytes) -> Snapshot:
        return msgspec.msgpack.decode(index, type=cls)

    def facts(self, digest: str, packages: Sequence[Mapping[str, Any]], now: datetime) -> Facts:
        """The facts `advisories` about packages as `contents` has them. `ageDays` are whole days."""
        found = [
            {"package": each["name"], "version": each["version"]} | _told(advisory)
            for each in packages
            if each["kind"] == "pypi"
            for advisory in self.by_package.get(canonicalize_name(each["name"]), ())
            if is_affected(each["version"], advisory.affected)
        ]
        return {
            "snapshot": digest,
            "taken": self.taken.date().isoformat(),
            "ageDays": max(0, (now - self.taken).days),
            "found": found[:MAX_FOUND],
        }


NO_SNAPSHOT: Facts = {"snapshot": "", "taken": "", "ageDays": 0, "found": []}


async def compiled(file: Path, into: Path) -> None:
    """Write to `into` what `Snapshot.parse` reads of a snapshot. Raises as `read_snapshot`, and Refused for what takes
    more memory or time than it may."""
    await asked(__name__, str(file), str(into), memory=MEMORY_BYTES, seconds=SECONDS)


def _compiled(arguments: Sequence[str]) -> None:
    file, into = arguments
    Path(into).write_bytes(msgspec.msgpack.encode(read_snapshot(Path(file))))


def read_snapshot(file: Path) -> Snapshot:
    """Raises Unreadable, TooLarge, and Refused where there is nothing about Python packages in it."""
    if file.stat().st_size > MAX_SNAPSHOT_BYTES:
        raise TooLarge(f"a snapshot of advisories has at most {MAX_SNAPSHOT_BYTES // 1024**2} MiB")
    taken: datetime | None = None
    by_package: dict[str, list[Advisory]] = {}
    count = 0
    for name, written in _documents(file):
        document = _read(name, written)
        count += 1
        taken = document.modified if taken is None else max(taken, document.modified)
        for package, advisory in _about(document):
            by_package.setdefault(package, []).append(advisory)
    if taken is None or not by_package:
        raise Refused(
            f"the snapshot says nothing of packages of {ECOSYSTEM}",
            fix=f"send the zip of all advisories of the ecosystem {ECOSYSTEM}, as OSV gives it away",
        )
    return Snapshot(taken=taken, advisories=count, by_package=by_package)


def _documents(file: Path) -> Iterator[tuple[str, bytes]]:
    left = MAX_UNPACKED_BYTES
    try:
        with zipfile.ZipFile(file) as archive:
            members = [each for each in archive.infolist() if each.filename.endswith(".json")]
            if len(members) > MAX_ADVISORIES:
                raise TooLarge(f"a snapshot has at most {MAX_ADVISORIES} advisories")
            for member in members:
                with archive.open(member) as opened:
                    written = opened.read(MAX_ADVISORY_BYTES + 1)
                left -= len(written)
                if len(written) > MAX_ADVISORY_BYTES or left < 0:
                    raise TooLarge(f"{member.filename!r:.120} of the snapshot is too large")
                yield member.filename, written
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise Unreadable(
            f"the snapshot is no zip that can be read: {error}", fix="send a zip of JSON files"
        ) from error


def _read(name: str, written: bytes) -> _Document:
    try:
        document = msgspec.json.decode(written, type=_Document)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unreadable(
            f"{name!r:.120} of the snapshot is no advisory in OSV's form: {error}",
            fix="leave out what is none, or send the snapshot as OSV gives it away",
        ) from error
    if document.modified.tzinfo is None:
        raise Unreadable(f"{name!r:.120} of the snapshot does not say in which time zone it was changed")
    return document


def _about(document: _Document) -> Iterator[tuple[str, Advisory]]:
    if document.withdrawn is not None:
        return
    for each in document.affected or ():
        if each.package.ecosystem == ECOSYSTEM:
            yield (
                canonicalize_name(each.package.name),
                Advisory(
                    id=document.id[:MAX_REASON],
                    aliases=document.aliases or (),
                    summary=document.summary[:MAX_REASON],
                    severity=_severity(document, each),
                    affected=each,
                ),
            )


def _severity(document: _Document, affected: Affected) -> str:
    """By the worst of its CVSS vectors; in its database's own word where there is none."""
    scores = [
        score
        for each in (*(document.severity or ()), *affected.severity)
        if (score := _score(each)) is not None
    ]
    if scores:
        return next((name for least, name in _BANDS if max(scores) >= least), "low")
    own = document.database_specific.severity if document.database_specific else None
    return _WORDS.get(own.lower(), "unknown") if isinstance(own, str) else "unknown"


def _score(severity: Severity) -> float | None:
    vector = _VECTORS.get(severity.type)
    if vector is None:
        return None
    try:
        return float(vector(severity.score).base_score)
    except (CVSSError, ValueError, KeyError):
        return None


def is_affected(version: str, affected: Affected) -> bool:
    if version in affected.versions:
        return True
    try:
        wanted = Version(version)
        if any(Version(each) == wanted for each in affected.versions):
            return True
        return any(_lies_in(wanted, each) for each in affected.ranges if each.type in ("ECOSYSTEM", "SEMVER"))
    except InvalidVersion:
        return True


def _lies_in(wanted: Version, within: Range) -> bool:
    """OSV's own algorithm: along the events, in the order of their versions."""
    limits = [each.limit for each in within.events if each.limit is not None]
    if limits and not any(limit == "*" or wanted < Version(limit) for limit in limits):
        return False
    affected = False
    for event in sorted(within.events, key=_place):
        if event.introduced is not None and (event.introduced == "0" or wanted >= Version(event.introduced)):
            affected = True
        elif (event.fixed is not None and wanted >= Version(event.fixed)) or (
            event.last_affected is not None and wanted > Version(event.last_affected)
        ):
            affected = False
    return affected


def _place(event: Event) -> tuple[Version, int]:
    """What is introduced with a version that something else was fixed in comes after it."""
    if event.introduced == "0":
        return Version("0.dev0"), 0
    version = event.version
    return Version("0" if version == "*" else version), 1 if event.introduced is not None else 0


def _told(advisory: Advisory) -> Facts:
    ranges = advisory.affected.ranges
    return {
        "id": advisory.id,
        "aliases": sorted(advisory.aliases),
        "severity": advisory.severity,
        "summary": advisory.summary,
        "fixedIn": sorted(
            {event.fixed for each in ranges if each.type != "GIT" for event in each.events if event.fixed}
        ),
        "isHostile": advisory.id.startswith("MAL-"),
    }


if __name__ == "__main__":
    answer(sys.argv[1:], _compiled)
