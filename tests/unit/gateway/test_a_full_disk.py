"""A disk that is full while somebody uploads: told as what it is, nothing kept, and the service goes on."""

from __future__ import annotations

import io
import os
import resource
import tarfile
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256

import httpx
import pytest

from tests.unit.gateway.harness import Gateway
from tests.unit.gateway.test_gateway_api import MANIFEST, is_problem

Send = Callable[[httpx.AsyncClient, dict[str, bytes]], Awaitable[httpx.Response]]

SIZE = 20_000
FILES = {"placet.yaml": MANIFEST, "model.skops": b"PK" + os.urandom(40_000)}
SMALL_UNTIL_IT_IS_UNPACKED = {"placet.yaml": MANIFEST, "model.skops": b"PK" + bytes(40_000)}


@contextmanager
def small_disk() -> Iterator[None]:
    """No file can be written beyond `SIZE`, here and in what is started here: to who writes, a disk that gets full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def tarred(files: dict[str, bytes]) -> bytes:
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return into.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return into.getvalue()


async def put(http: httpx.AsyncClient, files: dict[str, bytes]) -> httpx.Response:
    archive = tarred(files)
    return await http.put(f"/v1/sources/sha256:{sha256(archive).hexdigest()}", content=archive)


async def post_form(http: httpx.AsyncClient, files: dict[str, bytes]) -> httpx.Response:
    return await http.post(
        "/v1/sources", files=[("file", (f"churn/{name}", each)) for name, each in files.items()]
    )


async def post_zip(http: httpx.AsyncClient, files: dict[str, bytes]) -> httpx.Response:
    return await http.post("/v1/sources", content=zipped(files), headers={"Content-Type": "application/zip"})


@pytest.mark.parametrize(
    ("send", "files"),
    [(put, FILES), (post_form, FILES), (post_zip, FILES), (post_zip, SMALL_UNTIL_IT_IS_UNPACKED)],
    ids=["an archive", "a form", "a zip", "a zip that grows"],
)
async def test_an_upload_that_finds_no_room_is_told_so_and_can_be_sent_again(
    gateway: Gateway, send: Send, files: dict[str, bytes]
) -> None:
    async with gateway.http() as http:
        with small_disk():
            full = await send(http, files)
        is_problem(full, 503, "no room", "TMPDIR")
        assert full.headers["retry-after"] == "30"
        assert gateway.sources.archives == {}
        assert (await send(http, files)).status_code == 201
    assert len(gateway.sources.archives) == 1
