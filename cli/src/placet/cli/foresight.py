"""What will the rules of stage `certify` say of the image? As far as that is known before there is one.

The packages and their licences are known from the index, what is known against them from the snapshot of advisories
that the platform has in use. What is not known stays open: no rule is taken to pass, or to fail, for want of it.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from placet.cli.examination import Examined
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.cli.sizes import in_bytes
from placet.cli.submission import granted_exceptions
from placet.client import Client
from placet.errors import PlacetError
from placet.rules import Engine, Policy, Verdict
from placet.rules.advisories import NO_SNAPSHOT, Snapshot, compiled

SECONDS = 120.0
"""A whole ecosystem's advisories are fetched once, and read in some seconds."""


@dataclass(frozen=True, kw_only=True)
class Advised:
    """The facts `advisories` about some packages, or why nobody knows."""

    facts: Mapping[str, Any] | None = None
    left_open: str | None = None


def advisories_about(packages: Sequence[Mapping[str, Any]], screen: Screen) -> Advised:
    try:
        snapshot = asyncio.run(_in_use(screen))
    except PlacetError as error:
        return Advised(left_open=error.detail)
    except TimeoutError:
        return Advised(left_open=f"the platform took longer than {SECONDS:g} s")
    if snapshot is None:
        return Advised(facts=NO_SNAPSHOT)
    digest, read = snapshot
    now = datetime.now(UTC)  # noqa: TID251 (the command is where a person's clock comes in)
    return Advised(facts=read.facts(digest, packages, now))


def exceptions_of(project: str, source: str) -> Mapping[str, str]:
    """The exceptions that were granted, by rule; none where nobody can be asked, and then the rule stands."""
    try:
        return asyncio.run(_exceptions(project, source))
    except (PlacetError, TimeoutError):
        return {}


async def _exceptions(project: str, source: str) -> Mapping[str, str]:
    async with asyncio.timeout(SECONDS), connect() as platform:
        return await granted_exceptions(platform, project, source)


def foresee(
    examined: Examined,
    policies: Sequence[Policy],
    packages: Sequence[Mapping[str, Any]] | None,
    advised: Advised,
    *,
    most: int,
) -> tuple[tuple[Verdict, ...], tuple[str, ...]]:
    """The verdicts that are known already, and the rules that could refuse the image and cannot be asked yet.

    `packages` are as the facts `contents` have them, or None where nobody knows.
    """
    facts = dict(examined.facts)
    if packages is not None:
        facts["contents"] = {"problem": "", "packages": list(packages)}
    if advised.facts is not None:
        facts["advisories"] = advised.facts
    with Engine(most=most) as engine:
        judged = engine.evaluate_sync(policies, "certify", facts)
    known = tuple(each for each in judged if each.result != "indeterminate" and each.awaits is None)
    return known, tuple(each.rule for each in judged if each not in known and each.is_refusal)


async def _in_use(screen: Screen) -> tuple[str, Snapshot] | None:
    async with asyncio.timeout(SECONDS), connect() as platform:
        in_use = [each for each in await platform.advisories() if each.state == "in-use"]
        if not in_use:
            return None
        digest = in_use[0].digest
        kept = _kept(digest)
        if not kept.is_file():
            screen.note(f"fetching the platform's advisories, {in_bytes(in_use[0].size)}, once …")
            await _fetch(platform, digest, kept)
    return digest, Snapshot.parse(await asyncio.to_thread(kept.read_bytes))


async def _fetch(platform: Client, digest: str, into: Path) -> None:
    """Those before are not asked for any more."""
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=into.parent) as folder:
        sent, read = Path(folder) / "snapshot.zip", Path(folder) / "read"
        await platform.download_advisories(digest, sent)
        await compiled(sent, read)
        for before in into.parent.glob("*.read"):
            before.unlink(missing_ok=True)
        read.replace(into)


def _kept(digest: str) -> Path:
    """What was read of a snapshot, which another version of placet would read in another way."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    name = f"{digest.removeprefix('sha256:')}-{version('placet-rules')}.read"
    return Path(cache) / "placet" / "advisories" / name
