"""The pages of the audit log: what of people is said as names, what a filter takes, and where in the log one is."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import httpx
import msgspec
import pytest
from placet.client.documents import Person
from placet.gateway.console.auditing import types_like

from tests.unit.client.fake_platform import ADMIN, AUDITOR, FakePlatform, event
from tests.unit.console.test_console_governance import approval, release
from tests.unit.console.test_console_security import sign_in

BOB = "person:0190a2b3-c4d5-7e6f-8a9b-0123d5e6f7a8"


@pytest.fixture
async def auditor(browser: httpx.AsyncClient) -> httpx.AsyncClient:
    await sign_in(browser, AUDITOR)
    return browser


def why(**changes: Any) -> dict[str, Any]:
    counted = {"approval": "approval:1", "givenBy": BOB, "roles": ["approver"], "at": "2026-11-27T00:00:00Z"}
    usual: dict[str, Any] = {
        "project": "churn",
        "at": "2026-11-28T00:00:00Z",
        "allowed": True,
        "reason": "allowed",
        "why": "its certificate held",
        "ran": True,
        "approvals": [{**counted, "reason": "hmac-sha256:abc", "position": 7}],
        "lookedUpTo": 113,
        "lastPosition": 98,
        "checkpoint": 102,
    }
    return {**usual, **changes}


def words(page: str) -> str:
    """A page's text, each run of spaces as one."""
    return " ".join(unescape(re.sub(r"<[^>]*>", "", page)).split())


async def test_who_approved_and_why_is_said_by_name_and_in_words(
    auditor: httpx.AsyncClient, platform: FakePlatform
) -> None:
    platform.whys["churn"] = why()
    given = approval(Person(person=BOB, name="Bob"), reason="tried it")
    told = msgspec.to_builtins(release(asked_by=Person(person="person:1"), approvals=(given,)))
    platform.awaited = [msgspec.json.decode(msgspec.json.encode(told))]
    page = words((await auditor.get("/console/audit/why?project=churn")).text)
    assert "Bob (approver), 2026-11-27 00:00:00 UTC event 7“tried it”" in page
    assert "hmac-sha256" not in page


async def test_where_nobody_knows_the_name_any_more_that_is_said(
    auditor: httpx.AsyncClient, platform: FakePlatform
) -> None:
    platform.whys["churn"] = why()
    page = words((await auditor.get("/console/audit/why?project=churn")).text)
    assert "somebody whose name is not known here (person:d5e6f7a8) (approver)" in page
    assert "its words cannot be shown here" in page
    assert "hmac-sha256" not in page


@pytest.mark.parametrize(
    ("checkpoint", "head", "said"),
    [
        (
            102,
            113,
            "covers up to event 102, and with that all of them. What came after is covered by the next",
        ),
        (113, 113, "covers up to event 113, and with that all of them Certificate"),
        (None, 113, "no checkpoint covers the last of them yet, the next will"),
    ],
)
async def test_how_far_a_checkpoint_covers_what_an_answer_stands_on_is_said(
    auditor: httpx.AsyncClient, platform: FakePlatform, checkpoint: int | None, head: int, said: str
) -> None:
    certificate = {"certificate": "certificate:1", "state": "valid", "position": 9, "key": {"position": 1}}
    platform.whys["churn"] = why(checkpoint=checkpoint, lookedUpTo=head, certificate=certificate)
    page = words((await auditor.get("/console/audit/why?project=churn")).text)
    assert f"Read up toevent {head} Stands onevents up to 98; " in page
    assert said in page


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("certificate.issued", "placet.*.certificate.issued.v*"),
        (" image.built ", "placet.*.image.built.v*"),
        ("image.built.v1", "placet.*.image.built.v1"),
        ("placet.builder.image.built.v1", "placet.builder.image.built.v1"),
        ("*.issued.*", "*.issued.*"),
    ],
)
def test_a_filter_takes_the_words_that_the_log_shows(said: str, asked: str) -> None:
    assert types_like(said) == asked


async def test_the_log_is_filtered_by_a_type_as_it_shows_it(
    auditor: httpx.AsyncClient, platform: FakePlatform
) -> None:
    issued = event(2, type="placet.certifier.certificate.issued.v1")
    platform.events = [{**each, "time": "2026-11-28T00:00:00Z"} for each in (event(1), issued)]
    page = (await auditor.get("/console/audit?type=certificate.issued")).text
    assert re.findall(r"<strong>([a-z.]*)</strong>", page) == ["certificate.issued"]
    assert (
        'data-query="type=placet.%2A.certificate.issued.v%2A"' in page
    )  # what comes later is filtered likewise
    assert 'value="certificate.issued"' in page


