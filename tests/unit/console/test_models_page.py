"""The page that a new user sees first, and how times are told on it."""

from __future__ import annotations

import html
import math
import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from placet.gateway.console.rounding import number
from placet.gateway.console.views import ago, ahead
from placet.projects.manifest import parse_manifest

from tests.unit.client.fake_platform import ADMIN, AUDITOR, SCIENTIST, FakePlatform
from tests.unit.console.test_console_security import sign_in

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


async def test_the_placet_yaml_that_it_teaches_is_one(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    platform.models.clear()
    await sign_in(browser, ADMIN)
    page = (await browser.get("/console/models")).text
    [taught] = re.findall(r"<pre[^>]*>(.*?)</pre>", page, re.S)
    assert parse_manifest(html.unescape(taught).encode()).project == "my-model"


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (timedelta(days=90) - timedelta(minutes=10), "90 days"),
        (timedelta(days=2, hours=10), "2 days"),
        (timedelta(hours=25, minutes=40), "26 h"),
        (timedelta(minutes=9, seconds=50), "10 min"),
        (timedelta(seconds=42), "42 s"),
    ],
)
def test_what_is_left_is_told_to_the_nearest(left: timedelta, told: str) -> None:
    assert f">{told}<" in ahead((NOW + left).isoformat(), NOW)


def test_what_is_over_is_told_by_what_has_passed() -> None:
    assert ">1 h ago<" in ago((NOW - timedelta(minutes=119)).isoformat(), NOW)


@pytest.mark.parametrize(
    ("value", "digits", "told"),
    [
        (0.9245, 3, "0.925"),
        (0.9235, 3, "0.924"),
        (0.92449, 3, "0.924"),
        (-0.9245, 3, "-0.925"),
        (0.9245, 4, "0.9245"),
        (0.9996, 3, "1"),
        (2.5, 1, "3"),
        (1234.5, 3, "1\u202f235"),
        (12, 3, "12"),
        (0.0, 3, "0"),
        (1e-9, 3, "1e-09"),
        (1e300, 3, number(int(1e300))),
        (999.96, 3, "1\u202f000"),
        (99.96, 3, "100"),
        (math.inf, 3, "inf"),
        (None, 3, "\u2013"),
    ],
)
def test_a_half_is_rounded_up_as_people_do(value: float | None, digits: int, told: str) -> None:
    assert number(value, digits) == told


@pytest.mark.parametrize(("token", "may"), [(SCIENTIST, True), (AUDITOR, False)])
@pytest.mark.parametrize("is_empty", [True, False])
async def test_deploying_is_offered_to_those_whose_roles_let_them(
    browser: httpx.AsyncClient, platform: FakePlatform, token: str, may: bool, is_empty: bool
) -> None:
    if is_empty:
        platform.models.clear()
    await sign_in(browser, token)
    assert ('href="/console/deploy"' in (await browser.get("/console/models")).text) is may
    for way in ("folder", "git", "image"):
        page = (await browser.get(f"/console/deploy?from={way}")).text.partition("<main")[2]
        assert ("Your roles" in page) is not may
        if not may:
            assert "<button" not in page
            assert "<input" not in page
