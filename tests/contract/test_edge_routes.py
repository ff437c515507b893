"""The edge as it ships leads each call to the service that answers it, by its path alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest
from aiohttp import web

from tests.support.servers import haproxy, sources
from tests.support.servers.local import free_port

SERVICES = ("gateway", "certifier", "builder", "indexer", "deployer", "metadata")
LED = [
    *((path, service) for service in SERVICES for path in (
        f"/v1/services/{service}", f"/v1/services/{service}/parked?limit=5", f"/v1/services/{service}/parked/retry",
        f"/v1/services/{service}/parked/gateway.0190.1/retry",
    )),
    ("/v1/services", "gateway"),
    ("/v1/services/models", "gateway"),
    ("/v1/services/certifiers", "gateway"),
    ("/v1/services/builder%2Fparked", "gateway"),
    ("/v1/tokens", "gateway"),
    ("/v1/events", "metadata"),
    ("/v1/webhooks/x/test", "metadata"),
    ("/v1/audit/why", "metadata"),
    ("/v1/builds/churn/1/log", "builder"),
    ("/v1/garbage/collections", "indexer"),
    ("/v1/capacity", "deployer"),
    ("/v1/models/churn/logs", "deployer"),
    ("/v1/models/churn", "gateway"),
    ("/console/platform", "gateway"),
]  # fmt: skip


@pytest.fixture(scope="module")
def haproxy_program() -> str:
    return sources.program("haproxy")


@pytest.fixture
async def edge(haproxy_program: str) -> AsyncIterator[httpx.AsyncClient]:
    """Led to six that say who they are, whatever they are asked."""
    async with AsyncExitStack() as stack:
        ports = {service: await _answering(service, stack) for service in SERVICES}
        addresses = {f"PLACET_{service.upper()}": f"127.0.0.1:{port}" for service, port in ports.items()}
        port = free_port()
        server = haproxy.run_locally(haproxy_program, port, {**addresses, "PLACET_MODELS": "/nowhere.sock"})
        stack.callback(server.remove)
        url = f"http://127.0.0.1:{port}"
        yield await stack.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False, timeout=30))


async def _answering(service: str, stack: AsyncExitStack) -> int:
    async def say(_: web.Request) -> web.Response:
        return web.Response(text=service)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", say)
    runner = web.AppRunner(app)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port: int = runner.addresses[0][1]
    return port


async def test_each_call_is_led_to_who_answers_it(edge: httpx.AsyncClient) -> None:
    assert [(path, (await edge.get(path)).text) for path, _ in LED] == LED
    posted = await edge.post("/v1/services/certifier/parked/retry")
    assert posted.text == "certifier"


async def test_what_is_nobody_s_is_said_to_be_nowhere(edge: httpx.AsyncClient) -> None:
    assert (await edge.get("/v2/services/certifier")).status_code == 404
