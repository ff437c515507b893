"""The gateway's REST for ending a certificate before its time, and for reviewing one that was given in haste."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from placet.errors import Conflict, Unknown
from placet.events.described import answers, errors
from placet.events.known_fields import KnownFields, known_parameters
from placet.gateway import answers as shapes
from placet.gateway.access import ERRORS, Access, Caller
from placet.gateway.api import BoundedBody, Id
from placet.gateway.approvals import APPROVERS, roles_of
from placet.gateway.domain import must_have
from placet.gateway.exceptions import DECIDERS
from placet.gateway.exceptions_api import Reason
from placet.gateway.reviewing import Reviewing
from placet.gateway.revoking import Revoking


class RevocationBody(KnownFields):
    reason: Reason


class ReviewBody(KnownFields):
    found: Reason


def certificates_router(*, access: Access, revoking: Revoking, reviewing: Reviewing) -> APIRouter:
    api = APIRouter(
        prefix="/v1/certificates/{id}",
        tags=["certificates"],
        route_class=BoundedBody,
        responses=ERRORS,
        dependencies=[Depends(known_parameters)],
    )
    caller = Depends(access.caller)

    @api.post(
        "/revoke",
        status_code=202,
        responses=answers(shapes.CertificateStands, status=202) | errors(Unknown, Conflict),
        response_model=None,
    )
    async def revoke_certificate(id: Id, body: RevocationBody, who: Caller = caller) -> dict[str, Any]:
        """End it now and for good: its model leaves its route within seconds. Asked again for the same reason, nothing
        changes; another one is a conflict, and the first stays."""
        must_have(who.roles, DECIDERS, "revoking a certificate")
        return await revoking.revoke(id, body.reason, who.person)

    @api.post(
        "/review",
        status_code=201,
        responses=answers(shapes.CertificateStands, status=201) | errors(Unknown, Conflict),
        response_model=None,
    )
    async def review_certificate(id: Id, body: ReviewBody, who: Caller = caller) -> dict[str, Any]:
        """Say what was found of a certificate that two people had given in haste. By somebody who had nothing to do
        with it, an approver or of compliance, and once: until then it is owed."""
        roles_of(who.roles, frozenset(), APPROVERS)
        return await reviewing.review(id, body.found, who.person)

    return api