@pytest.mark.parametrize(
    ("asked", "said", "slider"),
    [
        ("at=2026-11-28T02:30", "Up to event 2 of the log.", 2),
        ("at=2026-11-28T03:00:00", "Up to event 3 of the log.", 3),
        ("at=2026-11-27T00:00", "The log had no event yet.", 1),
        ("position=2", "Up to event 2 of the log.", 2),
        ("", "Up to event 5 of the log.", 5),
    ],
)
async def test_what_was_so_at_a_time_is_shown_at_the_position_of_that_time(
    auditor: httpx.AsyncClient, platform: FakePlatform, asked: str, said: str, slider: int
) -> None:
    """Though all of the log is read for it."""
    platform.events = [{**event(hour), "time": f"2026-11-28T0{hour}:00:00Z"} for hour in range(1, 6)]
    page = (await auditor.get(f"/console/audit/then?{asked}")).text
    assert said in words(page)
    assert f'type="range" min="1" max="5" value="{slider}"' in page


@pytest.mark.parametrize(("who", "name"), [(AUDITOR, "person "), (ADMIN, "Bob")])
async def test_what_was_so_is_called_by_what_people_know_it_by(
    browser: httpx.AsyncClient, platform: FakePlatform, who: str, name: str
) -> None:
    """A token by whose it is: by name to whom the platform tells names, since the log holds none."""
    await sign_in(browser, who)
    platform.events = [{**event(1), "time": "2026-11-27T00:00:00Z"}]
    platform.people[BOB] = {"person": BOB, "name": "Bob", "state": "known"}
    usual = {"project": None, "release": None, "said": {"state": 1}}
    token = {"person": BOB, "roles": ["approver", "auditor"], "expires": "2027-11-29T12:43:31Z"}
    house = {"policy": "house", "version": 3, "title": "The house's own"}
    lasts = {"rule": "model.pickle-by-exception", "until": "2027-01-01T00:00:00Z"}
    platform.entities = [
        {**usual, "kind": "token", "id": "token-1", "state": "valid", **token},
        {**usual, "kind": "token", "id": "token-2", "state": "revoked"},
        {**usual, "kind": "policy", "id": "sha256:" + "a" * 64, "state": "submitted", **house},
        {**usual, "kind": "policy", "id": "sha256:" + "b" * 64, "state": "in-force", "policy": "trials"},
        {**usual, "kind": "exception", "id": "exception:1", "state": "granted", **lasts},
        {**usual, "kind": "approval", "id": "approval:1", "state": "known", "roles": ["approver"]},
        {**usual, "kind": "certificate", "id": "certificate:1", "state": "valid"},
        {**usual, "kind": "key", "id": "key-1", "state": "signs", "since": None},
    ]
    answer = await browser.get("/console/audit/then?at=2026-11-28T00:00")
    page = words(answer.text)
    assert re.search(name + "[^:]*: approver, auditor, until 2027-11-29 token-1", page)
    assert ("Bob" in page) is (who == ADMIN)
    assert "The house's own, version 3" in page
    assert "submitted" in page
    assert "model.pickle-by-exception, until 2027-01-01" in page
    assert "the first key" in page


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {},
            "17 requests of nobody known, from origin:9f2c4a7b denied with 401 (token.invalid): GET /v1/models",
        ),
        (
            {"count": 1, "person": BOB, "origin": None, "status": 403, "project": "churn"},
            f"a request of {BOB} denied with 403 (token.invalid): GET /v1/models of churn",
        ),
        (
            {"origin": None, "method": None, "route": None},
            "17 requests of many callers denied with 401 (token.invalid): several things",
        ),
        (
            {"origin": None, "route": None},
            "17 requests of many callers denied with 401 (token.invalid): GET several things",
        ),
    ],
)
@pytest.mark.parametrize("service", ["gateway", "builder"])
async def test_who_was_denied_what_is_said_in_words(
    auditor: httpx.AsyncClient, platform: FakePlatform, service: str, changes: dict[str, Any], said: str
) -> None:
    told = {
        "denial": "1",
        "person": None,
        "origin": "origin:9f2c4a7b",
        "status": 401,
        "reason": "token.invalid",
        "method": "GET",
        "route": "/v1/models",
        "project": None,
        "count": 17,
        "since": "2026-11-28T00:00:00.000Z",
        "until": "2026-11-28T00:01:00.000Z",
        **changes,
    }
    denied = event(1, "access.denied") | {
        "type": f"placet.{service}.access.denied.v1",
        "time": told["until"],
        "data": told,
    }
    platform.events = [denied]
    assert said in words((await auditor.get("/console/audit?type=access.denied")).text)
