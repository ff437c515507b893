"""The policies in force, and the engine that asks them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

import msgspec

from placet.certifier.domain import Patience
from placet.certifier.ports import Facts, Judgement
from placet.events.codec import moment
from placet.events.contracts.certifier import ReleaseCleared
from placet.events.contracts.indexer import ImageIndexed
from placet.events.contracts.shapes import ApprovalUsed, ExceptionUsed, PolicyRef, Stage, Verdict
from placet.rules import Approval, Edition, Engine, Policy, PolicySet, excepted, gather_certify_facts
from placet.rules import Verdict as Said
from placet.rules.asking import MAX_TOGETHER


class PolicyRules:
    """The `Rules` port."""

    def __init__(self, policies: PolicySet, engine: Engine) -> None:
        self._policies = policies
        self._engine = engine

    async def judge(
        self,
        stage: Stage,
        facts: Facts,
        exceptions: Sequence[ExceptionUsed] = (),
    ) -> Judgement:
        edition = await self.edition(moment(facts["now"]))
        said = await self._engine.evaluate(_policies(edition, stage), stage, facts)
        return _judgement(edition, stage, said, exceptions)

    async def judge_all(
        self, stage: Stage, asked: Sequence[tuple[Facts, Sequence[ExceptionUsed]]], *, by: Edition
    ) -> Sequence[Judgement]:
        policies = _policies(by, stage)
        parts = [asked[start : start + MAX_TOGETHER] for start in range(0, len(asked), MAX_TOGETHER)]
        said = await asyncio.gather(
            *(self._engine.evaluate_many(policies, stage, [facts for facts, _ in part]) for part in parts)
        )
        verdicts = [each for part in said for each in part]
        return [
            _judgement(by, stage, each, exceptions)
            for each, (_, exceptions) in zip(verdicts, asked, strict=True)
        ]

    async def edition(self, at: datetime) -> Edition:
        return await self._policies.edition(at)

    async def is_of_operation(self, rule: str, at: datetime) -> bool:
        policies = await self._policies.in_force(at)
        return any(
            each.id == rule and each.stage == "operate" for policy in policies for each in policy.rules
        )

    def image_facts(
        self,
        cleared: ReleaseCleared,
        indexed: ImageIndexed,
        now: datetime,
        approvals: Sequence[ApprovalUsed] = (),
    ) -> Facts:
        return gather_certify_facts(
            project=cleared.project,
            cleared_source=cleared.source,
            image=indexed.image,
            source=indexed.image_source,
            format=indexed.format,
            lock=indexed.lock,
            base=indexed.base,
            python=indexed.python,
            builder=indexed.builder,
            has_dockerfile=cleared.dockerfile,
            risk_class=cleared.risk_class,
            is_trial=cleared.trial,
            approvals=[Approval(by=each.given_by, roles=each.roles, at=each.at) for each in approvals],
            now=now,
        )


def _policies(edition: Edition, stage: Stage) -> list[Policy]:
    """Which are in force follows from the edition, whatever day it was when the facts were gathered."""
    return [
        msgspec.structs.replace(each, effective=None)
        for each in edition.policies
        if any(rule.stage == stage for rule in each.rules)
    ]


def _judgement(
    edition: Edition, stage: Stage, said: Sequence[Said], exceptions: Sequence[ExceptionUsed]
) -> Judgement:
    given = excepted(said, {each.rule: each.exception for each in exceptions})
    asked = {verdict.policy for verdict in given}
    named = {verdict.exception for verdict in given}
    return Judgement(
        only_warn=edition.warn_first | (frozenset() if stage == "operate" else edition.shipped),
        exceptions=tuple(each for each in exceptions if each.exception in named),
        awaits={
            each.rule: Patience(within=each.awaits.within_seconds, remind=each.awaits.remind_seconds)
            for each in given
            if each.awaits is not None
        },
        policies=tuple(
            PolicyRef(id=policy.id, version=policy.version, digest=policy.digest)
            for policy in edition.policies
            if policy.id in asked
        ),
        verdicts=tuple(
            Verdict(
                rule=verdict.rule,
                policy=verdict.policy,
                stage=verdict.stage,
                result=verdict.result,
                on_fail=verdict.on_fail,
                why=verdict.why,
                fix=verdict.fix,
                exception=verdict.exception,
            )
            for verdict in given
        ),
    )
