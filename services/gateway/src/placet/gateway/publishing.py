"""Submitting a policy: it is tried at once, kept in the registry, and said. The certifier says what becomes of it."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

from placet.errors import Unknown
from placet.events import PLATFORM, Actor, Context, UnitOfWork, Wiring, transact
from placet.events.codec import timestamp
from placet.events.contracts.gateway import PolicySubmitted
from placet.events.turns import Turns
from placet.events.unit_of_work import current_traceparent
from placet.gateway import projections as p
from placet.gateway.intake import SERVICE
from placet.gateway.ports import PolicyFiles
from placet.gateway.published import PolicyQueries
from placet.rules import Policy
from placet.rules.loading import loaded

TRIED_AT_ONCE = 1
PUBLISHERS = frozenset({"compliance", "admin"})


class Publishing:
    def __init__(self, wiring: Wiring, policies: PolicyQueries, files: PolicyFiles) -> None:
        self._wiring = wiring
        self._policies = policies
        self._files = files
        self._trying = Turns(TRIED_AT_ONCE)

    async def submit(self, file: bytes, person: str, *, warn_first: int | None = None) -> dict[str, Any]:
        """Where it stands: submitted, or if the same bytes were sent before, what became of them. For `warn_first`
        seconds from when it is in force it only warns of what was certified before.

        Raises DocumentRefused with every problem of its form, its conditions and its own tests; nothing is kept then.
        """
        digest = f"sha256:{hashlib.sha256(file).hexdigest()}"
        known = await self._policies.submitted(digest, self._wiring.clock.now())
        if known is not None:
            return known
        async with self._trying.taken_by(person):
            policy = await loaded(file)
        await self._files.keep(digest, file)
        context = Context(
            project=PLATFORM,
            correlation=self._wiring.ids.new(),
            actor=Actor.person(person),
            traceparent=current_traceparent(),
        )
        await transact(
            self._wiring,
            SERVICE,
            context,
            partial(_submit, policy=policy, file=file, person=person, warn_first=warn_first),
        )
        submitted = await self._policies.submitted(digest, self._wiring.clock.now())
        if submitted is None:
            raise Unknown(f"the policy {digest} was submitted and forgotten since", fix="submit it again")
        return submitted


async def _submit(
    work: UnitOfWork, *, policy: Policy, file: bytes, person: str, warn_first: int | None
) -> None:
    stream = f"policy/{policy.id}"
    if any(each.digest == policy.digest for each in await work.history(stream)):
        return  # sent twice at once
    submitted = PolicySubmitted(
        policy=policy.id,
        version=policy.version,
        digest=policy.digest,
        submitted_by=person,
        warn_first=warn_first,
    )
    work.stage(stream, [submitted])
    show_policy(work, policy, file, person)


def show_policy(work: UnitOfWork, policy: Policy, file: bytes, person: str) -> None:
    span = policy.effective
    work.put(
        p.policies,
        digest=policy.digest,
        policy=policy.id,
        version=policy.version,
        title=policy.title,
        owner=policy.owner,
        supersedes=policy.supersedes,
        effective_from=None if span is None else span.from_.isoformat(),
        effective_until=None if span is None or span.until is None else span.until.isoformat(),
        submitted_by=person,
        submitted_at=timestamp(work.now),
        state="submitted",
        file=file,
    )
