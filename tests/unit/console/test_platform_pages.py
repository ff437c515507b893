"""Services, tokens and webhooks in the console: what REST is asked, and what is shown of the answer, and to whom."""

from __future__ import annotations

import re

import httpx
import pytest
from placet.client import SERVICES
from placet.gateway.console import session
from placet.gateway.console.views import told

from tests.unit.cli.test_cli_services import STRAY, parked
from tests.unit.client.fake_platform import ADMIN, SCIENTIST, FakePlatform

HOSTILE = "<script>alert(1)</script>"
PROOF = {"proof": session.proof_of(ADMIN)}


def values(page: str, name: str) -> list[str]:
    """Of the fields of that name that people see."""
    fields = re.findall(rf'<input(?![^>]*type="hidden")[^>]* name="{name}"[^>]*>', page)
    return [found[1] if (found := re.search(r' value="([^"]*)"', each)) else "" for each in fields]


@pytest.fixture
async def admin(browser: httpx.AsyncClient) -> httpx.AsyncClient:
    await browser.post("/console/sign-in", data={"token": ADMIN})
    return browser


async def test_a_service_that_is_away_or_slow_is_told_beside_the_others(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    """One that does not answer in time may be at work, and is not said to be down."""
    platform.silent, platform.strangers = {"indexer"}, {"builder"}
    platform.parked = {"certifier": [parked(1)]}
    page = (await admin.get("/console/platform")).text
    rows = dict(re.findall(r"services/(\w+)\">\w+</a></td>(.*?)</tr>", page, re.DOTALL))
    states = {name: re.findall(r'class="state \w+">([^<]*)<', row) for name, row in rows.items()}
    others = {each: ["ready"] for each in SERVICES}
    assert states == {**others, "indexer": ["silent"], "builder": ["away"]}
    assert "it did not answer within 3 s" in rows["indexer"]
    assert "it does not take this token" in rows["builder"]
    told = re.findall(r'<p class="notice bad">(.*?)</p>', page)
    assert [each.partition(".")[0] for each in told[:2]] == [
        "builder does not answer", "indexer did not answer within 3 s",
    ]  # fmt: skip
    assert "see its log" in told[1]
    assert "Every service does its work" not in page


async def test_of_one_that_is_slow_there_is_a_page_with_what_to_do_and_nothing_to_press(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    platform.silent = {"indexer"}
    answer = await admin.get("/console/platform/services/indexer")
    assert answer.status_code == 200
    assert "indexer did not answer within 3 s" in answer.text
    assert "may be busy" in answer.text
    assert ">away<" not in answer.text
    assert "Retry" not in answer.text


async def test_a_reason_is_text_and_a_long_one_folds(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    long = "Traceback " + "x" * 300
    platform.parked = {
        "certifier": [parked(1, reason=HOSTILE, project=HOSTILE), parked(2, reason=long), STRAY]
    }
    page = (await admin.get("/console/platform/services/certifier")).text
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page
    assert f'<pre class="log">{long}</pre>' in page
    assert page.count('name="message"') == 2  # a stray has none


async def test_messages_come_in_pages_and_what_was_said_does_not_go_along(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    platform.parked = {"certifier": [parked(100 + number) for number in range(30)]}
    first = (await admin.get("/console/platform/services/certifier?said=x&seal=y")).text
    (following,) = re.findall(r'rel="next" href="([^"]+)"', first)
    assert following == "?after=gateway.e.124"
    second = (await admin.get(f"/console/platform/services/certifier{following}")).text
    assert second.count('name="message"') == 5
    assert 'rel="next"' not in second


@pytest.mark.parametrize(
    ("fields", "said", "left"),
    [
        ({"message": "gateway.e.1"}, "It was handed back.", 1),
        ({"message": "gateway.e.9"}, "it waits already, or was handled", 2),
        ({}, "2 were handed back.", 0),
    ],
)
async def test_retrying_says_what_was_done(
    admin: httpx.AsyncClient, platform: FakePlatform, fields: dict[str, str], said: str, left: int
) -> None:
    platform.parked = {"certifier": [parked(1), parked(2)]}
    answer = await admin.post("/console/platform/services/certifier", data={**PROOF, **fields})
    assert answer.status_code == 303
    assert said in (await admin.get(answer.headers["location"])).text
    assert len(platform.parked.get("certifier", [])) == left


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_is_no_service_is_asked_of_nobody(
    admin: httpx.AsyncClient, platform: FakePlatform, method: str
) -> None:
    answer = await admin.request(
        method, "/console/platform/services/..%2Ftokens", data=PROOF if method == "POST" else None
    )
    assert answer.status_code == 404
    assert not any(path.startswith("/v1/services") for _, path in platform.requests)


async def test_who_operates_nothing_is_shown_how_many_alone(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    await browser.post("/console/sign-in", data={"token": SCIENTIST})
    platform.parked = {"certifier": [parked(1, project="secret-project")]}
    page = (await browser.get("/console/platform/services/certifier")).text
    assert "1 message." in page
    assert "secret-project" not in page
    assert ("GET", "/v1/services/certifier/parked") not in platform.requests
    retried = await browser.post(
        "/console/platform/services/certifier", data={"proof": session.proof_of(SCIENTIST)}
    )
    assert retried.status_code == 403
    assert len(platform.parked["certifier"]) == 1


async def test_a_token_is_made_and_shown_once(admin: httpx.AsyncClient, platform: FakePlatform) -> None:
    made = await admin.post(
        "/console/platform/tokens",
        data={**PROOF, "name": "Ada", "role": ["approver", "auditor"], "days": "7"},
    )
    assert (made.status_code, made.headers["cache-control"]) == (200, "no-store")
    assert "new-token" in made.text
    assert platform.tokens["t1"] == {"as": "Ada", "roles": ["approver", "auditor"], "ttl": 7 * 86400}
    listed = (await admin.get("/console/platform/tokens")).text
    assert "new-token" not in listed
    assert "approver, auditor" in listed
    revoked = await admin.post("/console/platform/tokens/t1/revoke", data=PROOF)
    assert revoked.status_code == 303
    assert platform.tokens == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "Ada", "days": "7"}, {"name": "Ada", "role": "auditor"}, {"role": "auditor", "days": "7"},
        {"name": "Ada", "role": "auditor", "days": "0"}, {"name": "Ada", "role": "auditor", "days": "367"},
        {"name": "Ada", "role": "auditor", "days": "x"},
    ],
)  # fmt: skip
async def test_no_token_is_made_of_half_a_form(
    admin: httpx.AsyncClient, platform: FakePlatform, fields: dict[str, str]
) -> None:
    answer = await admin.post("/console/platform/tokens", data={**PROOF, **fields})
    assert (answer.status_code, "What to do" in answer.text) == (400, True)
    assert values(answer.text, "name") == [fields.get("name", "")], "what was written is still there"
    assert values(answer.text, "days") == [fields.get("days", "30")]
    assert re.findall(r'value="(\w+)" checked', answer.text) == ([fields["role"]] if "role" in fields else [])
    assert platform.tokens == {}


async def test_tokens_say_whether_they_hold(admin: httpx.AsyncClient, platform: FakePlatform) -> None:
    platform.tokens = {"t1": {"as": HOSTILE, "roles": ["auditor"]}}
    platform.revoked_tokens = ["t1"]
    page = (await admin.get("/console/platform/tokens")).text
    assert '<span class="state revoked">revoked</span>' in page
    assert HOSTILE not in page
    assert "Revoke it" not in page


async def test_who_is_no_admin_is_told_so_and_shown_nothing(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    await browser.post("/console/sign-in", data={"token": SCIENTIST})
    platform.tokens = {"t1": {"as": "Grace", "roles": ["auditor"]}}
    page = (await browser.get("/console/platform/tokens")).text
    assert "listing tokens needs one of the roles admin" in page
    assert "Grace" not in page
    proof = {"proof": session.proof_of(SCIENTIST)}
    made = await browser.post(
        "/console/platform/tokens", data={**proof, "name": "Eve", "role": "admin", "days": "1"}
    )
    assert made.status_code == 403


async def test_a_project_is_put_into_a_team_and_taken_out(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    put = await admin.post("/console/platform/teams", data={**PROOF, "project": "churn", "team": "fraud"})
    assert (put.status_code, platform.teams) == (303, {"churn": "fraud"})
    assert "churn is of team fraud now." in (await admin.get(put.headers["location"])).text
    await admin.post("/console/platform/teams", data={**PROOF, "project": "churn", "act": "leave"})
    assert platform.teams == {}
    half = await admin.post("/console/platform/teams", data={**PROOF, "project": "churn"})
    assert half.status_code == 400
    assert (values(half.text, "project"), values(half.text, "team")) == (["churn"], [""])
    assert "beginning with a letter" in half.text


async def test_a_refused_webhook_is_told_beside_what_was_filled_in(admin: httpx.AsyncClient) -> None:
    fields = {"url": "https://hooks.example.org/a", "type": "certificate.isued", "project": "churn"}
    refused = await admin.post("/console/platform/webhooks", data={**PROOF, **fields})
    assert refused.status_code == 422
    alert = refused.text.index('role="alert"')
    assert refused.text.index("no event has a type like") > alert
    assert alert < refused.text.index("Have events sent to an address")
    assert {name: values(refused.text, name) for name in fields} == {n: [said] for n, said in fields.items()}
    assert '<details class="command" open>' in refused.text


async def test_a_refused_quota_is_told_beside_what_was_filled_in(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    fields = {"of": "Fraud!", "cpu": "two", "memory": "4", "gpus": "", "models": "3"}
    refused = await admin.post("/console/platform/room", data={**PROOF, "scope": "project", **fields})
    assert refused.status_code == 400
    assert "cpu: &#39;two&#39; is no number" in refused.text
    assert {name: values(refused.text, name) for name in fields} == {n: [said] for n, said in fields.items()}
    assert "<option selected>project</option>" in refused.text
    assert platform.quotas == {}
    assert 'class="command" open' not in (await admin.get("/console/platform/room")).text


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "body.project: must be text; query.after: must be a whole number",
            "project: must be text; after: must be a whole number",
        ),
        ("path.team: must be 3 to 40 characters", "team: must be 3 to 40 characters"),
        ("what a call takes is at /docs", "change that, and send it again"),
        ("the body.name of a call", "the body.name of a call"),
    ],
)
def test_what_is_wrong_with_a_call_is_told_as_of_a_form(said: str, shown: str) -> None:
    assert told(said) == shown


async def test_from_what_did_not_work_a_way_leads_back_to_where_one_was(admin: httpx.AsyncClient) -> None:
    async def failed(came: str) -> str:
        answer = await admin.post("/console/platform/webhooks/w", data=PROOF, headers={"Referer": came})
        assert answer.status_code == 400
        return answer.text

    back = '<a href="/console/platform/webhooks?after=3">Back to where you were</a>'
    assert back in await failed("http://console/console/platform/webhooks?after=3&said=done&seal=x")
    for strange in ("", "http://[", "http://evil/elsewhere", "http://evil//evil", "javascript:alert(1)"):
        page = await failed(strange)
        assert "Back to where" not in page
        assert '<a href="/console/platform">To the platform</a>' in page
        assert "To the models" not in page


@pytest.mark.parametrize(
    ("number", "due", "next_at", "said"),
    [
        (9, 2, None, "once nothing keeps it"),
        (2, 2, None, "now"),
        (0, 0, None, "nothing is there"),
        (9, 0, "2036-11-27T00:00:00Z", "2036-11-27"),
    ],
)
async def test_retention_says_when_something_is_due_next_or_what_keeps_it(
    admin: httpx.AsyncClient, platform: FakePlatform, number: int, due: int, next_at: str | None, said: str
) -> None:
    platform.retained |= {"number": number, "due": due, "nextAt": next_at}
    page = (await admin.get("/console/platform/retention")).text
    assert f"<td>{said}</td></tr>" in page
    assert ("is of projects that are held" in page) is (said == "once nothing keeps it")
    assert "never" not in page
