"""The routes that the deployer keeps in a real Caddy."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from placet.deployer.adapters.caddy_admin import CaddyAdmin
from placet.deployer.ports import Target
from placet.errors import Unavailable

from tests.support.eventually import eventually
from tests.support.servers import CaddyServer
from tests.support.servers.local import free_port

Model = tuple[str, str]


@pytest.fixture
async def edge(caddy: CaddyServer) -> AsyncIterator[CaddyServer]:
    await asyncio.to_thread(caddy.start)
    await asyncio.to_thread(caddy.empty)
    yield caddy
    await asyncio.to_thread(caddy.start)
    await asyncio.to_thread(caddy.empty)


@pytest.fixture
def router(edge: CaddyServer) -> CaddyAdmin:
    return CaddyAdmin(edge.admin_url, server="placet")


class Slow:
    """A request for /slow: it has come, and may be answered."""

    def __init__(self) -> None:
        self.came, self.may_go = asyncio.Event(), asyncio.Event()


async def _serve(name: str, headers: dict[str, str], slow: Slow) -> tuple[web.AppRunner, str]:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/slow":
            slow.came.set()
            await slow.may_go.wait()
        said = {"model": name, "path": request.path_qs, "headers": dict(request.headers)}
        return web.json_response(said, headers={"Set-Cookie": "a=b", **headers})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    return runner, f"http://127.0.0.1:{port}"


@pytest.fixture
async def slow() -> AsyncIterator[Slow]:
    slow = Slow()
    yield slow
    slow.may_go.set()


@pytest.fixture
async def first(slow: Slow) -> AsyncIterator[str]:
    runner, endpoint = await _serve("first", {}, slow)
    yield endpoint
    slow.may_go.set()
    await runner.cleanup()


@pytest.fixture
async def second(slow: Slow) -> AsyncIterator[str]:
    headers = {
        "Content-Security-Policy": "default-src *",
        "Clear-Site-Data": '"*"',
        "Service-Worker-Allowed": "/",
    }
    runner, endpoint = await _serve("second", headers, slow)
    yield endpoint
    await runner.cleanup()


async def get(edge: CaddyServer, path: str, **headers: str) -> tuple[int, Any, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{edge.url}{path}", headers=headers) as answer,
    ):
        return answer.status, await answer.json(content_type=None), answer.headers


async def test_a_routed_model_is_reached_without_its_prefix(
    router: CaddyAdmin, edge: CaddyServer, first: str
) -> None:
    await router.route("churn", [Target(endpoint=first)], access="public")

    status, said, _ = await get(edge, "/models/churn/v2/health/ready?x=1")
    assert (status, said["path"]) == (200, "/v2/health/ready?x=1")
    assert (await get(edge, "/models/churn"))[1]["path"] == "/"
    assert await router.routes() == {"churn": frozenset({Target(endpoint=first)})}


async def test_who_asks_for_what_lost_its_certificate_is_told_why(
    router: CaddyAdmin, edge: CaddyServer, first: str
) -> None:
    await router.route("churn", [Target(endpoint=first)], access="public")
    # as a rule's sentence may quote what a project says; of `{…}` Caddy would make what it knows
    said = "churn is not served: {env.PATH} \\{http.request.uri} {"
    why = Unavailable(said, rule="operate.drift", fix='say "{x}"', retry_after=60.0)
    for _ in range(2):
        await router.unroute("churn", why=why)

    for path in ("/models/churn", "/models/churn/predict"):
        status, problem, headers = await get(edge, path)
        assert (status, headers["Content-Type"], headers["Retry-After"]) == (
            503,
            "application/problem+json",
            "60",
        )
        assert (problem["detail"], problem["rule"], problem["fix"]) == (said, "operate.drift", 'say "{x}"')
    assert (await get(edge, "/models/churning"))[0] == 404
    assert await router.routes() == {}
    await router.route("churn", [Target(endpoint=first)], access="public")
    assert (await get(edge, "/models/churn/x"))[0] == 200
    assert await router.routes() == {"churn": frozenset({Target(endpoint=first)})}
    await router.unroute("churn", why=why)
    await router.unroute("churn")
    assert (await get(edge, "/models/churn"))[0] == 404


async def test_what_is_not_routed_is_a_404_that_says_so(
    router: CaddyAdmin, edge: CaddyServer, first: str
) -> None:
    await router.route("churn", [Target(endpoint=first)], access="public")
    await router.unroute("churn")

    status, problem, headers = await get(edge, "/models/churn/predict")
    assert status == 404
    assert problem["detail"] == "no model is served here"
    assert headers["Content-Type"] == "application/problem+json"
    assert (await get(edge, "/models/churning/predict"))[0] == 404
    assert await router.routes() == {}


async def test_a_model_sees_neither_cookie_nor_token(
    router: CaddyAdmin, edge: CaddyServer, first: str
) -> None:
    await router.route("churn", [Target(endpoint=first)], access="public")

    _, said, headers = await get(edge, "/models/churn/", Cookie="session=1", Authorization="Bearer t")
    assert not {"Cookie", "Authorization"} & set(said["headers"])
    assert "Set-Cookie" not in headers


async def test_no_client_says_for_whom_it_is_sent_on(
    router: CaddyAdmin, edge: CaddyServer, first: str
) -> None:
    await router.route("churn", [Target(endpoint=first)], access="token")

    pretended = {name: "1.2.3.4" for name in ("Forwarded", "X-Real-Ip", "X-Forwarded-Prefix", "X-Kept")}
    _, said, _ = await get(edge, "/models/churn/", **pretended)
    assert set(pretended) & set(said["headers"]) == {"X-Kept"}


async def test_a_model_that_asks_for_a_token_gets_it(
    router: CaddyAdmin, edge: CaddyServer, first: str
) -> None:
    await router.route("churn", [Target(endpoint=first)], access="token")

    _, said, _ = await get(edge, "/models/churn/", Cookie="session=1", Authorization="Bearer t")
    assert said["headers"]["Authorization"] == "Bearer t"
    assert "Cookie" not in said["headers"]


async def test_answers_are_sandboxed_whatever_the_model_says(
    router: CaddyAdmin, edge: CaddyServer, first: str, second: str
) -> None:
    await router.route("silent", [Target(endpoint=first)], access="public")
    await router.route("loud", [Target(endpoint=second)], access="public")

    assert (await get(edge, "/models/silent/"))[2]["Content-Security-Policy"].startswith("sandbox")
    headers = (await get(edge, "/models/loud/"))[2]
    own, ours = headers.getall("Content-Security-Policy")
    assert own == "default-src *"
    assert ours.startswith("sandbox")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert not {"Clear-Site-Data", "Service-Worker-Allowed"} & set(headers)


async def test_moving_a_route_fails_no_request(
    router: CaddyAdmin, edge: CaddyServer, first: str, second: str, slow: Slow
) -> None:
    await router.route("churn", [Target(endpoint=first)], access="public")
    under_way = asyncio.create_task(get(edge, "/models/churn/slow"))
    await slow.came.wait()
    answers: list[tuple[int, str]] = []

    async def hammer() -> None:
        while not under_way.done():
            status, said, _ = await get(edge, "/models/churn/")
            answers.append((status, said["model"]))

    hammering = asyncio.create_task(hammer())
    await router.route("churn", [Target(endpoint=second)], access="public")
    assert (await get(edge, "/models/churn/"))[1]["model"] == "second"
    await eventually(lambda: ("second" in {model for _, model in answers}) or hammering.done())
    slow.may_go.set()
    assert (await under_way)[1]["model"] == "first"
    await hammering
    assert {status for status, _ in answers} == {200}
    assert answers[-1][1] == "second"


async def test_a_model_that_says_nothing_is_given_up(edge: CaddyServer, first: str) -> None:
    impatient = CaddyAdmin(edge.admin_url, server="placet", silence=2.0)
    await impatient.route("churn", [Target(endpoint=first)], access="public")
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{edge.url}/models/churn/slow") as answer:
            assert answer.status in (502, 504)
        await CaddyAdmin(edge.admin_url, server="placet").route(
            "churn", [Target(endpoint=first)], access="public"
        )
        async with session.get(f"{edge.url}/models/churn/quick") as answer:
            assert answer.status == 200


async def test_routing_again_changes_nothing(router: CaddyAdmin, first: str, second: str) -> None:
    for _ in range(2):
        await router.route("churn", [Target(endpoint=first)], access="public")
        await router.route("fraud", [Target(endpoint=second)], access="token")
        await router.unroute("nobody")

    assert await router.routes() == {
        "churn": frozenset({Target(endpoint=first)}),
        "fraud": frozenset({Target(endpoint=second)}),
    }


async def test_requests_are_shared_as_the_weights_say(
    router: CaddyAdmin, edge: CaddyServer, first: str, second: str
) -> None:
    targets = [Target(endpoint=first, weight=9), Target(endpoint=second)]
    await router.route("churn", targets, access="public")

    asked = Counter([(await get(edge, "/models/churn/x"))[1]["model"] for _ in range(40)])

    assert asked == {"first": 36, "second": 4}
    assert await router.routes() == {"churn": frozenset(targets)}


async def test_a_replica_that_takes_no_connection_costs_no_request(
    router: CaddyAdmin, edge: CaddyServer, first: str, second: str
) -> None:
    gone = Target(endpoint=f"http://127.0.0.1:{free_port()}")
    await router.route("churn", [Target(endpoint=first), gone, Target(endpoint=second)], access="public")

    async with aiohttp.ClientSession() as session:
        for _ in range(20):
            async with session.get(f"{edge.url}/models/churn/x") as answer:
                assert answer.status == 200


async def test_many_changes_at_once_all_arrive(router: CaddyAdmin, first: str) -> None:
    names = [f"model-{number}" for number in range(12)]
    await asyncio.gather(*(router.route(name, [Target(endpoint=first)], access="public") for name in names))
    await asyncio.gather(*(router.unroute(name) for name in names[::2]))

    assert set(await router.routes()) == set(names[1::2])


async def test_a_restarted_caddy_has_no_routes_and_gets_them_again(
    router: CaddyAdmin, edge: CaddyServer, first: str
) -> None:
    await router.route("churn", [Target(endpoint=first)], access="public")
    await asyncio.to_thread(edge.restart)

    assert await router.routes() == {}
    await router.route("churn", [Target(endpoint=first)], access="public")
    assert (await get(edge, "/models/churn/"))[0] == 200


async def test_a_caddy_that_is_away_is_unavailable(router: CaddyAdmin, edge: CaddyServer) -> None:
    await asyncio.to_thread(edge.stop)
    with pytest.raises(Unavailable, match="Caddy does not answer"):
        await router.unroute("churn")
