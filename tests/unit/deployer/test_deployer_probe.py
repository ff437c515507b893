"""What the probe makes of answers, honest and hostile ones, over real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress

import pytest
from aiohttp import web
from placet.deployer.adapters.http_probe import HttpProbe
from placet.errors import Refused
from placet.runtime import openapi
from placet.runtime.signature import Signature, Tensor

NUMBERS = Tensor(name="x", datatype="FP64", shape=(-1, 1))
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


async def test_the_example_is_the_one_in_the_models_description() -> None:
    signature = Signature(platform="x", inputs=(NUMBERS,), outputs=(NUMBERS,), prediction="x")
    described = openapi.document(
        signature,
        project="wine",
        release="1",
        root_path="/models/wine",
        example=b'{"inputs": [[1]]}',
        needs_token=True,
    )
    async with answering(lambda: web.Response(body=described)) as endpoint:
        assert await PROBE.example(endpoint) == {"inputs": [[1]]}


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b"{}", b'{"paths": {"/predict": {}}}', b'{"paths": {"/predict": {"post": {}}}}', b"[]"],
)
async def test_a_description_without_an_example_has_none(body: bytes) -> None:
    async with answering(lambda: web.Response(body=body)) as endpoint:
        assert await PROBE.example(endpoint) is None


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


@asynccontextmanager
async def sending(head: bytes, over_and_over: bytes) -> AsyncIterator[str]:
    """A model's endpoint that answers so, without end."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        with suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(over_and_over)
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


ENDLESS = {
    "a header": (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x" * 2**16),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-Short: y\r\n" * 100),
    "hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 100),
    "nothing": (b"", b""),
}


@pytest.mark.parametrize("what", ENDLESS)
async def test_an_answer_that_never_begins_is_none(what: str) -> None:
    impatient = HttpProbe(token=lambda: "a token", ready_within=0.5, answer_within=0.5)
    async with sending(*ENDLESS[what]) as endpoint:
        assert not await impatient.is_ready(endpoint)
        with pytest.raises(Refused, match=r"the sample request got no answer: (400|it took too long)"):
            await impatient.predict(endpoint, {})


async def test_an_answer_that_never_ends_is_refused() -> None:
    chunk = b"10000\r\n" + b"x" * 2**16 + b"\r\n"
    async with sending(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk) as endpoint:
        with pytest.raises(Refused, match="was answered with more than 33554432 bytes"):
            await PROBE.predict(endpoint, {})


async def test_whoever_answers_at_all_lives() -> None:
    async with answering(lambda: web.Response(status=503)) as endpoint:
        assert await PROBE.is_alive(endpoint, 60.0)


async def test_who_takes_a_connection_and_says_nothing_does_not_live() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert not await PROBE.is_alive(endpoint, 0.05)
    assert not await PROBE.is_alive(endpoint, 60.0)


async def test_who_hangs_up_lives() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await PROBE.is_alive(f"http://127.0.0.1:{port}", 60.0)


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(next_one := os.dup(0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_one, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_model_is_not_taken_for_dead_because_it_cannot_be_asked() -> None:
    """Or all that are idle would be ended when the deployer is short of descriptors."""
    async with answering(web.Response) as endpoint:
        with no_descriptor_left():
            assert await PROBE.is_alive(endpoint, 5)
        assert await PROBE.is_alive(endpoint, 5)
    assert not await PROBE.is_alive(endpoint, 5)
