"""An image is deployed as what it was made for, and as another model's only after a word of warning."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import httpx
import pytest
from placet.client import Client
from placet.errors import Refused
from placet.gateway.console import session

from tests.unit.client.fake_platform import ADMIN, IMAGE, FakePlatform
from tests.unit.console.test_console_security import a_model, sign_in

OF_PORT = f"{IMAGE} port"


@pytest.fixture
async def admin(browser: httpx.AsyncClient, platform: FakePlatform) -> httpx.AsyncClient:
    """With an image of port, beside wine, which serves another."""
    await sign_in(browser, ADMIN)
    platform.images.append({"image": IMAGE, "project": "port", "release": 1, "metrics": []})
    a_model(platform, image="sha256:" + "cd" * 32)
    return browser


async def deploy(browser: httpx.AsyncClient, **fields: str) -> httpx.Response:
    return await browser.post(
        "/console/deploy", data={"proof": session.proof_of(ADMIN), "image": OF_PORT, **fields}
    )


def asked(platform: FakePlatform) -> list[tuple[str | None, Any, Any]]:
    return [(each.get("project"), each["source"], each.get("canary")) for each in platform.commands]


async def test_an_image_is_its_own_projects_unless_another_is_named(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    page = unescape((await admin.get("/console/deploy?from=image")).text)
    assert f'value="{OF_PORT}" required' in page
    [field] = re.findall(r'<input id="project" name="project" type="text"[^>]*>', page)
    assert "required" not in field
    for image in (OF_PORT, IMAGE):
        assert (await deploy(admin, image=image, project="")).status_code == 303
    assert asked(platform) == [("port", {"image": IMAGE}, None)] * 2


@pytest.mark.parametrize("canary", ["", "20"])
async def test_as_a_model_that_is_there_it_is_deployed_only_once_that_was_confirmed(
    admin: httpx.AsyncClient, platform: FakePlatform, canary: str
) -> None:
    answer = await deploy(admin, project="wine", canary=canary)
    said = re.sub(r"<[^>]*>", "", unescape(answer.text))
    assert answer.status_code == 200
    assert "This is an image of port. wine serves another model today" in said
    assert ("20 % of the requests" in said) is bool(canary)
    assert platform.commands == []

    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', answer.text))
    assert (
        await admin.post("/console/deploy", data={**fields, "proof": session.proof_of(ADMIN)})
    ).status_code == 303
    assert asked(platform) == [("wine", {"image": IMAGE}, int(canary) if canary else None)]


@pytest.mark.parametrize("there", [None, {"state": "deleted", "image": "sha256:1"}, {"image": IMAGE}])
async def test_where_no_other_model_is_nothing_is_asked(
    admin: httpx.AsyncClient, platform: FakePlatform, there: dict[str, Any] | None
) -> None:
    del platform.models["wine"]
    if there is not None:
        a_model(platform, **there)
    assert (await deploy(admin, project="wine")).status_code == 303
    assert asked(platform) == [("wine", {"image": IMAGE}, None)]


async def test_a_git_address_that_is_refused_is_still_in_its_form(
    admin: httpx.AsyncClient, platform: FakePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise Refused("there is no <such> address", fix="give one with https://")

    monkeypatch.setattr(Client, "command", refuse)
    form = {"proof": session.proof_of(ADMIN), "git": 'not a "url"', "project": "wine", "canary": "20"}
    page = await admin.post("/console/deploy", data=form)
    assert page.status_code == 422
    kept = re.findall(r'<input id="(git|project|canary)"[^>]* value="([^"]*)"', page.text)
    assert {name: unescape(value) for name, value in kept} == {
        "git": 'not a "url"',
        "project": "wine",
        "canary": "20",
    }
    assert "there is no &lt;such&gt; address" in page.text
    assert "give one with" in page.text
