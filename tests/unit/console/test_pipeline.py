"""The page of one command: what it is called, and where an image comes from that nothing was built for."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx
import pytest
from placet.client import Operation
from placet.gateway.console.deploying import title

from tests.unit.client.fake_platform import ADMIN, IMAGE, FakePlatform, event
from tests.unit.console.test_console_security import sign_in


@pytest.mark.parametrize(
    ("said", "titled"),
    [
        ({"command": "deploy"}, "Deploy wine"),
        ({"command": "deploy", "back_to": 2}, "Go back to release 2 of wine"),
        ({"command": "deploy", "share": 20}, "Deploy wine as a canary with 20 % of the requests"),
        ({"command": "build"}, "Build wine"),
        ({"command": "renew"}, "Renew the certificate of wine"),
        ({"command": "start"}, "Start wine"),
        ({"command": "scale"}, "Scale wine"),
        ({"command": "promote"}, "Promote the canary of wine"),
        (
            {"command": "promote", "share": 50},
            "Promote the canary of wine, to go on with 50 % of the requests",
        ),
        ({"command": "abort"}, "End the canary of wine"),
    ],
)
def test_a_command_is_called_by_what_was_asked_for(said: dict[str, Any], titled: str) -> None:
    assert title(Operation(state="requested", project="wine", **said)) == titled


@pytest.fixture
async def operation(browser: httpx.AsyncClient, platform: FakePlatform) -> dict[str, Any]:
    """One that has come to its end, as the platform tells of it."""
    await sign_in(browser, ADMIN)
    asked = {"command": "deploy", "project": "wine", "source": {"digest": "sha256:1"}}
    platform.operations["1"] = platform.life("1", asked)
    last = platform.operations["1"][-1]
    last["release"] = 3
    return last


async def test_what_was_built_before_is_said_with_where_its_log_is(
    browser: httpx.AsyncClient, platform: FakePlatform, operation: dict[str, Any]
) -> None:
    operation["built"] = False
    platform.images.append({"image": IMAGE, "project": "port", "release": 1})
    built = {"project": "port", "release": 1, "image": IMAGE}
    of = {"subject": "release/port/1", "correlationid": "operation-of-then", "authid": "service:builder"}
    when = {"time": "2026-11-28T10:00:00.000Z"}
    for sequence, image in ((6, "sha256:0"), (7, IMAGE)):
        platform.events.append({**event(sequence, "port"), **of, **when, "data": {**built, "image": image}})
    page = (await browser.get("/console/operations/1")).text
    assert "was built before, as <a" in page
    assert '<a href="/console/operations/operation-of-then">release 1 of port</a>' in page
    assert "Build log" not in page


async def test_of_an_image_that_nobody_knows_any_more_the_page_says_no_more(
    browser: httpx.AsyncClient, platform: FakePlatform, operation: dict[str, Any]
) -> None:
    operation["built"] = False
    page = (await browser.get("/console/operations/1")).text
    assert "was built before.</p>" in page
    assert "Build log" not in page


async def test_what_was_built_now_has_its_log_there(
    browser: httpx.AsyncClient, platform: FakePlatform, operation: dict[str, Any]
) -> None:
    operation["built"] = True
    page = (await browser.get("/console/operations/1")).text
    assert "/console/api/v1/builds/wine/3/log" in page
    assert "was built before" not in page


async def test_times_of_steps_are_as_people_read_them(
    browser: httpx.AsyncClient, platform: FakePlatform, operation: dict[str, Any]
) -> None:
    operation["steps"][-1]["detail"] = "until 2026-11-29T09:52:54.892Z"
    page = (await browser.get("/console/operations/1")).text
    assert "until 2026-11-29 09:52:54 UTC" in page


@pytest.mark.parametrize(
    ("built", "is_kept", "is_asked_for"),
    [
        ("waiting", True, False),
        ("running", True, True),
        ("running", False, False),
        ("done", True, True),
        ("done", False, False),
        ("failed", True, True),
    ],
)
async def test_a_log_is_asked_for_where_there_is_one(
    browser: httpx.AsyncClient,
    platform: FakePlatform,
    operation: dict[str, Any],
    built: str,
    is_kept: bool,
    is_asked_for: bool,
) -> None:
    operation["state"] = "cleared"
    operation["steps"] = [{"name": "requested", "state": "done"}, {"name": "built", "state": built}]
    if not is_kept:
        platform.unbuilt.add(("wine", 3))
    page = (await browser.get("/console/operations/1")).text
    assert 'id="build-log"' in page
    assert (' data-building="yes"' in page) is is_asked_for


async def test_where_no_log_is_kept_of_what_is_over_there_is_no_place_for_one(
    browser: httpx.AsyncClient, platform: FakePlatform, operation: dict[str, Any]
) -> None:
    operation["built"] = True
    platform.unbuilt.add(("wine", 3))
    assert "build-log" not in (await browser.get("/console/operations/1")).text


async def test_what_only_warns_is_told_with_its_fix_without_a_click(
    browser: httpx.AsyncClient, platform: FakePlatform, operation: dict[str, Any]
) -> None:
    verdict = {"rule": "card.present", "stage": "submit", "result": "fail", "onFail": "warn"}
    operation["verdicts"] = [{**verdict, "result": "pass"}, {**verdict, "rule": "denies", "onFail": "deny"}]
    assert "To be looked at" not in (await browser.get("/console/operations/1")).text
    operation["verdicts"].append({**verdict, "why": "there is <none>", "fix": "write one"})
    page = (await browser.get("/console/operations/1")).text
    before, _, after = page.partition("What each rule said")
    assert "1 rule warns;" in before
    assert '<code>card.present</code> there is &lt;none&gt;<span class="fix">write one' in before
    assert "card.present" in after


@pytest.mark.parametrize(
    ("fix", "pages"),
    [
        ("`placet approve wine`", ["/console/models/wine/approvals"]),
        ("`placet approve wine --look` shows it", ["/console/models/wine/approvals"]),
        ("see `placet assess --show wine`", ["/console/governance/assessments?project=wine"]),
        (
            "`placet assess wine --questionnaire x`; then `placet approve wine`",
            ["/console/governance/assessments?project=wine", "/console/models/wine/approvals"],
        ),
        ("`placet assess --list`", []),
        ('`placet approve "><script>`', []),
        ("placet approve wine", []),
        (None, []),
    ],
)
async def test_a_next_step_leads_to_the_page_that_does_it(
    browser: httpx.AsyncClient,
    platform: FakePlatform,
    operation: dict[str, Any],
    fix: str | None,
    pages: list[str],
) -> None:
    operation |= {"state": "refused", "refusals": [{"rule": "some-rule", "why": "it is so", "fix": fix}]}
    page = (await browser.get("/console/operations/1")).text
    [reasons] = re.findall(r'<ul class="reasons">.*?</ul>', page, re.DOTALL)
    assert re.findall(r'href="([^"]*)"', reasons) == pages


async def test_what_waits_for_people_goes_on_by_its_projects_events(
    browser: httpx.AsyncClient, platform: FakePlatform, operation: dict[str, Any]
) -> None:
    """Its own stream ends there."""
    follows = {}
    for state in ("cleared", "awaiting", "stalled", "live"):
        operation["state"] = state
        page = (await browser.get("/console/operations/1")).text
        follows[state] = (' data-operation="1"' in page, ' data-live="wine"' in page)
    assert follows == {
        "cleared": (True, False),
        "awaiting": (False, True),
        "stalled": (False, True),
        "live": (False, False),
    }


async def test_what_is_not_reached_yet_looks_like_nothing_that_waits_for_people(
    browser: httpx.AsyncClient, platform: FakePlatform, operation: dict[str, Any]
) -> None:
    began = {"state": "running", "since": "2026-01-01T00:00:00.000Z"}
    operation["state"] = "cleared"
    operation["steps"] = [
        {"name": "requested", "state": "done", "seconds": 0.0},
        {"name": "built", **began},
        {"name": "certified", "state": "waiting"},
    ]
    page = (await browser.get("/console/operations/1")).text
    assert '<time datetime="2026-01-01T00:00:00.000Z" data-now="' in page
    assert '<span class="yet">not yet</span>' in page
    assert "state waiting" not in page
    operation["state"] = "awaiting"
    operation["awaiting"] = [{"rule": "eyes", "why": "nobody saw it"}]
    operation["steps"] = [
        {"name": "requested", "state": "done", "seconds": 0.0},
        {"name": "certified", "state": "waiting"},
        {"name": "live", "state": "waiting"},
    ]
    page = (await browser.get("/console/operations/1")).text
    assert re.findall(r'class="(?:state waiting|yet)">([a-z ]+)<', page) == ["waiting", "not yet"]


@pytest.mark.parametrize("is_known", [True, False])
async def test_what_is_live_has_its_address_and_how_it_is_asked_to_copy(
    browser: httpx.AsyncClient, platform: FakePlatform, operation: dict[str, Any], is_known: bool
) -> None:
    url = "http://x.example/models/wine"
    operation |= {"state": "live", "url": url}
    if is_known:
        platform.example = {"inputs": [[5.1]]}
    else:
        platform.models.clear()
    page = html.unescape((await browser.get("/console/operations/1")).text)
    assert f'<a href="{url}"><code id="url">{url}</code></a>' in page
    assert re.findall(r'data-copy="(\w+)"', page) == ["url", "curl", "python"]
    assert f"curl -s {url}/predict" in page
    assert ("[[5.1]]" in page) is is_known
    operation["state"] = "stopped"
    assert "curl -s" not in (await browser.get("/console/operations/1")).text
