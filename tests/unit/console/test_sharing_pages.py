"""Members of a project and of teams in the console: who sees what, and what REST is asked."""

from __future__ import annotations

import re
from html import unescape

import httpx
import pytest
from placet.gateway.console import session

from tests.unit.client.fake_platform import ADMIN, SCIENTIST, FakePlatform
from tests.unit.console.test_console_security import a_model, sign_in

MEMBERS = "/console/models/wine/members"
PEOPLE = "/console/platform/teams/people"
PROOF = {"proof": session.proof_of(ADMIN)}


@pytest.fixture
async def admin(browser: httpx.AsyncClient, platform: FakePlatform) -> httpx.AsyncClient:
    a_model(platform)
    await sign_in(browser, ADMIN)
    return browser


def words(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


async def test_a_role_is_given_and_taken_away_on_the_models_page(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    assert "Nobody has a role here" in (await admin.get(MEMBERS)).text
    form = {**PROOF, "act": "grant", "to": "ada", "role": "owner"}
    given = await admin.post(MEMBERS, data=form)
    assert (given.status_code, platform.roles_on) == (303, {"wine": {"person:ada": "owner"}})
    page = (await admin.get(given.headers["location"])).text
    assert "ada has the role owner on wine now." in page
    assert "Take away the role of ada" in words(page)
    for act, is_private in (("restrict", True), ("open", False)):
        changed = await admin.post(MEMBERS, data={**PROOF, "act": act})
        assert (changed.status_code, "wine" in platform.private) == (303, is_private)
    await admin.post(MEMBERS, data={**PROOF, "act": "revoke", "to": "person:ada", "name": "ada"})
    assert platform.roles_on == {"wine": {}}


async def test_what_was_filled_in_stays_where_it_is_refused(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    refused = await admin.post(MEMBERS, data={**PROOF, "act": "grant", "to": "ada"})
    assert refused.status_code == 400
    assert 'value="ada"' in refused.text
    assert "role is missing" in refused.text
    assert (await admin.post(MEMBERS, data={**PROOF, "act": "crown"})).status_code == 400
    assert platform.roles_on == {"wine": {}}


async def test_who_may_not_share_it_sees_who_has_a_role_and_no_form(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    a_model(platform)
    platform.roles_on, platform.may_share = {"wine": {"team:fraud": "owner"}}, False
    platform.private.add("wine")
    await sign_in(browser, SCIENTIST)
    page = words((await browser.get(MEMBERS)).text)
    assert "team:fraud owner" in page
    assert "It is private" in page
    assert "Give a role" not in page
    assert "Take away" not in page


async def test_a_team_is_made_gets_people_and_is_disbanded(
    admin: httpx.AsyncClient, platform: FakePlatform
) -> None:
    made = await admin.post(PEOPLE, data={**PROOF, "act": "join", "joined": "fraud"})
    assert "There is a team fraud now." in (await admin.get(made.headers["location"])).text
    await admin.post(PEOPLE, data={**PROOF, "act": "join", "joined": "fraud", "person": "grace"})
    assert platform.people_of_teams == {"fraud": ["grace"]}
    assert "Take out grace of fraud" in words((await admin.get("/console/platform/room")).text)
    out = {**PROOF, "act": "drop", "team": "fraud", "person": "person:grace", "name": "grace"}
    assert (await admin.post(PEOPLE, data=out)).status_code == 303
    assert platform.people_of_teams == {"fraud": []}
    await admin.post(PEOPLE, data={**PROOF, "act": "disband", "team": "fraud"})
    assert platform.people_of_teams == {}
    half = await admin.post(PEOPLE, data={**PROOF, "act": "join", "person": "grace"})
    assert half.status_code == 400
    assert 'value="grace"' in half.text
