"""Quotas and teams over HTTP: who may set them, what is told of them, and what is said to others."""

from __future__ import annotations

from typing import Any

import pytest
from placet.events.contracts.gateway import ProjectAssigned, QuotaRemoved, QuotaSet
from placet.trust import tokens

from tests.unit.gateway.harness import Gateway, live

FRAUD = "/v1/quotas/teams/fraud"


async def said(gateway: Gateway, *kinds: type) -> list[Any]:
    return [each for each in await gateway.said() if isinstance(each, kinds)]


async def test_a_quota_is_said_once_replaced_and_removed(gateway: Gateway) -> None:
    async with gateway.http() as http:
        for limits in ({"cpuMillis": 2000}, {"cpuMillis": 2000}, {"memoryBytes": 2**32, "models": 3}):
            assert (await http.put(FRAUD, json=limits)).status_code == 200
        [listed] = (await http.get("/v1/quotas")).json()["quotas"]
        assert (await http.delete(FRAUD)).status_code == 204
        again = await http.delete(FRAUD)
        assert again.status_code == 404
        assert again.json()["detail"] == "team fraud has no quota"
        assert (await http.get("/v1/quotas")).json() == {"quotas": [], "next": None}
    assert listed["limits"] == {"cpuMillis": None, "memoryBytes": 2**32, "gpus": None, "models": 3}
    assert listed["live"] == {"cpuMillis": 0, "memoryBytes": 0, "gpus": 0, "models": 0}
    nothing = {"cpu_millis": None, "memory_bytes": None, "gpus": None, "models": None}
    assert await said(gateway, QuotaSet, QuotaRemoved) == [
        QuotaSet(scope="team", of="fraud", **{**nothing, "cpu_millis": 2000}),
        QuotaSet(scope="team", of="fraud", **{**nothing, "memory_bytes": 2**32, "models": 3}),
        QuotaRemoved(scope="team", of="fraud"),
    ]


async def test_a_quota_below_what_is_live_names_that(gateway: Gateway) -> None:
    async with gateway.http() as http:
        await live(gateway)
        assert (await http.put("/v1/teams/fraud/projects/churn")).json() == {
            "project": "churn",
            "team": "fraud",
        }
        quota = (await http.put(FRAUD, json={"cpuMillis": 1, "models": 1})).json()
        elsewhere = (await http.put("/v1/quotas/teams/other", json={"cpuMillis": 1})).json()
        own = (await http.put("/v1/quotas/projects/churn", json={"models": 0})).json()
    assert quota["projects"] == ["churn"]
    assert quota["live"]["models"] == 1
    assert quota["live"]["cpuMillis"] > 1
    assert quota["exceeded"] == ["cpuMillis"]
    assert (elsewhere["projects"], elsewhere["exceeded"]) == ([], [])
    assert own["exceeded"] == ["models"]


async def test_a_project_is_of_one_team_or_none(gateway: Gateway) -> None:
    async with gateway.http() as http:
        for team in ("fraud", "fraud", "risk"):
            assert (await http.put(f"/v1/teams/{team}/projects/churn")).status_code == 200
        await http.put("/v1/quotas/teams/empty", json={"models": 1})
        teams = (await http.get("/v1/teams", params={"limit": 1})).json()
        rest = (await http.get("/v1/teams", params={"after": teams["next"]})).json()
        for _ in range(2):
            assert (await http.delete("/v1/models/churn/team")).status_code == 204
        assert [each["team"] for each in (await http.get("/v1/teams")).json()["teams"]] == ["empty"]
    assert teams == {"teams": [{"team": "empty", "projects": [], "members": []}], "next": "empty"}
    assert rest == {"teams": [{"team": "risk", "projects": ["churn"], "members": []}], "next": None}
    assert await said(gateway, ProjectAssigned) == [
        ProjectAssigned(project="churn", team="fraud"),
        ProjectAssigned(project="churn", team="risk"),
        ProjectAssigned(project="churn", team=None),
    ]


async def test_quotas_come_in_pages(gateway: Gateway) -> None:
    async with gateway.http() as http:
        for path in ("teams/fraud", "teams/risk", "projects/churn"):
            await http.put(f"/v1/quotas/{path}", json={"models": 1})
        found, after = [], None
        while True:
            page = (
                await http.get("/v1/quotas", params={"limit": 1, **({"after": after} if after else {})})
            ).json()
            found += [(each["scope"], each["of"]) for each in page["quotas"]]
            after = page["next"]
            if after is None:
                break
    assert found == [("project", "churn"), ("team", "fraud"), ("team", "risk")]


@pytest.mark.parametrize("limits", [{}, {"cpuMillis": -1}, {"cpus": 2}, {"models": 2**53}, {"gpus": 1.5}])
async def test_what_is_no_quota_is_unreadable(gateway: Gateway, limits: dict[str, Any]) -> None:
    async with gateway.http() as http:
        assert (await http.put(FRAUD, json=limits)).status_code == 400
        assert (await http.put("/v1/quotas/teams/Fraud%20Team", json={"models": 1})).status_code == 400


async def test_only_operators_and_admins_set_quotas_and_everybody_reads_them(gateway: Gateway) -> None:
    roles: tuple[tuple[tokens.Role, bool], ...] = (
        ("operator", True),
        ("scientist", False),
        ("auditor", False),
    )
    for role, is_allowed in roles:
        async with gateway.http(gateway.token(role)) as http:
            answers = [
                await http.put(FRAUD, json={"models": 1}),
                await http.put("/v1/teams/fraud/projects/churn"),
                await http.delete("/v1/models/churn/team"),
                await http.delete(FRAUD),
            ]
            assert {each.status_code == 403 for each in answers} == {not is_allowed}
            assert (await http.get("/v1/quotas")).status_code == 200
            assert (await http.get("/v1/teams")).status_code == 200
