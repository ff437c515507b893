from __future__ import annotations

import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Response
from placet.events.json_route import JsonRoute
from pydantic import BaseModel


class Point(BaseModel):
    x: int


VALUES: dict[str, tuple[Any, str]] = {
    "plain": ({"a": [1, 2.5, None, True, "é"]}, '{"a":[1,2.5,null,true,"é"]}'),
    "large": ({"n": 10**30}, '{"n":1000000000000000000000000000000}'),
    "no-number": ({"n": math.nan}, '{"n":null}'),
    "moment": ({"at": datetime(2026, 1, 31, tzinfo=UTC)}, '{"at":"2026-01-31T00:00:00Z"}'),
    "model": ({"at": Point(x=1)}, '{"at":{"x":1}}'),
}
router = APIRouter(route_class=JsonRoute)


@router.get("/values/{name}", response_model=None)
async def value(name: str) -> Any:
    return VALUES[name][0]


@router.post("/made", status_code=201, response_model=None)
async def made(x: int) -> dict[str, int]:
    return {"x": x}


@router.delete("/gone", status_code=204)
async def gone() -> None:
    return None


@router.get("/own")
async def own() -> Response:
    return Response("as it is", 202, headers={"x-own": "1"}, media_type="text/plain")


@router.get("/in-a-thread", response_model=None)
def in_a_thread() -> dict[str, int]:
    return {"x": 1}


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.router.routes.extend(router.routes)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as http:
        yield http


@pytest.mark.parametrize("name", VALUES)
async def test_values_are_written_as_json(http: httpx.AsyncClient, name: str) -> None:
    answer = await http.get(f"/values/{name}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.text == VALUES[name][1]


async def test_a_status_of_its_own_is_kept_and_parameters_are_checked(http: httpx.AsyncClient) -> None:
    answer = await http.post("/made", params={"x": 3})
    assert (answer.status_code, answer.json()) == (201, {"x": 3})
    assert (await http.post("/made", params={"x": "three"})).status_code == 422


async def test_where_nothing_may_be_said_nothing_is(http: httpx.AsyncClient) -> None:
    answer = await http.delete("/gone")
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers


async def test_an_answer_that_is_one_already_is_passed_on(http: httpx.AsyncClient) -> None:
    answer = await http.get("/own")
    assert (answer.status_code, answer.text, answer.headers["x-own"]) == (202, "as it is", "1")


async def test_what_runs_in_a_thread_answers_as_ever(http: httpx.AsyncClient) -> None:
    assert (await http.get("/in-a-thread")).json() == {"x": 1}
