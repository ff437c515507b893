"""What the probe makes of answers, honest and hostile ones, over real sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from placet.deployer.adapters.http_probe import HttpProbe
from placet.errors import Refused

PROBE = HttpProbe(token=lambda: "a token")


@asynccontextmanager
async def answering(
    answer: Callable[[], web.Response] | None = None, pieces: list[bytes] | None = None
) -> AsyncIterator[str]:
    """A model's endpoint that answers everything with this: as it is, or in pieces."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if pieces is None:
            assert answer is not None
            return answer()
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        await response.write_eof()
        return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_an_answer_of_many_pieces_is_read_whole() -> None:
    outputs = {"outputs": [0.123456789] * 200_000}
    body = json.dumps(outputs).encode()
    async with answering(pieces=[body[at : at + 10_000] for at in range(0, len(body), 10_000)]) as endpoint:
        assert await PROBE.predict(endpoint, {}) == outputs


async def test_a_redirect_is_not_followed() -> None:
    """It could lead to whatever the deployer reaches and the model does not, and its answer into a refusal."""
    async with answering(lambda: web.json_response({"outputs": ["a secret"]})) as inside:
        there = {"Location": f"{inside}/predict"}
        async with answering(lambda: web.Response(status=307, headers=there)) as endpoint:
            assert not await PROBE.is_ready(endpoint)
            with pytest.raises(Refused, match="was answered 307"):
                await PROBE.predict(endpoint, {})


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"outputs": "\xff"}', b"nothing"])
async def test_what_is_no_json_is_refused(body: bytes) -> None:
    async with answering(lambda: web.Response(body=body)) as endpoint:
        with pytest.raises(Refused, match="no JSON"):
            await PROBE.predict(endpoint, {})


async def test_a_long_complaint_is_cut() -> None:
    async with answering(lambda: web.json_response({"detail": "x" * 10**6}, status=500)) as endpoint:
        with pytest.raises(Refused) as refused:
            await PROBE.predict(endpoint, {})
    assert len(refused.value.detail) < 1000
