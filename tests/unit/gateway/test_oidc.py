"""People of a provider at the gateway: who they become, what events say, and what is left once they are erased."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from placet.events.codec import timestamp
from placet.events.store import ClaimLost, Unit
from placet.events.testing import ManualClock
from placet.gateway import projections as p
from placet.gateway.commands import MOST_OWN_TOKENS
from placet.identity import own_person_key

from tests.support.oidc_provider import CLIENT, OidcProvider, running
from tests.unit.gateway.harness import Gateway, a_gateway
from tests.unit.gateway.test_erasing import erase, erased, files_of, token_for
from tests.unit.gateway.test_gateway_api import is_problem

MAIL = "ada@example.org"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def provider(clock: ManualClock) -> Iterator[OidcProvider]:
    with running(OidcProvider(now=lambda: clock.now().timestamp())) as provider:
        yield provider


@pytest.fixture
async def gateway(provider: OidcProvider, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with a_gateway(
        tmp_path,
        clock,
        oidc_issuer=provider.issuer,
        oidc_client_id=CLIENT,
        oidc_person_key=own_person_key(tmp_path / "people.key"),
    ) as gateway:
        yield gateway


async def me(gateway: Gateway, token: str) -> dict[str, Any]:
    async with gateway.http(token) as http:
        answer = await http.get("/v1/me")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_who_comes_with_a_providers_token_is_somebody_here(
    gateway: Gateway, provider: OidcProvider
) -> None:
    told = await me(gateway, provider.token(groups=["placet-scientist", "placet-auditor"]))
    assert told["name"] == MAIL
    assert told["roles"] == ["auditor", "scientist"]
    assert told["person"].startswith("person:")
    assert await me(gateway, provider.token()) == {**told, "roles": ["scientist"]}
    assert (await me(gateway, gateway.admin_token))["name"] == "admin"  # ours go on beside


async def test_no_event_says_who_they_are_to_the_provider(gateway: Gateway, provider: OidcProvider) -> None:
    subject = "8f1c2d3e-the-subject"
    token = provider.token(subject, email=MAIL, groups=["placet-compliance"])
    async with gateway.http(token) as http:
        assert (await http.post("/v1/me/token")).status_code == 201
    raw = b"".join([each.event.raw for each in await gateway.wiring.store.read_all(0, 1000)])
    assert (await me(gateway, token))["person"].encode() in raw
    assert subject.encode() not in raw
    assert MAIL.encode() not in raw
    assert subject.encode() not in files_of(gateway)
    assert MAIL.encode() not in files_of(gateway)


async def test_who_is_not_let_in_is_told_as_everybody_is(gateway: Gateway, provider: OidcProvider) -> None:
    for token, status, rule in (
        (provider.token(aud="payroll"), 401, None),
        (provider.token(headers={"kid": "unknown"}), 401, None),
        (provider.token(groups=["payroll"]), 403, "oidc.roles"),
        (provider.token(email=None), 403, "oidc.name"),
    ):
        async with gateway.http(token) as http:
            for path in ("/v1/me", "/v1/models"):
                answer = await http.get(path)
                is_problem(answer, status)
                assert answer.json().get("rule") == rule
                assert answer.json()["fix"]
    async with gateway.http(provider.token(groups=["placet-auditor"])) as http:
        is_problem(await http.post("/v1/commands", json={"command": "stop", "project": "churn"}), 403)


async def test_a_provider_that_is_away_is_told_as_that(gateway: Gateway, provider: OidcProvider) -> None:
    provider.answers["/jwks"] = 500, b""
    async with gateway.http(provider.token()) as http:
        answer = await http.get("/v1/me")
    is_problem(answer, 503)
    assert answer.headers["retry-after"]


async def test_a_token_of_ours_for_the_same_name_is_of_the_same_person(
    gateway: Gateway, provider: OidcProvider
) -> None:
    ada = (await me(gateway, provider.token()))["person"]
    assert (await token_for(gateway, MAIL))["person"] == ada


@pytest.mark.parametrize("name", [MAIL, MAIL.upper()])
async def test_nobody_becomes_somebody_by_a_name_that_is_theirs_already(
    gateway: Gateway, provider: OidcProvider, name: str
) -> None:
    await token_for(gateway, name, "admin")
    async with gateway.http(provider.token()) as http:
        answer = await http.get("/v1/me")
    is_problem(answer, 403)
    assert answer.json()["rule"] == "people.name"


async def test_a_providers_person_has_one_name_and_the_one_that_it_says_last(
    gateway: Gateway, provider: OidcProvider
) -> None:
    ada = await me(gateway, provider.token())
    assert await me(gateway, provider.token(email="lovelace@example.org")) == {
        **ada,
        "name": "lovelace@example.org",
    }
    eve = await me(gateway, provider.token("eve", email=MAIL))  # it is free again
    assert eve["person"] != ada["person"]
    async with gateway.http(provider.token(email=MAIL)) as http:
        is_problem(await http.get("/v1/me"), 403)
    names = await gateway.wiring.store.rows(p.names_alike.select())
    assert {each.person for each in names} >= {ada["person"], eve["person"]}
    assert len(names) == 3


async def test_who_is_erased_is_let_in_no_more_by_any_token(gateway: Gateway, provider: OidcProvider) -> None:
    before = provider.token()
    ada = await me(gateway, before)
    async with gateway.http(before) as http:
        own = (await http.post("/v1/me/token")).json()["token"]
    held = await erased(gateway, ada["person"])
    assert (held["state"], held["name"][:13]) == ("erased", "erased person")
    for token in (before, provider.token(), provider.token(email="other@example.org"), own):
        async with gateway.http(token) as http:
            is_problem(await http.get("/v1/me"), 401)
    assert MAIL.encode() not in files_of(gateway)
    # Their name is free for somebody else, who is not them.
    assert (await token_for(gateway, MAIL))["person"] != ada["person"]


async def test_who_is_erased_at_the_moment_when_they_first_come_gets_no_name(
    gateway: Gateway, provider: OidcProvider
) -> None:
    ada = await me(gateway, provider.token())
    people = gateway.people
    owner = await people.owner(ada["person"])
    assert (await erase(gateway, ada["person"])).status_code == 202
    claims = await people._named(owner, "new@example.org", None)
    with pytest.raises(ClaimLost):
        await gateway.wiring.store.commit(Unit(claims=claims))
    assert not [
        each for each in await gateway.wiring.store.rows(p.people.select()) if each.person == ada["person"]
    ]


async def test_a_token_of_their_own_has_their_roles_and_no_longer_life(
    gateway: Gateway, provider: OidcProvider, clock: ManualClock
) -> None:
    token = provider.token(groups=["placet-operator"], exp=clock.now().timestamp() + 600)
    async with gateway.http(token) as http:
        made = await http.post("/v1/me/token")
    assert made.status_code == 201
    own = made.json()
    assert own["roles"] == ["operator"]
    assert own["person"] == (await me(gateway, token))["person"]
    assert own["expires"] == (clock.now() + timedelta(seconds=600)).isoformat(
        timespec="milliseconds"
    ).replace("+00:00", "Z")
    assert (await me(gateway, own["token"]))["name"] == MAIL
    async with gateway.http(own["token"]) as http:
        is_problem(await http.post("/v1/me/token"), 422)
    async with gateway.http(provider.token(exp=clock.now().timestamp() + 86400)) as http:
        long = (await http.post("/v1/me/token")).json()
    assert long["expires"].startswith((clock.now() + timedelta(hours=1)).isoformat(timespec="seconds")[:-6])


async def test_who_holds_a_token_that_ends_just_now_gets_none(
    gateway: Gateway, provider: OidcProvider, clock: ManualClock
) -> None:
    async with gateway.http(provider.token(exp=clock.now().timestamp() - 10)) as http:
        is_problem(await http.post("/v1/me/token"), 401)


async def test_nobody_has_tokens_made_for_themselves_without_end(
    gateway: Gateway, provider: OidcProvider, clock: ManualClock
) -> None:
    """However they ask, at once and with tokens that end soon: each is in the log for ever."""
    begun = clock.now()
    token = provider.token(exp=begun.timestamp() + 7200)
    async with gateway.http(token) as http:
        assert (await http.post("/v1/me/token")).status_code == 201
        clock.pass_(timedelta(minutes=10))
        answers = [
            answer
            for _ in range(4)
            for answer in await asyncio.gather(*(http.post("/v1/me/token") for _ in range(20)))
        ]
        made = [answer.json() for answer in answers if answer.status_code == 201]
        assert len(made) == MOST_OWN_TOKENS - 1
        for answer in answers:
            if answer.status_code != 201:
                problem = is_problem(answer, 409)
                assert "60 tokens were made for you within an hour" in problem["detail"]
                assert problem["fix"].endswith(timestamp(begun + timedelta(hours=1)))
        # One that is revoked was made all the same.
        async with gateway.http(gateway.admin_token) as admin:
            assert (await admin.delete(f"/v1/tokens/{made[0]['id']}")).status_code == 204
        is_problem(await http.post("/v1/me/token"), 409)
        # Others go on, and so does whoever was given a token already.
        async with gateway.http(provider.token("eve", email="eve@example.org")) as eve:
            assert (await eve.post("/v1/me/token")).status_code == 201
        assert (await me(gateway, made[1]["token"]))["name"] == MAIL
        clock.pass_(timedelta(minutes=50))
        assert (await http.post("/v1/me/token")).status_code == 201
        is_problem(await http.post("/v1/me/token"), 409)
    said = [each.event.type for each in await gateway.wiring.store.read_all(0, 1000)]
    assert sum("token.issued" in each for each in said) == MOST_OWN_TOKENS + 3  # and the admin's, and eve's
