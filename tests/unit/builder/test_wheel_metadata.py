"""What wheels declare, asked of indexes of different kinds."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from placet.builder.adapters.wheel_metadata import MOST_BYTES, metadata_of

from tests.support.authorities import Authority
from tests.unit.builder.wheels import write_wheel

LARGE = b"".join(hashlib.sha256(bytes([one, two])).digest() for one in range(256) for two in range(256))


@dataclass
class Index:
    """Wheels of a folder, served with or without ranges, and what lies beside them."""

    folder: Path
    beside: dict[str, bytes] = field(default_factory=dict)
    has_ranges: bool = True
    breaks: bool = False
    sent: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if self.breaks:
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b"Name: li")
            assert request.transport is not None
            request.transport.abort()
            return response
        if name in self.beside:
            return web.Response(body=self.beside[name])
        file = self.folder / name
        if not await asyncio.to_thread(file.is_file):
            raise web.HTTPNotFound
        whole = await asyncio.to_thread(file.read_bytes)
        wanted = request.http_range
        if not self.has_ranges or wanted.start is None:
            return web.Response(body=whole)
        part = whole[wanted]
        self.sent += len(part)
        start = wanted.start if wanted.start >= 0 else len(whole) + wanted.start
        span = f"bytes {start}-{start + len(part) - 1}/{len(whole)}"
        return web.Response(status=206, body=part, headers={"Content-Range": span})

    async def ask(self, *names: str) -> Mapping[str, bytes]:
        return await metadata_of({name: f"{self.address}{name}#sha256=0" for name in names})

    address: str = ""


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[Index]:
    served = Index(tmp_path / "wheels")
    app = web.Application()
    app.router.add_get("/{name}", served.answer)
    async with TestServer(app) as server:
        served.address = str(server.make_url("/"))
        yield served


async def test_what_lies_beside_a_wheel_is_enough(index: Index) -> None:
    index.beside["light-1.whl.metadata"] = b"Name: light"
    assert await index.ask("light-1.whl") == {"light-1.whl": b"Name: light"}


async def test_a_wheel_is_read_by_its_end_where_nothing_lies_beside_it(index: Index) -> None:
    wheel = write_wheel(index.folder, "light", "1.0", {"light/data": LARGE}, metadata="License: MIT\n")
    found = await index.ask(wheel.name)
    assert b"License: MIT" in found[wheel.name]
    assert index.sent < wheel.stat().st_size


async def test_an_index_without_ranges_tells_nothing_and_no_whole_wheel_is_fetched(index: Index) -> None:
    index.has_ranges = False
    wheel = write_wheel(index.folder, "light", "1.0")
    assert await index.ask(wheel.name) == {}


async def test_a_transfer_that_breaks_off_tells_nothing(index: Index) -> None:
    index.breaks = True
    assert await index.ask("light-1.whl") == {}


async def test_what_is_no_wheel_or_is_not_there_is_left_out_beside_what_is(
    index: Index, tmp_path: Path
) -> None:
    (index.folder).mkdir()
    (index.folder / "broken-1.whl").write_bytes(b"no zip at all")
    local = write_wheel(tmp_path, "local", "1.0")
    places = {
        "broken": f"{index.address}broken-1.whl",
        "missing": f"{index.address}missing-1.whl",
        "away": "http://127.0.0.1:9/away-1.whl",
        "gone": str(tmp_path / "gone-1.whl"),
        "local": str(local),
        "as an address": local.as_uri(),
    }
    assert set(await metadata_of(places)) == {"local", "as an address"}


async def test_a_file_without_end_is_cut(index: Index) -> None:
    index.beside["endless-1.whl.metadata"] = LARGE
    found = await index.ask("endless-1.whl")
    assert len(found["endless-1.whl"]) == MOST_BYTES


async def test_an_index_is_believed_by_the_authority_that_uv_believes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uv is told by `SSL_CERT_FILE`, and fetches the wheels themselves."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    ours, another = Authority(tmp_path / "ours"), Authority(tmp_path / "another")
    signed = ours.sign("index", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed.certificate, signed.key)
    index = Index(tmp_path, beside={"a.whl.metadata": b"Name: a"})
    app = web.Application()
    app.router.add_get("/{name}", index.answer)
    server = TestServer(app, host="127.0.0.1", scheme="https")
    await server.start_server(ssl=context)
    index.address = f"https://127.0.0.1:{server.port}/"
    try:
        for believed, found in ((another, {}), (ours, {"a.whl": b"Name: a"})):
            monkeypatch.setenv("SSL_CERT_FILE", str(believed.file))
            assert await index.ask("a.whl") == found
    finally:
        await server.close()
