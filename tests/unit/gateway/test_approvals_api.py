"""Approvals over REST: by others, of exactly what was looked at, once each."""

from __future__ import annotations

import hmac
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from placet.events.contracts import certifier
from placet.events.contracts.gateway import ApprovalGiven, ReviewGiven
from placet.events.contracts.shapes import ApprovalUsed
from placet.events.store import Put, Unit
from placet.events.testing import changed
from placet.gateway import projections as p
from placet.gateway.reasons import GIVEN, salt_in, words_in

from tests.unit.gateway.harness import Gateway, asked
from tests.unit.gateway.roads import (
    APPROVED,
    BINDING,
    CERTIFICATE,
    MISSING,
    POLICIES,
    SOURCE,
    awaited,
    certified,
    refused,
)
from tests.unit.gateway.test_gateway_api import MANIFEST, is_problem
from tests.unit.gateway.test_uploads import form

PATH = "/v1/models/churn/approvals"
ADA, BOB, GRACE = (f"person:00000000-0000-7000-8000-00000000000{number}" for number in (1, 2, 3))


@pytest.fixture
async def operation(gateway: Gateway) -> str:
    """Of a release of churn that Ada asked for and that waits for approval."""
    operation = await asked(gateway)
    await gateway.hear_all((*APPROVED[1:5], awaited(asker=ADA)), operation)
    return operation


async def approve(
    gateway: Gateway,
    person: str = BOB,
    *roles: Any,
    project: str = "churn",
    key: str | None = None,
    token: str | None = None,
    **changes: Any,
) -> httpx.Response:
    body: dict[str, Any] = {"release": 1, "binding": BINDING.digest, **changes}
    headers = {} if key is None else {"Idempotency-Key": key}
    async with gateway.http(token or gateway.token(*(roles or ("approver",)), person=person)) as http:
        return await http.post(f"/v1/models/{project}/approvals", json=body, headers=headers)


async def given(gateway: Gateway) -> list[ApprovalGiven]:
    return [each for each in await gateway.said() if isinstance(each, ApprovalGiven)]


async def test_what_is_waited_for_is_told_with_all_that_an_approval_is_of(
    gateway: Gateway, operation: str
) -> None:
    [release] = (await gateway.read(PATH))["releases"]
    assert release == {
        "release": 1,
        "state": "awaiting",
        "operation": operation,
        "binding": BINDING.digest,
        "source": BINDING.source,
        "image": BINDING.image,
        "inputs": BINDING.inputs,
        "policies": [{"id": "house", "version": 1, "digest": POLICIES[0].digest}],
        "awaiting": [{"rule": MISSING.rule, "why": MISSING.why, "fix": MISSING.fix}],
        "since": "2026-01-01T00:00:10.000Z",
        "until": "2026-01-15T00:00:10.000Z",
        "askedBy": {"person": ADA, "name": None},
        "approvals": [],
    }


async def test_somebody_else_approves_and_that_is_in_the_log(gateway: Gateway, operation: str) -> None:
    async with gateway.http() as http:
        token = (await http.post("/v1/tokens", json={"as": "Bob", "roles": ["approver", "auditor"]})).json()
    answer = await approve(gateway, token=token["token"], reason="I tried it on last year's cases")
    assert answer.status_code == 201, answer.text
    [event] = await given(gateway)
    told = answer.json()
    assert (event.approval, event.binding, event.given_by) == (told["approval"], BINDING, token["person"])
    assert event.roles == ("approver", "auditor")
    assert told["givenBy"] == {"person": token["person"], "name": "Bob"}
    assert told["reason"] == "I tried it on last year's cases"
    [release] = (await gateway.read(PATH))["releases"]
    assert release["approvals"] == [{**told, "binds": True}]

    last = (await gateway.wiring.store.read_all(0, 1000))[-1].event
    assert last.correlationid == operation, "it goes on with what it was asked for"
    assert "last year" not in last.raw.decode()
    [row] = await gateway.wiring.store.rows(GIVEN.where(p.reasons.c.of == event.approval))
    salt, words = salt_in(row), words_in(row)
    assert salt is not None
    assert words is not None
    digest = hmac.digest(bytes.fromhex(salt), words.encode(), "sha256")
    assert event.reason == f"hmac-sha256:{digest.hex()}"


