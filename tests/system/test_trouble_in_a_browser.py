"""What operators do in a browser when a service puts messages aside, or is away: on both platforms, with a flaw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import pytest
from placet.client import Operation
from playwright.async_api import expect

from tests.support.eventually import eventually
from tests.support.flawed import FLAW, WHY
from tests.support.platforms import DistributedPlatform, Platform, distributed, embedded
from tests.support.servers import CaddyServer, PostgreSQL, RabbitMQ, Registry
from tests.support.servers.local import free_port
from tests.support.visitors import NARROW, visitor
from tests.system.console import token_of
from tests.system.models import write_project
from tests.system.scenarios import ask, client_of, deploy

MODULE = "tests.support.flawed"
BEGINS = "flawed-"
SLOW = 120_000
"""Milliseconds: a bound for hangs. A service that does not answer within three seconds is away until the next look."""


@dataclass(frozen=True, kw_only=True)
class Troubled:
    """A platform whose certifier puts aside what is asked for `flawed-…`, as long as `flaw` is there."""

    platform: Platform
    flaw: Path

    def break_it(self) -> None:
        self.flaw.write_text(BEGINS)

    def mend_it(self) -> None:
        self.flaw.unlink()

    @asynccontextmanager
    async def asked_for(self, folder: Path, *names: str) -> AsyncIterator[list[asyncio.Task[Operation]]]:
        """Each deployed, as far as that goes; those that went live are stopped at the end."""
        folders = [write_project(folder / name, name) for name in names]
        running = [asyncio.create_task(deploy(self.platform, each)) for each in folders]
        try:
            yield running
            for name in names:
                await ask(self.platform, "stop", name)
        finally:
            for each in running:
                each.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def cleared(self, project: str) -> int:
        """How often the certifier cleared a release of it."""
        async with client_of(self.platform) as client:
            said = client.events(project=project, type="placet.certifier.release.cleared.*")
            return len([each async for each in said])


class TroubleStories:
    """Subclass with a `troubled` fixture."""

    @pytest.fixture
    def project(self) -> str:
        return f"{BEGINS}{token_hex(4)}"

    async def test_an_operator_sees_what_was_parked_and_has_it_tried_again(
        self, troubled: Troubled, tmp_path: Path, project: str
    ) -> None:
        platform = troubled.platform
        troubled.break_it()
        async with visitor(platform.url, await token_of(platform, "operator")) as somebody:
            page = somebody.page
            await somebody.open("/console/platform")
            await expect(page.get_by_text("Every service does its work.")).to_be_visible(timeout=SLOW)
            async with troubled.asked_for(tmp_path, project) as (deployed,):
                # Without a reload. On a busy machine a service may be told to be silent meanwhile.
                await expect(page.get_by_text("1 message parked")).to_be_visible(timeout=SLOW)
                await somebody.must_be_usable()
                await page.get_by_role("link", name="certifier").click()

                parked = page.locator("#parked")
                await expect(parked).to_contain_text(f"deploy.requested of {project}", timeout=SLOW)
                await expect(parked).to_contain_text(WHY)
                await expect(parked).to_contain_text("handled as it would have been the first time")
                await somebody.must_be_usable()

                # As long as it is not mended it comes back.
                await parked.get_by_role("button", name="Retry gateway.").click()
                await expect(page.get_by_role("status").first).to_contain_text("was handed back")
                await expect(parked).to_contain_text(WHY, timeout=SLOW)
                assert not deployed.done()

                troubled.mend_it()
                await parked.get_by_role("button", name="Retry gateway.").click()
                await expect(parked).to_contain_text("Nothing is parked here.", timeout=SLOW)
                await somebody.must_be_usable()
                assert (await deployed).state == "live"
                assert await troubled.cleared(project) == 1

    async def test_an_admin_has_all_tried_again_without_scripts(
        self, troubled: Troubled, tmp_path: Path, project: str
    ) -> None:
        platform, names = troubled.platform, (project, f"{project}-too")
        troubled.break_it()
        async with (
            visitor(platform.url, theme="dark", width=NARROW, scripts=False) as somebody,
            troubled.asked_for(tmp_path, *names) as deployed,
        ):
            await eventually(lambda: self._are_parked(troubled, 2))
            page = somebody.page
            await page.goto(f"{platform.url}/console/platform/services/certifier")
            await page.get_by_label("Token").fill(platform.token)
            await page.get_by_role("button", name="Sign in").click()
            for name in names:
                await expect(page.locator("#parked")).to_contain_text(f"deploy.requested of {name}")
            troubled.mend_it()
            await page.get_by_text("Retry all", exact=True).click()
            await page.get_by_role("button", name="Retry all of certifier").click()
            await expect(page.get_by_role("status").first).to_contain_text("2 were handed back")
            assert {(await each).state for each in deployed} == {"live"}
            assert [await troubled.cleared(name) for name in names] == [1, 1]

    async def test_who_operates_nothing_sees_how_many_and_not_which(
        self, troubled: Troubled, tmp_path: Path, project: str
    ) -> None:
        platform = troubled.platform
        troubled.break_it()
        async with (
            visitor(platform.url, await token_of(platform, "scientist")) as somebody,
            troubled.asked_for(tmp_path, project) as (deployed,),
        ):
            await eventually(lambda: self._are_parked(troubled, 1))
            await somebody.open("/console/platform/services/certifier")
            parked = somebody.page.locator("#parked")
            await expect(parked).to_contain_text("1 message.")
            await expect(parked).not_to_contain_text(project)
            await expect(parked.get_by_role("button")).to_have_count(0)
            troubled.mend_it()
            async with client_of(platform) as client:
                assert await client.retry_parked("certifier") == 1
            assert (await deployed).state == "live"

    async def test_a_webhook_that_fails_is_seen_and_goes_on(self, troubled: Troubled) -> None:
        platform, url = troubled.platform, f"http://127.0.0.1:{free_port()}/nobody"
        async with visitor(platform.url, await token_of(platform, "operator")) as somebody:
            page = somebody.page
            await somebody.open("/console/platform/webhooks")
            await page.get_by_label("Address").fill(url)
            await page.get_by_label("Only such types").fill("placet.gateway.token.*")
            await page.get_by_role("button", name="Add it").click()
            await expect(page.locator("#secret")).to_contain_text("whsec_")
            await somebody.must_be_usable()
            secret = await page.locator("#secret").inner_text()

            await token_of(platform, "auditor")  # which is an event
            hook = page.locator("#webhooks .todo li").filter(has_text=url)
            await expect(hook).to_contain_text("failing")
            await expect(hook).to_contain_text("next attempt")
            await somebody.open("/console/platform/webhooks")
            await expect(page.get_by_text(secret)).to_have_count(0)

            await hook.get_by_role("button", name="Test").click()
            await expect(page.get_by_text("The test message was not taken")).to_be_visible()
            await hook.locator("summary", has_text="Another secret").click()
            await hook.get_by_role("button", name="Make another secret").click()
            await expect(page.locator("#secret")).to_contain_text("whsec_")
            assert await page.locator("#secret").inner_text() != secret

            await hook.locator("summary", has_text="Go on").click()
            await somebody.must_be_usable()
            await hook.get_by_label("Behind position").fill("0")
            await hook.get_by_role("button", name="Go on with it").click()
            await expect(page.get_by_role("status").first).to_contain_text("It goes on behind position 0.")
            await hook.locator("summary", has_text="Remove").click()
            await hook.get_by_role("button", name="Remove it").click()
            await expect(page.get_by_role("status").first).to_contain_text("It is removed")
            await expect(hook).to_have_count(0)

    async def _are_parked(self, troubled: Troubled, number: int) -> bool:
        async with client_of(troubled.platform) as client:
            return (await client.service("certifier")).parked == number


class TestTroubleEmbedded(TroubleStories):
    @pytest.fixture(scope="class")
    @classmethod
    def troubled(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Troubled]:
        folder = tmp_path_factory.mktemp("troubled")
        flaw = folder / "flaw"
        with embedded(folder, {FLAW: str(flaw), "PLACET_WEBHOOK_HOSTS": "127.0.0.1"}, MODULE) as platform:
            yield Troubled(platform=platform, flaw=flaw)


class TestTroubleDistributed(TroubleStories):
    @pytest.fixture(scope="class")
    @classmethod
    def six(
        cls,
        tmp_path_factory: pytest.TempPathFactory,
        rabbitmq: RabbitMQ,
        postgres: PostgreSQL,
        registry: Registry,
        caddy: CaddyServer,
    ) -> Iterator[DistributedPlatform]:
        folder = tmp_path_factory.mktemp("troubled")
        with distributed(
            folder,
            rabbitmq=rabbitmq,
            postgres=postgres,
            registry=registry,
            caddy=caddy,
            settings={
                "certifier": {FLAW.removeprefix("PLACET_"): str(folder / "flaw")},
                "metadata": {"WEBHOOK_HOSTS": "127.0.0.1"},
            },
            module=MODULE,
        ) as platform:
            yield platform

    @pytest.fixture(scope="class")
    @classmethod
    def troubled(cls, six: DistributedPlatform) -> Troubled:
        return Troubled(platform=six.platform, flaw=six.folder / "flaw")

    async def test_a_service_that_is_away_is_told_as_such_until_it_is_back(
        self, six: DistributedPlatform
    ) -> None:
        platform = six.platform
        async with visitor(platform.url, await token_of(platform, "operator")) as somebody:
            page = somebody.page
            await somebody.open("/console/platform")
            row = page.get_by_role("region", name="Services").get_by_role("row").filter(has_text="indexer")
            await expect(row).to_contain_text("ready", timeout=SLOW)
            await asyncio.to_thread(six.processes["indexer"].stop)
            try:
                # The edge waits for who starts again, longer than a page does.
                await expect(row).to_contain_text("silent")
                await expect(row).to_contain_text("it did not answer within 3 s")
                await expect(page.get_by_text("indexer did not answer within 3 s.")).to_be_visible(
                    timeout=SLOW
                )
                await somebody.must_be_usable()
                await somebody.open("/console/platform/services/indexer")
                await expect(page.locator("#service")).to_contain_text("indexer did not answer within 3 s")
                await somebody.open("/console/platform")
            finally:
                await asyncio.to_thread(six.processes["indexer"].start)
                await asyncio.to_thread(six.wait_until_ready, "indexer")
            await expect(page.get_by_text("Every service does its work.")).to_be_visible(timeout=SLOW)
