"""A canary and replicas as people ask for them, and as the gateway shows them and sends requests to them."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from placet.events.contracts import certifier, deployer
from placet.events.contracts.gateway import AbortRequested, PromoteRequested, ScaleRequested
from placet.events.contracts.shapes import Ground
from placet.events.testing import changed
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.support.serving import serving
from tests.unit.gateway.harness import Gateway, asked, live
from tests.unit.gateway.roads import (
    CERTIFICATE,
    DEPLOY,
    IMAGE,
    certified,
    cleared,
    indexed,
    refused,
    reserved,
    started,
)
from tests.unit.gateway.test_gateway_api import is_problem
from tests.unit.gateway.test_gateway_read_models import observed

SECOND = "certificate:00000000-0000-7000-8000-00000000000e"


async def command(gateway: Gateway, name: str, **more: Any) -> httpx.Response:
    async with gateway.http() as http:
        return await http.post("/v1/commands", json={"command": name, "project": "churn", **more})


def canary(*endpoints: str, weight: int = 25) -> deployer.CanaryStarted:
    return deployer.CanaryStarted(
        project="churn",
        release=2,
        image=IMAGE,
        certificate=SECOND,
        url="http://placet/models/churn",
        endpoints=endpoints or ("http://127.0.0.1:2",),
        weight=weight,
        request=2,
        sample="answered",
        replicas=1,
    )


async def with_a_canary(gateway: Gateway) -> str:
    """The operation that began it."""
    await live(gateway)
    answer = await command(gateway, "deploy", source={"image": IMAGE}, canary=25)
    assert answer.status_code == 202, answer.text
    operation: str = answer.json()["operation"]
    await gateway.hear_all(
        (
            cleared(release=2),
            reserved(release=2),
            indexed(release=2),
            certified(release=2, certificate=SECOND),
            canary(),
        ),
        operation,
    )
    return operation


async def test_a_canary_is_live_beside_what_serves(gateway: Gateway) -> None:
    operation = await with_a_canary(gateway)

    done = await gateway.read(f"/v1/operations/{operation}")
    assert (done["state"], done["release"]) == ("live", 2)
    assert done["steps"][-1]["detail"].startswith("canary, with 25 % of the requests: ready")
    model = await gateway.read("/v1/models/churn")
    assert (model["state"], model["release"]) == ("live", 1)
    assert model["canary"] == {"release": 2, "weight": 25, "image": IMAGE, "certificate": SECOND}
    assert (await gateway.read("/v1/models"))["models"][0]["canary"] == model["canary"]
    assert done["share"] == 25


async def test_promoted_in_part_and_then_it_is_what_serves(gateway: Gateway) -> None:
    await with_a_canary(gateway)

    first = (await command(gateway, "promote", weight=50)).json()["operation"]
    await gateway.hear(deployer.CanaryWeighted(project="churn", release=2, weight=50), first)
    assert (await gateway.read("/v1/models/churn"))["canary"]["weight"] == 50
    second = (await command(gateway, "promote")).json()["operation"]
    await gateway.hear(changed(started(release=2, request=2), certificate=SECOND), second)

    for operation, share in ((first, 50), (second, None)):
        told = await gateway.read(f"/v1/operations/{operation}")
        assert (told["state"], told["share"]) == ("live", share)
    model = await gateway.read("/v1/models/churn")
    assert (model["release"], model["canary"], model["aborted"]) == (2, None, None)
    asked_for = [each for each in await gateway.said() if isinstance(each, PromoteRequested)]
    assert [each.weight for each in asked_for] == [50, 100]


async def test_what_it_was_asked_is_not_shown_as_what_serves_was(gateway: Gateway) -> None:
    operation = await with_a_canary(gateway)
    await gateway.hear(observed(20), operation)
    await gateway.hear(observed(300, release=2, psi=0.3), operation)
    shown = (await gateway.read("/v1/models/churn"))["observed"]
    assert (shown["requests"], shown["drift"]) == (20, None)


async def test_an_aborted_one_is_told_of_with_the_reason(gateway: Gateway) -> None:
    await with_a_canary(gateway)
    operation = (await command(gateway, "abort")).json()["operation"]
    assert AbortRequested(project="churn") in await gateway.said()

    aborted = deployer.CanaryAborted(project="churn", release=2, why="somebody asked for that", fix=None)
    await gateway.hear(aborted, operation)

    assert (await gateway.read(f"/v1/operations/{operation}"))["state"] == "live"
    model = await gateway.read("/v1/models/churn")
    assert (model["release"], model["canary"]) == (1, None)
    assert model["aborted"]["why"] == "somebody asked for that"

    deletion = (await command(gateway, "delete")).json()["operation"]
    await gateway.hear(deployer.ModelDeleted(project="churn", request=3), deletion)
    assert (await gateway.read("/v1/models/churn"))["aborted"] is None


async def test_what_asks_for_nothing_that_there_is_is_told_so(gateway: Gateway) -> None:
    operation = await asked(gateway)
    await gateway.hear_all(DEPLOY[1:-2], operation)
    is_problem(
        await command(gateway, "deploy", source={"image": IMAGE}, canary=10),
        409,
        "serves nothing that a canary",
    )
    problem = is_problem(await command(gateway, "scale", replicas=2), 409, "serves nothing")
    assert problem["fix"] == "start it: placet start churn"
    is_problem(await command(gateway, "promote"), 409, "no canary")
    is_problem(await command(gateway, "abort"), 409, "no canary")


async def test_what_never_served_is_not_told_to_start(gateway: Gateway) -> None:
    operation = await asked(gateway)
    problem = is_problem(await command(gateway, "scale", replicas=2), 409, "serves nothing")
    assert problem["fix"] == "wait until it serves: placet status churn --follow"
    problem = is_problem(await command(gateway, "rollback"), 404, "churn has served nothing yet")
    assert problem["fix"] == "deploy it"
    await gateway.hear(refused("submit"), operation)
    problem = is_problem(await command(gateway, "scale", replicas=2), 409, "serves nothing")
    assert problem["fix"] == "deploy it: nothing of it was certified yet"


async def test_what_is_off_its_route_is_not_told_to_start(gateway: Gateway) -> None:
    await live(gateway)
    lapsed = deployer.ModelQuarantined(project="churn", release=1, certificate=CERTIFICATE, why="it drifts")
    await gateway.hear(lapsed, "x")
    problem = is_problem(await command(gateway, "scale", replicas=2), 409, "serves nothing")
    assert problem["fix"] == "`placet status churn` says why it is off its route"


@pytest.mark.parametrize(
    ("name", "more", "says"),
    [
        ("scale", {}, "needs `replicas`"),
        ("stop", {"replicas": 2}, "a stop takes no replicas"),
        ("abort", {"weight": 2}, "an abort takes no weight"),
        ("build", {"source": {"image": IMAGE}, "canary": 10}, "takes no canary"),
        ("deploy", {"source": {"image": IMAGE}, "weight": 10}, "takes no weight"),
    ],
)
async def test_numbers_that_mean_nothing_are_refused(
    gateway: Gateway, name: str, more: dict[str, Any], says: str
) -> None:
    await live(gateway)
    is_problem(await command(gateway, name, **more), 422, says)


async def test_a_scaled_model_has_as_many_replicas(gateway: Gateway) -> None:
    await live(gateway)
    operation = (await command(gateway, "scale", replicas=3)).json()["operation"]
    assert ScaleRequested(project="churn", replicas=3) in await gateway.said()

    scaled = deployer.ModelScaled(project="churn", release=1, replicas=3, endpoints=("http://a",), scaling=1)
    await gateway.hear(scaled, operation)

    done = await gateway.read(f"/v1/operations/{operation}")
    assert (done["state"], done["steps"][-1]["detail"]) == ("live", "3 replicas")
    assert (await gateway.read("/v1/models/churn"))["replicas"] == 3


async def test_a_change_that_came_to_nothing_ends_its_operation(gateway: Gateway) -> None:
    await live(gateway)
    operation = (await command(gateway, "scale", replicas=3)).json()["operation"]

    await gateway.hear(deployer.ChangeRefused(project="churn", why="no room", fix="less"), operation)

    done = await gateway.read(f"/v1/operations/{operation}")
    assert (done["state"], done["refusals"][0]["why"]) == ("refused", "no room")
    assert (await gateway.read("/v1/models/churn"))["state"] == "live"


def model(name: str) -> Starlette:
    async def answer(request: Request) -> PlainTextResponse:
        return PlainTextResponse(name)

    return Starlette(routes=[Route("/{path:path}", answer, methods=["POST"])])


async def test_its_share_of_the_requests_goes_to_it_while_its_certificate_stands(gateway: Gateway) -> None:
    operation = await with_a_canary(gateway)
    async with AsyncExitStack() as stack:
        first, second, url = [
            await stack.enter_async_context(serving(app)) for app in (model("1"), model("2"), gateway.app)
        ]
        await gateway.hear(started(endpoints=(first,)), await asked(gateway))
        await gateway.hear(canary(second), operation)
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=20, trust_env=False))

        async def answers() -> Counter[str]:
            return Counter([(await http.post("/models/churn/predict")).text for _ in range(40)])

        assert await answers() == {"1": 30, "2": 10}
        ground = Ground(rule="operate.drift", why="it drifts")
        suspended = certifier.CertificateSuspended(
            certificate=SECOND, project="churn", release=2, grounds=(ground,)
        )
        await gateway.hear(suspended, operation)
        assert await answers() == {"1": 40}
