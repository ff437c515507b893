"""May this image be certified? Judged when it was indexed, and while people are waited for, again.

What the source was cleared with has to hold still: an exception that was withdrawn since, or is over, refuses it here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

import msgspec
import sqlalchemy as sa

from placet.certifier import projections as p
from placet.certifier import standing
from placet.certifier.domain import (
    FACTS_RECORDED,
    RELEASE,
    Awaitable,
    Awaiting,
    Cleared,
    JudgeImage,
    Signed,
    excepted_anew,
    forbidden,
    forbids,
    stream,
    used,
)
from placet.certifier.ports import Facts, Judgement, Ports
from placet.errors import Refused
from placet.events import UnitOfWork
from placet.events.contracts.certifier import CertificateIssued, ReleaseCleared
from placet.events.contracts.indexer import ImageIndexed
from placet.events.contracts.shapes import ApprovalUsed, Binding, PolicyRef, RecordedFacts, Stage, Verdict
from placet.rules import digest_of, inputs_digest


async def judge_image(
    work: UnitOfWork,
    ports: Ports,
    indexed: ImageIndexed,
    *,
    certificate: str,
    at: datetime,
    operation: str,
    given: Sequence[tuple[str, ApprovalUsed]] = (),
) -> None:
    """`given` are approvals that rows do not tell of yet, each with the digest of what it is of. `operation` is what
    goes on when it is certified at last."""
    name = stream(indexed.project, indexed.release)
    history = await work.history(name)
    state = RELEASE.fold(history)
    if not isinstance(state, Cleared | Awaiting):
        return
    cleared = next(event for event in history if isinstance(event, ReleaseCleared))
    in_force = await ports.exceptions.in_force(indexed.project, state.asked.source, at)
    seen = await _facts(ports, cleared, indexed, at)
    # Once without approvals: which policies that asks says what an approval has to be of.
    judgement = await ports.rules.judge("certify", seen, in_force)
    awaitable = await _awaitable(ports, cleared, indexed, seen, judgement, at, given)
    if awaitable.approvals:
        seen = {**seen, **ports.rules.image_facts(cleared, indexed, at, awaitable.approvals)}
        judgement = await ports.rules.judge("certify", seen, in_force)
    of_source = excepted_anew(cleared.verdicts, in_force)
    exceptions = used((*of_source, *judgement.verdicts), in_force)
    lapsed = tuple(verdict for verdict in of_source if forbids(verdict))
    verdicts = (*lapsed, *await _undone(ports, cleared), *judgement.verdicts)
    awaitable = replace(awaitable, rules=judgement.awaits)
    signed, recorded = None, None
    if not awaitable.waits_only(verdicts) or awaitable.breaks_glass:  # else it is not decided yet
        recorded, unkept = await _record(ports, indexed.project, seen)
        verdicts = (*verdicts, *unkept)
    if not forbidden(verdicts) or (awaitable.breaks_glass and awaitable.waits_only(verdicts)):
        whole = Judgement(
            policies=_policies(cleared, judgement),
            verdicts=(*of_source, *judgement.verdicts),
            exceptions=exceptions,
        )
        signed, unkept = await _sign(ports, state, cleared, indexed, whole, awaitable, certificate, recorded)
        verdicts = (*verdicts, *unkept)
    command = JudgeImage(
        image=indexed.image,
        repository=indexed.repository,
        policies=judgement.policies,
        verdicts=verdicts,
        signed=signed,
        exceptions=exceptions,
        conditions=cleared.conditions,
        awaitable=awaitable,
        facts=recorded,
    )
    for event in await work.decide(RELEASE, name, command):
        if isinstance(event, CertificateIssued):
            await standing.keep(work, event, ports)
    after = await work.state(RELEASE, name)
    if isinstance(after, Awaiting):
        work.put(
            p.awaited,
            project=indexed.project,
            release=indexed.release,
            operation=operation,
            indexed=msgspec.json.encode(indexed),
            look_at=after.look_at.timestamp(),
        )
    elif isinstance(state, Awaiting):
        stop_waiting(work, indexed.project, indexed.release)


async def _undone(ports: Ports, cleared: ReleaseCleared) -> tuple[Verdict, ...]:
    """A renewal was asked for of what stood then, maybe by a timer: it undoes no revocation that came meanwhile."""
    if cleared.renews is None or not await ports.certificates.is_revoked(cleared.renews):
        return ()
    why = Refused(
        f"{cleared.renews}, which this was to renew, was revoked meanwhile, and a renewal does not undo that",
        fix=f"`placet certificate show {cleared.renews}` tells why; who answers for it deploys it again, to have it "
        "judged anew",
    )
    return (unjudged("certificate.revoked", "certify", why),)


def stop_waiting(work: UnitOfWork, project: str, release: int) -> None:
    for table in (p.awaited, p.approvals):
        work.run(sa.delete(table).where(table.c.project == project, table.c.release == release))


def unjudged(rule: str, stage: Stage, refusal: Refused) -> Verdict:
    """What no policy could be asked about, in the form of a verdict."""
    return Verdict(
        rule=rule,
        policy="placet",
        stage=stage,
        result="indeterminate",
        on_fail="deny",
        why=refusal.detail,
        fix=refusal.fix,
    )


async def _facts(ports: Ports, cleared: ReleaseCleared, indexed: ImageIndexed, at: datetime) -> Facts:
    """All that the rules of stage certify see, each time they are asked, but for approvals."""
    contents = await ports.contents.of_image(indexed.repository, indexed.image)
    return {
        **ports.rules.image_facts(cleared, indexed, at),
        "contents": contents,
        "advisories": await ports.advisories.about(contents["packages"], at),
        "assessments": await ports.assessments.facts(cleared, at),
        "reports": await ports.reports.of_release(cleared, at),
    }


async def _awaitable(
    ports: Ports,
    cleared: ReleaseCleared,
    indexed: ImageIndexed,
    seen: Facts,
    judgement: Judgement,
    at: datetime,
    given: Sequence[tuple[str, ApprovalUsed]],
) -> Awaitable:
    """An approval counts for what it is of, once for each person, and not for who asked for the release."""
    inputs = digest_of({"submit": cleared.inputs, "certify": inputs_digest(seen)})
    binding = bind(cleared, indexed.image, inputs, _policies(cleared, judgement))
    heard = [*await ports.approvals.of_release(indexed.project, indexed.release), *given]
    mine = [each for of, each in heard if of == binding.digest and each.given_by != cleared.asker]
    return Awaitable(
        at=at,
        binding=binding,
        approvals=_once_each(each for each in mine if not each.break_glass),
        breakers=_once_each(each for each in mine if each.break_glass),
    )


def _once_each(approvals: Iterable[ApprovalUsed]) -> tuple[ApprovalUsed, ...]:
    """Everybody's first."""
    ordered = sorted(approvals, key=lambda each: each.approval)
    first = {each.given_by: each for each in reversed(ordered)}
    return tuple(each for each in ordered if each is first[each.given_by])