async def test_an_approval_may_be_given_in_one_of_several_roles(gateway: Gateway, operation: str) -> None:
    answer = await approve(gateway, BOB, "approver", "compliance", roles=["compliance"])
    assert answer.json()["roles"] == ["compliance"]
    assert (await given(gateway))[0].roles == ("compliance",)


# what is refused, with a sentence and the rule


async def is_refused(gateway: Gateway, answer: httpx.Response, status: int, rule: str, said: str) -> None:
    problem = is_problem(answer, status)
    assert problem["rule"] == rule
    assert said in problem["detail"]
    assert problem["fix"]


async def test_nobody_approves_what_they_asked_for(gateway: Gateway, operation: str) -> None:
    answer = await approve(gateway, ADA, "approver", "admin")
    await is_refused(gateway, answer, 403, "approval.own", "you asked for release 1 of churn yourself")
    assert await given(gateway) == []


async def test_nobody_approves_the_source_that_they_sent(gateway: Gateway, operation: str) -> None:
    """Whoever else asked for its deploy."""
    row = {"source": SOURCE, "person": GRACE}
    await gateway.wiring.store.commit(Unit(writes=(Put(table=p.senders, row=row),)))
    answer = await approve(gateway, GRACE)
    await is_refused(gateway, answer, 403, "approval.own", "you sent the source of release 1 of churn")
    assert await given(gateway) == []


async def test_nobody_approves_what_they_are_named_as_a_builder_of(gateway: Gateway, operation: str) -> None:
    row = {"source": SOURCE, "alike": await gateway.people.looks("grace@example.org")}
    await gateway.wiring.store.commit(Unit(writes=(Put(table=p.builders, row=row),)))
    async with gateway.http() as http:
        made = await http.post("/v1/tokens", json={"as": "Grace@Example.org", "roles": ["approver"]})
    answer = await approve(gateway, token=made.json()["token"])
    await is_refused(gateway, answer, 403, "approval.own", "placet.yaml names you as one who built release 1")
    assert await given(gateway) == []


async def test_who_sent_a_source_and_whom_it_names_is_known_from_its_upload(gateway: Gateway) -> None:
    manifest = MANIFEST.replace(b"governance: {", b"governance: {builders: [Grace@example.org], ")
    async with gateway.http(gateway.token("scientist", person=ADA)) as http:
        answer = await http.post("/v1/sources", files=form({"placet.yaml": manifest}))
    assert answer.status_code == 201, answer.text
    source = answer.json()["source"]
    [sender] = await gateway.wiring.store.rows(sa.select(p.senders))
    [builder] = await gateway.wiring.store.rows(sa.select(p.builders))
    assert (sender.source, sender.person) == (source, ADA)
    assert (builder.source, builder.alike) == (source, await gateway.people.looks("grace@example.org"))


async def test_nobody_approves_twice(gateway: Gateway, operation: str) -> None:
    assert (await approve(gateway)).status_code == 201
    again = await approve(gateway, reason="and again")
    await is_refused(gateway, again, 422, "approval.twice", "you have approved release 1 of churn already")
    assert len(await given(gateway)) == 1


async def test_a_request_that_is_sent_again_is_the_same_approval(gateway: Gateway, operation: str) -> None:
    first = await approve(gateway, key="k1")
    again = await approve(gateway, key="k1")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    is_problem(await approve(gateway, key="k1", reason="another"), 409)
    assert len(await given(gateway)) == 1


async def test_an_old_digest_is_not_approved(gateway: Gateway, operation: str) -> None:
    """A policy, the image or what rules saw is another by now; what was approved before binds no more."""
    assert (await approve(gateway)).status_code == 201
    anew = changed(awaited(asker=ADA), binding=changed(BINDING, digest=f"sha256:{'c' * 64}"))
    await gateway.hear(anew, operation)
    old = await approve(gateway, GRACE)
    await is_refused(gateway, old, 422, "approval.binding", f"is not what {BINDING.digest} stands for")
    [release] = (await gateway.read(PATH))["releases"]
    assert [each["binds"] for each in release["approvals"]] == [False]
    assert (await approve(gateway, binding=f"sha256:{'c' * 64}")).status_code == 201


async def test_an_approval_is_not_replayed_for_another_project_or_release(
    gateway: Gateway, operation: str
) -> None:
    other = changed(awaited(project="other"), binding=changed(BINDING, digest=f"sha256:{'c' * 64}"))
    await gateway.hear(other, operation)
    replayed = await approve(gateway, project="other")
    await is_refused(gateway, replayed, 422, "approval.binding", "release 1 of other is not what")
    later = await approve(gateway, release=2)
    await is_refused(gateway, later, 422, "approval.awaited", "release 2 of churn waits for no approval")
    assert await given(gateway) == []


