"""Signing in at a provider, as people do it, and as somebody does who means harm."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from placet.events.testing import ManualClock
from placet.gateway.console import session
from placet.gateway.console.app import Console
from placet.gateway.console.signing_in import SigningIn, client_of
from placet.gateway.settings import GatewaySettings
from placet.identity import own_person_key, provider_of
from placet.identity.claims import claimed_issuer

from tests.support.oidc_provider import CLIENT, SECRET, OidcProvider, rsa_key, running
from tests.unit.client.fake_platform import ADMIN, FakePlatform

FROM_ELSEWHERE = {"Sec-Fetch-Site": "cross-site"}
HOME = "/console/models"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock, platform: FakePlatform) -> Iterator[OidcProvider]:
    with running(OidcProvider(now=lambda: clock.now().timestamp())) as provider:
        platform.guests = lambda token: claimed_issuer(token) == provider.issuer
        yield provider


@pytest.fixture
async def console(
    server: OidcProvider, platform: FakePlatform, clock: ManualClock, tmp_path: Path
) -> AsyncIterator[Console]:
    secret = tmp_path / "client.secret"
    secret.write_text(f"{SECRET}\n")
    settings = GatewaySettings(
        registry=str(tmp_path),
        token_key=tmp_path / "tokens.pem",
        admin_token_file=tmp_path / "admin.token",
        api_url=platform.url,
        oidc_issuer=server.issuer,
        oidc_client_id=CLIENT,
        oidc_client_secret_file=secret if server.secret else None,
        oidc_person_key=own_person_key(tmp_path / "people.key"),
    )
    provider, client = provider_of(settings, clock), client_of(settings)
    assert provider is not None
    assert client is not None
    console = Console(platform.url, clock, SigningIn(provider, client, platform.url, clock))
    await console.start()
    yield console
    await console.close()
    await provider.close()


def a_browser(console: Console, address: str = "http://console") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=console.app)
    return httpx.AsyncClient(transport=transport, base_url=address, headers={"Sec-Fetch-Site": "same-origin"})


@pytest.fixture
async def browser(console: Console) -> AsyncIterator[httpx.AsyncClient]:
    async with a_browser(console) as http:
        yield http


async def begin(browser: httpx.AsyncClient, back: str = HOME) -> dict[str, str]:
    """What the provider is asked."""
    answer = await browser.get("/console/sign-in/provider", params={"next": back})
    assert answer.status_code == 303, answer.text
    return {name: values[-1] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


async def come_back(browser: httpx.AsyncClient, address: str) -> httpx.Response:
    parts = urlsplit(address)
    return await browser.get(f"{parts.path}?{parts.query}", headers=FROM_ELSEWHERE)


async def sign_in(browser: httpx.AsyncClient, server: OidcProvider, back: str = HOME) -> httpx.Response:
    return await come_back(browser, server.let_in(await begin(browser, back), "ada"))


def must_be_refused(answer: httpx.Response, why: str, status: int = 403) -> None:
    assert answer.status_code == status, answer.text
    assert 'role="alert"' in answer.text
    assert why in answer.text, re.sub(r"(?s).*role=.alert.>(.*?)</p>.*", r"\1", answer.text)
    assert not any(each.startswith(f"{session.COOKIE}=") for each in answer.headers.get_list("set-cookie"))
    assert "Sign in with 127.0.0.1" in answer.text


def alter(browser: httpx.AsyncClient, **changed: Any) -> None:
    """What the browser keeps of the sign-in that it began."""
    (kept,) = [each for each in browser.cookies.jar if each.name.startswith("placet-sign-in-")]
    value = str(kept.value)
    attempt = json.loads(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
    kept.value = base64.urlsafe_b64encode(json.dumps({**attempt, **changed}).encode()).rstrip(b"=").decode()


# As people do it.


async def test_the_page_offers_the_provider_beside_a_token(
    browser: httpx.AsyncClient, server: OidcProvider
) -> None:
    page = (await browser.get("/console/sign-in?next=/console/audit")).text
    assert (
        '<a class="button" href="/console/sign-in/provider?next=%2Fconsole%2Faudit">Sign in with 127.0.0.1</a>'
        in page
    )
    assert 'name="token"' in page
    assert server.asked.total() == 0  # which may be away: a token signs in all the same


async def test_what_is_asked_of_the_provider_is_a_code_with_proofs(
    browser: httpx.AsyncClient, server: OidcProvider
) -> None:
    asked = await begin(browser)
    assert asked.pop("tenant") == "tests"  # the provider's own
    state, nonce, challenge = (asked.pop(name) for name in ("state", "nonce", "code_challenge"))
    assert min(len(state), len(nonce), len(challenge)) >= 43
    assert len({state, nonce, challenge}) == 3
    assert asked == {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": "http://console/console/sign-in/callback",
        "scope": "openid email profile",
        "code_challenge_method": "S256",
    }
    assert (await begin(browser))["state"] != state


async def test_who_signed_in_there_is_signed_in_here_and_at_the_page_that_was_wanted(
    browser: httpx.AsyncClient, server: OidcProvider
) -> None:
    answer = await sign_in(browser, server, "/console/models/wine/logs?replica=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/models/wine/logs?replica=1")
    assert (await browser.get(HOME)).status_code == 200
    kept, dropped = answer.headers.get_list("set-cookie")
    for each in (kept, dropped):
        assert {"httponly", "path=/console", "samesite=lax"} <= {
            part.strip().lower() for part in each.split(";")
        }
    assert kept.startswith("placet-console=")
    assert "max-age=0" in dropped.lower()


async def test_a_client_without_a_secret_signs_in_by_its_proof_alone(
    server: OidcProvider, platform: FakePlatform, clock: ManualClock, tmp_path: Path
) -> None:
    server.secret = None
    settings = GatewaySettings(
        registry=str(tmp_path),
        token_key=tmp_path / "tokens.pem",
        admin_token_file=tmp_path / "admin.token",
        oidc_issuer=server.issuer,
        oidc_client_id=CLIENT,
        oidc_person_key=own_person_key(tmp_path / "people.key"),
    )
    provider, client = provider_of(settings, clock), client_of(settings)
    assert provider is not None
    assert client is not None
    console = Console(platform.url, clock, SigningIn(provider, client, platform.url, clock))
    await console.start()
    async with a_browser(console) as browser:
        assert (await sign_in(browser, server)).status_code == 303
    await console.close()


@pytest.mark.parametrize("methods", [["client_secret_post"], ["client_secret_basic"], None])
async def test_the_secret_is_shown_as_the_provider_takes_it(
    browser: httpx.AsyncClient, server: OidcProvider, methods: list[str] | None
) -> None:
    server.discovered = {"token_endpoint_auth_methods_supported": methods}
    assert (await sign_in(browser, server)).status_code == 303


async def test_a_long_token_is_kept_in_parts_and_leaves_none_behind(
    browser: httpx.AsyncClient, server: OidcProvider, platform: FakePlatform
) -> None:
    server.over = {"groups": ["placet-scientist", *("g" * 36 for _ in range(130))]}
    answer = await sign_in(browser, server)
    assert answer.status_code == 303, answer.text
    assert max(len(each) for each in answer.headers.get_list("set-cookie")) < 4096
    names = {each.name for each in browser.cookies.jar}
    assert names == {"placet-console", "placet-console-1", "placet-console-2"}
    page = await browser.get(HOME)
    assert page.status_code == 200
    token = next(each for each in server_tokens(browser))
    assert claimed_issuer(token) == server.issuer
    await browser.post("/console/sign-out", data={"proof": session.proof_of(token)})
    assert not {each.name for each in browser.cookies.jar}
    server.over = {}
    await sign_in(browser, server)
    assert {each.name for each in browser.cookies.jar} == {"placet-console"}


def server_tokens(browser: httpx.AsyncClient) -> list[str]:
    """What the browser's cookies come to."""
    kept = {each.name: str(each.value) for each in browser.cookies.jar}
    number, _, first = kept["placet-console"].partition("~")
    return [first + "".join(kept[f"placet-console-{each}"] for each in range(1, int(number)))]


