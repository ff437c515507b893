"""An earlier release is served again: which image that is, and what is said where there is none."""

from __future__ import annotations

from typing import Any

import httpx
from placet.events.contracts import deployer
from placet.events.contracts.gateway import DeployRequested
from placet.events.testing import changed

from tests.unit.gateway.harness import Gateway, asked, live
from tests.unit.gateway.roads import IMAGE, SOURCE, certified, cleared, indexed, reserved, started
from tests.unit.gateway.test_canaries import canary
from tests.unit.gateway.test_gateway_api import is_problem

ANOTHER = f"sha256:{'9' * 64}"
SECOND = "certificate:00000000-0000-7000-8000-00000000000e"


async def roll_back(gateway: Gateway, token: str | None = None, **more: Any) -> httpx.Response:
    async with gateway.http(token) as http:
        headers = {"Idempotency-Key": more.pop("key")} if "key" in more else {}
        body = {"command": "rollback", "project": "churn", **more}
        return await http.post("/v1/commands", json=body, headers=headers)


async def two_releases(gateway: Gateway) -> None:
    """The second has another image, and serves."""
    await live(gateway)
    operation = await asked(gateway)
    await gateway.hear_all(
        (
            cleared(release=2),
            reserved(release=2),
            indexed(release=2, image=ANOTHER),
            changed(certified(release=2, certificate=SECOND), image=ANOTHER),
            changed(started(release=2, request=2), image=ANOTHER, certificate=SECOND),
        ),
        operation,
    )


async def last_request(gateway: Gateway) -> DeployRequested:
    return [each for each in await gateway.said() if isinstance(each, DeployRequested)][-1]


async def test_without_a_number_it_is_what_was_served_before(gateway: Gateway) -> None:
    await two_releases(gateway)
    answer = await roll_back(gateway)
    assert answer.status_code == 202, answer.text
    begun = answer.json()
    assert (begun["command"], begun["release"], begun["image"], begun["backTo"]) == ("deploy", 3, IMAGE, 1)
    assert await last_request(gateway) == DeployRequested(
        project="churn", release=3, command="deploy", source=SOURCE, image=IMAGE, back_to=1
    )
    assert (await gateway.read("/v1/models/churn"))["state"] == "live"
    assert "rollback" in (await gateway.read("/v1/me"))["commands"]


async def test_with_a_number_it_is_that_release(gateway: Gateway) -> None:
    await two_releases(gateway)
    begun = (await roll_back(gateway, release=1)).json()
    assert (begun["image"], begun["backTo"]) == (IMAGE, 1)


async def test_a_canary_is_nothing_to_go_back_to(gateway: Gateway) -> None:
    """It is what somebody flees from: its share was to show whether it is any good."""
    await live(gateway)
    operation = await asked(gateway)
    await gateway.hear_all(
        (
            cleared(release=2),
            reserved(release=2),
            indexed(release=2, image=ANOTHER),
            changed(certified(release=2, certificate=SECOND), image=ANOTHER),
            changed(canary(), image=ANOTHER),
        ),
        operation,
    )
    assert await served(gateway) == {IMAGE: "now", ANOTHER: "now"}
    is_problem(await roll_back(gateway), 404, "served nothing before")

    aborted = deployer.CanaryAborted(project="churn", release=2, why="it failed 4 of 9 requests", fix=None)
    await gateway.hear(aborted, operation)
    assert await served(gateway) == {IMAGE: "now", ANOTHER: "before"}
    is_problem(await roll_back(gateway), 404, "served nothing before")
    assert (await roll_back(gateway, release=2)).json()["image"] == ANOTHER, "who names it means it"


async def served(gateway: Gateway) -> dict[str, str]:
    return {each["image"]: each["served"] for each in (await gateway.read("/v1/images"))["images"]}


async def test_a_key_says_once_what_it_went_back_to(gateway: Gateway) -> None:
    await two_releases(gateway)
    first = (await roll_back(gateway, key="one")).json()
    await gateway.hear_all(
        (
            cleared(release=3),
            reserved(release=3),
            indexed(release=3),
            certified(release=3),
            started(release=3, request=3),
        ),
        first["operation"],
    )
    again = (await roll_back(gateway, key="one")).json()
    assert (again["operation"], again["state"]) == (first["operation"], "live")
    is_problem(await roll_back(gateway, key="one", release=2), 409, "another request")


async def test_what_serves_already_is_told_with_what_to_do(gateway: Gateway) -> None:
    await two_releases(gateway)
    problem = is_problem(await roll_back(gateway, release=2), 409, "serves the image of release 2 already")
    assert "renew churn" in problem["fix"]


async def test_where_there_is_nothing_to_go_back_to_it_is_said(gateway: Gateway) -> None:
    for answer in (await roll_back(gateway), await roll_back(gateway, release=1)):
        assert is_problem(answer, 404, "there is no project 'churn'")["fix"] == "see `placet list`"
    await live(gateway)
    is_problem(await roll_back(gateway), 404, "served nothing before")
    problem = is_problem(await roll_back(gateway, release=7), 404, "release 7 of churn was never certified")
    assert "--images" in problem["fix"]


async def test_who_may_not_deploy_may_not_go_back(gateway: Gateway) -> None:
    await two_releases(gateway)
    is_problem(await roll_back(gateway, token=gateway.token("auditor")), 403)


async def test_what_it_takes_is_a_project_and_a_number(gateway: Gateway) -> None:
    await two_releases(gateway)
    is_problem(await roll_back(gateway, release=0), 400, "release")
    is_problem(await roll_back(gateway, source={"image": IMAGE}), 422, "a rollback takes no source")
    async with gateway.http(gateway.token("operator")) as http:
        deploy = {"command": "deploy", "project": "churn", "source": {"image": IMAGE}, "release": 1}
        is_problem(await http.post("/v1/commands", json=deploy), 422, "a deploy takes no release")
        is_problem(
            await http.post("/v1/commands", json={"command": "rollback"}), 422, "needs the project's name"
        )
