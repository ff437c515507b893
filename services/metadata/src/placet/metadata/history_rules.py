"""By what was judged, as events tell of it: policies, advisories and questionnaires, and the keys that sign.

Policies that ship with the platform are published by no event. They are known from the first judgement that names
them, which says less of them: not their title, and no day.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from placet.events.contracts import certifier, gateway
from placet.events.contracts.shapes import PolicyRef
from placet.metadata.entities import Said, State

Rules = (
    gateway.PolicySubmitted
    | certifier.PolicyPublished
    | certifier.PolicyRejected
    | gateway.AdvisoriesSubmitted
    | certifier.AdvisoriesPublished
    | certifier.AdvisoriesRejected
    | gateway.QuestionnaireImported
    | certifier.KeyRotated
    | certifier.KeyCompromised
)


def tell(state: State, said: Said, event: Rules) -> None:
    at, position = said.time, said.position
    match event:
        case gateway.PolicySubmitted():
            state.of("policy", event.digest).say(
                position,
                policy=event.policy,
                version=event.version,
                submittedBy=event.submitted_by,
                submittedAt=at,
            )
        case certifier.PolicyPublished():
            state.of("policy", event.digest).say(
                position,
                policy=event.policy,
                version=event.version,
                decision="published",
                number=event.number,
                title=event.title,
                publishedAt=at,
                effectiveFrom=event.effective_from,
                effectiveUntil=event.effective_until,
                warnUntil=event.warn_until,
                supersedes=event.supersedes,
                rules=event.rules,
            )
        case certifier.PolicyRejected():
            state.of("policy", event.digest).say(
                position,
                policy=event.policy,
                version=event.version,
                decision="rejected",
                rejectedAt=at,
                problems=event.problems,
            )
        case gateway.AdvisoriesSubmitted():
            state.of("advisories", event.digest).say(
                position, submittedBy=event.submitted_by, submittedAt=at, size=event.size
            )
        case certifier.AdvisoriesPublished():
            state.of("advisories", event.digest).say(
                position,
                decision="published",
                number=event.number,
                publishedAt=at,
                taken=event.taken,
                advisories=event.advisories,
                packages=event.packages,
            )
        case certifier.AdvisoriesRejected():
            state.of("advisories", event.digest).say(
                position, decision="rejected", rejectedAt=at, why=event.why, fix=event.fix
            )
        case gateway.QuestionnaireImported():
            state.of("questionnaire", event.digest).say(
                position,
                questionnaire=event.questionnaire,
                version=event.version,
                form=event.form,
                importedBy=event.imported_by,
                importedAt=at,
            )
        case certifier.KeyRotated():
            state.of("key", event.key).say(
                position, public=event.public, since=event.since, before=event.before
            )
            if event.before is not None:
                state.of("key", event.before).say(position, until=event.since, why=event.why, after=event.key)
        case certifier.KeyCompromised():
            state.of("key", event.key).say(position, compromised=event.since)
        case _:
            assert_never(event)


def judged_by(state: State, said: Said, policies: Sequence[PolicyRef]) -> None:
    """What a judgement says of the policies that it was made by."""
    for each in policies:
        policy = state.find("policy", each.digest)
        if policy is None:
            policy = state.of("policy", each.digest)
            policy.say(said.position, policy=each.id, version=each.version)
        if policy.get("judgedFirst") is None:
            policy.say(said.position, judgedFirst=said.time)
