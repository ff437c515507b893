"""`placet up` is told to end while somebody follows what happens, which has no end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.support.platforms import embedded_process


@pytest.mark.slow
async def test_who_follows_holds_no_end_up_and_is_told_as_no_failure(tmp_path: Path) -> None:
    stream = {"Accept": "text/event-stream"}
    with embedded_process(tmp_path) as (platform, process):
        async with (
            platform.http() as http,
            http.stream("GET", "/v1/events", headers=platform.authorized() | stream) as following,
        ):
            assert following.headers["content-type"].startswith("text/event-stream")
            status = await asyncio.to_thread(process.stop)
            with pytest.raises(httpx.RemoteProtocolError):  # cut, and not at its end
                await following.aread()
    assert status == 0
    told = process.last_words()
    assert "the platform is down" in told
    assert "Traceback" not in told
    assert "Cancel" not in told, "it was waited for"
