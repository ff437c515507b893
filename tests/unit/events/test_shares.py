"""What one person may have under way at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from placet.errors import Unavailable
from placet.events.problems import speak_problems
from placet.events.shares import Shares

from tests.support.eventually import eventually
from tests.support.serving import serving


def test_one_too_many_is_told_and_hurts_nobody_else() -> None:
    shares = Shares(each=2)
    with shares.taken_by("ada"), shares.taken_by("ada"):
        with pytest.raises(Unavailable, match="2 of your requests"), shares.taken_by("ada"):
            pass
        with shares.taken_by("grace"):
            pass
    with shares.taken_by("ada"):
        pass


async def test_a_stream_counts_until_its_reader_leaves() -> None:
    shares, ended = Shares(each=2), asyncio.Event()

    async def share(request: Request) -> AsyncIterator[None]:
        with shares.taken_by(request.headers["x-person"]):
            yield

    app = FastAPI(dependencies=[Depends(share)])
    speak_problems(app)

    @app.get("/")
    async def follow() -> StreamingResponse:
        async def drops() -> AsyncIterator[bytes]:
            yield b"first"
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        return StreamingResponse(drops())

    async with serving(app) as url, httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
        ada, grace = {"x-person": "ada"}, {"x-person": "grace"}
        async with http.stream("GET", "/", headers=ada), http.stream("GET", "/", headers=ada):
            refused = await http.get("/", headers=ada)
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "1"
            async with http.stream("GET", "/", headers=grace) as answer:
                assert answer.status_code == 200
        await eventually(ended.is_set)

        async def is_free() -> bool:
            async with http.stream("GET", "/", headers=ada) as answer:
                return answer.status_code == 200

        await eventually(is_free)
