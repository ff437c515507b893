"""A certificate as a document to read, and what ends it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from placet.client import Approval, AwaitedRelease, Certificate, RuleException, Verdict
from placet.errors import Refused
from placet.gateway.approvals import APPROVERS
from placet.gateway.console.policies import Ruled, rules_by_digest
from placet.gateway.console.visits import Visit
from placet.gateway.exceptions import DECIDERS


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A verdict that was signed; `why` and `fix` of one that did not pass, where they are still told; the exception by
    which it forbade nothing."""

    rule: str
    policy: str
    stage: str
    result: str
    why: str | None = None
    fix: str | None = None
    exception: str | None = None
    ruled: Ruled | None = None
    """The rule itself, where its policy can still be read."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the rules of a stage saw, as JSON; None where it is kept no more, or not for everybody's eyes."""

    stage: str
    digest: str
    facts: str | None
    personal: str | None


async def shown(visit: Visit) -> Response:
    certificate = await visit.ask.certificate(visit.place("id"))
    said = certificate.statement["predicate"]
    awaited = await visit.ask.awaited(certificate.project)
    waited = next((each for each in awaited if each.release == certificate.release), None)
    exceptions = await _exceptions(visit, certificate, said)
    roles = frozenset(visit.me.roles)
    rules = await rules_by_digest(visit, (each["digest"] for each in said["policies"]))
    return visit.page(
        "certificate.html",
        certificate=certificate,
        predicate=with_all(said),
        subjects=certificate.statement["subject"],
        verdicts=judged(said, await _told(visit, certificate, waited), rules),
        approvals=_approvals(said, waited),
        exceptions=exceptions,
        seen=await _seen(visit, said),
        may_revoke=not DECIDERS.isdisjoint(roles) and certificate.state not in ("revoked", "expired"),
        may_review=not APPROVERS.isdisjoint(roles)
        and certificate.review is not None
        and certificate.review.state == "owed",
    )


async def envelope(visit: Visit) -> Response:
    """As it was signed, for `placet certificate verify` and whatever else reads DSSE."""
    certificate = await visit.ask.certificate(visit.place("id"))
    name = "".join(each if each.isalnum() else "-" for each in certificate.certificate)
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.json"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return Response(json.dumps(certificate.envelope), media_type="application/json", headers=headers)


async def revoke(visit: Visit) -> Response:
    id = visit.place("id")
    await visit.ask.revoke_certificate(id, reason=visit.wanted("reason"))
    return visit.go_saying(_address(id), "It is revoked. Its model leaves its URL within seconds.")


async def review(visit: Visit) -> Response:
    id = visit.place("id")
    await visit.ask.review_certificate(id, found=visit.wanted("found"))
    return visit.go_saying(_address(id), "Your review is written down.")


def _address(id: str) -> str:
    return f"/console/certificates/{id}"


def with_all(predicate: dict[str, Any]) -> dict[str, Any]:
    """With what a statement may leave out."""
    usual: dict[str, Any] = dict.fromkeys(("exceptions", "conditions", "approvals", "facts"), ())
    return {**usual, "breakGlass": False, **predicate}


def judged(
    predicate: dict[str, Any],
    told: Mapping[tuple[str, str | None], Verdict],
    rules: Mapping[tuple[str, str], Ruled],
) -> list[Judged]:
    """What did not pass first; `told` are an operation's verdicts, by rule and stage, `rules` by policy and rule."""
    excepted = {each["rule"]: each["exception"] for each in predicate.get("exceptions", ())}
    found = []
    for each in predicate["verdicts"]:
        known = told.get((each["rule"], each["stage"]))
        did_pass = each["result"] == "pass"
        found.append(
            Judged(
                rule=each["rule"],
                policy=each["policy"],
                stage=each["stage"],
                result=each["result"],
                why=None if known is None or did_pass else known.why,
                fix=None if known is None or did_pass else known.fix,
                exception=None if did_pass else excepted.get(each["rule"]),
                ruled=rules.get((each["policy"], each["rule"])),
            )
        )
    return sorted(found, key=lambda each: each.result == "pass")


async def _told(
    visit: Visit, certificate: Certificate, waited: AwaitedRelease | None
) -> dict[tuple[str, str | None], Verdict]:
    """Why, of the operation that led to the certificate: a certificate itself says which rules, and not why."""
    operations = []
    with suppress(Refused):
        model = await visit.ask.model(certificate.project)
        operations += [each for each in (model.cause, model.operation) if each is not None]
    if waited is not None:
        with suppress(Refused):
            operations.append(await visit.ask.operation(waited.operation))
    for each in operations:
        if each.certificate == certificate.certificate:
            return {(verdict.rule, verdict.stage): verdict for verdict in each.verdicts}
    return {}


def _approvals(
    predicate: dict[str, Any], waited: AwaitedRelease | None
) -> list[tuple[dict[str, Any], Approval | None]]:
    """Each that was counted, with what the platform knows of it besides: a name, and a reason."""
    known = {} if waited is None else {each.approval: each for each in waited.approvals}
    return [(each, known.get(each["approval"])) for each in predicate.get("approvals", ())]


async def _exceptions(
    visit: Visit, certificate: Certificate, predicate: dict[str, Any]
) -> list[tuple[dict[str, Any], RuleException | None]]:
    applied = predicate.get("exceptions", ())
    if not applied:
        return []
    page = await visit.ask.exceptions_page(certificate.project)
    known = {each.exception: each for each in page.exceptions}
    return [(each, known.get(each["exception"])) for each in applied]


async def _seen(visit: Visit, predicate: dict[str, Any]) -> list[Seen]:
    facts = predicate.get("facts", ())
    found: dict[str, dict[str, Any] | None] = {}
    with suppress(Refused):  # they are not for every role
        found = await visit.ask.facts(
            [each["facts"] for each in facts],
            personal=[each["personal"] for each in facts if each.get("personal")],
        )
    return [
        Seen(
            stage=each["stage"],
            digest=each["facts"],
            facts=_pretty(found.get(each["facts"])),
            personal=_pretty(found.get(each.get("personal") or "")),
        )
        for each in facts
    ]


def _pretty(value: dict[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value, indent=2, ensure_ascii=False)