@pytest.mark.parametrize("role", ["scientist", "operator", "auditor", "admin"])
async def test_other_roles_approve_nothing(gateway: Gateway, operation: str, role: Any) -> None:
    answer = await approve(gateway, BOB, role)
    await is_refused(
        gateway, answer, 403, "approval.role", "this is for the roles approver, compliance, and no other"
    )
    assert await given(gateway) == []


async def test_nobody_approves_in_a_role_that_their_token_has_not(gateway: Gateway, operation: str) -> None:
    answer = await approve(gateway, BOB, "approver", roles=["compliance"])
    await is_refused(gateway, answer, 403, "approval.role", "this token has not the role compliance")


@pytest.mark.parametrize("end", [certified(), refused("certify", MISSING)])
async def test_what_waits_no_more_is_not_approved(gateway: Gateway, operation: str, end: Any) -> None:
    await gateway.hear(end, operation)
    answer = await approve(gateway)
    await is_refused(gateway, answer, 422, "approval.awaited", "release 1 of churn waits for no approval")
    [release] = (await gateway.read(PATH))["releases"]
    assert release["state"] in ("certified", "refused")


# break-glass


def broken() -> certifier.CertificateIssued:
    return changed(certified(), break_glass=True)


def owed() -> certifier.ReviewOwed:
    used = [
        ApprovalUsed(
            approval=f"approval:{person}",
            given_by=person,
            roles=("operator",),
            at="2026-01-01T00:00:20.000Z",
            break_glass=True,
        )
        for person in (BOB, GRACE)
    ]
    return certifier.ReviewOwed(
        certificate=CERTIFICATE, project="churn", release=1, approvals=tuple(used), asker=ADA
    )


async def review(gateway: Gateway, person: str, *roles: Any, found: str = "it was right") -> httpx.Response:
    async with gateway.http(gateway.token(*(roles or ("compliance",)), person=person)) as http:
        return await http.post(f"/v1/certificates/{CERTIFICATE}/review", json={"found": found})


async def test_the_glass_is_broken_with_a_reason_also_by_an_operator(
    gateway: Gateway, operation: str
) -> None:
    silent = await approve(gateway, BOB, "operator", breakGlass=True)
    await is_refused(gateway, silent, 422, "approval.reason", "nobody breaks the glass without a reason")
    own = await approve(gateway, ADA, "operator", breakGlass=True, reason="it burns")
    await is_refused(gateway, own, 403, "approval.own", "you asked for release 1 of churn yourself")
    other = await approve(gateway, BOB, "scientist", breakGlass=True, reason="it burns")
    await is_refused(gateway, other, 403, "approval.role", "for the roles approver, compliance, operator")
    answer = await approve(gateway, BOB, "operator", breakGlass=True, reason="it burns")
    assert (answer.status_code, answer.json()["breakGlass"]) == (201, True)
    [event] = await given(gateway)
    assert (event.break_glass, event.roles) == (True, ("operator",))
    again = await approve(gateway, BOB, "operator", breakGlass=True, reason="it burns still")
    said = "you would have release 1 of churn served for a day already"
    await is_refused(gateway, again, 422, "approval.twice", said)


async def test_a_review_is_owed_until_somebody_else_has_looked(gateway: Gateway, operation: str) -> None:
    for each in (broken(), owed()):
        await gateway.hear(each, operation)
    model = await gateway.read("/v1/models/churn")
    assert [(each["certificate"], each["state"]) for each in model["reviewsOwed"]] == [(CERTIFICATE, "owed")]
    for person in (ADA, BOB, GRACE):
        answer = await review(gateway, person)
        await is_refused(gateway, answer, 403, "review.own", "nobody reviews their own")
    alan = "person:00000000-0000-7000-8000-000000000004"
    role = await review(gateway, alan, "operator")
    await is_refused(gateway, role, 403, "approval.role", "this is for the roles approver, compliance")
    done = await review(gateway, alan)
    assert done.status_code == 201, done.text
    assert done.json()["review"]["state"] == "done"
    assert done.json()["review"]["reason"] == "it was right"
    assert (await gateway.read("/v1/models/churn"))["reviewsOwed"] == []
    again = await review(gateway, "person:00000000-0000-7000-8000-000000000005")
    await is_refused(gateway, again, 409, "review.twice", "was reviewed already")
    await gateway.hear(owed(), operation)
    assert (await gateway.read("/v1/models/churn"))["reviewsOwed"] == [], "heard again, it is not owed again"
    [event] = [each for each in await gateway.said() if isinstance(each, ReviewGiven)]
    assert (event.certificate, event.given_by) == (CERTIFICATE, alan)


