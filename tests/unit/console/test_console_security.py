"""Who means harm: the console answers nobody in somebody's name, and shows nobody's words as anything but words."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from placet.gateway.console import session
from placet.gateway.console.markdown import rendered
from placet.gateway.console.views import told

from tests.unit.client.fake_platform import ADMIN, AUDITOR, SCIENTIST, FakePlatform

SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
PAGES = [
    *(
        f"models/wine{each}"
        for each in ("", "/try", "/releases", "/logs", "/lineage", "/members", "/timeline")
    ),
    "models",
    "audit",
    "audit/why?project=wine",
]


async def sign_in(browser: httpx.AsyncClient, token: str = ADMIN) -> None:
    answer = await browser.post("/console/sign-in", data={"token": token})
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/models")


def a_model(platform: FakePlatform, **said: Any) -> None:
    platform.models["wine"] = {"project": "wine", "release": 1, "state": "live", "url": None, **said}


def command(**form: str) -> dict[str, str]:
    return {"proof": session.proof_of(ADMIN), "command": "stop", **form}


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("until 2026-11-29T06:33:44.297Z", "until 2026-11-29 06:33:44 UTC"),
        ("at 2026-11-29T06:33:44Z, <b>", "at 2026-11-29 06:33:44 UTC, &lt;b&gt;"),
        ("write `2026-11-29T06:33:44Z`", "write <code>2026-11-29T06:33:44Z</code>"),
        ("at 2026-13-99T06:33:44Z", "at 2026-13-99T06:33:44Z"),
    ],
)
def test_times_in_words_are_as_people_read_them(words: str, shown: str) -> None:
    assert str(told(words)) == shown


async def test_what_a_model_was_asked_is_drawn_with_its_times(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    """And with what the signed conditions allow: here nothing."""
    windows = [
        {"release": 1, "since": f"2026-01-02T0{hour}:00:00.000Z", "until": f"2026-01-02T0{hour}:05:00.000Z"}
        | {"requests": 7, "errors": 1, "p99_ms": 3.5}
        for hour in (4, 5)
    ]
    a_model(platform, windows=windows)
    await sign_in(browser)
    answer = await browser.get("/console/models/wine")
    assert answer.status_code == 200
    assert "In the last 2 windows" in answer.text
    assert answer.text.count('class="ends"') == 3
    assert "Jan 02, 04:00" in answer.text


# Who is signed in.


async def test_who_is_not_signed_in_sees_no_page_and_asks_for_nothing(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    for path in ("models", "models/wine", "deploy", "operations/1"):
        answer = await browser.get(f"/console/{path}")
        assert (answer.status_code, answer.headers["location"]) == (
            303,
            f"/console/sign-in?next=%2Fconsole%2F{path.replace('/', '%2F')}",
        )
    assert (await browser.get("/console/api/v1/me")).status_code == 401
    assert (await browser.post("/console/models/wine/commands", data=command())).status_code == 303
    assert platform.requests == []


async def test_the_cookie_is_for_no_script_and_no_other_path(browser: httpx.AsyncClient) -> None:
    answer = await browser.post("/console/sign-in", data={"token": ADMIN})
    said = answer.headers["set-cookie"].lower()
    assert "httponly" in said
    assert "path=/console;" in said + ";"
    assert "samesite=lax" in said
    assert "secure" not in said
    browser.base_url = httpx.URL("https://console")
    assert (
        "secure"
        in (await browser.post("/console/sign-in", data={"token": ADMIN})).headers["set-cookie"].lower()
    )


async def test_a_cookie_from_before_is_replaced_at_signing_in(browser: httpx.AsyncClient) -> None:
    """Whoever put one into somebody's browser knows nothing of what that one signs in with."""
    browser.cookies.set(session.COOKIE, "planted", path="/console")
    await sign_in(browser, SCIENTIST)
    assert SCIENTIST in {each.value for each in browser.cookies.jar}
    assert "planted" not in {each.value for each in browser.cookies.jar if each.domain != ""}


@pytest.mark.parametrize("token", ["", "wrong", "a b", "ü", "x" * 70_000])
async def test_a_token_that_does_not_hold_signs_nobody_in(browser: httpx.AsyncClient, token: str) -> None:
    answer = await browser.post("/console/sign-in", data={"token": token})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert 'role="alert"' in answer.text


