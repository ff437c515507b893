"""What operators type is what REST is asked, and what is no amount is told to be none."""

from __future__ import annotations

import httpx
import pytest
from placet.client import Amounts, Quota
from placet.gateway.console import session
from placet.gateway.console.operating import _kinds

from tests.unit.client.fake_platform import ADMIN, FakePlatform


@pytest.fixture
async def operator(browser: httpx.AsyncClient) -> httpx.AsyncClient:
    await browser.post("/console/sign-in", data={"token": ADMIN})
    return browser


def form(**fields: str) -> dict[str, str]:
    return {"proof": session.proof_of(ADMIN), "scope": "team", "of": "fraud", **fields}


async def test_a_quota_is_set_in_units_that_people_use(
    operator: httpx.AsyncClient, platform: FakePlatform
) -> None:
    answer = await operator.post(
        "/console/platform/room", data=form(cpu="1.5", memory="0.5", models="3", gpus="")
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/platform/room")
    ((name, quota),) = platform.quotas.items()
    assert "fraud" in name
    limits = {kind: each for kind, each in quota["limits"].items() if each is not None}
    assert limits == {"cpuMillis": 1500, "memoryBytes": 1 << 29, "models": 3}
    await operator.post("/console/platform/room", data=form(act="remove"))
    assert platform.quotas == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"cpu": "much"}, {"cpu": "-1"}, {"memory": "nan"}, {"memory": "inf"}, {"models": "1.5"}, {"gpus": "-1"},
        {"scope": "person"}, {"of": ""}, {"models": "9" * 30},
    ],
)  # fmt: skip
async def test_what_is_no_amount_changes_nothing(
    operator: httpx.AsyncClient, platform: FakePlatform, fields: dict[str, str]
) -> None:
    answer = await operator.post("/console/platform/room", data=form(**fields))
    assert answer.status_code == 400
    assert "What to do" in answer.text
    assert platform.quotas == {}


@pytest.mark.parametrize("days", ["x", "-1", "1" * 9, "1.5"])
async def test_what_is_no_number_of_days_removes_nothing(
    operator: httpx.AsyncClient, platform: FakePlatform, days: str
) -> None:
    answer = await operator.post("/console/platform/registry", data=form(olderThan=days))
    assert answer.status_code == 400
    assert ("POST", "/v1/garbage/collections") not in platform.requests


def test_of_a_quota_what_is_bounded_is_told_and_whether_more_is_held() -> None:
    quota = Quota(
        scope="team",
        of="fraud",
        limits=Amounts(cpu_millis=1500, models=2),
        live=Amounts(cpu_millis=2000, memory_bytes=1 << 30, models=2),
    )
    assert _kinds(quota) == [("CPU", "2", "1.5 cores", True), ("models", "2", "2", False)]
