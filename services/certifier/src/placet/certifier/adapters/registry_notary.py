"""Certificates signed with the certifier's key, laid beside the image they speak of as OCI referrers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from placet.certifier.domain import Asked, Signed
from placet.certifier.ports import NO_FACTS, Judgement
from placet.events.codec import moment, timestamp
from placet.events.contracts.indexer import ImageIndexed
from placet.events.contracts.shapes import ApprovalUsed, Condition, RecordedFacts, Stage
from placet.oci import ArtifactFile, Registry, push_artifact
from placet.trust import (
    ApprovalCounted,
    Certificate,
    ConditionSet,
    ExceptionApplied,
    FactsSeen,
    PolicyApplied,
    VerdictGiven,
    certificates,
)
from placet.trust.key_files import KeyFiles

ARTIFACT_TYPE = "application/vnd.placet.certificate.v1"
MEDIA_TYPE = "application/vnd.dsse.envelope.v1+json"
BREAK_GLASS = timedelta(hours=24)
"""How long at most a certificate holds that two people had given in haste."""


class RegistryNotary:
    """The `Notary` port. Ed25519 signatures have no chance in them: the same statement gives the same bytes, as long as
    the same key is active."""

    def __init__(
        self, registry: Registry, keys: KeyFiles, *, validity: timedelta, trial_validity: timedelta
    ) -> None:
        self._registry = registry
        self._keys = keys
        self._validity = validity
        self._trial_validity = trial_validity

    async def sign(
        self,
        asked: Asked,
        indexed: ImageIndexed,
        judgement: Judgement,
        *,
        certificate: str,
        at: datetime,
        trial: bool = False,
        conditions: Sequence[Condition] = (),
        approvals: Sequence[ApprovalUsed] = (),
        breakers: Sequence[ApprovalUsed] = (),
        facts: Mapping[Stage, RecordedFacts] = NO_FACTS,
    ) -> Signed:
        active = await self._keys.active()
        begins = active.dated(at)
        held = begins + (self._trial_validity if trial else self._validity)
        broken = (begins + BREAK_GLASS,) if breakers else ()
        ends = min([held, *broken, *(moment(each.until) for each in judgement.exceptions)])
        statement = Certificate(
            certificate=certificate,
            project=asked.project,
            release=asked.release,
            repository=indexed.repository,
            image=indexed.image,
            source=asked.source,
            not_before=begins,
            not_after=ends,
            policies=tuple(
                PolicyApplied(id=policy.id, version=policy.version, digest=policy.digest)
                for policy in judgement.policies
            ),
            verdicts=tuple(
                VerdictGiven(
                    rule=verdict.rule, policy=verdict.policy, stage=verdict.stage, result=verdict.result
                )
                for verdict in judgement.verdicts
            ),
            exceptions=tuple(
                ExceptionApplied(
                    exception=each.exception,
                    rule=each.rule,
                    until=moment(each.until),
                    granted_by=each.granted_by,
                )
                for each in judgement.exceptions
            ),
            conditions=tuple(
                ConditionSet(
                    metric=each.metric,
                    max=each.max,
                    recovery=each.recovery,
                    window=each.window,
                    min_samples=each.min_samples,
                    action=each.action,
                    retry_after=each.retry_after,
                )
                for each in conditions
            ),
            approvals=tuple(
                ApprovalCounted(
                    approval=each.approval,
                    given_by=each.given_by,
                    roles=each.roles,
                    at=moment(each.at),
                    break_glass=each.break_glass,
                )
                for each in (*approvals, *breakers)
            ),
            break_glass=bool(breakers),
            facts=tuple(
                FactsSeen(stage=stage, facts=seen.facts, personal=seen.personal)
                for stage, seen in facts.items()
            ),
            renews=asked.renews,
        )
        envelope = certificates.issue(statement, active.key)
        manifest = await push_artifact(
            self._registry,
            indexed.repository,
            artifact_type=ARTIFACT_TYPE,
            files=(ArtifactFile(content=envelope.to_json(), media_type=MEDIA_TYPE),),
            subject=indexed.image,
        )
        return Signed(
            certificate=certificate,
            envelope=manifest.digest,
            not_before=timestamp(begins),
            not_after=timestamp(ends),
            key=active.key.kid,
        )
