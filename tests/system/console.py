"""What people do in a browser, as one suite: it runs on the embedded platform and on six processes alike."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from secrets import token_hex

import pytest
from placet.client import Client, Connection
from playwright.async_api import expect

from tests.support.eventually import eventually
from tests.support.git_server import new_repository
from tests.support.platforms import Platform
from tests.support.visitors import NARROW, visitor
from tests.system.models import write_project
from tests.system.scenarios import ask, deploy, predict


async def token_of(platform: Platform, role: str) -> str:
    """A new person's, with that role."""
    async with Client(Connection(url=platform.url, token=platform.token)) as client:
        return (await client.create_token(f"{role} {token_hex(3)}", (role,))).token


class ConsoleStories:
    """Subclass with a `platform` fixture."""

    @pytest.fixture
    def project(self) -> str:
        """A name no other story uses."""
        return f"seen-{token_hex(5)}"

    async def test_a_scientist_deploys_a_folder_and_tries_its_model(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        folder = write_project(tmp_path / project, project)
        refused = write_project(tmp_path / "refused" / project, project, without=("owner",))
        async with visitor(platform.url, await token_of(platform, "scientist")) as somebody:
            page = somebody.page
            await page.get_by_role("link", name="Deploy", exact=True).click()
            await page.wait_for_url(
                "**/console/deploy"
            )  # and its scripts: who picks a folder before is not heard
            await somebody.must_be_usable()

            await page.set_input_files("#folder", refused)
            await expect(page.locator("#refusals")).to_contain_text("governance.owner-named")
            await expect(page.get_by_role("button", name="Deploy")).to_be_hidden()

            await page.set_input_files("#folder", folder)
            await expect(page.locator("#verdict")).to_contain_text("would be cleared")
            await somebody.must_be_usable()
            await page.get_by_role("button", name="Deploy").click()

            await page.wait_for_url("**/console/operations/*")
            await expect(page.get_by_role("heading", name="It is there")).to_be_visible(timeout=120_000)
            await expect(page.locator(".steps li.done")).to_have_count(7)
            await expect(page.locator("#build-log")).to_contain_text("layer")
            await expect(page.locator("#curl")).to_contain_text(f"/models/{project}/predict")
            await expect(page.locator("#python")).to_contain_text("httpx.post")
            await somebody.must_be_usable()

            await page.get_by_role("link", name="Try it").click()
            await page.wait_for_url("**/try")  # its scripts are there then
            await page.get_by_role("button", name="Predict").click()
            await expect(page.locator("#answer")).to_contain_text("outputs")
            await somebody.must_be_usable()
            assert f"curl -s {platform.url}/models/{project}/predict" in await somebody.text()
        assert await predict(platform, project, 5.0) == pytest.approx(10.0)
        await ask(platform, "stop", project)

    async def test_a_scientist_deploys_an_archive(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        folder = write_project(tmp_path / project, project)
        archive = shutil.make_archive(str(tmp_path / "sent"), "zip", folder)
        async with visitor(platform.url, await token_of(platform, "scientist")) as somebody:
            page = somebody.page
            await somebody.open("/console/deploy")
            await page.set_input_files("#archive", archive)
            await expect(page.locator("#verdict")).to_contain_text("would be cleared")
            await page.get_by_role("button", name="Deploy").click()
            await expect(page.get_by_role("heading", name="It is there")).to_be_visible(timeout=120_000)
        assert await predict(platform, project, 5.0) == pytest.approx(10.0)
        await ask(platform, "stop", project)

    async def test_a_scientist_deploys_from_git_and_a_colleague_uses_the_image_again(
        self, platform: Platform, project: str
    ) -> None:
        repository = new_repository(platform.git.root / project)
        write_project(repository.folder / "models" / "one", project)
        repository.commit({})
        token = await token_of(platform, "scientist")
        async with visitor(platform.url, token) as somebody:
            page = somebody.page
            await somebody.open("/console/deploy?from=git")
            # As the page says it.
            hint = await page.locator("#git-note code").all_inner_texts()
            assert hint == ["@main", "#subdirectory=models/churn"]
            await page.get_by_label("Address").fill(
                f"{platform.git.url(repository)}@main#subdirectory=models/one"
            )
            await page.get_by_role("button", name="Deploy").click()
            await page.wait_for_url("**/console/operations/*")
            await expect(page.get_by_role("heading", name="It is there")).to_be_visible(timeout=120_000)
        async with visitor(platform.url, await token_of(platform, "scientist")) as somebody:
            page = somebody.page
            await somebody.open("/console/deploy?from=image")
            await page.get_by_label("Of project").fill(project)
            await page.get_by_label("Certificate").select_option("valid")
            await page.get_by_role("button", name="Search").click()
            await expect(page.get_by_label(f"{project}, release 1")).to_be_visible()
            await somebody.must_be_usable()
            await page.get_by_label(f"{project}, release 1").check()
            await page.get_by_label("As another project").fill(f"{project}-too")
            await page.get_by_role("button", name="Deploy").click()
            await page.wait_for_url("**/console/operations/*")
            await expect(page.get_by_role("heading", name="It is there")).to_be_visible(timeout=120_000)
            await somebody.open("/console/deploy?from=image&metric=accuracy>>1")
            await expect(page.get_by_role("alert")).to_be_visible()
            await somebody.open("/console/deploy?from=image&project=none-such")
            await expect(page.get_by_text("No image is like that")).to_be_visible()
        for each in (project, f"{project}-too"):
            assert await predict(platform, each, 5.0) == pytest.approx(10.0)
            await ask(platform, "stop", each)

    async def test_another_models_image_is_deployed_only_once_that_was_confirmed(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        other = f"{project}-too"
        await deploy(platform, write_project(tmp_path / "1" / project, project))
        await deploy(platform, write_project(tmp_path / "2" / other, other, weight=3.0))
        async with visitor(platform.url, await token_of(platform, "scientist")) as somebody:
            page = somebody.page
            await somebody.open(f"/console/deploy?from=image&project={project}")
            await page.get_by_label(f"{project}, release 1").check()
            await page.get_by_label("As another project").fill(other)
            await page.get_by_role("button", name="Deploy").click()
            await expect(page.get_by_text(f"{other} serves another model today")).to_be_visible()
            await somebody.must_be_usable()
            assert await predict(platform, other, 5.0) == pytest.approx(15.0)
            await page.get_by_role("button", name="Deploy it all the same").click()
            await page.wait_for_url("**/console/operations/*")
            await expect(page.get_by_role("heading", name="It is there")).to_be_visible(timeout=120_000)
            for each in (project, other):
                await ask(platform, "stop", each)
            await somebody.open(f"/console/models/{project}/try")
            await page.get_by_role("link", name="Start it").click()
            await expect(page.get_by_role("heading", name="What served last")).to_be_visible()
            await somebody.must_be_usable()

    async def test_a_scientist_shares_the_requests_out_and_ends_that(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / "1" / project, project, replicas=(1, 2)))
        await deploy(
            platform,
            write_project(tmp_path / "2" / project, project, weight=3.0, replicas=(1, 2)),
            command="build",
        )
        async with visitor(platform.url, await token_of(platform, "scientist")) as somebody:
            page = somebody.page

            async def told(command: str, label: str | None = None, value: str = "") -> None:
                await somebody.open(f"/console/models/{project}")
                await page.locator("summary").get_by_text(command, exact=True).click()
                if label is not None:
                    await page.get_by_label(label).fill(value)
                await page.get_by_role("button", name=f"{command} {project}").click()
                await page.wait_for_url("**/console/operations/*")

            async def given_a_canary() -> None:
                await somebody.open(f"/console/deploy?from=image&project={project}")
                await page.get_by_label(f"{project}, release 2").check()
                await page.get_by_label("As a canary").fill("25")
                await page.get_by_role("button", name="Deploy").click()
                await page.wait_for_url("**/console/operations/*")
                await expect(page.get_by_role("heading", name="It is there")).to_be_visible(timeout=120_000)
                await somebody.open(f"/console/models/{project}")

            shown = page.locator("#model")
            await given_a_canary()
            await expect(shown).to_contain_text("25 % of requests")
            await somebody.must_be_usable()
            await told("Promote", "To so many of a hundred requests", "60")
            await somebody.open(f"/console/models/{project}")
            await expect(shown).to_contain_text("60 % of requests")
            await told("Abort")
            await somebody.open(f"/console/models/{project}")
            await expect(shown).to_contain_text("ended:")
            assert {await predict(platform, project, 5.0) for _ in range(8)} == {10.0}

            await given_a_canary()
            await told("Promote")
            await somebody.open(f"/console/models/{project}")
            await expect(shown).not_to_contain_text("of requests")
            await expect(page.locator("#model-head .state")).to_have_text("live")
            assert {await predict(platform, project, 5.0) for _ in range(8)} == {15.0}

            await told("Scale", "Replicas", "2")
            await somebody.open(f"/console/models/{project}")
            await expect(shown.locator("dt", has_text="Replicas").locator("+ dd")).to_have_text("2")
            await somebody.open(f"/console/models/{project}/logs")
            await expect(page.locator("#log")).to_contain_text("serving")
            await expect(page.locator("#log > div", has_text="serving").first.locator(".level")).to_have_text(
                "info"
            )
            await somebody.must_be_usable()
            await page.get_by_role("link", name="Show each line as it was written").click()
            await expect(page.locator("pre#log")).to_contain_text('"event":"serving"')
            await somebody.open(f"/console/models/{project}/try")
            await page.get_by_label("The request").last.fill('{"inputs": [')
            await page.get_by_role("button", name="Predict").click()
            await expect(page.locator("#answer")).to_contain_text("the body is not JSON")
            assert (await page.locator("#answer").inner_text()).count("is not JSON") == 1
            await somebody.must_be_usable()
        await ask(platform, "stop", project)

    async def test_every_page_of_a_model_can_be_used_narrow_and_dark(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / project, project))
        async with visitor(platform.url, platform.token, theme="dark", width=NARROW) as somebody:
            for path in ("", "/try", "/releases", "/logs", "/lineage", "/members", "/timeline"):
                await somebody.open(f"/console/models/{project}{path}")
                assert project in await somebody.text()
            await somebody.open(f"/console/models/{project}/lineage")
            more = "getComputedStyle(document.querySelector('#lineage .wide'), '::before').content"
            assert "More of it to the right" in await somebody.page.evaluate(more)
            await somebody.tab_to("Lineage")
            await somebody.tab_to("Lineage")  # behind the tab of that name
            await somebody.page.keyboard.press("ArrowRight")
            # Asked from outside: a page's own policy lets no text be run there a second time.
            scrolled = "document.querySelector('#lineage .wide').scrollLeft > 0"
            await eventually(lambda: somebody.page.evaluate(scrolled))
            for path in ("?search=seen", "?state=stopped"):
                await somebody.open(f"/console/models{path}")
            for way in ("folder", "git", "image"):
                await somebody.open(f"/console/deploy?from={way}")
        await ask(platform, "stop", project)

    async def test_two_releases_are_compared(self, platform: Platform, tmp_path: Path, project: str) -> None:
        await deploy(platform, write_project(tmp_path / "1" / project, project))
        await deploy(platform, write_project(tmp_path / "2" / project, project, weight=3.0))
        async with visitor(platform.url, await token_of(platform, "auditor")) as somebody:
            await somebody.open(f"/console/models/{project}/releases")
            await somebody.page.get_by_role("button", name="Compare").click()
            region = somebody.page.get_by_role("region", name="Source and image")
            await expect(region).to_be_visible()
            await somebody.must_be_usable()
            shown = await region.inner_text()
            assert "source" in shown
            assert "locked packages" not in shown
            files = somebody.page.locator("section", has_text="Files of the source").locator("details")
            await expect(files).not_to_have_count(0)
            await files.first.locator("summary").click()
            await somebody.must_be_usable()
            assert (await somebody.text()).count("The same in both") == 3
        await ask(platform, "stop", project)

    async def test_who_goes_back_to_a_release_sees_where_its_image_comes_from(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / "1" / project, project))
        await deploy(platform, write_project(tmp_path / "2" / project, project, weight=3.0))
        async with visitor(platform.url, await token_of(platform, "scientist")) as somebody:
            page = somebody.page
            await somebody.open(f"/console/models/{project}")
            await page.locator("summary", has_text="Roll back").click()
            await page.get_by_role("button", name=f"Roll back {project}").click()
            await page.wait_for_url("**/console/operations/*")
            await expect(page.locator("h1")).to_have_text(f"Go back to release 1 of {project}")
            await expect(page.get_by_role("heading", name="It is there")).to_be_visible(timeout=120_000)
            await expect(page.locator("#build")).to_have_count(0)
            await somebody.must_be_usable()
            await page.get_by_role("link", name=f"release 1 of {project}", exact=True).click()
            await expect(page.locator("h1")).to_have_text(f"Deploy {project}")
            await expect(page.locator("#build-log")).to_contain_text("layer")
            await somebody.open(f"/console/models/{project}/releases")
            rows = page.locator("#releases tbody tr")
            await expect(rows).to_have_count(3)
            await expect(rows.nth(0)).to_contain_text("back to 1")
            await expect(rows.nth(0).locator(".state").first).to_have_text("live")
            await expect(rows.nth(1)).to_contain_text("release 3 went back to 1")
            await expect(rows.nth(2)).to_contain_text("release 2 took its place")
            await somebody.must_be_usable()
            await page.get_by_label("What changed from release").fill("1")
            await page.get_by_label("to release").fill("3")
            await page.get_by_role("button", name="Compare").click()
            await expect(page.locator("#content")).to_contain_text("release 1 and release 3")
            await somebody.must_be_usable()
        await ask(platform, "stop", project)

    async def test_a_page_follows_what_happens_without_a_reload(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / project, project))
        async with visitor(platform.url, platform.token) as somebody:
            await somebody.open(f"/console/models/{project}")
            page = somebody.page
            await page.evaluate("document.body.dataset.mine = 'kept'")
            await expect(page.locator("#model-head .state")).to_have_text("live")
            await ask(platform, "stop", project)
            await expect(page.locator("#model-head .state")).to_have_text("stopped")
            assert await page.evaluate("document.body.dataset.mine") == "kept"
            await somebody.must_be_usable()

    async def test_what_is_pressed_is_followed_although_the_page_changes_meanwhile(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / project, project))
        async with visitor(platform.url, platform.token) as somebody:
            await somebody.open(f"/console/models?search={project}")
            page = somebody.page
            await page.get_by_role("link", name=project, exact=True).hover()
            await page.mouse.down()
            await ask(platform, "stop", project)
            for _ in range(3):  # the page asks for itself once a second as long as it may not change
                await page.wait_for_event("response", lambda said: said.url == page.url)
            await page.mouse.up()
            await page.wait_for_url(f"**/console/models/{project}")

    async def test_what_will_happen_is_said_before_a_command_and_it_is_done_by_keyboard(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / project, project))
        async with visitor(platform.url, await token_of(platform, "scientist")) as somebody:
            await somebody.open(f"/console/models/{project}")
            page = somebody.page
            await page.get_by_text("Stop", exact=True).focus()
            await page.keyboard.press("Enter")
            await expect(page.get_by_text("Its URL answers 404")).to_be_visible()
            await page.keyboard.press("Tab")
            await page.keyboard.press("Enter")
            await page.wait_for_url("**/console/operations/*")
            await expect(page.locator("#operation .heading .state")).to_have_text("stopped")

    async def test_a_scientist_works_by_keyboard_alone(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / project, project))
        async with visitor(platform.url) as somebody:
            page = somebody.page
            await somebody.open("/console/models")
            await somebody.tab_to("Token")
            await page.keyboard.type(await token_of(platform, "scientist"))
            await page.keyboard.press("Enter")
            await page.wait_for_url("**/console/models")
            await page.keyboard.press("Tab")
            assert await page.evaluate("document.activeElement.textContent") == "To the content"
            await page.keyboard.press("Enter")
            assert await page.evaluate("document.activeElement.id") == "content"
            await somebody.tab_to("Name")
            await page.keyboard.type(project)
            await page.keyboard.press("Enter")
            await page.wait_for_url(re.compile(f"search={project}"))
            await somebody.press(project)
            await page.wait_for_url(f"**/console/models/{project}")
            await somebody.press("Try it")
            await page.wait_for_url("**/try")
            await somebody.tab_to("Value 1")
            await page.keyboard.press("Control+A")
            await page.keyboard.type("5")
            await expect(page.locator("#body")).to_have_value(re.compile(r"\[\s*5\s*\]"))
            await somebody.press("Predict")
            await expect(page.locator("#answer")).to_contain_text("10")
            await somebody.press("Timeline")
            await page.wait_for_url("**/timeline")
            await page.locator(".events summary").first.wait_for()
            await somebody.press("Overview")
            await page.wait_for_url(f"**/console/models/{project}")
            await somebody.press("Stop")
            await somebody.press(f"Stop {project}")
            await expect(page.locator("#operation .heading .state")).to_have_text("stopped")

    async def test_who_may_only_look_is_offered_nothing_else(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / project, project))
        async with visitor(platform.url, await token_of(platform, "auditor")) as somebody:
            await somebody.open(f"/console/models/{project}")
            await expect(somebody.page.get_by_text("Your roles let you look")).to_be_visible()
            await somebody.open("/console/deploy?from=git")
            await expect(somebody.page.get_by_text("do not let you deploy")).to_be_visible()
            await expect(somebody.page.get_by_role("button", name="Deploy")).to_have_count(0)
            await somebody.open("/console/models")
            await expect(somebody.page.get_by_role("link", name="Deploy a model")).to_have_count(0)
        await ask(platform, "stop", project)

    async def test_signing_in_leads_back_to_the_page_and_signing_out_ends_it(
        self, platform: Platform
    ) -> None:
        async with visitor(platform.url) as somebody:
            page = somebody.page
            await somebody.open("/console/models?search=nothing-is-called-so")
            await page.get_by_label("Token").fill("no token at all")
            await page.get_by_role("button", name="Sign in").click()
            await expect(page.get_by_role("alert")).to_be_visible()
            await page.get_by_label("Token").fill(platform.token)
            await page.get_by_role("button", name="Sign in").click()
            await page.wait_for_url(re.compile(r"search=nothing-is-called-so$"))
            await page.locator(".who summary").click()
            await page.get_by_role("button", name="Sign out").click()
            await page.wait_for_url("**/console/sign-in")
            await page.goto(f"{platform.url}/console/models")
            await expect(page.get_by_label("Token")).to_be_visible()

    async def test_it_can_be_used_without_scripts(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / project, project))
        async with visitor(platform.url, scripts=False) as somebody:
            page = somebody.page
            await page.goto(f"{platform.url}/console/models/{project}")
            await page.get_by_label("Token").fill(platform.token)
            await page.get_by_role("button", name="Sign in").click()
            await page.get_by_text("Stop", exact=True).click()
            await page.get_by_role("button", name=f"Stop {project}").click()
            await page.wait_for_url("**/console/operations/*")
            await expect(page.get_by_role("heading", name=f"Stop {project}")).to_be_visible()
