"""What operators do in a browser, as one suite for both platforms."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import get_args

import httpx
import pytest
from placet.client import SERVICES, Client, Connection
from placet.errors import Unauthenticated
from placet.gateway.console import session
from placet.gateway.console.admission import FOR
from placet.trust.tokens import Role
from playwright.async_api import expect

from tests.support.eventually import eventually
from tests.support.platforms import Platform
from tests.support.visitors import NARROW, visitor
from tests.system.console import token_of
from tests.system.models import write_project
from tests.system.scenarios import ask, deploy


class PlatformStories:
    """Subclass with a `platform` and a `project` fixture."""

    async def test_an_operator_sees_who_answers_and_shares_the_room(
        self, platform: Platform, project: str
    ) -> None:
        async with visitor(platform.url, await token_of(platform, "operator")) as somebody:
            page = somebody.page
            await page.get_by_role("link", name="Platform").click()
            await expect(page.get_by_role("region", name="Services")).to_contain_text("gateway")
            await expect(page.get_by_text("Every service does its work.")).to_be_visible(timeout=120_000)
            await somebody.must_be_usable()
            await page.get_by_role("link", name="metadata").click()
            await expect(page.get_by_role("region", name="What it hears")).to_contain_text("certifier")
            await expect(page.get_by_role("region", name="Its read models")).to_contain_text("audit index")
            await somebody.must_be_usable()

            await page.get_by_role("link", name="Room").click()
            await expect(page.get_by_role("heading", name="Room for models")).to_be_visible()
            await page.get_by_text("Set a quota").click()
            await page.get_by_label("Of a").select_option("team")
            await page.get_by_label("Called").fill(project)
            await page.get_by_label("CPU, in cores").fill("1.5")
            await page.get_by_label("Models").fill("3")
            await somebody.must_be_usable()
            await page.get_by_role("button", name="Set the quota").click()
            quotas = page.get_by_role("region", name="Quotas")
            await expect(quotas).to_contain_text(project)
            row = quotas.get_by_role("row").filter(has_text=project)
            await expect(row).to_contain_text("CPU: 0 of 1.5 cores")
            await expect(row).to_contain_text("models: 0 of 3")
            await somebody.must_be_usable()
            await row.get_by_role("button").click()
            await expect(page.get_by_text(project)).to_have_count(0)

    async def test_who_may_not_see_a_page_is_not_offered_it(self, platform: Platform) -> None:
        """And who goes there all the same is told which roles it is for; what is offered refuses nobody."""
        pages = ("/console/governance", "/console/audit", "/console/platform")
        known = {*FOR, "/console/models", "/console/platform/room", "/console/audit/verification"}
        for role in get_args(Role):
            cookie = {session.COOKIE: await token_of(platform, role)}
            async with httpx.AsyncClient(
                base_url=platform.url, cookies=cookie, trust_env=False, timeout=60
            ) as browser:
                offered = set()
                for page in pages:
                    text = (await browser.get(page)).text
                    navs = re.findall("<nav.*?</nav>", text, re.DOTALL)
                    offered |= {link for nav in navs for link in re.findall('href="([^"?#]*)', nav)}
                assert offered >= {*pages, "/console/models"}, role
                for path in known | offered:
                    asked = f"{path}?project=none" if path == "/console/audit/why" else path
                    answer = await browser.get(asked, timeout=60)
                    refused = re.search("role", answer.text.partition("</header>")[2]) is not None
                    if path == "/console/deploy":  # one may look, and is told who deploys
                        assert answer.status_code == 200, (role, path)
                        assert ("Your roles" in answer.text) is (path not in offered), (role, path)
                    else:
                        assert (answer.status_code == 403) is (path not in offered), (role, path)
                        assert refused or path in offered, (role, path)

    async def test_an_operator_puts_a_project_into_a_team(self, platform: Platform, project: str) -> None:
        team = f"team-{project}"
        async with visitor(platform.url, await token_of(platform, "operator")) as somebody:
            page = somebody.page
            await somebody.open("/console/platform/room")
            await page.get_by_text("Put a project into a team").click()
            await page.get_by_label("Project", exact=True).fill(project)
            await page.get_by_label("Team", exact=True).fill(team)
            await page.get_by_role("button", name="Put it there").click()
            await expect(page.get_by_role("status").first).to_contain_text(
                f"{project} is of team {team} now."
            )
            row = page.get_by_role("region", name="Teams").get_by_role("row").filter(has_text=team)
            await expect(row.get_by_role("link", name=project)).to_be_visible()
            await somebody.must_be_usable()
            await row.get_by_role("button", name="Take out").click()
            await expect(page.get_by_role("status").first).to_contain_text(f"{project} is of no team now.")

    async def test_an_admin_makes_a_token_that_is_shown_once_and_revokes_it(
        self, platform: Platform, project: str
    ) -> None:
        name = f"Ada of {project}"
        async with visitor(platform.url, platform.token, theme="dark", width=NARROW) as somebody:
            page = somebody.page
            await somebody.open("/console/platform/tokens")
            await page.get_by_text("Make a token").click()
            await page.get_by_label("For whom").fill(name)
            await page.get_by_role("checkbox", name="auditor").check()
            await page.get_by_label("Holds for so many days").fill("2")
            await somebody.must_be_usable()
            await page.get_by_role("button", name="Make it").click()
            await expect(page.get_by_role("heading", name=f"A token for {name}")).to_be_visible()
            await somebody.must_be_usable()
            token = await page.locator("#token").inner_text()
            async with Client(Connection(url=platform.url, token=token)) as client:
                assert (await client.me()).name == name
            async with visitor(platform.url, token) as ada:
                await ada.open("/console/platform/tokens")
                await expect(ada.page.locator(".notice.bad")).to_contain_text("listing tokens")
                await expect(ada.page.locator("main").get_by_text(name)).to_have_count(0)

            await page.get_by_role("link", name="All tokens").click()
            hers = page.locator(".todo li").filter(has_text=name)
            await expect(hers).to_contain_text("valid")
            assert token not in await page.content()
            await hers.get_by_text("Revoke", exact=False).first.click()
            await expect(hers).to_contain_text("refused from then on")
            await somebody.must_be_usable()
            await hers.get_by_role("button", name="Revoke it").click()
            await expect(page.get_by_role("status").first).to_contain_text("It is revoked")
            await expect(hers).to_contain_text("revoked")
            async with Client(Connection(url=platform.url, token=token), patience=0) as client:
                with pytest.raises(Unauthenticated):
                    await client.me()

    async def test_each_service_tells_of_itself_to_who_has_a_token_that_was_not_revoked(
        self, platform: Platform
    ) -> None:
        async with Client(Connection(url=platform.url, token=platform.token)) as admin:
            made = await admin.create_token(f"for a while {token_hex(3)}", ("operator",))
            async with Client(Connection(url=platform.url, token=made.token), patience=0) as somebody:
                assert [each.service for each in await somebody.services(within=60) if each.ready] == [
                    *SERVICES
                ]
                for service in SERVICES:
                    assert (await somebody.service(service)).hears
                    assert await somebody.retry_parked(service) == 0
                await admin.revoke_token(made.id)
                for service in SERVICES:
                    await eventually(partial(_is_refused, somebody, service))

    async def test_an_operator_sees_what_the_registry_keeps_and_why(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / project, project))
        async with visitor(
            platform.url, await token_of(platform, "operator"), theme="dark", width=NARROW
        ) as somebody:
            for path in ("", "/services/gateway", "/room", "/registry", "/webhooks"):
                await somebody.open(f"/console/platform{path}")
                await expect(somebody.page.locator(".notice.bad")).to_have_count(0)
            await somebody.open("/console/platform/registry?olderThan=1")
            await expect(somebody.page.get_by_role("region", name="What is kept")).to_contain_text("image")
        await ask(platform, "stop", project)

    async def test_compliance_holds_a_project_and_releases_it(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / project, project))
        async with visitor(platform.url, await token_of(platform, "compliance")) as somebody:
            page = somebody.page
            await somebody.open("/console/platform/retention")
            await page.get_by_text("Hold a project").click()
            await page.get_by_label("Project").fill(project)
            await page.get_by_label("Why").fill("a court asked")
            await somebody.must_be_usable()
            await page.get_by_role("button", name="Hold it").click()
            held = page.locator(".reasons li").filter(has_text=project)
            await expect(held).to_contain_text("a court asked")
            await held.get_by_role("button", name="Release").click()
            await expect(held).to_have_count(0)
        await ask(platform, "stop", project)

    async def test_who_may_not_is_told_so(self, platform: Platform) -> None:
        async with visitor(platform.url, await token_of(platform, "scientist")) as somebody:
            await somebody.open("/console/platform/registry")
            await expect(somebody.page.locator(".notice.bad")).to_be_visible()


async def _is_refused(client: Client, service: str) -> bool:
    try:
        await client.parked(service)
    except Unauthenticated:
        return True
    return False