def bind(cleared: ReleaseCleared, image: str, inputs: str, policies: Sequence[PolicyRef]) -> Binding:
    of = {
        "project": cleared.project,
        "release": cleared.release,
        "source": cleared.source,
        "image": image,
        "inputs": inputs,
        "policies": sorted(each.digest for each in policies),
    }
    return Binding(
        digest=digest_of(of),
        source=cleared.source,
        image=image,
        inputs=inputs,
        policies=tuple(policies),
    )


def _policies(cleared: ReleaseCleared, judgement: Judgement) -> tuple[PolicyRef, ...]:
    return tuple(dict.fromkeys((*cleared.policies, *judgement.policies)))


async def _record(
    ports: Ports, project: str, seen: Facts
) -> tuple[RecordedFacts | None, tuple[Verdict, ...]]:
    try:
        return await ports.records.keep(project, seen), ()
    except Refused as refusal:
        return None, (unjudged(FACTS_RECORDED, "certify", refusal),)


def _seen(cleared: ReleaseCleared, of_image: RecordedFacts | None) -> dict[Stage, RecordedFacts]:
    stages: dict[Stage, RecordedFacts | None] = {"submit": cleared.facts, "certify": of_image}
    return {stage: facts for stage, facts in stages.items() if facts is not None}


async def _sign(
    ports: Ports,
    state: Cleared | Awaiting,
    cleared: ReleaseCleared,
    indexed: ImageIndexed,
    judgement: Judgement,
    awaitable: Awaitable,
    certificate: str,
    recorded: RecordedFacts | None,
) -> tuple[Signed | None, tuple[Verdict, ...]]:
    try:
        signed = await ports.notary.sign(
            state.asked,
            indexed,
            judgement,
            certificate=certificate,
            at=awaitable.at,
            trial=cleared.trial,
            conditions=cleared.conditions,
            approvals=awaitable.approvals,
            breakers=awaitable.breakers if awaitable.waits_only(judgement.verdicts) else (),
            facts=_seen(cleared, recorded),
        )
    except Refused as refusal:
        # The registry will not keep it: without an answer the release would wait for ever.
        return None, (unjudged("certificate.kept", "certify", refusal),)
    return signed, ()
