"""The one table from an error's kind to HTTP (RFC 9457, `application/problem+json`)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from placet.errors import (
    Conflict,
    Forbidden,
    PlacetError,
    Refused,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
    Unknown,
    Unreadable,
)
from placet.events.validation import in_words

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
AT_DOCS = "what a call takes is at /docs"
"""What is to be done about a value that is none, where nothing better is known: for who writes calls."""

_KINDS: tuple[tuple[type[PlacetError], int, str], ...] = (
    (Unauthenticated, 401, "Who are you?"),
    (Forbidden, 403, "Not allowed"),
    (Unknown, 404, "Unknown"),
    (Conflict, 409, "Conflict"),
    (TooLarge, 413, "Too large"),
    (Refused, 422, "Refused"),
    (TooMany, 429, "Too many requests"),
    (Unavailable, 503, "Unavailable for now"),
    (Unreadable, 400, "Unreadable"),
)


def status_and_title(kind: type[PlacetError]) -> tuple[int, str]:
    """How errors of this kind are answered."""
    found = ((status, title) for known, status, title in _KINDS if issubclass(kind, known))
    return next(found, (500, "Something is broken"))


def problem_of(error: PlacetError) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, body and headers that say `error`."""
    status, title = status_and_title(type(error))
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": error.detail}
    if error.rule:
        body["rule"] = error.rule
    if error.fix:
        body["fix"] = error.fix
    if error.parts != (error,):
        body["refusals"] = [{"rule": part.rule, "why": part.detail, "fix": part.fix} for part in error.parts]
    headers = {}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(max(1, round(error.retry_after or 1)))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return status, body, headers


def speak_problems(app: FastAPI) -> None:
    """Make `app` answer every error as problem+json."""
    for kind, answer in _ANSWERS.items():
        app.add_exception_handler(kind, answer)


async def answered(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Call `app`, which is no FastAPI's, and answer an error as one of FastAPI's is answered, unless its own answer
    has begun: then it is raised, and whoever serves cuts that off."""
    has_begun = False

    async def sent(message: Message) -> None:
        nonlocal has_begun
        has_begun = True
        await send(message)

    try:
        await app(scope, receive, sent)
    except Exception as error:
        if has_begun:
            raise
        answer = next(answer for kind, answer in _ANSWERS.items() if isinstance(error, kind))
        said = await answer(Request(scope, receive), error)
        await said(scope, receive, send)


async def _on_placet_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PlacetError)  # noqa: S101 - FastAPI types the handler wider than it calls it
    status, body, headers = problem_of(error)
    return JSONResponse(body, status, headers=headers, media_type=MEDIA_TYPE)


async def _on_validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    detail = "; ".join(f"{'.'.join(map(str, each['loc']))}: {in_words(each)}" for each in error.errors())
    fixes = dict.fromkeys(each["ctx"]["fix"] for each in error.errors() if "fix" in each.get("ctx", {}))
    fix = "; ".join(fixes) or AT_DOCS
    status, body, _headers = problem_of(Unreadable(detail, fix=fix))
    return JSONResponse(body, status, media_type=MEDIA_TYPE)


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    body = {
        "type": "about:blank",
        "title": error.detail,
        "status": error.status_code,
        "detail": f"{request.method} {request.url.path}: {error.detail}",
    }
    headers = dict(error.headers or {})
    if allowed := _allowed(request):
        headers["Allow"] = allowed
    return JSONResponse(body, error.status_code, headers=headers, media_type=MEDIA_TYPE)


def _allowed(request: Request) -> str:
    """The methods of what is at this path: FastAPI says those of the first call alone. Nothing of what the OpenAPI
    document does not have."""
    path = getattr(request.scope.get("route"), "path_format", None)
    return ", ".join(method.upper() for method in request.app.openapi()["paths"].get(path, ()))


async def _on_client_gone(_: Request, error: Exception) -> Response:
    return Response(status_code=499)  # said to nobody, and no bug: everybody can hang up


async def _on_bug(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    body = {
        "type": "about:blank",
        "title": "Something is broken",
        "status": 500,
        "detail": "an unexpected error; the service's log has it",
    }
    return JSONResponse(body, 500, media_type=MEDIA_TYPE)


_ANSWERS: Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    PlacetError: _on_placet_error,
    RequestValidationError: _on_validation_error,
    HTTPException: _on_http_exception,
    ClientDisconnect: _on_client_gone,
    Exception: _on_bug,
}
"""The first that fits is it."""
