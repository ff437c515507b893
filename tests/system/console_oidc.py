"""Who signs in at a provider, as one suite for both platforms: in a browser, and with its tokens at every service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from secrets import token_hex

import httpx
import pytest
from placet.identity import own_person_key
from playwright.async_api import Locator, expect

from tests.support.eventually import eventually
from tests.support.oidc_provider import CLIENT, SECRET, OidcProvider, running
from tests.support.platforms import Platform
from tests.support.visitors import NARROW, Visitor, visitor
from tests.system.models import write_project
from tests.system.scenarios import ask, deploy

TAKE_TOKENS = ("gateway", "metadata", "certifier", "builder", "deployer", "indexer")
AT = {
    "gateway": ("/v1/me", 200),
    "metadata": ("/v1/events?limit=1", 200),
    "certifier": ("/v1/services/certifier", 200),
    "builder": ("/v1/builds/nobody-s/1/log", 404),
    "deployer": ("/v1/capacity", 200),
    "indexer": ("/v1/garbage", 200),
}
"""A page of each, and what somebody who is let in is answered."""


def known_by(provider: OidcProvider, folder: Path) -> Mapping[str, str]:
    """The settings of a service, or of a whole platform, without their prefix."""
    folder.mkdir(parents=True, exist_ok=True)
    secret = folder / "client.secret"
    secret.write_text(SECRET)
    return {
        "OIDC_ISSUER": provider.issuer,
        "OIDC_CLIENT_ID": CLIENT,
        "OIDC_CLIENT_SECRET_FILE": str(secret),
        "OIDC_PERSON_KEY": str(own_person_key(folder / "people.key")),
    }


class ProvidersStories:
    """Subclass with a `platform` that knows the `provider`, and a `project` fixture."""

    @pytest.fixture(scope="class")
    @classmethod
    def provider(cls) -> Iterator[OidcProvider]:
        with running(OidcProvider()) as provider:
            yield provider

    @pytest.fixture
    def subject(self, provider: OidcProvider) -> Iterator[str]:
        """Somebody whom no other story knows, who may operate."""
        subject = f"grace-{token_hex(3)}"
        provider.people[subject] = {"groups": ["placet-operator"]}
        yield subject
        del provider.people[subject]

    async def test_who_signs_in_at_the_provider_works_and_leaves(
        self, platform: Platform, provider: OidcProvider, tmp_path: Path, project: str, subject: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / project, project))
        async with visitor(platform.url) as somebody:
            page = somebody.page
            await somebody.open(f"/console/models/{project}/try")
            await page.wait_for_url("**/console/sign-in?next=*")
            await _pass_the_provider(somebody, subject)
            await page.wait_for_url(f"**/console/models/{project}/try")
            await expect(_menu(somebody, subject)).to_be_visible()
            await page.get_by_role("button", name="Predict").click()
            await expect(page.locator("#answer")).to_contain_text("outputs")
            await somebody.must_be_usable()

            await _menu(somebody, subject).click()
            await page.get_by_role("button", name="Sign out").click()
            await page.wait_for_url("**/console/sign-in?out=1")
            await somebody.must_be_usable()
            await page.get_by_role("link", name="sign out there, too").click()
            await expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
            await page.goto(f"{platform.url}/console/models")
            await page.wait_for_url("**/console/sign-in?next=*")
        await ask(platform, "stop", project)

    async def test_who_declines_or_has_no_role_is_told_so(
        self, platform: Platform, provider: OidcProvider, subject: str
    ) -> None:
        async with visitor(platform.url, theme="dark", width=NARROW) as somebody:
            page = somebody.page
            await somebody.open("/console/sign-in?next=/console/audit")
            await _pass_the_provider(somebody, subject, act="Decline")
            await expect(page.get_by_role("alert")).to_contain_text("declined")
            await somebody.must_be_usable()

            provider.people[subject] = {"groups": ["payroll"]}
            await _pass_the_provider(somebody, subject)
            await expect(page.get_by_role("alert")).to_contain_text("the claim groups")
            await somebody.must_be_usable()

            provider.people[subject] = {"groups": ["placet-auditor"]}
            await _pass_the_provider(somebody, subject)
            await page.wait_for_url("**/console/audit")
            await somebody.must_be_usable()

    async def test_it_needs_no_script(self, platform: Platform, subject: str) -> None:
        async with visitor(platform.url, scripts=False) as somebody:
            page = somebody.page
            await page.goto(f"{platform.url}/console/platform")
            await _pass_the_provider(somebody, subject)
            await page.wait_for_url("**/console/platform")
            await expect(_menu(somebody, subject)).to_be_visible()

    async def test_every_service_takes_a_providers_token_until_its_person_is_erased(
        self, platform: Platform, provider: OidcProvider, subject: str
    ) -> None:
        async with platform.http() as http:
            token = provider.token(subject)
            for path, status in AT.values():
                assert (await _asked(http, path, token)).status_code == status, path
                for no in (
                    provider.token(subject, aud="payroll"),
                    provider.token(subject, headers={"kid": "x"}),
                ):
                    refused = await _asked(http, path, no)
                    assert refused.status_code == 401, path
                    assert refused.headers["content-type"] == "application/problem+json"
                assert (await _asked(http, path, provider.token(subject, groups=[]))).status_code == 403, path
                assert (await _asked(http, path, platform.token)).status_code == status, path

            person = (await _asked(http, "/v1/me", token)).json()["person"]
            erased = await http.delete(f"/v1/people/{person}", headers=platform.authorized())
            assert erased.status_code == 202
            for path, _ in AT.values():

                async def is_out(path: str = path) -> bool:
                    return (await _asked(http, path, token)).status_code == 401

                await eventually(is_out)
                assert (await _asked(http, path, provider.token(subject))).status_code == 401, path


async def _pass_the_provider(somebody: Visitor, subject: str, *, act: str = "Go on") -> None:
    page = somebody.page
    await page.get_by_role("link", name="Sign in with 127.0.0.1").click()
    await page.get_by_label("Name").fill(subject)
    await page.get_by_role("button", name=act).click()


def _menu(somebody: Visitor, subject: str) -> Locator:
    """What stands in each page for who is signed in."""
    return somebody.page.locator("summary").filter(has_text=f"{subject}@example.org")


async def _asked(http: httpx.AsyncClient, path: str, token: str) -> httpx.Response:
    return await http.get(path, headers={"Authorization": f"Bearer {token}"})
