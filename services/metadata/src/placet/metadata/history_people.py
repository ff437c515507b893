"""What people decided, as events tell of it: exceptions, approvals and tokens. They are opaque ids here."""

from __future__ import annotations

from typing import assert_never

from placet.events.contracts import gateway
from placet.metadata.entities import Said, State

People = (
    gateway.ExceptionRequested
    | gateway.ExceptionGranted
    | gateway.ExceptionWithdrawn
    | gateway.ApprovalGiven
    | gateway.TokenIssued
    | gateway.TokenRevoked
)


def tell(state: State, said: Said, event: People) -> None:
    at, position = said.time, said.position
    match event:
        case gateway.ExceptionRequested():
            state.of("exception", event.exception, project=event.project).say(
                position,
                rule=event.rule,
                source=event.source,
                until=event.until,
                requestedBy=event.requested_by,
                requestedAt=at,
                reason=event.reason,
            )
        case gateway.ExceptionGranted():
            state.of("exception", event.exception, project=event.project).say(
                position,
                rule=event.rule,
                source=event.source,
                until=event.until,
                requestedBy=event.requested_by,
                grantedBy=event.granted_by,
                grantedAt=at,
            )
        case gateway.ExceptionWithdrawn():
            state.of("exception", event.exception, project=event.project).say(
                position, rule=event.rule, withdrawnBy=event.withdrawn_by, withdrawnAt=at
            )
        case gateway.ApprovalGiven():
            state.of("approval", event.approval, project=event.project, release=event.release).say(
                position,
                givenBy=event.given_by,
                givenAt=at,
                roles=event.roles,
                breakGlass=event.break_glass,
                binding=event.binding.digest,
                source=event.binding.source,
                image=event.binding.image,
                inputs=event.binding.inputs,
                policies=state.once(event.binding.policies),
                reason=event.reason,
            )
        case gateway.TokenIssued():
            state.of("token", event.token).say(
                position, person=event.person, roles=event.roles, issuedAt=at, expires=event.expires
            )
        case gateway.TokenRevoked():
            state.of("token", event.token).say(position, revokedAt=at)
        case _:
            assert_never(event)