async def test_two_sign_ins_of_one_browser_do_not_disturb_each_other(
    browser: httpx.AsyncClient, server: OidcProvider
) -> None:
    first, second = await begin(browser, "/console/audit"), await begin(browser, "/console/governance")
    for asked, wanted in ((first, "/console/audit"), (second, "/console/governance")):
        answer = await come_back(browser, server.let_in(asked, "ada"))
        assert answer.headers["location"] == wanted


async def test_sign_ins_that_were_given_up_do_not_pile_up(
    browser: httpx.AsyncClient, server: OidcProvider
) -> None:
    for _ in range(30):
        asked = await begin(browser, "/console/models?search=" + "x" * 1900)
        assert sum(len(str(each.value)) for each in browser.cookies.jar) < 14_000
    assert (await come_back(browser, server.let_in(asked, "ada"))).status_code == 303


async def test_behind_an_edge_with_tls_the_way_back_is_by_tls(console: Console, server: OidcProvider) -> None:
    async with a_browser(console, "https://console") as browser:
        assert (await begin(browser))["redirect_uri"].startswith("https://console/")
        (attempt,) = [each.name for each in browser.cookies.jar]
        assert attempt.startswith("__Host-placet-sign-in-")
        answer = await sign_in(browser, server)
        kept = {each.name for each in browser.cookies.jar}
    assert all("; secure" in each.lower() for each in answer.headers.get_list("set-cookie"))
    assert kept == {"__Host-placet-console", attempt}


