"""Policies: every version with what became of it, one to read, what another one would change, and publishing it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from markupsafe import Markup
from starlette.responses import Response

from placet.auditing import Redecided, redecide
from placet.client import Client, PolicyVersion
from placet.errors import PlacetError, Refused, Unavailable, Unknown
from placet.events.problems import problem_of
from placet.gateway.console.asking import Platform
from placet.gateway.console.governing import PATH
from placet.gateway.console.shipping import all_shipped, offered, open_offers, shipped
from placet.gateway.console.views import plural
from placet.gateway.console.visits import Visit
from placet.gateway.console.working import progress
from placet.gateway.publishing import PUBLISHERS
from placet.rules import Policy, Rule
from placet.rules.difference import changes
from placet.rules.loading import loaded
from placet.rules.policy import asks_about
from placet.rules.sentences import described
from placet.rules.wording import ALWAYS, Wording, of_each, requirement, when, worded

_READ_BYTES = 64 << 10
"""Of a file that is shown as rules: what is longer nobody reads as a page."""
_OWN = 50
_DECIDED_WITHIN = 10.0
_AGAIN_WITHIN = 600.0
"""Seconds for all decisions: each rule may take a second of each, and others wait for their turn."""


@dataclass(frozen=True, kw_only=True)
class Ruled:
    """A rule in words."""

    rule: Rule
    requires: list[tuple[str, Wording]]
    """Expressions, each with its words."""
    of: str | None
    says: list[str]
    fix: str


async def listed(visit: Visit) -> Response:
    """With the file of one that is offered, where its id is asked for."""
    wanted = visit.said("offered")
    if wanted is None:
        return await _list(visit, {})
    offer = (await asyncio.to_thread(offered)).get(wanted)
    if offer is None:
        raise Unknown(f"no policy {wanted[:80]!r} is offered", fix="see the list of those that are")
    return await _list(visit, {"file": offer.file})


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
    known = await visit.ask.policies()
    for each in known:
        versions[each.policy].append(each)
    return visit.page(
        "policies.html",
        200 if error is None else problem_of(error)[0],
        tab="policies",
        policies=[(newest_of(each), len(each)) for each in versions.values()],
        offers=await asyncio.to_thread(open_offers, known),
        filled=filled,
        error=error,
        may_publish=not PUBLISHERS.isdisjoint(visit.me.roles),
    )


async def shown(visit: Visit) -> Response:
    try:
        versions = await visit.ask.policy(visit.place("policy"))
    except Unknown:
        if visit.place("policy") == "effect":  # where a form is answered, of which nothing is left to show
            return visit.go(f"{PATH}/policies")
        raise
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
    policy = None if text is None else await read(visit.platform, visit.me.person, text)
    return visit.page(
        "policy.html",
        tab="policies",
        versions=versions,
        version=version,
        text=text,
        why=why,
        policy=policy,
        applies=None
        if policy is None or policy.applies_to is None
        else worded(policy.applies_to, policy.params),
        rules=[] if policy is None else [ruled(each, policy.params) for each in policy.rules],
    )


async def effect(visit: Visit) -> Response:
    """What another version asks, and what would have been decided by it so far: of a file that was written, or of a
    version that is there."""
    digest, file = visit.given("digest"), visit.form.get("file", [""])[-1].replace("\r\n", "\n")
    versions = await visit.ask.policies()
    try:
        text = await visit.ask.policy_file(digest) if digest else file
        new = await visit.platform.policy(visit.me.person, text.encode(), name="the file")
        named = next((each for each in versions if each.digest == digest), None)
        before = before_it(new, versions, named)
        held = None if before is None else (await visit.ask.policy_file(before.digest)).encode()
        old = None if held is None else await visit.platform.policy(visit.me.person, held)
    except PlacetError as error:
        if digest:
            raise
        return await _list(visit, {"file": file, "warn_first": visit.given("warn_first")}, error)
    # A policy of which nothing was there before asks as much more as one without rules.
    compared = old or msgspec.structs.replace(new, rules=(), version=0)

    async def parts(ask: Client) -> AsyncIterator[Markup]:
        if not digest:  # as when it is published: a file whose own tests fail is compared with nothing
            await loaded(file.encode(), name="the file")
        reached = 0

        def reach(decided: int) -> None:
            nonlocal reached
            reached = decided

        job = asyncio.create_task(redecided(ask, compared, new, reach))
        async for part in progress(job, lambda: f"{plural(reached, 'decision')} made again …"):
            yield part
        yield visit.views.fragment(
            "policy_effect_found.html",
            found=job.result(),
            in_operation=any(rule.stage == "operate" for rule in new.rules),
            by_advisories=asks_about(new, "advisories"),
        )

    return visit.work(
        "policy_effect.html",
        parts,
        tab="policies",
        old=old,
        new=new,
        changes=changes(compared, new, in_words=True),
        is_known=any(each.policy == new.id for each in versions),
        file=None if digest else file,
        warn_first=visit.given("warn_first"),
        may_publish=not PUBLISHERS.isdisjoint(visit.me.roles),
    )


async def redecided(
    ask: Client, old: Policy, new: Policy, reach: Callable[[int], None], within: float = _AGAIN_WITHIN
) -> Redecided:
    """Raises Refused for what takes longer."""
    try:
        async with asyncio.timeout(within):
            return await redecide(ask, old, new, on_page=reach)
    except TimeoutError:
        raise Refused(
            f"to decide all of it again takes more than {within:g} s",
            fix="do it on a machine of your own: `placet policy diff OLD NEW --history`",
        ) from None


def before_it(
    new: Policy, versions: Sequence[PolicyVersion], named: PolicyVersion | None
) -> PolicyVersion | None:
    """What it is held against: what is in force of the same policy, or of the one whose place it takes; for what is in
    force itself, the version below."""
    others = [each for each in versions if each.digest != new.digest and each.state != "rejected"]
    own = [each for each in others if each.policy == new.id]
    if named is not None and named.state != "submitted":
        return max(
            (each for each in own if each.version < named.version),
            key=lambda each: each.version,
            default=None,
        )
    for id in (new.id, new.supersedes):
        there = next((each for each in others if each.policy == id and each.state == "in-force"), None)
        if there is not None:
            return there
    return max(own, key=lambda each: each.version, default=None)


def newest_of(versions: list[PolicyVersion] | tuple[PolicyVersion, ...]) -> PolicyVersion:
    """What is in force; where nothing is, the highest."""
    return next((each for each in versions if each.state == "in-force"), versions[0])


async def admitting_exceptions(visit: Visit) -> list[tuple[PolicyVersion, Rule]]:
    """The rules in force, or that will be, from which people may except; of so many policies of the house's own."""
    versions = [each for each in await visit.ask.policies() if each.state in ("in-force", "scheduled")]
    own = [each for each in versions if not each.shipped][:_OWN]
    known = dict(await asyncio.to_thread(shipped))
    for each in own:
        with suppress(Refused, Unavailable):
            file = await visit.ask.policy_file(each.digest)
            policy = await read(visit.platform, visit.me.person, file)
            if policy is not None:
                known[each.digest] = policy
    return [
        (version, rule)
        for version in versions
        if version.digest in known
        for rule in known[version.digest].rules
        if rule.exceptable
    ]


