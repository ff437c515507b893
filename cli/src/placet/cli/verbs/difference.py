"""`placet policy diff`: what another version of a policy asks, and what it would have said of all that was decided."""

from __future__ import annotations

import asyncio
import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from placet.auditing import Redecided, redecide
from placet.cli import exits
from placet.cli.exits import WrongUsageError
from placet.cli.screen import Screen, in_words
from placet.cli.session import connect
from placet.cli.sizes import counted
from placet.cli.verbs.policies import file_of
from placet.client import Client
from placet.errors import Unknown
from placet.rules import Policy, load_policy, read_policy
from placet.rules.difference import Change, changes
from placet.rules.policy import asks_about

TELL_EVERY = 1000
_WOULD = {"passed": "be let pass", "awaiting": "wait for people", "refused": "be refused"}
ADVISORIES = "advisories"
"""The fact that is looked up anew for what runs."""


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


async def _of_the_past(platform: Client, old: Policy, new: Policy, screen: Screen) -> Redecided:
    told = 0

    def on_page(decided: int) -> None:
        nonlocal told
        if decided // TELL_EVERY != told // TELL_EVERY:
            screen.note(f"{decided} decisions …")
        told = decided

    return await redecide(platform, old, new, on_page=on_page, workers=os.cpu_count() or 1)


def _tell_changes(old: Policy, new: Policy, found: Sequence[Change], screen: Screen) -> None:
    screen.result(f"{old.id} {old.version} → {new.id} {new.version}")
    for each in found:
        screen.result(f"  {each.rule or 'the policy'} {each.kind}: {each.words}")
    if not found:
        screen.result("  they ask the same, in the same words")


def _tell_history(history: Redecided, new: Policy, screen: Screen) -> None:
    others = counted(len(history.flips), "would be another", "would be others")
    screen.result(f"of {counted(history.decided, 'past decision')} {others}")
    for judgement, decision in history.flips:
        release = f"{judgement.project} {judgement.release} ({judgement.stage}, {judgement.at})"
        screen.result(f"  {release} would {_WOULD[decision.after]}")
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


def _document(old: Policy, new: Policy, found: Sequence[Change], history: Redecided | None) -> dict[str, Any]:
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
            "before": decision.before,
            "after": decision.after,
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