async def test_a_sign_in_that_a_site_beside_it_began_is_not_taken_for_one_that_began_here(
    console: Console, server: OidcProvider
) -> None:
    """Whoever can set the plain names gives somebody a sign-in of their own to end."""
    async with (
        a_browser(console, "https://console") as theirs,
        a_browser(console, "https://console") as other,
    ):
        address = server.let_in(await begin(theirs), "eve")
        (attempt,) = [(each.name, str(each.value)) for each in theirs.cookies.jar]
        tossed = f"{attempt[0].removeprefix(session.HOST)}={attempt[1]}"
        parts = urlsplit(address)
        headers = {**FROM_ELSEWHERE, "Cookie": tossed}
        answer = await other.get(f"{parts.path}?{parts.query}", headers=headers)
        must_be_refused(answer, "waits for no such answer")
        assert not list(other.cookies.jar)


async def test_a_long_token_is_kept_in_parts_by_https_too(console: Console, server: OidcProvider) -> None:
    server.over = {"groups": ["placet-scientist", *("g" * 36 for _ in range(130))]}
    async with a_browser(console, "https://console") as browser:
        await sign_in(browser, server)
        names = {each.name for each in browser.cookies.jar}
        assert names == {f"__Host-placet-console{part}" for part in ("", "-1", "-2")}
        assert (await browser.get(HOME)).status_code == 200


async def test_where_the_edge_does_not_say_so_the_platforms_own_address_does(
    server: OidcProvider, platform: FakePlatform, clock: ManualClock, console: Console
) -> None:
    signing_in = console._provider
    assert signing_in is not None
    signing_in._url = "https://models.example.org"
    async with a_browser(console, "http://models.example.org") as browser:
        assert (await begin(browser))["redirect_uri"].startswith("https://models.example.org/console/")