async def test_a_token_that_holds_no_more_signs_out(browser: httpx.AsyncClient) -> None:
    browser.cookies.set(session.COOKIE, "revoked", path="/console")
    answer = await browser.get("/console/models")
    assert answer.headers["location"].startswith("/console/sign-in?next=%2Fconsole%2Fmodels&ended")
    assert 'placet-console=""' in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/", "//evil.example/", "/\\evil.example", "/console/../v1/me\\", "javascript:alert(1)",
        "/console//evil.example\n", "/models/evil/", "/console/sign-out", "", "/console/" + "a" * 3000, "/console/\x00",
    ],
)  # fmt: skip
async def test_after_signing_in_nobody_is_led_away(browser: httpx.AsyncClient, wanted: str) -> None:
    answer = await browser.post("/console/sign-in", data={"token": ADMIN, "next": wanted})
    assert answer.headers["location"] == "/console/models"


async def test_after_signing_in_the_page_that_was_wanted_is_shown(browser: httpx.AsyncClient) -> None:
    data = {"token": ADMIN, "next": "/console/models/wine/logs?x=1"}
    assert (await browser.post("/console/sign-in", data=data)).headers[
        "location"
    ] == "/console/models/wine/logs?x=1"


# Requests that somebody else's page makes.


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
    ],
)
async def test_another_site_s_page_asks_for_nothing(
    browser: httpx.AsyncClient, platform: FakePlatform, headers: dict[str, str]
) -> None:
    await sign_in(browser)
    before = len(platform.requests)
    for path, data in (
        ("/console/models/wine/commands", command()),
        ("/console/deploy", {"proof": session.proof_of(ADMIN), "image": "x"}),
        ("/console/sign-in", {"token": SCIENTIST}),
        ("/console/sign-out", {"proof": session.proof_of(ADMIN)}),
    ):
        answer = await browser.post(path, data=data, headers=headers)
        assert answer.status_code in (401, 403)
        assert "set-cookie" not in answer.headers
    assert (await browser.get("/console/api/v1/me", headers=headers)).status_code == 403
    assert len(platform.requests) == before


async def test_a_browser_that_says_no_site_says_its_origin(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    await sign_in(browser)
    a_model(platform)
    del browser.headers["Sec-Fetch-Site"]
    for origin, status in (("http://evil", 403), ("null", 403), ("http://console", 303)):
        answer = await browser.post(
            "/console/models/wine/commands", data=command(), headers={"Origin": origin}
        )
        assert answer.status_code == status


async def test_what_a_browser_says_of_itself_may_be_no_address(browser: httpx.AsyncClient) -> None:
    answer = await browser.post("/console/models/wine/commands", headers={"Referer": "http://["})
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/sign-in")
    await sign_in(browser)
    del browser.headers["Sec-Fetch-Site"]
    answer = await browser.post(
        "/console/models/wine/commands", data=command(), headers={"Origin": "http://["}
    )
    assert answer.status_code == 403


@pytest.mark.parametrize("proof", [None, "", "0" * 64, session.proof_of(SCIENTIST), "ü"])
async def test_a_form_without_its_proof_asks_for_nothing(
    browser: httpx.AsyncClient, platform: FakePlatform, proof: str | None
) -> None:
    await sign_in(browser)
    form = {"command": "stop"} if proof is None else {"command": "stop", "proof": proof}
    assert (await browser.post("/console/models/wine/commands", data=form)).status_code == 403
    headers = {} if proof in (None, "ü") else {"X-Placet-Proof": str(proof)}
    assert (await browser.post("/console/api/v1/commands", json={}, headers=headers)).status_code == 403
    assert platform.commands == []


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "application/json"])
async def test_what_is_no_form_is_none(browser: httpx.AsyncClient, kind: str) -> None:
    await sign_in(browser)
    said = f"proof={session.proof_of(ADMIN)}&command=stop"
    answer = await browser.post("/console/models/wine/commands", content=said, headers={"Content-Type": kind})
    assert answer.status_code == 400


async def test_a_form_without_end_is_cut_off(browser: httpx.AsyncClient) -> None:
    await sign_in(browser)
    answer = await browser.post("/console/models/wine/commands", data=command(reason="x" * (1 << 20)))
    assert answer.status_code == 413