async def rules_by_digest(visit: Visit, digests: Iterable[str]) -> dict[tuple[str, str], Ruled]:
    """The rules of versions of policies, each by its policy's id and its own; of one that is kept no more, or is not
    for whoever asks, none. Of what does not ship there are so many at most."""
    known, own = await asyncio.to_thread(all_shipped), 0
    found: dict[tuple[str, str], Ruled] = {}
    for digest in dict.fromkeys(digests):
        policy = known.get(digest)
        if policy is None and own < _OWN:
            own += 1
            with suppress(Refused, Unavailable):
                policy = await read(visit.platform, visit.me.person, await visit.ask.policy_file(digest))
        if policy is not None:
            found |= {(policy.id, rule.id): ruled(rule, policy.params) for rule in policy.rules}
    return found


async def read(platform: Platform, person: str, text: str) -> Policy | None:
    """None of what is too long to be shown so, or is no policy."""
    if len(text) > _READ_BYTES:
        return None
    try:
        return await platform.policy(person, text.encode())
    except Refused:
        return None


def ruled(rule: Rule, params: Mapping[str, Any]) -> Ruled:
    """With the policy's parameters in its sentences; a fact that is known only once it is judged has its path there."""
    says = [described(each.say, params) for each in rule.all]
    if isinstance(rule.say, str):
        says.append(described(rule.say, params))
    for case in rule.say if isinstance(rule.say, tuple) else ():
        where = when(case.when, rule, params).flat()
        says.append(described(case.words, params) + ("" if where == ALWAYS else f" (where {where})"))
    return Ruled(
        rule=rule,
        requires=requirement(rule, params),
        of=of_each(rule, params),
        says=says,
        fix=described(rule.fix, params),
    )