async def test_when_the_token_ends_so_does_the_session_and_who_signs_in_again_is_where_they_were(
    browser: httpx.AsyncClient, server: OidcProvider, platform: FakePlatform
) -> None:
    await sign_in(browser, server)
    platform.guests = lambda token: False  # as services do from its end on
    answer = await browser.get("/console/models?search=wine")
    where = answer.headers["location"]
    assert where == "/console/sign-in?next=%2Fconsole%2Fmodels%3Fsearch%3Dwine&ended=1"
    page = (await browser.get(where)).text
    assert "your token holds no more" in page
    assert "/console/sign-in/provider?next=%2Fconsole%2Fmodels%3Fsearch%3Dwine" in page


async def test_a_form_that_was_sent_too_late_leads_back_to_its_page(
    browser: httpx.AsyncClient, server: OidcProvider, platform: FakePlatform
) -> None:
    await sign_in(browser, server)
    token = next(str(each.value) for each in browser.cookies.jar if each.name == session.COOKIE)
    platform.guests = lambda token: False
    data = {"proof": session.proof_of(token), "command": "stop"}
    came = {"Referer": "http://console/console/models/wine?x=1"}
    answer = await browser.post("/console/models/wine/commands", data=data, headers=came)
    assert answer.headers["location"] == "/console/sign-in?next=%2Fconsole%2Fmodels%2Fwine%3Fx%3D1&ended=1"


async def test_signing_out_ends_the_session_and_offers_to_leave_the_provider(
    browser: httpx.AsyncClient, server: OidcProvider
) -> None:
    await sign_in(browser, server)
    token = next(str(each.value) for each in browser.cookies.jar if each.name == session.COOKIE)
    answer = await browser.post("/console/sign-out", data={"proof": session.proof_of(token)})
    assert answer.headers["location"] == "/console/sign-in?out=1"
    assert (await browser.get(HOME)).status_code == 303
    assert 'href="/console/sign-out/provider"' in (await browser.get("/console/sign-in?out=1")).text
    left = await browser.get("/console/sign-out/provider")
    assert left.headers["location"] == f"{server.issuer}/logout?client_id=placet"
    assert token not in left.headers["location"]


async def test_a_provider_without_a_way_out_is_not_offered_one(
    browser: httpx.AsyncClient, server: OidcProvider
) -> None:
    server.discovered = {"end_session_endpoint": "http://elsewhere.example.org/logout"}
    assert "/console/sign-out/provider" not in (await browser.get("/console/sign-in?out=1")).text
    assert (await browser.get("/console/sign-out/provider")).headers["location"] == "/console/sign-in"


async def test_who_signed_in_with_a_token_is_offered_no_way_out_of_a_provider(
    browser: httpx.AsyncClient,
) -> None:
    await browser.post("/console/sign-in", data={"token": ADMIN})
    answer = await browser.post("/console/sign-out", data={"proof": session.proof_of(ADMIN)})
    assert answer.headers["location"] == "/console/sign-in"


async def test_a_model_is_shown_a_token_of_our_own_and_no_script_is(
    browser: httpx.AsyncClient, server: OidcProvider, platform: FakePlatform
) -> None:
    await sign_in(browser, server)
    token = next(str(each.value) for each in browser.cookies.jar if each.name == session.COOKIE)
    proof = {"X-Placet-Proof": session.proof_of(token)}
    for _ in range(3):
        await browser.post("/console/api/models/wine/predict", json={}, headers=proof)
    assert platform.requests.count(("POST", "/v1/me/token")) == 1
    assert (await browser.post("/console/api/v1/me/token", json={}, headers=proof)).status_code == 403


# What the provider says.


