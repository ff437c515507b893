"""What nobody reads is refused, by name."""

from __future__ import annotations

from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Query
from placet.events.known_fields import KnownFields, known_parameters
from placet.events.problems import speak_problems
from pydantic import Field


class Order(KnownFields):
    of: str = Field(alias="from")
    many: int = 1
    soon: bool = False


async def ask(method: str, path: str, body: object = None) -> httpx.Response:
    router = APIRouter(dependencies=[Depends(known_parameters)])

    @router.get("/page/{number}")
    async def page(number: int, after: Annotated[int, Query(alias="since")] = 0) -> int:
        return after

    @router.post("/order")
    async def order(order: Order) -> int:
        return order.many

    app = FastAPI()
    speak_problems(app)
    app.include_router(router, prefix="/v1")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://placet") as client:
        return await client.request(method, path, json=body)


async def test_what_is_known_is_read() -> None:
    assert (await ask("GET", "/v1/page/1?since=3")).json() == 3
    assert (await ask("POST", "/v1/order", {"from": "here", "many": 2})).json() == 2


@pytest.mark.parametrize(
    "said", [{"many": "2"}, {"many": True}, {"many": 2.0}, {"soon": "yes"}, {"soon": 1}], ids=str
)
async def test_a_number_is_no_text_and_no_truth_value(said: dict[str, object]) -> None:
    answer = await ask("POST", "/v1/order", {"from": "here", **said})
    assert answer.status_code == 400
    what = "true or false" if "soon" in said else "a whole number"
    assert answer.json()["detail"] == f"body.{next(iter(said))}: must be {what}"


@pytest.mark.parametrize(
    ("path", "fix"),
    [
        ("/v1/page/1?sinec=3", "the nearest known one is 'since'"),
        ("/v1/page/1?since=3&x=1", "known are 'since'"),
        ("/v1/page/1?after=3", "known are 'since'"),
        ("/v1/page/1?number=1", "known are 'since'"),
        ("/v1/page/1?%00=3", "known are 'since'"),
    ],
)
async def test_a_parameter_goes_by_the_name_that_it_is_asked_by(path: str, fix: str) -> None:
    answer = await ask("GET", path)
    assert (answer.status_code, answer.json()["fix"]) == (400, fix)
    assert answer.json()["detail"].startswith("/v1/page/1 has no parameter ")


@pytest.mark.parametrize(
    ("body", "fix"),
    [
        ({"form": "here"}, "the nearest known one is 'from'"),
        ({"of": "here"}, "known are 'from', 'many', 'soon'"),
        ({"from": "here", "": 1}, "known are 'from', 'many', 'soon'"),
    ],
)
async def test_a_key_goes_by_the_name_that_it_is_written_by(body: object, fix: str) -> None:
    answer = await ask("POST", "/v1/order", body)
    assert (answer.status_code, answer.json()["fix"]) == (400, fix)
    assert answer.json()["detail"].startswith("body: nobody knows the key ")
