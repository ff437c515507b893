"""`placet policy diff`: what another version of a policy asks, and what it would have said of all that was decided."""

from __future__ import annotations

import asyncio
import os
from argparse import Namespace
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from placet.cli import exits
from placet.cli.exits import WrongUsageError
from placet.cli.judgements import Judgement, facts_of, judgements
from placet.cli.screen import Screen, in_words
from placet.cli.session import connect
from placet.cli.sizes import counted
from placet.cli.verbs.policies import file_of
from placet.client import Client
from placet.errors import Unknown
from placet.rules import Engine, Policy, load_policy, read_policy
from placet.rules.difference import Change, Decision, Past, changes, decided_by_both
from placet.rules.policy import asks_about, asks_about_people

PAGE = 200
"""Decisions that are asked about at once."""
TELL_EVERY = 1000
ADVISORIES = "advisories"
"""The fact that is looked up anew for what runs."""
OWN_NAME = "placet"
"""By which the platform itself refuses."""


@dataclass(kw_only=True)
class _History:
    """What became of past decisions. `unknown` are those of which it is not known any more what the rules saw."""

    decided: int = 0
    unknown: list[Judgement] = field(default_factory=list)
    flips: list[tuple[Judgement, Decision]] = field(default_factory=list)
    live: frozenset[tuple[str, int]] = frozenset()

    @property
    def stopping(self) -> list[tuple[str, int]]:
        """What runs and would be refused."""
        refused = {(each.project, each.release) for each, decision in self.flips if decision.is_refused}
        return sorted(refused & self.live)


async def diff(arguments: Namespace, screen: Screen) -> int:
    if arguments.history or any(map(_names_version, (arguments.old, arguments.new))):
        async with connect() as platform:
            old, new = [await _policy(platform, each) for each in (arguments.old, arguments.new)]
            history = await _of_the_past(platform, old, new, screen) if arguments.history else None
    else:
        (old, new), history = [await _policy(None, each) for each in (arguments.old, arguments.new)], None
    found = changes(old, new)
    _tell_changes(old, new, found, screen)
    if history is not None:
        _tell_history(history, new, screen)
    screen.document(_document(old, new, found, history))
    return exits.DONE


async def _policy(platform: Client | None, named: str) -> Policy:
    """A file, or ID@VERSION of what the platform has."""
    id, _, version = named.rpartition("@")
    if platform is None or not _names_version(named):
        return await asyncio.to_thread(load_policy, file_of(Path(named)), name=named)
    if not version.isdecimal():
        raise WrongUsageError(
            f"{named!r} names no version", fix="write ID@VERSION, as `placet policy list` tells both"
        )
    versions = [each for each in await platform.policy(id) if each.version == int(version)]
    if not versions:
        raise Unknown(f"{id} has no version {version}", fix="see `placet policy list`")
    chosen = min(versions, key=lambda each: each.state == "rejected")
    return read_policy((await platform.policy_file(chosen.digest)).encode(), name=named)


def _names_version(named: str) -> bool:
    """A file may have that sign in its name, too."""
    return "@" in named and not Path(named).is_file()


async def _of_the_past(platform: Client, old: Policy, new: Policy, screen: Screen) -> _History:
    history = _History(
        live=frozenset(
            (each.project, each.release)
            for each in await platform.models()
            if each.state == "live" and each.release is not None
        )
    )
    with_people = asks_about_people(old) or asks_about_people(new)
    with Engine(workers=os.cpu_count() or 1) as engine:
        async for page in _pages(platform):
            seen = await facts_of(
                platform, [each.facts for each in page if each.facts is not None], with_people=with_people
            )
            known = [each for each in page if each.facts is not None and each.facts.facts in seen]
            history.unknown += [each for each in page if each not in known]
            past = [_past(each, seen, old, new) for each in known]
            history.flips += [
                (each, decision)
                for each, decision in zip(known, await _decided(engine, old, new, past), strict=True)
                if decision.flips
            ]
            before, history.decided = history.decided, history.decided + len(known)
            if before // TELL_EVERY != history.decided // TELL_EVERY:
                screen.note(f"{history.decided} decisions …")
    return history


