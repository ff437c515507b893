"""Nothing that is done to the edge, or to what has the routes behind it, loses a request under constant load."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import psutil
import pytest
from aiohttp import web
from placet.deployer.adapters.caddy_admin import CaddyAdmin
from placet.deployer.ports import Target
from placet.errors import Unavailable

from tests.faults.edges import Edges, edges
from tests.support.eventually import eventually
from tests.support.load import Load, constant_load
from tests.support.servers.local import private_directory

MOVES = 20
RELOADS = 5


@pytest.fixture
def placed() -> Iterator[Edges]:
    """Both, with one route; in a folder whose name is short enough for a socket's."""
    with edges(private_directory("edges")) as running:
        running.lead_to("models-1.sock")
        yield running


@pytest.fixture
def router(placed: Edges) -> CaddyAdmin:
    return CaddyAdmin(placed.admin_url, server="placet")


async def test_a_route_that_moves(placed: Edges, router: CaddyAdmin) -> None:
    """With what is asked meanwhile, over connections that were there before."""
    await asyncio.to_thread(placed.run_routes, "models-1.sock")
    await asyncio.to_thread(placed.run_edge)
    async with model("old") as old, model("new") as new, loaded(placed, router, old) as load:
        for number in range(MOVES):
            await router.route("churn", [Target(endpoint=(new, old)[number % 2])], access="public")
            # Those that were under way are answered by the one before, and then there are none of them.
            await eventually(partial(is_answered_by, load, ("new", "old")[number % 2]))


async def test_a_model_that_is_taken_off_its_route(placed: Edges, router: CaddyAdmin) -> None:
    """Its callers are told why, each of them, whatever they send along: nobody reads that."""
    await asyncio.to_thread(placed.run_routes, "models-1.sock")
    await asyncio.to_thread(placed.run_edge)
    body = {"inputs": [[1.0] * 10_000]}
    async with model("only") as only, loaded(placed, router, only, body=body, refusal="it drifts") as load:
        await router.unroute("churn", why=Unavailable("it drifts"))
        off = time.monotonic()
        await load.some_more()
        assert load.last_right < off
        assert load.refused > 0


async def test_an_edge_that_is_started_again(placed: Edges, router: CaddyAdmin) -> None:
    """As the page on the six services says: the next worker takes the port over before the last one is told to end."""
    await asyncio.to_thread(placed.run_routes, "models-1.sock")
    edge = await asyncio.to_thread(placed.run_edge)
    async with model("only") as only, loaded(placed, router, only) as load:
        for _ in range(RELOADS):
            (before,) = workers(edge)
            await asyncio.to_thread(placed.reload_edge, edge)
            await load.some_more()
            await eventually(partial(has_ended, before))
        await load.some_more()


async def test_what_has_the_routes_is_started_again(placed: Edges, router: CaddyAdmin) -> None:
    """As the page on the six services says: on a socket of its own, to which the edge is led then."""
    first = await asyncio.to_thread(placed.run_routes, "models-1.sock")
    await asyncio.to_thread(placed.run_edge)
    async with model("only") as only, loaded(placed, router, only) as load:
        await asyncio.to_thread(placed.run_routes, "models-2.sock")
        placed.lead_to("models-2.sock")
        await load.some_more()
        await asyncio.to_thread(placed.stop, first)
        await load.some_more()
        assert await router.routes() == {"churn": frozenset({Target(endpoint=only)})}


async def test_who_asks_while_what_has_the_routes_is_away_waits(placed: Edges, router: CaddyAdmin) -> None:
    """With a body, too."""
    killed = await asyncio.to_thread(placed.run_routes, "models-1.sock")
    await asyncio.to_thread(placed.run_edge)
    async with model("only") as only, aiohttp.ClientSession() as http:
        await router.route("churn", [Target(endpoint=only)], access="public")
        killed.kill()
        await asyncio.to_thread(killed.wait)
        asking = asyncio.create_task(
            http.post(f"{placed.url}/models/churn/predict", json={"inputs": [[1.0] * 10_000]})
        )
        await asyncio.to_thread(placed.run_routes, "models-1.sock")
        async with await asking as answer:
            assert (answer.status, (await answer.json()).get("model")) == (200, "only"), await answer.text()


async def test_before_anybody_has_said_where_models_are_the_answer_says_so(placed: Edges) -> None:
    await asyncio.to_thread(placed.run_routes, "models-1.sock")
    await asyncio.to_thread(placed.run_edge)
    async with aiohttp.ClientSession() as http, http.get(f"{placed.url}/models/churn") as answer:
        assert answer.status == 503
        assert (await answer.json())["fix"].startswith("see that the deployer runs")


async def test_a_model_knows_how_its_caller_came(placed: Edges, router: CaddyAdmin) -> None:
    """By whose address and to which host: its pages name that."""
    await asyncio.to_thread(placed.run_routes, "models-1.sock")
    await asyncio.to_thread(placed.run_edge)
    async with model("only") as only, loaded(placed, router, only) as load:
        await load.some_more(1)
        told = load.seen[-1]["told"]
    assert told == {"for": "127.0.0.1", "host": f"127.0.0.1:{placed.port}", "proto": "http"}


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running()


def workers(edge: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(edge.pid).children()


def is_answered_by(load: Load, model: str) -> bool:
    return bool(load.seen[-1]["model"] == model)


@asynccontextmanager
async def loaded(
    placed: Edges, router: CaddyAdmin, endpoint: str, *, body: Any = None, refusal: str | None = None
) -> AsyncIterator[Load]:
    await router.route("churn", [Target(endpoint=endpoint)], access="public")
    url = f"{placed.url}/models/churn/predict"
    async with constant_load(url, body or {"inputs": [[1.0]]}, rate=100, refusal=refusal) as load:
        yield load
    assert load.lost == {}


@asynccontextmanager
async def model(name: str) -> AsyncIterator[str]:
    """The endpoint of one that says how it was asked."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        told = {each: request.headers.get(f"X-Forwarded-{each.title()}") for each in ("for", "host", "proto")}
        return web.json_response({"model": name, "told": told})

    app = web.Application()
    app.router.add_post("/predict", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
