"""The pages at `/docs` come whole from the service: they are read where nothing reaches the internet, too."""

from __future__ import annotations

import re

import httpx
from placet.events.http import http_app


async def test_the_docs_need_no_other_host() -> None:
    app = http_app("placet tester", [], version="1")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://placet.test") as http:
        page = (await http.get("/docs")).text
        parts = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert len(parts) == 3
        for part in parts:
            assert part.startswith("/docs/static/")
            answer = await http.get(part)
            assert answer.status_code == 200
            assert answer.content