@pytest.mark.parametrize(
    ("error", "why", "status"),
    [
        ("access_denied", "you, or it, declined", 403),
        ("login_required", "signed nobody in (login_required", 403),
        ("server_error", "cannot sign anybody in now", 503),
        ("<script>alert(1)</script>", "&lt;script&gt;", 403),
    ],
)
async def test_what_the_provider_declines_is_told_in_its_words(
    browser: httpx.AsyncClient, error: str, why: str, status: int
) -> None:
    asked = await begin(browser)
    said = {"error": error, "error_description": "not <b>you</b>\n" + "x" * 1000, "state": asked["state"]}
    answer = await browser.get("/console/sign-in/callback", params=said, headers=FROM_ELSEWHERE)
    must_be_refused(answer, why, status)
    assert "<b>" not in answer.text
    assert "x" * 400 not in answer.text


async def test_who_has_no_role_is_told_which_claim_was_looked_at(
    browser: httpx.AsyncClient, server: OidcProvider
) -> None:
    server.over = {"groups": ["payroll"]}
    answer = await sign_in(browser, server, "/console/audit")
    must_be_refused(answer, "you have no role here")
    assert "<code>groups</code>" in answer.text
    assert "next=%2Fconsole%2Faudit" in answer.text


async def test_whom_the_platform_refuses_is_signed_in_nowhere(
    browser: httpx.AsyncClient, server: OidcProvider, platform: FakePlatform
) -> None:
    platform.guests = lambda token: False
    must_be_refused(await sign_in(browser, server), "no valid token", 401)


@pytest.mark.parametrize(
    ("status", "body", "why", "answered"),
    [
        (400, b'{"error": "invalid_grant"}', "not any more (invalid_grant)", 403),
        (401, b'{"error": "invalid_client"}', "PLACET_OIDC_CLIENT_SECRET_FILE", 403),
        (400, b"<html>", "(400)", 403),
        (503, b"", "cannot sign anybody in now", 503),
        (429, b"", "cannot sign anybody in now", 503),
        (302, b"", "(302)", 403),
        (200, b"{}", "gave no ID token", 400),
        (200, b"[[[", "gave no ID token", 400),
        (200, b'{"id_token": 7}', "gave no ID token", 400),
        (200, b'{"id_token": "a.b.c"}', "no token of the provider", 401),
        (200, b'{"id_token": "' + b"x" * 9000 + b'"}', "9000 characters", 400),
        (200, b"x" * 600_000, "more than", 400),
    ],
)
async def test_nonsense_in_place_of_a_token_is_told(
    browser: httpx.AsyncClient, server: OidcProvider, status: int, body: bytes, why: str, answered: int
) -> None:
    server.answers["/token"] = status, body
    answer = await sign_in(browser, server)
    must_be_refused(answer, why, answered)
    assert SECRET not in answer.text


async def test_a_provider_that_is_away_is_told_and_a_token_signs_in(
    browser: httpx.AsyncClient, server: OidcProvider
) -> None:
    server.answers["/.well-known/openid-configuration"] = 503, b""
    answer = await browser.get("/console/sign-in/provider?next=/console/audit")
    must_be_refused(answer, "PLACET_OIDC_ISSUER", 503)
    assert (await browser.post("/console/sign-in", data={"token": ADMIN})).status_code == 303


# Who means harm.


@pytest.mark.parametrize("state", ["", "x", "x" * 43, "x" * 5000, "\x00", "../../etc"])
async def test_an_answer_that_nobody_asked_for_signs_nobody_in(
    browser: httpx.AsyncClient, server: OidcProvider, state: str
) -> None:
    await begin(browser)
    answer = await browser.get(
        "/console/sign-in/callback", params={"code": "c", "state": state}, headers=FROM_ELSEWHERE
    )
    must_be_refused(answer, "waits for no such answer")
    assert server.asked["/token"] == 0


async def test_an_answer_without_a_state_or_with_two_signs_nobody_in(
    browser: httpx.AsyncClient, server: OidcProvider
) -> None:
    state = (await begin(browser))["state"]
    for query in ("code=c", f"code=c&state={state}&state=x", f"code=c&state=x&state={state}"):
        must_be_refused(await browser.get(f"/console/sign-in/callback?{query}"), "waits for no such answer")
    assert server.asked["/token"] == 0


