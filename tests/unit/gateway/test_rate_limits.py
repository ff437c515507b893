"""How often one caller may ask, over HTTP, with a clock that the test moves."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from placet.events.testing import ManualClock
from placet.gateway.settings import GatewaySettings

from tests.unit.gateway.harness import a_gateway

STOP = {"command": "stop", "project": "churn"}


async def statuses(http: httpx.AsyncClient, path: str, times: int) -> list[int]:
    return [(await http.get(path)).status_code for _ in range(times)]


async def test_who_reads_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    clock = ManualClock()
    async with a_gateway(tmp_path, clock, reads_per_second=1) as gateway, gateway.http() as http:
        assert await statuses(http, "/v1/models", 10) == [200] * 10
        refused = await http.get("/v1/models")
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json() == {
            "type": "about:blank",
            "title": "Too many requests",
            "status": 429,
            "detail": "you read more often than one person may here",
            "rule": "rate.reads",
            "fix": "come back in 1 s; who runs the platform sets the limit (PLACET_READS_PER_SECOND)",
        }
        assert (await http.post("/v1/commands", json=STOP)).status_code == 404, "writes have their own limit"
        async with gateway.http(gateway.token("auditor")) as other:
            assert await statuses(other, "/v1/models", 10) == [200] * 10
        clock.pass_(timedelta(seconds=1))
        assert await statuses(http, "/v1/models", 2) == [200, 429]


async def test_another_token_of_the_same_person_gets_nothing_more(tmp_path: Path) -> None:
    async with a_gateway(tmp_path, reads_per_second=1) as gateway:
        person = f"person:{gateway.wiring.ids.new()}"
        answers = []
        for _ in range(11):
            async with gateway.http(gateway.token("auditor", person=person)) as http:
                answers += await statuses(http, "/v1/models", 1)
    assert answers == [200] * 10 + [429]


async def test_who_changes_something_too_often_can_still_read(tmp_path: Path) -> None:
    async with a_gateway(tmp_path, writes_per_second=1) as gateway, gateway.http() as http:
        answers = [(await http.post("/v1/commands", json=STOP)).status_code for _ in range(11)]
        assert answers == [404] * 10 + [429]
        refused = await http.put("/v1/quotas/teams/fraud", json={"models": 1})
        assert (refused.status_code, refused.json()["rule"]) == (429, "rate.writes")
        assert await statuses(http, "/v1/models", 100) == [200] * 100


@pytest.mark.parametrize("header", [None, "Bearer nothing.like.one", "Basic YWRtaW46YWRtaW4="])
async def test_who_fails_too_often_is_told_no_more_and_keeps_nobody_out(
    tmp_path: Path, header: str | None
) -> None:
    clock = ManualClock()
    async with a_gateway(tmp_path, clock, failures_per_second=1) as gateway, gateway.http() as http:
        hostile = {"authorization": header} if header else {}
        async with httpx.AsyncClient(
            transport=http._transport,  # the same app, and the same address
            base_url="http://placet",
            headers=hostile,
        ) as stranger:
            assert await statuses(stranger, "/v1/models", 10) == [401] * 10
            refused = await stranger.get("/v1/models")
            assert (refused.status_code, refused.json()["rule"]) == (429, "rate.failures")
            assert refused.headers["retry-after"] == "1"
            assert (await http.get("/v1/models")).status_code == 200, "whose token holds is let in"
            clock.pass_(timedelta(seconds=int(refused.headers["retry-after"])))
            assert (await stranger.get("/v1/models")).status_code == 401


async def test_what_tells_how_a_service_is_and_models_themselves_have_no_such_limit(tmp_path: Path) -> None:
    async with (
        a_gateway(tmp_path, reads_per_second=1, writes_per_second=1, failures_per_second=1) as gateway,
        gateway.http() as http,
    ):
        for path in ("/livez", "/metrics", "/openapi.json"):
            assert await statuses(http, path, 30) == [200] * 30
        assert set(await statuses(http, "/models/churn/predict", 30)) == {404}


async def test_zero_is_no_limit(tmp_path: Path) -> None:
    async with (
        a_gateway(tmp_path, reads_per_second=0, writes_per_second=0, failures_per_second=0) as free,
        free.http() as http,
        free.http("no.such.token") as stranger,
    ):
        assert await statuses(http, "/v1/quotas", 100) == [200] * 100
        assert await statuses(stranger, "/v1/quotas", 250) == [401] * 250


def test_unless_it_is_set_there_is_a_limit_of_each() -> None:
    fields = GatewaySettings.model_fields
    limits = {name: each.default for name, each in fields.items() if name.endswith("_per_second")}
    assert limits == {"reads_per_second": 3000, "writes_per_second": 500, "failures_per_second": 20}
