"""What a page's script asks of REST: passed on with the token that the script never sees.

Nothing but `/v1`, and a model's own URL for the form that tries it. It streams both ways: uploads, and events that go
on for as long as somebody watches.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from urllib.parse import quote

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from placet.errors import Forbidden, PlacetError, Unauthenticated, Unavailable, Unknown
from placet.events import Clock
from placet.events.problems import MEDIA_TYPE, problem_of
from placet.gateway.console import session
from placet.gateway.console.asking import Platform
from placet.gateway.console.signing_in import SigningIn

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE"]
_SAFE = frozenset({"GET", "HEAD"})
_SENT_ON = ("accept", "content-type", "content-length", "idempotency-key", "last-event-id")
_SENT_BACK = (
    "content-type", "content-length", "content-disposition", "etag", "location", "retry-after",
    "x-placet-release", "x-placet-live-release", "x-placet-replicas", "x-placet-source", "x-placet-origin",
)  # fmt: skip
_ENDS_SOON = timedelta(seconds=5)
_MOST_KEPT = 1000
"""Tokens for models, in memory: of who tried one lately."""
_PART = re.compile(r"(?!\.{1,2}$)[^/\\\x00-\x1f]+")
_LIMITS = httpx.Timeout(60.0, connect=10.0, read=None)


class PassThrough:
    def __init__(self, platform: Platform, clock: Clock, provider: SigningIn | None) -> None:
        self._platform = platform
        self._clock = clock
        self._provider = provider
        self._for_models: OrderedDict[bytes, tuple[str, datetime]] = OrderedDict()

    async def __call__(self, request: Request) -> Response:
        """`/console/api/v1/…` and `/console/api/models/…`."""
        try:
            return await self._passed(request)
        except PlacetError as error:
            status, body, headers = problem_of(error)
            return JSONResponse(body, status, headers=headers, media_type=MEDIA_TYPE)

    async def _passed(self, request: Request) -> Response:
        token = session.token_of(request)
        if token is None:
            raise Unauthenticated("nobody is signed in", fix="sign in again")
        session.must_come_from_here(request)
        if request.method not in _SAFE:
            session.must_be_proven(token, request.headers.get("x-placet-proof"))
        url = f"{self._platform.url}{_target(request)}"
        bearer = token if request.path_params["path"].startswith("v1/") else await self._for_model(token)
        # As bytes, of which a browser may send any.
        headers = {
            name.encode(): request.headers[name].encode("latin-1")
            for name in _SENT_ON
            if name in request.headers
        }
        is_bodied = b"content-length" in headers or "transfer-encoding" in request.headers
        asked = httpx.Request(
            request.method,
            _address(url),
            headers={
                **headers,
                b"authorization": f"Bearer {bearer}".encode(),
                b"user-agent": b"placet-console",
            },
            content=request.stream() if is_bodied else None,
            extensions={"timeout": _LIMITS.as_dict()},
        )
        try:
            answer = await self._platform.transport.handle_async_request(asked)
        except httpx.TransportError as error:
            raise Unavailable(
                "the platform does not answer at the moment", fix="try again shortly"
            ) from error
        kept = {name: answer.headers[name] for name in _SENT_BACK if name in answer.headers}
        # What came as something else than data is shown as text, by no browser as a page of ours.
        return StreamingResponse(
            _pieces(answer),
            answer.status_code,
            headers={
                **kept,
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
                "Content-Security-Policy": "default-src 'none'; sandbox",
            },
        )

    async def _for_model(self, token: str) -> str:
        """What a model takes: placet's own, which whoever signed in at a provider gets for a while."""
        if self._provider is None or not self._provider.is_theirs(token):
            return token
        key, now = hashlib.sha256(token.encode()).digest(), self._clock.now()
        own, until = self._for_models.get(key, ("", now))
        if until - now <= _ENDS_SOON:
            async with self._platform.as_whom(token) as ask:
                made = await ask.own_token()
            own = made.token
            self._for_models[key] = own, datetime.fromisoformat(made.expires or now.isoformat())
            while len(self._for_models) > _MOST_KEPT:
                self._for_models.popitem(last=False)
        return own


def _target(request: Request) -> str:
    """The path below the platform's address, quoted anew so that no part of it is more than that."""
    parts = str(request.path_params["path"]).split("/")
    if not all(_PART.fullmatch(part) for part in parts):
        raise Unknown("there is nothing at this address")
    is_rest = parts[0] == "v1" and len(parts) > 1
    is_prediction = parts[0] == "models" and len(parts) == 3 and parts[2] == "predict"
    if not (is_rest or is_prediction):
        raise Unknown("there is nothing at this address")
    if is_rest and (parts[1] == "tokens" or parts[1:] == ["me", "token"]):
        raise Forbidden("tokens are made by `placet token create`", fix="see `placet token --help`")
    path = "/" + "/".join(quote(part, safe=":@,;=+$!*'()~") for part in parts)
    return f"{path}?{request.url.query}" if request.url.query else path


def _address(url: str) -> httpx.URL:
    """Raises Unknown for one that is longer than any is."""
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise Unknown("there is nothing at this address") from error


async def _pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        await answer.aclose()