async def test_nobody_reviews_what_they_sent_or_are_named_as_a_builder_of(
    gateway: Gateway, operation: str
) -> None:
    for each in (broken(), owed()):
        await gateway.hear(each, operation)
    alan = "person:00000000-0000-7000-8000-000000000004"
    sent = Put(table=p.senders, row={"source": SOURCE, "person": alan})
    looks = await gateway.people.looks("edith@example.org")
    built = Put(table=p.builders, row={"source": SOURCE, "alike": looks})
    await gateway.wiring.store.commit(Unit(writes=(sent, built)))
    async with gateway.http() as http:
        edith = (
            await http.post("/v1/tokens", json={"as": "Edith@Example.org", "roles": ["approver"]})
        ).json()
    await is_refused(gateway, await review(gateway, alan), 403, "review.own", "sent or built it")
    await is_refused(gateway, await review(gateway, edith["person"]), 403, "review.own", "sent or built it")
    assert (await review(gateway, "person:00000000-0000-7000-8000-000000000005")).status_code == 201


async def test_of_what_was_certified_as_usual_no_review_is_owed(gateway: Gateway, operation: str) -> None:
    await gateway.hear(certified(), operation)
    answer = await review(gateway, BOB)
    assert "no review of" in is_problem(answer, 404)["detail"]


# the operation and the model


async def test_an_operation_waits_without_being_silent_and_goes_on(gateway: Gateway, operation: str) -> None:
    shown = await gateway.read(f"/v1/operations/{operation}")
    assert shown["state"] == "awaiting"
    assert shown["awaiting"] == [{"rule": MISSING.rule, "why": MISSING.why}]
    assert (await gateway.read("/v1/models/churn"))["state"] == "awaiting"
    gateway.clock.pass_(timedelta(days=3))
    for each in gateway.service.periodic:
        await each.run()
    assert (await gateway.read(f"/v1/operations/{operation}"))["state"] == "awaiting"
    await gateway.hear_all(APPROVED[6:], operation)
    shown = await gateway.read(f"/v1/operations/{operation}")
    assert (shown["state"], shown["awaiting"]) == ("live", [])


async def test_what_waits_is_told_of_all_projects_by_page(gateway: Gateway, operation: str) -> None:
    """Two releases of two projects: what was certified since waits no more."""
    await gateway.hear(awaited(project="bees", asker=BOB), await asked(gateway, project="bees"))
    assert (await approve(gateway, BOB, reason="tried it")).status_code == 201
    [of_churn] = (await gateway.read(PATH))["releases"]
    first = await gateway.read("/v1/approvals?limit=1")
    assert [(each["project"], each["release"]) for each in first["releases"]] == [("bees", 1)]
    assert first["releases"][0]["approvals"] == [], "the approval is of another project's release"
    second = await gateway.read(f"/v1/approvals?limit=1&after={first['next']}")
    assert second["releases"] == [{"project": "churn", **of_churn}]
    assert [each["givenBy"]["person"] for each in of_churn["approvals"]] == [BOB]
    assert await gateway.read(f"/v1/approvals?after={second['next']}") == {"releases": [], "next": None}
    await gateway.hear(certified(), operation)
    left = await gateway.read("/v1/approvals")
    assert [each["project"] for each in left["releases"]] == ["bees"]


async def test_reviews_that_are_owed_are_told_of_all_projects(gateway: Gateway, operation: str) -> None:
    assert await gateway.read("/v1/reviews") == {"reviews": [], "next": None}
    for each in (broken(), owed()):
        await gateway.hear(each, operation)
    page = await gateway.read("/v1/reviews?limit=1")
    [told] = page["reviews"]
    assert (told["project"], told["certificate"], told["state"]) == ("churn", CERTIFICATE, "owed")
    assert (await gateway.read(f"/v1/reviews?after={page['next']}"))["reviews"] == []
    alan = "person:00000000-0000-7000-8000-000000000004"
    assert (await review(gateway, alan)).status_code == 201
    assert (await gateway.read("/v1/reviews"))["reviews"] == []
