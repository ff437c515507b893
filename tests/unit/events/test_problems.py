"""One table says what each kind of error is in HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException, Request
from placet.errors import (
    Conflict,
    Forbidden,
    PlacetError,
    Refused,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Unknown,
    Unreadable,
)
from placet.events.problems import MEDIA_TYPE, problem_of, speak_problems
from placet.events.store import ClaimLost

from tests.support.logs import Logged


def every_kind(kind: type[PlacetError]) -> set[type[PlacetError]]:
    return {kind, *(each for below in kind.__subclasses__() for each in every_kind(below))}


STATUS = {
    Unauthenticated: 401,
    Forbidden: 403,
    Unknown: 404,
    Conflict: 409,
    ClaimLost: 409,
    TooLarge: 413,
    Refused: 422,
    Unavailable: 503,
    Unreadable: 400,
}


@pytest.mark.parametrize(
    ("kind", "status"), STATUS.items(), ids=lambda each: getattr(each, "__name__", str(each))
)
def test_every_kind_has_its_status(kind: type[PlacetError], status: int) -> None:
    found, body, _ = problem_of(kind("the detail", fix="the next step", rule="the-rule"))

    assert found == body["status"] == status
    assert body == {
        "type": "about:blank",
        "title": body["title"],
        "status": status,
        "detail": "the detail",
        "rule": "the-rule",
        "fix": "the next step",
    }


def test_no_kind_falls_through_to_500() -> None:
    # Those that libraries add are of one of these kinds; which of them are imported depends on other tests.
    kinds = {kind for kind in every_kind(PlacetError) if kind.__module__ == "placet.errors"} - {PlacetError}
    for kind in kinds:
        assert problem_of(kind("x"))[0] < 500 or issubclass(kind, Unavailable)
    assert problem_of(PlacetError("x"))[0] == 500


def test_what_does_not_apply_is_left_out() -> None:
    assert problem_of(Refused("no"))[1].keys() == {"type", "title", "status", "detail"}


@pytest.mark.parametrize(("after", "header"), [(None, "1"), (0.2, "1"), (7.4, "7")])
def test_who_is_away_says_when_to_come_back(after: float | None, header: str) -> None:
    assert problem_of(Unavailable("away", retry_after=after))[2] == {"Retry-After": header}


def test_who_is_unknown_is_asked_for_a_token() -> None:
    assert problem_of(Unauthenticated("who?"))[2] == {"WWW-Authenticate": "Bearer"}


async def ask(path: str) -> httpx.Response:
    app = FastAPI()
    speak_problems(app)

    @app.get("/refused")
    async def refused() -> None:
        raise Refused("no owner is named", rule="owner-named", fix="name one")

    @app.get("/gone")
    async def gone() -> None:
        raise HTTPException(410, "gone", headers={"X-Since": "yesterday"})

    @app.get("/bug")
    async def bug() -> None:
        raise ValueError("password=secret")

    @app.get("/number/{number}")
    async def number(number: int) -> dict[str, Any]:
        return {"number": number}

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://placet") as client:
        return await client.get(path)


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/refused", 422, "no owner is named"),
        ("/gone", 410, "GET /gone: gone"),
        ("/nowhere", 404, "GET /nowhere: Not Found"),
        ("/number/seven", 400, "path.number: must be a whole number"),
        ("/number/seven", 400, "what a call takes is at /docs"),
        ("/bug", 500, "an unexpected error; the service's log has it"),
    ],
)
async def test_every_error_is_answered_as_a_problem(path: str, status: int, detail: str) -> None:
    answer = await ask(path)

    assert answer.status_code == status
    assert answer.headers["content-type"] == MEDIA_TYPE
    body = answer.json()
    assert body["status"] == status
    assert detail in f"{body.get('detail') or body['title']}; {body.get('fix')}"
    assert "secret" not in answer.text


async def test_headers_of_an_error_are_kept() -> None:
    assert (await ask("/gone")).headers["x-since"] == "yesterday"


async def test_who_hangs_up_in_the_middle_of_a_request_is_no_bug(logged: Logged) -> None:
    """Everybody can, token or none: a traceback for each would fill the log."""
    app = FastAPI()
    speak_problems(app)

    @app.post("/take")
    async def take(request: Request) -> int:
        return len(await request.body())

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(_: object) -> None:
        pass

    head = {"method": "POST", "path": "/take", "query_string": b"", "headers": []}
    await app({"type": "http", **head}, receive, send)
    assert logged() == []
