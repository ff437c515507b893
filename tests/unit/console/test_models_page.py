"""The page that a new user sees first, and how times are told on it."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from placet.gateway.console.views import ago, ahead
from placet.projects.manifest import parse_manifest

from tests.unit.client.fake_platform import ADMIN, FakePlatform
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
