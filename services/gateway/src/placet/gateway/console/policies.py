"""Policies: every version with what became of it, one to read, and publishing another."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass

from starlette.responses import Response

from placet.client import PolicyVersion
from placet.errors import PlacetError, Refused, Unavailable, Unknown
from placet.events.problems import problem_of
from placet.gateway.console.governing import PATH
from placet.gateway.console.visits import Visit
from placet.gateway.publishing import PUBLISHERS
from placet.rules import Policy, Rule, read_policy

_READ_BYTES = 64 << 10
"""Of a file that is shown as rules: to read YAML takes its time."""
_DECIDED_WITHIN = 10.0


@dataclass(frozen=True, kw_only=True)
class Ruled:
    """A rule in words; `tests` is how many it has of its own."""

    rule: Rule
    requires: list[str]
    says: list[str]
    tests: int


async def listed(visit: Visit) -> Response:
    return await _list(visit, {})


async def publish(visit: Visit) -> Response:
    """What was written stays where it is refused, with each of its problems."""
    file = visit.form.get("file", [""])[-1].replace("\r\n", "\n")
    filled = {"file": file, "warn_first": visit.given("warn_first")}
    try:
        submitted = await visit.ask.submit_policy(file.encode(), warn_first=filled["warn_first"] or None)
    except PlacetError as error:
        return await _list(visit, filled, error)
    with suppress(Unavailable):  # its page shows what becomes of it
        submitted = await visit.ask.decided(submitted, within=_DECIDED_WITHIN)
    said = f"{submitted.policy} {submitted.version}: {submitted.state}"
    path = f"{PATH}/policies/{submitted.policy}"
    return visit.go_saying(path, said)


async def _list(visit: Visit, filled: dict[str, str], error: PlacetError | None = None) -> Response:
    versions: dict[str, list[PolicyVersion]] = defaultdict(list)
    for each in await visit.ask.policies():
        versions[each.policy].append(each)
    return visit.page(
        "policies.html",
        200 if error is None else problem_of(error)[0],
        tab="policies",
        policies=[(newest_of(each), len(each)) for each in versions.values()],
        filled=filled,
        error=error,
        may_publish=not PUBLISHERS.isdisjoint(visit.me.roles),
    )


async def shown(visit: Visit) -> Response:
    versions = await visit.ask.policy(visit.place("policy"))
    if not versions:
        raise Unknown(
            f"there is no policy {visit.place('policy')!r} here", fix="see the list of all policies"
        )
    wanted = visit.said("digest")
    version = next((each for each in versions if each.digest == wanted), newest_of(versions))
    if wanted is not None and version.digest != wanted:
        raise Unknown(
            f"{version.policy} has no version with the digest {wanted[:80]!r}", fix="pick one of them"
        )
    text, why = None, None
    try:
        text = await visit.ask.policy_file(version.digest)
    except Refused as error:  # what was rejected may be kept no more
        why = error
    policy = None if text is None else await asyncio.to_thread(read, text)
    return visit.page(
        "policy.html",
        tab="policies",
        versions=versions,
        version=version,
        text=text,
        why=why,
        policy=policy,
        rules=[] if policy is None else [ruled(each) for each in policy.rules],
    )


def newest_of(versions: list[PolicyVersion] | tuple[PolicyVersion, ...]) -> PolicyVersion:
    """What is in force; where nothing is, the highest."""
    return next((each for each in versions if each.state == "in-force"), versions[0])


def read(text: str) -> Policy | None:
    """None of what is too long to be read for a page, or is no policy."""
    if len(text) > _READ_BYTES:
        return None
    try:
        return read_policy(text.encode())
    except Refused:
        return None


def ruled(rule: Rule) -> Ruled:
    clauses = [*(each.require for each in rule.all)] if rule.require is None else [rule.require]
    say = rule.say
    said = [say] if isinstance(say, str) else [f"{each.words} (where {each.when})" for each in say or ()]
    said += [each.say for each in rule.all]
    return Ruled(rule=rule, requires=clauses, says=said, tests=len(rule.tests))
