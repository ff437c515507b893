"""What the deployer of the same process tells about routes counts before what it says to all."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from placet.deployer.ports import Router
from placet.errors import Unavailable
from placet.events.contracts import certifier, deployer
from placet.events.contracts.shapes import Ground
from placet.gateway.told_routes import ToldRoutes, in_turn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.support.serving import serving
from tests.unit.gateway.harness import Gateway, a_gateway, asked
from tests.unit.gateway.roads import DEPLOY, certified, cleared, started
from tests.unit.gateway.test_canaries import SECOND, canary


@dataclass(frozen=True)
class To:
    endpoint: str
    weight: int = 1


def model(name: str) -> Starlette:
    async def answer(request: Request) -> JSONResponse:
        return JSONResponse([name, request.headers.get("authorization")])

    return Starlette(routes=[Route("/{path:path}", answer, methods=["POST"])])


@dataclass(frozen=True, kw_only=True)
class Place:
    """A gateway with `told`, models "1" and "2" at `first` and `second`, and an operation that began."""

    gateway: Gateway
    told: ToldRoutes
    first: str
    second: str
    operation: str
    http: httpx.AsyncClient

    async def ask(self) -> httpx.Response:
        return await self.http.post("/models/churn/predict", headers={"Authorization": "Bearer mine"})

    async def answers(self, count: int) -> Counter[str]:
        return Counter([(await self.ask()).json()[0] for _ in range(count)])

    async def goes_live(self) -> None:
        await self.gateway.hear_all((*DEPLOY[1:-1], started(endpoints=(self.first,))), self.operation)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with a_place(tmp_path) as place:
        yield place


@asynccontextmanager
async def a_place(folder: Path) -> AsyncIterator[Place]:
    told = ToldRoutes()
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(a_gateway(folder, told=told))
        apps = (model("1"), model("2"), gateway.app)
        first, second, url = [await stack.enter_async_context(serving(app)) for app in apps]
        yield Place(
            gateway=gateway,
            told=told,
            first=first,
            second=second,
            operation=await asked(gateway),
            http=await stack.enter_async_context(
                httpx.AsyncClient(base_url=url, timeout=20, trust_env=False)
            ),
        )


def test_it_is_what_the_deployer_moves_routes_with() -> None:
    router: Router = ToldRoutes()
    assert router


@pytest.mark.parametrize(
    ("weights", "turns"),
    [
        ({"a": 1}, "a"),
        ({"a": 1, "b": 1, "c": 1}, "abc"),
        ({"a": 3, "b": 1}, "aaba"),
        ({"a": 5, "b": 1, "c": 1}, "aabacaa"),
        ({"a": 1, "b": 0}, "a"),
    ],
)
def test_turns_are_spread_evenly(weights: dict[str, int], turns: str) -> None:
    assert "".join(in_turn([To(*each) for each in weights.items()])) == turns


async def test_a_route_moves_when_it_is_told_and_not_when_all_have_heard(place: Place) -> None:
    await place.goes_live()
    assert (await place.ask()).json() == ["1", "Bearer mine"]
    await place.told.route("churn", [To(place.second)], access="public")
    assert (await place.ask()).json() == ["2", None]  # nor does it see a token that it does not ask for
    await place.told.route("churn", [To(place.first)], access="token")
    assert (await place.ask()).json() == ["1", "Bearer mine"]


async def test_what_serves_for_the_first_time_is_served_before_that_was_heard(place: Place) -> None:
    await place.gateway.hear_all(DEPLOY[1:-1], place.operation)
    assert (await place.ask()).status_code == 503
    await place.told.route("churn", [To(place.first)], access="token")
    assert (await place.ask()).json() == ["1", "Bearer mine"]


async def test_who_asks_for_what_was_taken_off_is_told_why(place: Place) -> None:
    await place.goes_live()
    await place.told.unroute("churn", why=Unavailable("it drifts", rule="operate.drift", fix="ask Ada"))
    answer = await place.ask()
    assert (answer.status_code, answer.json()["detail"], answer.json()["rule"]) == (
        503,
        "it drifts",
        "operate.drift",
    )
    await place.told.unroute("churn")
    answer = await place.ask()
    assert answer.status_code == 503
    assert answer.json()["detail"] == "churn is not served at the moment: it was just taken off its URL"
    assert answer.json()["fix"] == "see `placet status churn`"


async def test_what_was_heard_says_more_than_that_it_was_taken_off(place: Place) -> None:
    await place.goes_live()
    await place.told.unroute("churn")
    stopped = deployer.ModelStopped(project="churn", release=1)
    await place.gateway.hear(stopped, place.operation)
    answer = await place.ask()
    assert (answer.status_code, answer.json()["detail"]) == (404, "churn is stopped")


async def test_a_canary_has_its_share_while_its_certificate_stands(place: Place) -> None:
    await place.goes_live()
    await place.told.route("churn", [To(place.first, 3), To(place.second, 1)], access="public")
    assert await place.answers(40) == {"1": 30, "2": 10}
    heard = certified(release=2, certificate=SECOND), canary(place.second)
    await place.gateway.hear_all((cleared(release=2), *heard), place.operation)
    assert await place.answers(40) == {"1": 30, "2": 10}
    suspended = certifier.CertificateSuspended(
        certificate=SECOND,
        project="churn",
        release=2,
        grounds=(Ground(rule="operate.drift", why="it drifts"),),
    )
    await place.gateway.hear(suspended, place.operation)
    assert await place.answers(40) == {"1": 40}


async def test_a_replica_that_takes_no_connection_costs_nobody_anything(place: Place) -> None:
    await place.goes_live()
    await place.told.route("churn", [To("http://127.0.0.1:1"), To(place.first)], access="public")
    assert await place.answers(10) == {"1": 10}