async def test_the_answer_to_somebody_elses_sign_in_signs_nobody_in(
    console: Console, browser: httpx.AsyncClient, server: OidcProvider
) -> None:
    """The attacker signs in as themselves, and leads a victim to the answer: nobody works as another unknowingly."""
    async with a_browser(console) as attacker:
        answer = server.let_in(await begin(attacker), "mallory")
        must_be_refused(await come_back(browser, answer), "waits for no such answer")
        await begin(browser)  # nor with one of their own under way
        must_be_refused(await come_back(browser, answer), "waits for no such answer")
    assert server.asked["/token"] == 0


async def test_an_answer_is_good_once(browser: httpx.AsyncClient, server: OidcProvider) -> None:
    answer = server.let_in(await begin(browser), "ada")
    assert (await come_back(browser, answer)).status_code == 303
    must_be_refused(await come_back(browser, answer), "waits for no such answer")


async def test_an_answer_that_was_declined_is_used_up(
    browser: httpx.AsyncClient, server: OidcProvider
) -> None:
    asked = await begin(browser)
    await come_back(
        browser, f"http://console/console/sign-in/callback?error=access_denied&state={asked['state']}"
    )
    must_be_refused(await come_back(browser, server.let_in(asked, "ada")), "waits for no such answer")


async def test_an_attempt_ends_after_some_minutes(
    browser: httpx.AsyncClient, server: OidcProvider, clock: ManualClock
) -> None:
    asked = await begin(browser)
    assert "max-age=600" in (await browser.get("/console/sign-in/provider")).headers["set-cookie"].lower()
    clock.pass_(timedelta(minutes=10, seconds=1))
    must_be_refused(await come_back(browser, server.let_in(asked, "ada")), "longer than 10 minutes")


async def test_a_code_of_somebody_elses_sign_in_is_refused_by_its_proof(
    console: Console, browser: httpx.AsyncClient, server: OidcProvider
) -> None:
    """A code that was stolen is put into an answer to one's own sign-in."""
    async with a_browser(console) as victim:
        stolen = parse_qs(urlsplit(server.let_in(await begin(victim), "ada")).query)["code"][0]
    state = (await begin(browser))["state"]
    answer = await come_back(browser, f"http://console/console/sign-in/callback?code={stolen}&state={state}")
    must_be_refused(answer, "another code_verifier")


async def test_a_token_of_another_sign_in_is_refused_by_its_nonce(
    browser: httpx.AsyncClient, server: OidcProvider
) -> None:
    for nonce in ("x" * 43, None, 7, ""):
        server.over = {"nonce": nonce}
        must_be_refused(await sign_in(browser, server), "another sign-in")


@pytest.mark.parametrize(
    ("over", "why"),
    [
        ({"aud": "payroll"}, "&#39;payroll&#39;"),
        ({"azp": "payroll"}, "somebody else than placet"),
        ({"iss": "https://login.example.org"}, "not of http://127.0.0.1"),
        ({"exp": 1}, "expired"),
    ],
)
async def test_a_token_that_is_not_for_the_console_is_refused(
    browser: httpx.AsyncClient, server: OidcProvider, over: dict[str, Any], why: str
) -> None:
    server.over = over
    must_be_refused(await sign_in(browser, server), why, 401)


async def test_a_token_signed_by_a_key_that_came_just_now_is_waited_for(
    browser: httpx.AsyncClient, server: OidcProvider, clock: ManualClock
) -> None:
    assert (await sign_in(browser, server)).status_code == 303
    server.keys.append(rsa_key("second", 1))
    clock.pass_(timedelta(seconds=4.9))
    assert (await sign_in(browser, server)).status_code == 303


