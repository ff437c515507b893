"""Pages that follow what happens, in a real browser: however much happens, and while the gateway starts again."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from placet.connections import Bounds, bounded
from placet.events.clocks import SystemClock
from placet.gateway.console.app import Console
from playwright.async_api import expect
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.eventually import eventually
from tests.support.servers.local import free_port
from tests.support.serving import PromptServer, serving
from tests.support.visitors import visitor

TOKEN = "a-token"
MANY = 1000
SHOWN = 200
"""Rows that the log's page has at most."""


class Rest:
    """As much of the REST API as these pages ask for. `said` is how many events there were."""

    def __init__(self) -> None:
        self.release = 1
        self.said = 0
        self.pages = 0
        self.followers = 0
        self._news = asyncio.Condition()
        self.app = Starlette(
            routes=[
                Route("/v1/me", self._me),
                Route("/v1/models", self._models),
                Route("/v1/events", self._events),
                Route("/v1/operations/1", self._operation),
                Route("/v1/operations/1/events", self._life),
            ]
        )

    async def happen(self, events: int) -> None:
        async with self._news:
            self.said += events
            self.release += events
            self._news.notify_all()

    async def _me(self, _: Request) -> Response:
        return JSONResponse({"person": "person:1", "name": "Ada", "roles": ["admin"], "commands": []})

    async def _models(self, _: Request) -> Response:
        self.pages += 1
        model = {"project": "wine", "state": "live", "release": self.release}
        return JSONResponse({"models": [model], "next": None})

    def _said_of_it(self) -> dict[str, Any]:
        """Of a start that waits for people until something happens."""
        state = "live" if self.said else "awaiting"
        steps = [{"name": "requested", "state": "done"}, {"name": "live", "state": "done"}]
        return {"operation": "1", "command": "start", "project": "wine", "state": state, "steps": steps}

    async def _operation(self, _: Request) -> Response:
        return JSONResponse(self._said_of_it())

    async def _life(self, _: Request) -> Response:
        """As the platform tells it: it ends where it waits for people."""

        async def told() -> AsyncIterator[ServerSentEvent]:
            yield ServerSentEvent(event="operation", id="1", data=json.dumps(self._said_of_it()))

        return EventSourceResponse(told(), ping=15)

    async def _events(self, request: Request) -> Response:
        if "follow" in request.query_params:
            seen = request.headers.get("last-event-id", request.query_params["after"])
            return EventSourceResponse(self._follow(int(seen)), ping=15)
        last = [self._event(self.said)] if self.said else []
        return JSONResponse({"events": last, "next": None})

    def _event(self, number: int) -> dict[str, Any]:
        return {"sequence": number, "type": "placet.tester.thing.done.v1", "source": "tester", "n": number}

    async def _until_more_than(self, seen: int) -> None:
        async with self._news:
            await self._news.wait_for(lambda: self.said > seen)

    async def _follow(self, after: int) -> AsyncIterator[ServerSentEvent]:
        self.followers += 1
        try:
            while True:
                await self._until_more_than(after)
                while after < self.said:
                    after += 1
                    yield ServerSentEvent(event="event", id=str(after), data=json.dumps(self._event(after)))
        finally:
            self.followers -= 1


@asynccontextmanager
async def console_at(listening: socket.socket, url: str) -> AsyncIterator[None]:
    """A gateway's console on that socket, as the platform serves, until it is left."""
    console = Console(url, SystemClock())
    await console.start()
    server = PromptServer(bounded(console.app, Bounds(), timeout_graceful_shutdown=1))
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield
    finally:
        server.end()
        await running
        await console.close()


def listener(port: int | None = None) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", free_port() if port is None else port))
    made.listen()
    return made


@pytest.fixture
async def rest() -> AsyncIterator[tuple[Rest, str]]:
    rest = Rest()
    async with serving(rest.app) as url:
        yield rest, url


