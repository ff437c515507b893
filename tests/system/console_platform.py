"""What operators do in a browser, as one suite for both platforms."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.async_api import expect

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
            await expect(page.get_by_text(re.compile("does its work|alone tells"))).to_be_visible()
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

    async def test_an_operator_sees_what_the_registry_keeps_and_why(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / project, project))
        async with visitor(
            platform.url, await token_of(platform, "operator"), theme="dark", width=NARROW
        ) as somebody:
            for path in ("", "/room", "/registry", "/webhooks"):
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
