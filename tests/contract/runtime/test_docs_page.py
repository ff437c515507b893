"""The page at `/docs`, in a real browser: it asks the model, and can do nothing else."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape

import aiohttp
import pytest
from aiohttp import web
from placet.gateway.model_proxy import SANDBOX

from tests.contract.runtime.serving import Served
from tests.contract.runtime.test_access import guarded, token
from tests.support.browser import Page, browser
from tests.support.eventually import eventually

__all__ = ["guarded"]


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with browser() as page:
        yield page


@asynccontextmanager
async def mounted(served: Served, project: str) -> AsyncIterator[str]:
    """Its address below a path of the platform's origin, with the platform's policy added to its own."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def forward(request: web.Request) -> web.Response:
            address = f"http://{served.address}/{request.match_info['path']}"
            kept = {name: value for name, value in request.headers.items() if name.lower() != "host"}
            async with session.request(
                request.method, address, headers=kept, data=await request.read()
            ) as answer:
                response = web.Response(body=await answer.read(), status=answer.status)
                for name, value in answer.headers.items():
                    if name.lower() not in ("content-length", "date", "content-type"):
                        response.headers.add(name, value)
                response.headers["content-type"] = answer.headers.get("content-type", "")
                response.headers.add("content-security-policy", SANDBOX)
                return response

        app = web.Application()
        app.router.add_route("*", f"/models/{project}/{{path:.*}}", forward)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/models/{project}"
        finally:
            await runner.cleanup()


async def answered(page: Page, button: str = "ask") -> str:
    """What the page shows after a button was pressed."""
    await page.run(f"document.getElementById('{button}').click()")

    async def is_shown() -> bool:
        return bool(await page.run("document.getElementById('answer').textContent !== '…'"))

    await eventually(is_shown)
    return str(await page.run("document.getElementById('answer').textContent"))


async def test_a_person_tries_the_model_with_its_sample_and_with_mistakes(page: Page, points: Served) -> None:
    async with mounted(points, "points") as address:
        await page.open(f"{address}/docs")
        assert await page.run("document.getElementById('body').value") == '{"inputs": [\n[0,0]\n]}'

        right = await answered(page)
        await page.run("document.getElementById('body').value = '{\"inputs\": [[1, \"wide\"]]}'")
        wrong = await answered(page)

        assert re.fullmatch(r'200, \d+ ms\n\{"outputs":\["near"\],"probabilities":\[\[.*\]\]\}', right)
        assert re.fullmatch(r'422, \d+ ms\nrow 0, width: expected a number, got "wide"', wrong)
        assert await page.run("document.getElementById('answer').dataset.is") == "wrong"
        assert all("422" in each for each in page.says)


async def test_the_page_is_of_no_origin_and_runs_no_other_script(page: Page, points: Served) -> None:
    await page.open(f"http://{points.address}/docs")

    assert await page.run("self.origin") == "null"
    await page.run(
        "const s = document.createElement('script'); s.textContent = 'self.ran = true'; document.body.append(s)"
    )
    assert await page.run("self.ran === undefined")
    assert await page.run("(() => { try { return document.cookie } catch (e) { return e.name } })()") == (
        "SecurityError"
    )


async def test_of_a_model_that_asks_for_tokens_the_page_shows_nothing_but_takes_one(
    page: Page, guarded: Served
) -> None:
    async with mounted(guarded, "sums") as address:
        await page.open(f"{address}/docs")
        assert "FP32" not in await page.run("document.body.innerText")
        assert re.fullmatch("this model asks for a token; send .*", await answered(page, "fill"))

        await page.run(f"document.getElementById('token').value = '{token()}'")
        assert await answered(page, "fill") == ""
        assert await page.run("document.getElementById('body').value") == (
            '{"inputs":{"a":[[0,0,0]],"b":[[0,0,0]]}}'
        )
        assert re.fullmatch(r'200, \d+ ms\n\{"outputs":\[\[0\.0,0\.0,0\.0\]\]\}', await answered(page))


async def test_once_a_token_is_typed_the_page_tells_what_the_model_takes(page: Page, guarded: Served) -> None:
    told = "document.getElementById('told').innerText"
    async with mounted(guarded, "sums") as address:
        await page.open(f"{address}/docs")
        await page.run("document.getElementById('token').focus()")
        await page.type("no token")
        await page.press("Enter")
        await eventually(lambda: page.run("document.getElementById('answer').textContent !== ''"))
        assert await page.run(told) == "With a token, this page tells what it takes and gives."

        await page.run("document.getElementById('token').select()")
        await page.type(token())
        await page.press("Enter")
        await eventually(lambda: page.run(f"{told}.includes('FP32')"))

        assert f"curl http://{guarded.address}/predict" in await page.run(told)
        assert "Bearer $PLACET_TOKEN" in await page.run(told)
        assert "release -, served from onnx" in await page.run("document.getElementById('facts').innerText")
        assert await page.run("JSON.parse(document.getElementById('body').value).inputs.a") == [[0, 0, 0]]
        assert await page.run("document.getElementById('answer').textContent") == ""
        assert await page.run("document.querySelectorAll('#told a').length") == 1  # of the one that is open
        assert all("401" in each for each in page.says)


def test_what_the_page_tells_with_a_token_is_told_to_nobody_without(guarded: Served) -> None:
    ask = re.search(r'data-path="([^"]+)"', guarded.client.get("/docs").text)
    assert ask is not None
    for accept in ("text/html", "application/json"):
        refused = guarded.client.get(f"/{ask[1]}", headers={"accept": accept})
        assert refused.status_code == 401
        assert "FP32" not in refused.text


def test_its_links_lead_somewhere_and_its_example_of_the_protocol_is_answered(points: Served) -> None:
    text = points.client.get("/docs").text
    links = re.findall(r'href="([^"]+)"', text)
    assert links == ["v2/models/points", "openapi.json", "v2/health/ready", "metrics"]
    assert {points.client.get(f"/{link}").status_code for link in links} == {200}

    example = re.search(r"/v2/models/points/infer .*?-d '(.*?)'", unescape(text), re.DOTALL)
    assert example is not None
    answer = points.client.post("/v2/models/points/infer", content=example[1])
    assert (answer.status_code, answer.json()["outputs"][0]["data"]) == (200, ["near"])


def test_only_who_read_the_page_can_ask_from_another_origin(points: Served) -> None:
    ask = re.search(r'data-path="([^"]+)"', points.client.get("/docs").text)
    assert ask is not None
    preflight = {"origin": "null", "access-control-request-method": "POST"}

    let = points.client.options(f"/{ask[1]}", headers=preflight)
    assert (let.status_code, let.headers["access-control-allow-origin"]) == (204, "null")
    for path in ("/predict", "/docs", "/docs/ask/guessed", "/openapi.json"):
        assert "access-control-allow-origin" not in points.client.options(path, headers=preflight).headers
        assert "access-control-allow-origin" not in points.client.get(path).headers