async def test_an_answer_of_another_provider_is_refused(
    browser: httpx.AsyncClient, server: OidcProvider
) -> None:
    state = (await begin(browser))["state"]
    query = f"code=c&state={state}&iss=https%3A%2F%2Fevil.example"
    answer = await come_back(browser, f"http://console/console/sign-in/callback?{query}")
    must_be_refused(answer, "another provider")
    assert server.asked["/token"] == 0


@pytest.mark.parametrize("query", ["", "&code=", "&code=a&code=b", "&code=" + "x" * 5000])
async def test_an_answer_without_one_code_is_refused(
    browser: httpx.AsyncClient, server: OidcProvider, query: str
) -> None:
    state = (await begin(browser))["state"]
    answer = await come_back(browser, f"http://console/console/sign-in/callback?state={state}{query}")
    must_be_refused(answer, "with no code", 400)
    assert server.asked["/token"] == 0


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "/console/sign-out/provider", ""],
)
async def test_nobody_is_led_away_whatever_is_in_link_or_cookie(
    browser: httpx.AsyncClient, server: OidcProvider, wanted: str
) -> None:
    assert (await sign_in(browser, server, wanted)).headers["location"] == HOME
    asked = await begin(browser)
    alter(browser, back=wanted)
    assert (await come_back(browser, server.let_in(asked, "ada"))).headers["location"] == HOME


async def test_a_way_back_that_was_changed_is_refused_by_the_provider(
    browser: httpx.AsyncClient, server: OidcProvider
) -> None:
    asked = await begin(browser)
    alter(browser, redirect="https://evil.example/")
    must_be_refused(await come_back(browser, server.let_in(asked, "ada")), "another redirect_uri")


@pytest.mark.parametrize("kept", ["", "x", "e30", "bnVsbA", "W10", "!" * 30, "x" * 4000])
async def test_nonsense_in_the_cookie_signs_nobody_in(
    browser: httpx.AsyncClient, server: OidcProvider, kept: str
) -> None:
    asked = await begin(browser)
    for each in browser.cookies.jar:
        each.value = kept
    must_be_refused(await come_back(browser, server.let_in(asked, "ada")), "waits for no such answer")


async def test_another_site_begins_no_sign_in(browser: httpx.AsyncClient, server: OidcProvider) -> None:
    answer = await browser.get("/console/sign-in/provider", headers=FROM_ELSEWHERE)
    must_be_refused(answer, "another site")
    assert "set-cookie" not in answer.headers


async def test_a_session_that_was_planted_is_replaced(
    browser: httpx.AsyncClient, server: OidcProvider
) -> None:
    for name, value in (
        ("placet-console", "3~planted"),
        ("placet-console-1", "x"),
        ("placet-console-2", "y"),
    ):
        browser.cookies.set(name, value, domain="console.local", path="/console")
    answer = await sign_in(browser, server)
    kept = [each for each in answer.headers.get_list("set-cookie") if each.startswith("placet-console")]
    assert claimed_issuer(kept[0].partition("=")[2].partition(";")[0]) == server.issuer
    assert [each.partition("=")[0] for each in kept[1:] if "max-age=0" in each.lower()] == [
        "placet-console-1",
        "placet-console-2",
    ]


@pytest.mark.parametrize("first", ["1~a", "4~a", "~a", "99999999999~a", "-1~a", "2~", "2~a"])
async def test_parts_that_do_not_fit_sign_nobody_in(browser: httpx.AsyncClient, first: str) -> None:
    answer = await browser.get(HOME, headers={"Cookie": f"placet-console={first}"})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/console/sign-in")


async def test_without_a_provider_there_is_no_way_to_one(platform: FakePlatform, clock: ManualClock) -> None:
    console = Console(platform.url, clock)
    await console.start()
    async with a_browser(console) as browser:
        assert "Sign in with" not in (await browser.get("/console/sign-in")).text
        for path in ("/console/sign-in/provider", "/console/sign-in/callback", "/console/sign-out/provider"):
            assert (await browser.get(path)).status_code == 404
    await console.close()
