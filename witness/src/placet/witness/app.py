"""The witness over HTTP, as C2SP's tlog-witness has it; one prefix for writing and reading.

Nobody shows who they are: a checkpoint is signed by its log or counts for nothing, and what is read is public.
"""

from __future__ import annotations

import asyncio

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from placet.errors import Forbidden, PlacetError, Refused, TooLarge, Unavailable, Unknown, Unreadable
from placet.witness.witness import OtherSize, Witness

MAX_BODY = 64 * 1024
BODY_SECONDS = 10.0
SIZE_TYPE = "text/x.tlog.size"

_STATUSES: dict[type[PlacetError], int] = {
    Forbidden: 403,
    Unknown: 404,
    TooLarge: 413,
    Refused: 422,
    Unreadable: 400,
    Unavailable: 503,
}
"""The first that an error is of; the narrower ones stand above."""


def app(witness: Witness, *, body_seconds: float = BODY_SECONDS) -> Starlette:
    async def add_checkpoint(request: Request) -> Response:
        body = await _body(request, body_seconds)
        # In a thread: it waits for the disk.
        signature = await run_in_threadpool(witness.add_checkpoint, body)
        return PlainTextResponse(signature.line)

    async def checkpoint(request: Request) -> Response:
        note = witness.latest(request.path_params["hashed"])
        if note is None:
            raise Unknown("no checkpoint of this log was cosigned here")
        return PlainTextResponse(note.to_bytes())

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    return Starlette(
        routes=[
            Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
            Route("/livez", livez, methods=["GET"]),
            Route("/{hashed}/checkpoint", checkpoint, methods=["GET"]),
        ],
        exception_handlers={
            PlacetError: _refuse,
            OtherSize: _tell_size,
            TimeoutError: _too_slow,
            ClientDisconnect: _gone,
        },
    )


async def _body(request: Request, within: float) -> bytes:
    """All of it, or as soon as it is too much nothing."""
    body = bytearray()
    async with asyncio.timeout(within):
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY:
                raise TooLarge(f"a request has at most {MAX_BODY} bytes")
    return bytes(body)


async def _refuse(_: Request, error: Exception) -> Response:
    status = next(status for kind, status in _STATUSES.items() if isinstance(error, kind))
    return PlainTextResponse(f"{error}\n", status)


async def _tell_size(_: Request, error: Exception) -> Response:
    assert isinstance(error, OtherSize)  # noqa: S101 (Starlette hands it on by its type)
    # Without a charset, which Starlette would add to a type of text: clients compare the whole of it.
    return Response(f"{error.size}\n", 409, headers={"content-type": SIZE_TYPE})


async def _too_slow(_: Request, error: Exception) -> Response:
    return PlainTextResponse("the request's body took too long\n", 408)


async def _gone(_: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody is there to read it
