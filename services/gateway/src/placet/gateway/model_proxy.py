"""The models' own URLs, `/models/{project}/…`, where no edge proxy does it: the embedded platform.

Requests stream through to where the deployer says the model listens. A model is other people's code: it never
sees the console's cookies, and its answers are sandboxed. What is not live says so, with the next step.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask

from placet.errors import Unavailable, Unknown
from placet.gateway.queries import Queries

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NOT_FOR_MODELS = _HOP_BY_HOP | {"host", "cookie"}
_NOT_FOR_CLIENTS = _HOP_BY_HOP | {"set-cookie"}
SANDBOX = "sandbox allow-scripts allow-forms; default-src 'self' 'unsafe-inline'; frame-ancestors 'self'"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class ModelProxy:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, connect=5),
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/models/{project}", self._forward, methods=METHODS)
        router.add_api_route("/models/{project}/{path:path}", self._forward, methods=METHODS)
        return router

    async def _forward(self, request: Request, project: str, path: str = "") -> StreamingResponse:
        if self._session is None:
            raise Unavailable("the gateway is starting")
        url = f"{await self._endpoint(project)}/{path}"
        if request.url.query:
            url = f"{url}?{request.url.query}"
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        try:
            answer = await self._session.request(
                request.method,
                url,
                headers=[
                    (name, value) for name, value in request.headers.items() if name not in _NOT_FOR_MODELS
                ],
                data=request.stream() if has_body else None,
                allow_redirects=False,
            )
        except aiohttp.ClientConnectionError as error:
            raise Unavailable(
                f"{project} does not answer at the moment", fix=f"see `placet logs {project}`"
            ) from error
        headers = {
            name: value for name, value in answer.headers.items() if name.lower() not in _NOT_FOR_CLIENTS
        }
        headers.setdefault("Content-Security-Policy", SANDBOX)
        headers.setdefault("X-Content-Type-Options", "nosniff")
        return StreamingResponse(
            _body(answer), answer.status, headers=headers, background=BackgroundTask(answer.release)
        )

    async def _endpoint(self, project: str) -> str:
        row = await self._queries.model_row(project)
        if row.endpoint is None:
            if row.state in ("stopped", "deleted"):
                raise Unknown(f"{project} is {row.state}", fix=f"start it: placet start {project}")
            raise Unavailable(
                f"{project} is not served at the moment: it is {row.state}",
                fix=f"see `placet status {project}`",
            )
        return str(row.endpoint)


async def _body(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for chunk in answer.content.iter_any():
        yield chunk