async def _pages(platform: Client) -> AsyncIterator[list[Judgement]]:
    page: list[Judgement] = []
    async for each in judgements(platform):
        if each.facts is None and all(verdict.policy == OWN_NAME for verdict in each.verdicts):
            continue  # there was nothing to see: the source could not be read
        page.append(each)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


async def _decided(engine: Engine, old: Policy, new: Policy, past: Sequence[Past]) -> list[Decision]:
    """Side by side, as far as the engine has workers."""
    parts = os.cpu_count() or 1
    size = -(-len(past) // parts) or 1
    told = await asyncio.gather(
        *(
            asyncio.to_thread(decided_by_both, engine, old, new, past[start : start + size])
            for start in range(0, len(past), size)
        )
    )
    return [each for part in told for each in part]


def _past(judgement: Judgement, seen: dict[str, dict[str, Any]], old: Policy, new: Policy) -> Past:
    facts = seen[judgement.facts.facts] if judgement.facts is not None else {}
    return Past(
        stage=judgement.stage,
        facts=facts,
        refused_by_others=any(
            each.is_refusal and each.policy not in (old.id, new.id) for each in judgement.verdicts
        ),
        exceptions={each.rule: each.exception for each in judgement.verdicts if each.exception is not None},
    )


def _tell_changes(old: Policy, new: Policy, found: Sequence[Change], screen: Screen) -> None:
    screen.result(f"{old.id} {old.version} → {new.id} {new.version}")
    for each in found:
        screen.result(f"  {each.rule or 'the policy'} {each.kind}: {each.words}")
    if not found:
        screen.result("  they ask the same, in the same words")


def _tell_history(history: _History, new: Policy, screen: Screen) -> None:
    others = counted(len(history.flips), "would be another", "would be others")
    screen.result(f"of {counted(history.decided, 'past decision')} {others}")
    for judgement, decision in history.flips:
        release = f"{judgement.project} {judgement.release} ({judgement.stage}, {judgement.at})"
        screen.result(f"  {release} would be {'refused' if decision.is_refused else 'let pass'}")
        for verdict in decision.refusals:
            was = verdict.why if decision.is_refused else f"no more refused for: {verdict.why}"
            for line in in_words(was or verdict.title, rule=verdict.rule):
                screen.result(f"    {line}")
    for project, number in history.stopping:
        screen.result(f"{project} {number}, which runs, would stop")
    if history.unknown:
        screen.note(f"of {len(history.unknown)} it is not known any more what the rules saw")
    if any(rule.stage == "operate" for rule in new.rules):
        screen.note("what is judged in operation is not among them")
    if asks_about(new, ADVISORIES):
        screen.note(
            "they were decided by the advisories of then; once it is published, what runs is judged by"
            " those of today"
        )


def _document(old: Policy, new: Policy, found: Sequence[Change], history: _History | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "old": {"policy": old.id, "version": old.version, "digest": old.digest},
        "new": {"policy": new.id, "version": new.version, "digest": new.digest},
        "changes": [{"kind": each.kind, "rule": each.rule, "what": each.words} for each in found],
    }
    if history is None:
        return told | {"history": None}
    flips = [
        {
            "project": judgement.project,
            "release": judgement.release,
            "stage": judgement.stage,
            "at": judgement.at,
            "certificate": judgement.certificate,
            "before": "refused" if decision.was_refused else "passed",
            "after": "refused" if decision.is_refused else "passed",
            "rules": [
                {"rule": each.rule, "result": each.result, "why": each.why, "fix": each.fix}
                for each in decision.refusals
            ],
        }
        for judgement, decision in history.flips
    ]
    return told | {
        "history": {
            "decided": history.decided,
            "unknown": [
                {"project": each.project, "release": each.release, "stage": each.stage}
                for each in history.unknown
            ],
            "flips": flips,
            "stopping": [{"project": project, "release": release} for project, release in history.stopping],
        }
    }
