"""Cookies that somebody else put into a browser: a site beside this one in its domain, or another port of its host.

A browser keeps the others from a name that begins with `__Host-`, and from nothing else. So by HTTPS no other counts.
"""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from placet.errors import Refused
from placet.events.clocks import SystemClock
from placet.gateway.console import session
from placet.gateway.console.app import Console

from tests.unit.client.fake_platform import ADMIN, SCIENTIST, FakePlatform

SAFE = f"{session.HOST}{session.COOKIE}"
SIGNED_OUT = "/console/sign-in?next=%2Fconsole%2Fmodels"


@pytest.fixture
def safe(browser: httpx.AsyncClient) -> httpx.AsyncClient:
    browser.base_url = httpx.URL("https://console")
    return browser


async def signed_in(browser: httpx.AsyncClient, token: str = ADMIN, **headers: str) -> list[list[str]]:
    """The parts of each cookie that is set, the name with its value first."""
    answer = await browser.post("/console/sign-in", data={"token": token}, headers=headers)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/models")
    return [
        [part.strip() for part in each.lower().split(";")] for each in answer.headers.get_list("set-cookie")
    ]


async def place(browser: httpx.AsyncClient, *cookies: bytes) -> str | None:
    """Where somebody with such cookies is led from a page; None: they see it."""
    browser.cookies.clear()
    answer = await browser.get("/console/models", headers={b"cookie": b"; ".join(cookies)})
    assert answer.status_code in (200, 303)
    location: str | None = answer.headers.get("location")
    return location


async def test_by_https_it_is_of_this_host_alone(safe: httpx.AsyncClient) -> None:
    (kept,) = await signed_in(safe)
    assert kept[0] == f"{SAFE}={ADMIN}".lower()
    assert {"secure", "httponly", "path=/", "samesite=lax"} <= set(kept)
    assert not any(each.startswith("domain") for each in kept)
    assert (await safe.get("/console/models")).status_code == 200


async def test_without_https_it_has_the_plain_name(browser: httpx.AsyncClient) -> None:
    (kept,) = await signed_in(browser)
    assert kept[0] == f"{session.COOKIE}={ADMIN}".lower()
    assert {"httponly", "path=/console", "samesite=lax"} <= set(kept)
    assert "secure" not in kept


async def test_an_edge_that_ended_tls_says_so(browser: httpx.AsyncClient) -> None:
    headers = {"X-Forwarded-Proto": "https"}
    (kept,) = await signed_in(browser, **headers)
    assert kept[0].startswith(SAFE.lower())
    cookies = {**headers, "Cookie": f"{SAFE}={ADMIN}"}
    assert (await browser.get("/console/models", headers=cookies)).status_code == 200


async def test_where_it_does_not_the_platforms_own_address_does(platform: FakePlatform) -> None:
    """Though the console itself asks at another one."""
    console = Console("https://models.example.org", SystemClock(), asks=platform.url)
    await console.start()
    transport = httpx.ASGITransport(app=console.app)
    names = []
    for host in ("models.example.org", "127.0.0.1:8001"):
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as browser:
            names.append((await signed_in(browser, **{"Sec-Fetch-Site": "same-origin"}))[0][0])
    await console.close()
    assert [name.startswith(SAFE.lower()) for name in names] == [True, False]


@pytest.mark.parametrize(
    "tossed",
    [
        f"{session.COOKIE}={SCIENTIST}".encode(),
        # Names that a server may take for the one that a browser guards, and the browser does not.
        *(name + b"=" + SCIENTIST.encode() for name in (
            b"\xa0" + SAFE.encode(), b"\x85" + SAFE.encode(), SAFE.encode() + b" ", b"\x0b" + SAFE.encode(),
            SAFE.lower().encode(), b'"' + SAFE.encode() + b'"', SAFE.encode() + b"\x0c",
        )),
    ],
)  # fmt: skip
async def test_what_a_site_beside_it_sets_signs_nobody_in_and_changes_nobody(
    safe: httpx.AsyncClient, tossed: bytes
) -> None:
    assert await place(safe, tossed) == SIGNED_OUT
    own = f"{SAFE}={ADMIN}".encode()
    for cookies in ((tossed, own), (own, tossed)):
        headers = {b"cookie": b"; ".join(cookies), b"x-placet-proof": session.proof_of(ADMIN).encode()}
        assert (await safe.get("/console/api/v1/me", headers=headers)).json()["roles"] == ["admin"]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_of_two_with_its_name_none_counts(browser: httpx.AsyncClient, scheme: str) -> None:
    browser.base_url = httpx.URL(f"{scheme}://console")
    name = SAFE if scheme == "https" else session.COOKIE
    own, planted = f"{name}={ADMIN}".encode(), f"{name}={SCIENTIST}".encode()
    assert await place(browser, own) is None
    assert await place(browser, own, planted) == SIGNED_OUT
    assert await place(browser, planted, own) == SIGNED_OUT


async def test_who_signs_in_by_https_keeps_none_of_the_plain_ones(safe: httpx.AsyncClient) -> None:
    """They were set before there was HTTPS, or by an older version, and may hold a token."""
    plain = f"{session.COOKIE}=2~some; {session.COOKIE}-1=where"
    kept, *dropped = await signed_in(safe, Cookie=plain)
    assert kept[0].startswith(SAFE.lower())
    assert [each[0] for each in dropped] == [f'{session.COOKIE}=""', f'{session.COOKIE}-1=""']
    assert all({"max-age=0", "path=/console"} <= set(each) for each in dropped)


async def test_who_signs_out_by_https_keeps_nothing(safe: httpx.AsyncClient) -> None:
    await signed_in(safe)
    assert [each.name for each in safe.cookies.jar] == [SAFE]
    await safe.post("/console/sign-out", data={"proof": session.proof_of(ADMIN)})
    assert not list(safe.cookies.jar)


def test_an_authority_that_is_none_is_named_at_the_start(tmp_path: Path) -> None:
    """Of the address that the console itself asks."""
    for content, why in ((None, "No such file"), (b"nothing", "no certificate in PEM")):
        file = tmp_path / "authority.pem"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(Refused, match=rf"PLACET_API_CA: {file} cannot be read: .*{why}"):
            Console("https://models.example.org", SystemClock(), authority=file)
