"""A certificate is renewed: which release that is, what is in the way, and what is shown of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest
from placet.errors import Conflict, Refused, Unknown
from placet.events.contracts import certifier, deployer, indexer
from placet.events.contracts.gateway import DeleteRequested, DeployRequested
from placet.events.contracts.shapes import Ground, Measured
from placet.events.testing import changed, given
from placet.gateway.domain import PROJECT, Renew, Serving

from tests.unit.gateway.harness import Gateway, asked, knows_source, live
from tests.unit.gateway.roads import (
    CERTIFICATE,
    IMAGE,
    MISSING,
    SOURCE,
    awaited,
    certified,
    cleared,
    failed,
    indexed,
    refused,
    reserved,
    reused,
    started,
)
from tests.unit.gateway.roads import asked as was_asked
from tests.unit.gateway.test_gateway_api import is_problem

ANOTHER = "certificate:00000000-0000-7000-8000-00000000000e"
SERVES = Serving(release=1, state="live", certificate=CERTIFICATE, standing=None, image=IMAGE, source=SOURCE)
RENEWAL = changed(was_asked(image=IMAGE, release=2), renews=CERTIFICATE)
OF: dict[str, Any] = {"certificate": CERTIFICATE, "project": "churn", "release": 1}
ANEW = (
    cleared(release=2),
    reserved(release=2),
    reused(release=2),
    indexed(release=2),
    changed(certified(release=2, certificate=ANOTHER), renews=CERTIFICATE),
    changed(started(release=2, request=2), certificate=ANOTHER),
)


RENEW = {"command": "renew", "project": "churn"}


async def renew(gateway: Gateway) -> httpx.Response:
    async with gateway.http(gateway.token("operator")) as http:
        return await http.post("/v1/commands", json=RENEW)


async def requests(gateway: Gateway) -> list[DeployRequested]:
    return [each for each in await gateway.said() if isinstance(each, DeployRequested)]


# what it is


@pytest.mark.parametrize("command", ["renew", "start", "stop", "delete"])
async def test_a_source_is_not_left_out_silently(gateway: Gateway, command: str) -> None:
    body = {"command": command, "project": "churn", "source": {"digest": SOURCE}}
    async with gateway.http(gateway.token("operator")) as http:
        answer = await http.post("/v1/commands", json=body)
    is_problem(answer, 422, f"a {command} takes no source")


def test_a_renewal_is_a_release_of_the_source_and_image_that_serve() -> None:
    given(PROJECT, was_asked()).when(Renew(project="churn", serving=SERVES)).then(RENEWAL)


@pytest.mark.parametrize(
    ("serving", "error", "said"),
    [
        (None, Conflict, "nothing of it serves"),
        (replace(SERVES, state="stopped"), Conflict, "is stopped"),
        (replace(SERVES, standing="revoked"), Conflict, "was revoked"),
        (replace(SERVES, standing="suspended", broke_conditions=True), Conflict, "in use"),
        (replace(SERVES, source=None), Refused, "vanished"),
    ],
)
def test_what_cannot_be_renewed_is_told_with_what_to_do(serving: Any, error: Any, said: str) -> None:
    when = given(PROJECT, was_asked()).when(Renew(project="churn", serving=serving))
    assert when.then_refused(saying=said, kind=error).fix


@pytest.mark.parametrize("state", ["live", "quarantined", "failed"])
@pytest.mark.parametrize("standing", [None, "suspended"])
def test_what_lost_its_route_though_nobody_asked_for_that_is_certified_again(
    state: str, standing: str | None
) -> None:
    serving = replace(SERVES, state=state, standing=standing)
    given(PROJECT, was_asked()).when(Renew(project="churn", serving=serving)).then(RENEWAL)


def test_nothing_is_renewed_of_a_project_that_is_not_there_or_was_deleted() -> None:
    deleted = DeleteRequested(project="churn")
    for history, said in (((), "no project"), ((was_asked(), deleted), "was deleted")):
        when = given(PROJECT, *history).when(Renew(project="churn", serving=SERVES))
        when.then_refused(saying=said, kind=Unknown)
    anew = given(PROJECT, was_asked(), deleted, was_asked(release=2))
    # what served before is gone for good
    anew.when(Renew(project="churn", serving=SERVES)).then_refused(
        saying="nothing of it serves", kind=Conflict
    )


# asking for it


async def test_a_renewal_is_shown_as_one_and_names_the_certificate_before_and_after(gateway: Gateway) -> None:
    await live(gateway)
    answer = await renew(gateway)
    assert answer.status_code == 202, answer.text
    begun = answer.json()
    assert (begun["command"], begun["release"], begun["renews"]) == ("renew", 2, CERTIFICATE)
    assert answer.headers["location"] == f"/v1/operations/{begun['operation']}"
    assert (await requests(gateway))[-1] == RENEWAL

    await gateway.hear_all(ANEW, begun["operation"])
    operation = await gateway.read(f"/v1/operations/{begun['operation']}")
    assert (operation["state"], operation["built"], operation["certificate"]) == ("live", False, ANOTHER)
    model = await gateway.read("/v1/models/churn")
    assert (model["release"], model["certificate"], model["image"]) == (2, ANOTHER, IMAGE)
    gateway.envelopes.envelopes["models/churn", f"sha256:{'d' * 64}"] = {"payload": "e30="}
    shown = [await gateway.read(f"/v1/certificates/{each}") for each in (CERTIFICATE, ANOTHER)]
    assert [(each["state"], each["renews"], each["renewedBy"]) for each in shown] == [
        ("valid", None, ANOTHER),
        ("valid", CERTIFICATE, None),
    ]
    assert "renew" in (await gateway.read("/v1/me"))["commands"]


async def test_a_refused_renewal_leaves_what_serves_and_says_why(gateway: Gateway) -> None:
    await live(gateway)
    operation = (await renew(gateway)).json()["operation"]
    await gateway.hear(changed(refused("certify", MISSING), release=2), operation)
    told = await gateway.read(f"/v1/operations/{operation}")
    assert (told["state"], told["refusals"][0]["rule"], told["refusals"][0]["fix"]) == (
        "refused",
        "two.approve",
        "mend two.approve",
    )
    model = await gateway.read("/v1/models/churn")
    assert (model["state"], model["release"], model["certificate"]) == ("live", 1, CERTIFICATE)


async def test_a_renewal_that_is_under_way_or_waits_for_people_is_not_begun_again(gateway: Gateway) -> None:
    await live(gateway)
    first = (await renew(gateway)).json()["operation"]
    assert (await renew(gateway)).json()["operation"] == first
    await gateway.hear_all((*ANEW[:4], awaited(release=2)), first)
    again = (await renew(gateway)).json()
    assert (again["operation"], again["state"]) == (first, "awaiting")
    assert len(await requests(gateway)) == 2

    await gateway.hear_all(ANEW[4:], first)
    following = (await renew(gateway)).json()
    assert (following["release"], following["renews"]) == (3, ANOTHER)


async def test_two_who_ask_at_once_have_one_renewal(gateway: Gateway) -> None:
    await live(gateway)
    answers = await asyncio.gather(*(renew(gateway) for _ in range(4)))
    assert {each.status_code for each in answers} == {202}
    assert len({each.json()["operation"] for each in answers}) == 1
    assert len(await requests(gateway)) == 2


async def test_a_renewal_overtakes_nothing_that_somebody_asked_for(gateway: Gateway) -> None:
    await live(gateway)
    deploy = await asked(gateway)
    assert deploy in is_problem(await renew(gateway), 409, "--follow")["fix"]
    await gateway.hear(changed(refused("certify", MISSING), release=2), deploy)
    await asked(gateway, "build")  # runs nothing, and stands in no way
    assert (await renew(gateway)).status_code == 202


async def test_a_release_that_waits_for_people_does_not_hold_up_the_renewal_of_what_serves(
    gateway: Gateway,
) -> None:
    await live(gateway)
    deploy = await asked(gateway)
    await gateway.hear_all((cleared(release=2), indexed(release=2), awaited(release=2)), deploy)
    assert (await renew(gateway)).json()["release"] == 3


async def test_the_same_key_is_the_same_renewal_whatever_serves_by_now(gateway: Gateway) -> None:
    await live(gateway)
    async with gateway.http() as http:
        headers = {"Idempotency-Key": "monthly"}
        first = (await http.post("/v1/commands", json=RENEW, headers=headers)).json()["operation"]
        await gateway.hear_all(ANEW, first)
        again = await http.post("/v1/commands", json=RENEW, headers=headers)
    assert again.json()["operation"] == first
    assert len(await requests(gateway)) == 2


async def test_what_has_nothing_to_renew_says_so_over_rest(gateway: Gateway) -> None:
    is_problem(await renew(gateway), 404, "placet list")
    await knows_source(gateway)
    build = await asked(gateway, "build")
    is_problem(await renew(gateway), 409, "placet list --images")
    await gateway.hear(certified("build"), build)
    is_problem(await renew(gateway), 409, "placet list --images")
    async with gateway.http(gateway.token("auditor")) as http:
        answer = await http.post("/v1/commands", json=RENEW)
    is_problem(answer, 403)


async def test_a_vanished_image_is_not_renewed_and_nothing_is_built_in_its_place(gateway: Gateway) -> None:
    await live(gateway)
    gone = indexer.ImageVanished(
        project="churn", release=1, image=IMAGE, repository="models/churn", why="it is gone"
    )
    await gateway.hear(gone, "none")
    is_problem(await renew(gateway), 422, "placet list --images")


async def test_what_its_conditions_or_a_person_took_off_its_route_stays_there(gateway: Gateway) -> None:
    await live(gateway)
    off = deployer.ModelQuarantined(**OF, rule="operation.conditions-kept", why="it drifts")
    measured = Measured(metric="psi", value=0.4, limit=0.2, window=60, samples=100)
    drift = Ground(rule="operation.conditions-kept", why="it drifts", measured=(measured,))
    await gateway.hear(certifier.CertificateSuspended(**OF, grounds=(drift,)), "none")
    await gateway.hear(off, "none")
    is_problem(await renew(gateway), 409, "placet status churn")

    exception = Ground(rule="owner.named", why="what excepted it was withdrawn")
    await gateway.hear(certifier.CertificateSuspended(**OF, grounds=(exception,)), "none")
    assert (await renew(gateway)).json()["renews"] == CERTIFICATE


async def test_a_revoked_certificate_is_deployed_again_and_not_renewed(gateway: Gateway) -> None:
    await live(gateway)
    async with gateway.http(gateway.token("compliance")) as http:
        await http.post(f"/v1/certificates/{CERTIFICATE}/revoke", json={"reason": "it harms"})
    is_problem(await renew(gateway), 409, "deploys it again")


# the reminder


async def test_a_model_says_that_its_certificate_ends_soon_until_it_has_another(gateway: Gateway) -> None:
    operation = await live(gateway)
    assert (await gateway.read("/v1/models/churn"))["lapsing"] is False
    lapsing = certifier.CertificateLapsing(**OF, not_after="2026-04-01T00:00:00.000Z", left=30 * 86400)
    await gateway.hear(lapsing, "none", twice=True)
    assert (await gateway.read("/v1/models/churn"))["lapsing"] is True
    assert [each["lapsing"] for each in (await gateway.read("/v1/models"))["models"]] == [True]
    assert [each["project"] for each in (await gateway.read("/v1/models?lapsing=true"))["models"]] == [
        "churn"
    ]
    await gateway.hear(certified(), operation)  # heard again
    assert (await gateway.read("/v1/models/churn"))["lapsing"] is True

    renewal = (await renew(gateway)).json()["operation"]
    await gateway.hear_all((*ANEW[:5], failed(release=2, request=2)), renewal)
    assert (await gateway.read("/v1/models/churn"))["lapsing"] is True
    await gateway.hear(ANEW[5], renewal)
    assert (await gateway.read("/v1/models/churn"))["lapsing"] is False
    assert (await gateway.read("/v1/models?lapsing=true"))["models"] == []
