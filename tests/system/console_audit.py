"""What auditors do in a browser, as one suite for both platforms."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import expect

from tests.support.eventually import eventually
from tests.support.platforms import Platform
from tests.support.visitors import NARROW, visitor
from tests.system.console import token_of
from tests.system.models import write_project
from tests.system.scenarios import ask, client_of, deploy


class AuditStories:
    """Subclass with a `platform` and a `project` fixture."""

    async def test_an_auditor_sees_what_happens_as_it_happens(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        async with visitor(platform.url, await token_of(platform, "auditor")) as somebody:
            await somebody.open(f"/console/audit?project={project}")
            page = somebody.page
            await expect(page.get_by_text("Nothing happened here")).to_be_visible()
            await deploy(platform, write_project(tmp_path / project, project))
            rows = page.locator("#tailed .events > li")
            await expect(rows.filter(has_text="model.started")).to_have_count(1)
            await expect(rows.filter(has_text="deploy.requested")).to_have_count(1)
            await rows.filter(has_text="certificate.issued").locator("summary").click()
            await expect(rows.filter(has_text="certificate.issued").locator("pre")).to_contain_text(project)
            await somebody.must_be_usable()
            shown = [int(each) for each in await page.locator("#tailed .position").all_inner_texts()]
            assert shown == sorted(shown, reverse=True)
            await somebody.open(f"/console/audit?project={project}&type=placet.certifier.*")
            assert "model.started" not in await page.inner_text("#tailed")
        await ask(platform, "stop", project)

    async def test_an_auditor_asks_why_a_model_was_allowed_and_what_was_so_before(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / project, project))
        async with visitor(
            platform.url, await token_of(platform, "auditor"), theme="dark", width=NARROW
        ) as somebody:
            page = somebody.page
            await somebody.open("/console/audit/why")
            await page.get_by_label("Project").fill(project)
            await page.get_by_role("button", name="Why was it allowed?").click()
            await expect(page.get_by_text("It was allowed to run, and ran")).to_be_visible()
            await somebody.must_be_usable()
            await page.locator(".notice a").click()
            await expect(page.locator("#tailed .events > li").first).to_contain_text(project)

            await somebody.open(f"/console/audit/then?project={project}&position=999999")
            await expect(page.get_by_role("region", name="Certificates")).to_contain_text("valid")
            await page.get_by_label("Position in the log").focus()
            await page.keyboard.press("Home")
            await page.get_by_role("button", name="Show it as it was there").click()
            await page.wait_for_url("**/audit/then?position=1")
            await somebody.must_be_usable()
            assert project not in await page.inner_text("main")
            await somebody.open("/console/audit/then")
            models = page.get_by_role("region", name="Models")
            row = models.locator("tbody tr", has=page.get_by_role("link", name=project, exact=True))
            await expect(row).to_contain_text("live")
            await row.get_by_role("link", name=project, exact=True).click()
            await expect(page.get_by_role("heading", name=f"{project} as it was at")).to_be_visible()
            await expect(page.get_by_role("region", name="Certificates")).to_contain_text("valid")
            await somebody.must_be_usable()
            await page.get_by_role("link", name="All models at that time").click()
            await expect(row).to_contain_text("live")
            await somebody.open("/console/audit/why?project=none-such")
            await somebody.open("/console/audit/why?project=none-such&at=yesterday")
        await ask(platform, "stop", project)

    async def test_an_auditor_verifies_the_log_against_what_was_kept(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / project, project))
        async with visitor(platform.url, await token_of(platform, "auditor")) as somebody:
            page = somebody.page
            await somebody.open("/console/audit/verification")
            async with page.expect_download() as waiting:
                await page.get_by_role("link", name="Keep it").click()
            kept = (await (await waiting.value).path()).read_text()
            size = int(kept.splitlines()[1])
            await ask(platform, "stop", project)

            async def has_grown() -> bool:
                async with client_of(platform) as client:
                    return int((await client.checkpoint()).split(b"\n")[1]) > size

            await eventually(has_grown)
            await page.get_by_text("Hold it against what you kept elsewhere").click()
            await page.get_by_label("A checkpoint that was handed out before").fill(kept)
            await page.get_by_role("button", name="Verify it").click()
            await expect(page.locator("#found")).to_contain_text("It holds")
            await expect(page.get_by_text("that you kept.")).to_contain_text("goes on from the checkpoint")
            await expect(page.locator("main")).to_contain_text("deployer: whole up to its event")
            await somebody.must_be_usable()

            changed = "\n".join([*kept.splitlines()[:1], str(size + 1), *kept.splitlines()[2:]])
            await page.get_by_label("A checkpoint that was handed out before").fill(changed)
            await page.get_by_role("button", name="Verify it again").click()
            await expect(page.locator(".notice.bad")).to_contain_text("the checkpoint that you kept")
            await expect(page.get_by_label("The checkpoint that you kept")).to_have_value(f"{changed}")
            await somebody.must_be_usable()
        async with visitor(platform.url, scripts=False) as somebody:
            page = somebody.page
            await page.goto(f"{platform.url}/console/audit/verification")
            await page.get_by_label("Token").fill(platform.token)
            await page.get_by_role("button", name="Sign in").click()
            await page.get_by_role("button", name="Verify it").click()
            await expect(page.locator("#found")).to_contain_text("It holds")

    async def test_who_may_not_read_the_past_is_told_so(self, platform: Platform) -> None:
        async with visitor(platform.url, await token_of(platform, "scientist")) as somebody:
            await somebody.open("/console/audit/then")
            await expect(somebody.page.locator(".notice.bad")).to_be_visible()
            await somebody.open("/console/audit")