async def test_a_page_shows_the_last_of_many_events_and_asks_for_few_pages(rest: tuple[Rest, str]) -> None:
    api, url = rest
    first = listener()
    async with console_at(first, url), visitor(at(first), TOKEN) as somebody:
        card = somebody.page.locator(".card")
        await expect(card).to_contain_text("release 1")
        await somebody.page.evaluate("document.body.dataset.mine = 'kept'")
        before = api.pages
        for _ in range(MANY // 10):
            await api.happen(10)
        await expect(card).to_contain_text(f"release {MANY + 1}")
        assert api.pages - before < MANY / 10
        assert await somebody.page.evaluate("document.body.dataset.mine") == "kept"


async def test_a_page_goes_on_by_itself_when_the_gateway_was_away(rest: tuple[Rest, str]) -> None:
    api, url = rest
    first = listener()
    where: Any = first.getsockname()
    async with visitor(at(first)) as somebody:
        async with console_at(first, url):
            await somebody.sign_in(TOKEN)
            card = somebody.page.locator(".card")
            await expect(card).to_contain_text("release 1")
            await somebody.page.evaluate("document.body.dataset.mine = 'kept'")
            await api.happen(1)
            await expect(card).to_contain_text("release 2")
        state = somebody.page.locator("#link-state")
        await expect(state).to_contain_text("does not answer")
        await api.happen(5)
        async with console_at(listener(where[1]), url):
            await expect(card).to_contain_text("release 7")
            await expect(state).to_be_empty()
            assert await somebody.page.evaluate("document.body.dataset.mine") == "kept"


async def test_what_waits_for_people_is_followed_until_they_decide(rest: tuple[Rest, str]) -> None:
    """Also while the gateway is away, of which it tells."""
    api, url = rest
    first = listener()
    where: Any = first.getsockname()
    async with visitor(at(first)) as somebody:
        shown, said = (
            somebody.page.locator("#operation .heading .state"),
            somebody.page.locator("#link-state"),
        )
        async with console_at(first, url):
            await somebody.sign_in(TOKEN)
            await somebody.open("/console/operations/1")
            await somebody.page.evaluate("document.body.dataset.mine = 'kept'")
            await expect(shown).to_have_text("awaiting")
            await eventually(lambda: api.followers > 0)
        await expect(said).to_contain_text("does not answer")
        async with console_at(listener(where[1]), url):
            await expect(said).to_be_empty()
            await expect(shown).to_have_text("awaiting")
            await api.happen(1)
            await expect(shown).to_have_text("live")
            assert await somebody.page.evaluate("document.body.dataset.mine") == "kept"


async def test_the_log_shows_the_last_of_many_events_each_once_and_in_order(rest: tuple[Rest, str]) -> None:
    api, url = rest
    first = listener()
    async with console_at(first, url), visitor(at(first)) as somebody:
        await somebody.sign_in(TOKEN)
        await somebody.open("/console/audit")
        positions = somebody.page.locator("#tailed .position")
        for _ in range(MANY // 10):
            await api.happen(10)
        await expect(positions.first).to_have_text(str(MANY))
        shown = [int(each) for each in await positions.all_inner_texts()]
        assert shown == list(range(MANY, MANY - len(shown), -1))
        assert len(shown) == SHOWN
        row = somebody.page.locator("#tailed .events > li").first
        await row.locator("summary").click()
        await expect(row.locator("pre")).to_contain_text(f'"n": {MANY}')
        await somebody.must_be_usable()


async def test_the_log_misses_nothing_while_the_gateway_starts_again(rest: tuple[Rest, str]) -> None:
    api, url = rest
    first = listener()
    where: Any = first.getsockname()
    async with visitor(at(first)) as somebody:
        positions = somebody.page.locator("#tailed .position")
        async with console_at(first, url):
            await somebody.sign_in(TOKEN)
            await somebody.open("/console/audit")
            await somebody.page.evaluate("document.body.dataset.mine = 'kept'")
            await api.happen(20)
            await expect(positions.first).to_have_text("20")
        await expect(somebody.page.locator("#link-state")).to_contain_text("does not answer")
        await api.happen(50)
        async with console_at(listener(where[1]), url):
            await expect(positions.first).to_have_text("70")
            await api.happen(5)
            await expect(positions.first).to_have_text("75")
            assert [int(each) for each in await positions.all_inner_texts()] == list(range(75, 0, -1))
            assert await somebody.page.evaluate("document.body.dataset.mine") == "kept"


def at(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}"