# Pages in frames, and what a page may do.


async def test_every_page_says_that_nobody_frames_it_and_only_its_own_scripts_run(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    a_model(platform)
    nonces = set()
    for path in ("sign-in", "models", "models/none-such", "nothing-here"):
        if path == "models":
            await sign_in(browser)
        answer = await browser.get(f"/console/{path}")
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        (nonce,) = set(re.findall(r"'nonce-([^']+)'", policy))
        assert all(
            f'nonce="{nonce}"' in tag
            for tag in re.findall(r"<(?:script|link rel=.stylesheet)[^>]*>", answer.text)
        )
        assert not re.search(r"<[^>]+\s(?:on\w+|style)=", answer.text)
        nonces.add(nonce)
    assert len(nonces) == 4


# Other people's words.


@pytest.mark.parametrize("page", PAGES)
async def test_words_of_a_model_are_words(
    browser: httpx.AsyncClient, platform: FakePlatform, page: str
) -> None:
    a_model(
        platform,
        detail=SCRIPT,
        image="sha256:" + "1" * 64,
        refusals=[{"rule": SCRIPT, "why": SCRIPT, "fix": SCRIPT}],
        url=f"javascript:{SCRIPT}",
    )
    platform.log = [SCRIPT]
    platform.example = {"inputs": [{SCRIPT: SCRIPT}]}
    platform.events = [
        {
            "id": SCRIPT, "source": SCRIPT, "type": f"placet.x.{SCRIPT}.v1", "partitionkey": "wine",
            "data": {SCRIPT: SCRIPT}, "sequence": 1, "time": SCRIPT,
        }
    ]  # fmt: skip
    await sign_in(browser)
    answer = await browser.get(f"/console/{page}")
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "<img src=x" not in answer.text
    assert 'href="javascript:' not in answer.text


async def test_a_number_of_thousands_of_digits_is_no_position(browser: httpx.AsyncClient) -> None:
    await sign_in(browser)
    for path in (f"audit?before={'9' * 5000}", f"audit/then?position={'9' * 5000}"):
        assert (await browser.get(f"/console/{path}")).status_code == 400


async def test_what_an_address_says_is_not_said_back_as_anything_else(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    await sign_in(browser)
    for path in (
        "models?search={}", "models?state={}", "models?after={}", "models?said={}", "models/{}", "operations/{}", "{}",
        "deploy?from={}", "deploy?from=image&image={}", "sign-in?next={}", "audit?type={}&project={}&before={}",
        "audit/why?project={}&at={}", "audit/then?position={}&at={}",
    ):  # fmt: skip
        answer = await browser.get(
            f"/console/{path}".replace("{}", httpx.QueryParams({"": SCRIPT}).__str__()[1:])
        )
        assert "<script>alert" not in answer.text, path
        assert "onerror=alert(1)>" not in answer.text, path


@pytest.mark.parametrize(
    "seal", ["", "x", session.seal_of(SCIENTIST, "Send your token to me"), "ü", session.seal_of(ADMIN, "")]
)
async def test_no_link_speaks_for_the_console(browser: httpx.AsyncClient, seal: str) -> None:
    await sign_in(browser)
    words = "Send your token to me"
    for said, is_shown in ((seal, False), (session.seal_of(ADMIN, words), True)):
        answer = await browser.get("/console/models", params={"said": words, "seal": said})
        assert (words in answer.text) is is_shown


@pytest.mark.parametrize(
    "prose",
    [
        "<script>alert(1)</script>", "[x](javascript:alert(1))", "[x](data:text/html,<script>alert(1)</script>)",
        "![x](https://evil.example/who-looks.png)", "<img src=x onerror=alert(1)>", "[x](vbscript:a)",
        "[x]: javascript:alert(1)\n\n[x]", "<a href='javascript:alert(1)'>x</a>", "`<script>`", "# <b onclick=x>y</b>",
        "[x](https://evil.example/\"onmouseover=\"alert(1))",
    ],
)  # fmt: skip
def test_a_card_is_prose_and_does_nothing(prose: str) -> None:
    shown = str(rendered(prose))
    tags = re.findall(r"<(\w+)([^>]*)>", shown)
    assert {name for name, _ in tags} <= {"p", "a", "code", "h3", "em", "strong", "span"}
    for name, attributes in tags:
        assert re.fullmatch(r'( href="https?://[^"]*")?' if name == "a" else "", attributes), shown


def test_a_card_links_to_the_web_and_to_no_page_of_ours() -> None:
    assert str(rendered("[a](https://example.org/x) [b](model.py) [c](/console/sign-out) [d](#use)")) == (
        '<p><a href="https://example.org/x">a</a> <span>b</span> <span>c</span> <span>d</span></p>\n'
    )


def test_a_card_has_its_headings_below_those_of_the_page_and_an_end() -> None:
    assert "<h3>Use</h3>" in str(rendered("# Use"))
    assert "<h6>Deep</h6>" in str(rendered("###### Deep"))
    assert "The rest is left out" in str(rendered("x" * 200_000))


# Roles.


async def test_no_address_gives_more_than_rest_does(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    """The console decides nothing: what REST refuses is refused, whoever makes up the form."""
    await sign_in(browser, AUDITOR)
    a_model(platform)
    page = await browser.get("/console/models/wine")
    assert "Stop wine" not in page.text
    assert "<button" not in (await browser.get("/console/deploy")).text.partition("<main")[2]
    form = {"proof": session.proof_of(AUDITOR), "command": "delete"}
    await browser.post("/console/models/wine/commands", data=form)
    sent = [each for each in platform.requests if each[0] == "POST"]
    assert sent == [("POST", "/v1/commands")]  # as the auditor, whom REST refuses


@pytest.mark.parametrize("named", ["deploy", "build", "nothing", "", "__class__"])
async def test_only_what_may_be_asked_of_a_model_is_asked(
    browser: httpx.AsyncClient, platform: FakePlatform, named: str
) -> None:
    await sign_in(browser)
    answer = await browser.post("/console/models/wine/commands", data=command(command=named))
    assert answer.status_code in (400, 404)
    assert platform.commands == []


# What a script may reach.


@pytest.mark.parametrize(
    "path",
    [
        "livez", "metrics", "v1", "models/wine/docs", "models/wine/predict/more", "v1/../metrics", "v1/%2e%2e/metrics",
        "v1//models", "v1/models/%2e%2e/%2e%2e/metrics", "http://evil.example/v1/me", "v1/tokens", 
        "v1/models%2f..%2fx/..",
        "v1/a\\b", "console/api/v1/me",
    ],
)  # fmt: skip
async def test_a_script_reaches_rest_and_nothing_else(
    browser: httpx.AsyncClient, platform: FakePlatform, path: str
) -> None:
    await sign_in(browser)
    before = len(platform.requests)
    answer = await browser.get(
        httpx.URL("http://console").copy_with(raw_path=f"/console/api/{path}".encode())
    )
    assert answer.status_code in (303, 403, 404)
    assert platform.requests[before:] == []


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("v1/me", {"Accept": b"\xe9"}, 200),
        ("v1/me", {"Last-Event-ID": b"\xff"}, 200),
        ("v1/" + "%e9" * 12_000, {}, 404),
        ("v1/me", {"Cookie": b"placet-console=\xc3\xa9"}, 401),
    ],
)
async def test_what_no_client_would_send_on_is_no_fault_of_ours(
    browser: httpx.AsyncClient, path: str, headers: dict[str, bytes], status: int
) -> None:
    await sign_in(browser)
    if "Cookie" in headers:
        browser.cookies.clear()
    address = httpx.URL("http://console").copy_with(raw_path=f"/console/api/{path}".encode())
    sent = {name.encode(): value for name, value in headers.items()}
    assert (await browser.get(address, headers=sent)).status_code == status


async def test_what_comes_through_is_data_and_no_page(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    await sign_in(browser)
    answer = await browser.get("/console/api/v1/me")
    assert answer.json()["name"] == "Ada"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert ADMIN not in answer.text + str(answer.headers)


async def test_a_platform_that_is_away_is_said_to_be(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    await sign_in(browser)
    platform.away_for = 1000
    answer = await browser.get("/console/models")
    assert answer.status_code == 503
    assert "That did not work" in answer.text
