"""What approvers and compliance do in a browser, as one suite: it runs on the embedded platform and on six processes
alike."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from placet.client import Client, Connection
from placet.events.clocks import SystemClock
from playwright.async_api import expect

from tests.support.eventually import eventually
from tests.support.platforms import Platform
from tests.support.visitors import NARROW, visitor
from tests.system.console import token_of
from tests.system.models import write_project
from tests.system.scenarios import answers, ask, client_of, deploy, four_eyes, placet

GOVERNANCE = "/console/governance"


async def waits_for_two(platform: Platform, folder: Path, project: str) -> Any:
    """The operation of a release that two people have to approve."""
    policy = folder / "four-eyes.yaml"
    policy.write_text(four_eyes(project))
    await placet(platform, "policy", "publish", str(policy))
    return await placet(platform, "deploy", str(write_project(folder / "p", project)), status=4)


async def approved_elsewhere(platform: Platform, project: str, release: int) -> None:
    """By two people, without a browser."""
    for role in ("approver", "compliance"):
        connection = Connection(url=platform.url, token=await token_of(platform, role))
        async with Client(connection) as another:
            waits = next(each for each in await another.awaited(project) if each.release == release)
            await another.approve(project, release=release, binding=waits.binding)


async def is_state(platform: Platform, operation: str, state: str) -> None:
    async def is_so() -> bool:
        return bool((await placet(platform, "status", operation))["state"] == state)

    await eventually(is_so)


def read_json(file: Path) -> Any:
    return json.loads(file.read_bytes())


def questionnaire(project: str) -> str:
    """One that asks whom it is about only where it is about people."""
    return f"""\
apiVersion: placet/v1
kind: Questionnaire
id: impact-{project}
version: "1"
title: Impact of {project}
owner: compliance
levels:
  - {{name: low, upTo: 0.4}}
  - {{name: high, upTo: 1.0, requires: [review]}}
mitigations:
  - {{id: review, text: Somebody looks at each answer}}
sections:
  - id: use
    title: Use
    questions:
      - id: people
        text: Is it about people?
        counts: risk
        choices:
          - {{value: "yes", text: "It is about people", points: 2}}
          - {{value: "no", text: "It is about things"}}
      - id: which
        text: About which people?
        kind: many
        counts: risk
        askedIf: {{question: people, has: "yes"}}
        choices:
          - {{value: old, text: Old ones, points: 1}}
          - {{value: ill, text: Ill ones, points: 1}}
      - {{id: why, text: "Why is it needed?", kind: text}}
"""


def unwanted(project: str) -> str:
    """A policy that refuses one project."""
    return f"""\
apiVersion: placet/v1
kind: Policy
id: unwanted.{project}
version: 1
title: Not this one
owner: compliance
given:
  project: {{name: another}}
rules:
  - id: {project}.unwanted
    title: It is another one
    citations: [{{source: House rules, section: "9"}}]
    stage: submit
    onFail: deny
    require: project.name != "{project}"
    say: "{{{{ project.name }}}} is not wanted"
    fix: Send another one
    tests:
      - {{expect: pass}}
      - {{expect: fail, patch: {{project: {{name: {project}}}}}}}
"""


_LABELS = """() => [...document.querySelectorAll("form.filters label")].map((label) => {
  const field = label.control, under = field.getBoundingClientRect(), at = label.getBoundingClientRect();
  return [label.textContent, under.top - at.bottom, under.left - at.left, field.parentElement === label.parentElement];
})"""
"""Of each label of a filter: its words, how far below it and to its right its field is, and whether both are in one."""


class GovernanceStories:
    """Subclass with a `platform` fixture."""

    @pytest.fixture
    def governed(self) -> str:
        """A project's name that no other story uses."""
        return f"ruled-{token_hex(5)}"

    async def test_two_people_approve_what_waits_and_one_ends_its_certificate(
        self, platform: Platform, tmp_path: Path, governed: str
    ) -> None:
        waits = await waits_for_two(platform, tmp_path, governed)
        async with visitor(platform.url, await token_of(platform, "approver")) as somebody:
            page = somebody.page
            await page.get_by_role("link", name="Governance").click()
            mine = page.locator("#waiting li", has_text=governed)
            await expect(mine).to_contain_text("yours to decide")
            await somebody.must_be_usable()
            await mine.get_by_role("link").click()
            await page.wait_for_url(f"**/console/models/{governed}/approvals")
            looked = await placet(platform, "approve", governed, "--look")
            text = await somebody.text()
            assert all(looked[each] in text for each in ("binding", "source", "image", "inputs"))
            assert "0 people approved it, and 2 are needed" in text
            assert "all of it is new" in text
            await somebody.must_be_usable()
            await page.get_by_label("Why you approve it").fill("tried it, and it is right")
            await page.get_by_role("button", name="Approve release 1").click()
            await expect(page.get_by_text("You approved release 1")).to_be_visible()
            await expect(page.get_by_text("tried it, and it is right")).to_be_visible()
            await expect(page.get_by_role("button", name="Approve release 1")).to_have_count(0)
            await somebody.open(GOVERNANCE)
            await expect(page.locator("#waiting li", has_text=governed)).not_to_contain_text("yours")
        async with visitor(platform.url, await token_of(platform, "compliance")) as somebody:
            page = somebody.page
            await somebody.open(f"/console/models/{governed}/approvals")
            late = await page.context.new_page()
            await late.goto(f"{platform.url}/console/models/{governed}/approvals")
            await page.get_by_role("button", name="Approve release 1").click()
            await expect(page.get_by_text("You approved release 1")).to_be_visible()
            await is_state(platform, waits["operation"], "live")
            await expect(late.get_by_text("It waits no more")).to_be_visible()
            await expect(late.locator("#release-1 .state")).to_be_hidden()
            await late.get_by_label("Why you approve it").fill("so do I")
            await late.get_by_role("button", name="Approve release 1").click()
            await expect(late.get_by_role("alert")).to_contain_text("release 1 waits no more")
            await expect(late.get_by_role("alert")).to_contain_text("so do I")
            await late.close()
            await somebody.open(f"/console/models/{governed}")
            await page.locator('a[href^="/console/certificates/"]').first.click()
            await expect(page.get_by_role("heading", name=f"Certificate of {governed}")).to_be_visible()
            await somebody.must_be_usable()
            text = await somebody.text()
            assert looked["image"] in text
            assert looked["source"] in text
            assert "tried it, and it is right" in text
            assert f"{governed}.approved" in text
            async with page.expect_download() as waiting:
                await page.get_by_role("link", name="Download the signed envelope").click()
            kept = read_json(await (await waiting.value).path())
            live = await placet(platform, "status", governed)
            shown = await placet(platform, "certificate", "show", live["certificate"])
            assert kept == shown["envelope"]

            await page.get_by_text("Revoke this certificate").click()
            await expect(page.get_by_text("It ends now, and for good")).to_be_visible()
            await page.get_by_label("Why", exact=True).fill("the data were not ours")
            await page.get_by_role("button", name="Revoke the certificate").click()
            await expect(page.locator(".heading .state")).to_have_text("revoked")
            await expect(page.locator("#standing")).to_contain_text("the data were not ours")
            await somebody.must_be_usable()

        async def is_gone() -> bool:
            return not await answers(platform, governed)

        await eventually(is_gone)

    async def test_the_page_of_what_waits_goes_on_by_itself_once_it_is_approved_elsewhere(
        self, platform: Platform, tmp_path: Path, governed: str
    ) -> None:
        waits = await waits_for_two(platform, tmp_path, governed)
        async with visitor(platform.url, await token_of(platform, "scientist")) as somebody:
            page = somebody.page
            await somebody.open(f"/console/operations/{waits['operation']}")
            await page.evaluate("document.body.dataset.mine = 'kept'")
            state = page.locator("#operation .heading .state")
            await expect(state).to_have_text("awaiting")
            await approved_elsewhere(platform, governed, 1)
            await expect(state).to_have_text("live", timeout=120_000)
            await expect(page.get_by_role("heading", name="It is there")).to_be_visible()
            assert await page.evaluate("document.body.dataset.mine") == "kept"
            await somebody.must_be_usable()
        await ask(platform, "stop", governed)

    async def test_what_nobody_can_approve_any_more_is_asked_for_anew_and_approved(
        self, platform: Platform, tmp_path: Path, governed: str
    ) -> None:
        """Of a model that served already when the policy came nothing waits."""
        await deploy(platform, write_project(tmp_path / "p", governed))
        policy = tmp_path / "four-eyes.yaml"
        policy.write_text(four_eyes(governed))
        await placet(platform, "policy", "publish", str(policy))
        async with visitor(platform.url, await token_of(platform, "scientist")) as somebody:
            page = somebody.page
            await somebody.open(f"/console/models/{governed}")
            await expect(page.locator("#model-head .state")).to_have_text("quarantined")
            await expect(page.locator("summary", has_text="Start")).to_have_count(0)
            await somebody.open(f"/console/models?search={governed}")
            await expect(page.locator(".card .facts")).to_contain_text("suspended")
            await somebody.open(f"/console/models/{governed}")
            await page.get_by_role("link", name=f"What can be done with {governed}").first.click()
            await page.locator("summary", has_text="Roll back").click()
            await page.get_by_role("button", name=f"Roll back {governed}").click()
            await page.wait_for_url("**/console/operations/*")
            await expect(page.locator("#operation .heading .state")).to_have_text("awaiting")
            await page.get_by_role("link", name="approve it").click()
            await expect(page.get_by_role("link", name="whose certificate is suspended")).to_be_visible()
            await somebody.must_be_usable()
            await approved_elsewhere(platform, governed, 2)
            await expect(page.locator("#model-head .state")).to_have_text("live", timeout=120_000)
        await ask(platform, "stop", governed)

    async def test_an_approver_works_by_keyboard_alone(
        self, platform: Platform, tmp_path: Path, governed: str
    ) -> None:
        waits = await waits_for_two(platform, tmp_path, governed)
        for role in ("approver", "compliance"):
            async with visitor(platform.url, await token_of(platform, role)) as somebody:
                page = somebody.page
                await somebody.press("Governance")
                await page.wait_for_url(f"**{GOVERNANCE}")
                await somebody.press(f"{governed}, release 1")
                await page.wait_for_url("**/approvals")
                await somebody.tab_to("Why you approve it (if you want to say)")
                await page.keyboard.type(f"looked at it as {role}")
                await somebody.press("Approve release 1")
                await expect(page.get_by_text("You approved release 1")).to_be_visible()
        await is_state(platform, waits["operation"], "live")
        await ask(platform, "stop", governed)

    async def test_glass_is_broken_with_a_warning_and_somebody_else_reviews_it(
        self, platform: Platform, tmp_path: Path, governed: str
    ) -> None:
        waits = await waits_for_two(platform, tmp_path, governed)
        for role in ("operator", "approver"):
            async with visitor(platform.url, await token_of(platform, role)) as somebody:
                page = somebody.page
                await somebody.open(f"/console/models/{governed}/approvals")
                await page.locator("summary", has_text="Break the glass").click()
                await expect(page.get_by_text("It serves for one day")).to_be_visible()
                await somebody.must_be_usable()
                await page.get_by_label("Why it cannot wait").fill("it burns")
                await page.get_by_role("button", name="Break the glass").click()
                await expect(page.get_by_text("You broke the glass")).to_be_visible()
        await is_state(platform, waits["operation"], "live")
        async with visitor(platform.url, await token_of(platform, "compliance")) as somebody:
            page = somebody.page
            await somebody.open(GOVERNANCE)
            owed = page.locator("li", has_text=governed, has=page.get_by_text("A review is owed"))
            await expect(owed).to_contain_text("yours to decide")
            await owed.get_by_role("link").click()
            await expect(page.get_by_text("broken glass", exact=True)).to_be_visible()
            await page.get_by_label("What you found").fill("it was right to")
            await page.get_by_role("button", name="Write the review").click()
            await expect(page.locator("#review")).to_contain_text("it was right to")
            await expect(page.locator("#review form")).to_have_count(0)
            await somebody.must_be_usable()
            await somebody.open(GOVERNANCE)
            await expect(page.locator("li", has_text=governed)).to_have_count(0)
        await ask(platform, "stop", governed)

    async def test_what_changed_since_the_last_certificate_is_seen_before_it_is_approved(
        self, platform: Platform, tmp_path: Path, governed: str
    ) -> None:
        folder = write_project(tmp_path / "p", governed)
        assert (await deploy(platform, folder)).state == "live"
        first = await placet(platform, "status", governed)
        waits = await waits_for_two(platform, tmp_path, governed)
        async with visitor(platform.url, await token_of(platform, "approver")) as somebody:
            await somebody.open(f"/console/models/{governed}/approvals")
            rows = somebody.page.locator("section table tbody tr")
            await expect(rows.filter(has_text=f"Policy eyes.{governed}")).to_contain_text("new")
            await expect(rows.filter(has_text="Source")).to_contain_text(first["source"])
        assert waits["release"] == 2
        await ask(platform, "stop", governed)

    async def test_an_exception_is_asked_for_granted_and_withdrawn(
        self, platform: Platform, governed: str
    ) -> None:
        last_day = (SystemClock().now() + timedelta(days=60)).date().isoformat()
        async with visitor(platform.url, await token_of(platform, "scientist")) as somebody:
            page = somebody.page
            await somebody.open(f"{GOVERNANCE}/exceptions")
            await page.get_by_label("Project", exact=True).last.fill(governed)
            await page.get_by_label("Rule", exact=True).fill("no.such-rule")
            await page.get_by_label("Its last day").fill(last_day)
            await page.get_by_label("Why it is needed").fill("known for years")
            await page.get_by_role("button", name="Ask for the exception").click()
            await expect(page.get_by_role("alert")).to_contain_text("there is no rule")
            await expect(page.get_by_label("Why it is needed")).to_have_value("known for years")
            await somebody.must_be_usable()
            await page.get_by_role("link", name="model.pickle-by-exception").click()
            await page.wait_for_url(f"**{GOVERNANCE}/exceptions?rule=model.pickle-by-exception#ask")
            await expect(page.get_by_label("Rule", exact=True)).to_have_value("model.pickle-by-exception")
            await page.get_by_label("Project", exact=True).last.fill(governed)
            await page.get_by_label("Its last day").fill(last_day)
            await page.get_by_label("Why it is needed").fill("known for years")
            await page.get_by_role("button", name="Ask for the exception").click()
            await expect(page.get_by_text("Somebody else has to grant it")).to_be_visible()
            await somebody.open(f"{GOVERNANCE}/exceptions?project={governed}")
            await expect(page.locator("summary", has_text="Grant")).to_have_count(0)
        async with visitor(platform.url, await token_of(platform, "compliance")) as somebody:
            page = somebody.page
            await somebody.open(GOVERNANCE)
            await page.locator("li", has_text=governed).get_by_role("link").click()
            await page.locator("summary", has_text="Grant").click()
            await expect(page.get_by_text("From the next judgement on")).to_be_visible()
            await somebody.must_be_usable()
            await page.get_by_role("button", name="Grant").click()
            await somebody.open(f"{GOVERNANCE}/exceptions?project={governed}&state=granted")
            await expect(page.locator(".card .state")).to_have_text("granted")
            await page.locator("summary", has_text="Withdraw").click()
            await page.get_by_role("button", name="Withdraw").click()
            await somebody.open(f"{GOVERNANCE}/exceptions?project={governed}&state=withdrawn")
            await expect(page.locator(".card .state")).to_have_text("withdrawn")
            await somebody.open(f"{GOVERNANCE}/exceptions?project={governed}&state=granted")
            await expect(page.locator(".card")).to_have_count(0)

    async def test_a_policy_is_published_and_read(self, platform: Platform, governed: str) -> None:
        async with visitor(platform.url, await token_of(platform, "compliance")) as somebody:
            page = somebody.page
            await somebody.open(f"{GOVERNANCE}/policies")
            wrong = four_eyes(governed).replace("onFail: deny", "onFail: perhaps")
            await page.get_by_label("The policy's file").fill(wrong)
            await page.get_by_role("button", name="Publish").click()
            await expect(page.get_by_role("alert")).to_contain_text("onFail")
            await expect(page.get_by_label("The policy's file")).to_have_value(wrong)
            await somebody.must_be_usable()
            await page.set_input_files(
                "#from-file",
                {
                    "name": "eyes.yaml",
                    "mimeType": "application/yaml",
                    "buffer": four_eyes(governed).encode(),
                },
            )
            await expect(page.get_by_label("The policy's file")).to_have_value(four_eyes(governed))
            await page.get_by_role("button", name="Publish").click()
            await page.wait_for_url(f"**{GOVERNANCE}/policies/eyes.{governed}**")
            await expect(page.locator(".heading .state")).to_have_text("in-force")
            await expect(page.locator("#rules ~ ul")).to_contain_text("approvals.people >= 2")
            await expect(page.locator("pre")).to_contain_text("apiVersion: placet/v1")
            await page.get_by_text("Its 2 tests").click()
            await expect(page.get_by_text('With {"approvals": {"people": 1}} it waits')).to_be_visible()
            await somebody.must_be_usable()
        async with visitor(platform.url, await token_of(platform, "approver")) as somebody:
            await somebody.open(f"{GOVERNANCE}/policies")
            await expect(somebody.page.get_by_text("Publishing is for the roles")).to_be_visible()
            await somebody.page.get_by_role("link", name=f"eyes.{governed}").click()
            await somebody.page.wait_for_url(f"**/policies/eyes.{governed}*")
            await somebody.must_be_usable()

    async def test_what_a_policy_would_change_is_seen_before_it_is_published(
        self, platform: Platform, tmp_path: Path, governed: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / "p", governed))
        async with visitor(platform.url, await token_of(platform, "compliance")) as somebody:
            page = somebody.page
            await somebody.open(f"{GOVERNANCE}/policies")
            await page.get_by_role("link", name="Take Four eyes into the form below").click()
            await page.wait_for_url("**offered=*")
            await somebody.must_be_usable()
            await page.get_by_role("button", name="See first what it would change").click()
            await expect(page.get_by_role("heading", name="What four-eyes 1 would change")).to_be_visible()
            await expect(page.get_by_role("button", name="Publish it")).to_be_visible()
            await somebody.open(f"{GOVERNANCE}/policies")
            await page.get_by_label("The policy's file").fill("version: 1")
            await page.get_by_role("button", name="See first what it would change").click()
            await expect(page.get_by_role("alert")).to_contain_text("apiVersion")
            wrong = unwanted(governed).replace("{expect: pass}", "{expect: fail}")
            await page.get_by_label("The policy's file").fill(wrong)
            await page.get_by_role("button", name="See first what it would change").click()
            await expect(page.get_by_role("alert")).to_contain_text("expected fail, the rule said pass")
            await page.get_by_label("The policy's file").fill(unwanted(governed))
            await page.get_by_role("button", name="See again what it would change").click()
            await expect(page.get_by_role("region", name="What it asks").last).to_contain_text("added")
            await expect(page.locator("#found")).to_contain_text("1 would be another")
            await expect(page.locator(".notice.bad")).to_contain_text(f"{governed} release 1")
            row = page.get_by_role("region", name="Decisions that would be others").locator("tbody tr")
            await expect(row).to_contain_text(f"{governed} is not wanted")
            assert await row.locator(".state").all_inner_texts() == ["passed", "refused"]
            await somebody.must_be_usable()
            await page.get_by_label("The policy's file").fill(unwanted(f"{governed}-2"))
            await page.get_by_role("button", name="See again what it would change").click()
            await expect(page.locator("#found")).to_contain_text("none would be another")
            await page.get_by_role("button", name="Publish it").click()
            await page.wait_for_url(f"**{GOVERNANCE}/policies/unwanted.{governed}-2**")
            await page.get_by_role("button", name="What it changed").click()
            await expect(page.locator("#found")).to_contain_text("none would be another")
            await somebody.must_be_usable()
        async with visitor(platform.url, await token_of(platform, "approver")) as somebody:
            page = somebody.page
            await somebody.open(f"{GOVERNANCE}/policies/unwanted.{governed}-2")
            await page.get_by_role("button", name="What it changed").click()
            await expect(page.locator(".notice.bad")).to_contain_text("needs one of the roles")
            await somebody.must_be_usable()
        await ask(platform, "stop", governed)

    async def test_a_questionnaire_is_answered_as_it_branches_and_nothing_is_lost(
        self, platform: Platform, tmp_path: Path, governed: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / "p", governed))
        async with client_of(platform) as client:
            made = await client.import_questionnaire(questionnaire(governed).encode())
        form = f"{GOVERNANCE}/assessments/answer?project={governed}&questionnaire={made.digest}"
        async with visitor(platform.url, await token_of(platform, "compliance")) as somebody:
            page = somebody.page
            await somebody.open(f"{GOVERNANCE}/assessments?project={governed}")
            await page.get_by_role("button", name=f"Answer it Impact of {governed}").click()
            await page.wait_for_url("**/assessments/answer*")
            await expect(page.get_by_text("About which people?")).to_have_count(0)
            await page.get_by_label("It is about people").check()
            await expect(page.get_by_text("About which people?")).to_be_visible()
            await page.get_by_label("Why is it needed?").fill("to know them")
            await page.get_by_role("button", name="Send").click()
            await expect(page.get_by_role("alert")).to_contain_text("About which people? has no answer")
            await page.get_by_role("link", name="About which people?").click()
            await expect(page.locator("fieldset:target")).to_contain_text("About which people?")
            await expect(page.get_by_label("Why is it needed?")).to_have_value("to know them")
            await somebody.must_be_usable()

            await somebody.open(form)
            await expect(page.get_by_label("It is about people")).to_be_checked()
            await expect(page.get_by_label("Why is it needed?")).to_have_value("to know them")
            await page.get_by_label("Old ones").check()
            await expect(page.locator("#score")).to_contain_text("high")
            await expect(page.locator("#score")).to_contain_text("not in place")
            await page.get_by_role("button", name="Send").click()
            await expect(page.get_by_text("It is answered: high, with 3 points")).to_be_visible()
            await expect(page.locator("#assessments")).to_contain_text("Not in place: review")
            await somebody.must_be_usable()
            await somebody.open(form)
            await expect(page.get_by_label("It is about people")).not_to_be_checked()
        async with visitor(platform.url, scripts=False) as somebody:
            page = somebody.page
            await page.goto(f"{platform.url}{form}")
            await page.get_by_label("Token").fill(platform.token)
            await page.get_by_role("button", name="Sign in").click()
            await page.get_by_label("It is about people").check()
            await page.get_by_role("button", name="Show what follows").click()
            await page.get_by_label("None of these").check()
            await page.get_by_role("button", name="Show what follows").click()
            await expect(page.locator("#score")).to_contain_text("nothing more")
        await ask(platform, "stop", governed)

    async def test_the_pages_of_governance_can_be_used_narrow_and_dark(
        self, platform: Platform, tmp_path: Path, governed: str
    ) -> None:
        await waits_for_two(platform, tmp_path, governed)
        token = await token_of(platform, "approver")
        async with visitor(platform.url, token, theme="dark", width=NARROW) as somebody:
            for path in (
                GOVERNANCE,
                f"{GOVERNANCE}/exceptions",
                f"{GOVERNANCE}/policies",
                f"{GOVERNANCE}/policies/eyes.{governed}",
                f"{GOVERNANCE}/assessments?project={governed}",
                f"/console/models/{governed}/approvals",
            ):
                await somebody.open(path)

    async def test_on_a_narrow_screen_each_field_of_a_filter_stands_below_its_label(
        self, platform: Platform
    ) -> None:
        async with visitor(platform.url, await token_of(platform, "admin"), width=NARROW) as somebody:
            for path in (
                f"{GOVERNANCE}/exceptions",
                f"{GOVERNANCE}/assessments",
                "/console/audit",
                "/console/audit/then",
                "/console/audit/why",
                "/console/platform/registry",
            ):
                await somebody.open(path)
                pairs = await somebody.page.evaluate(_LABELS)
                assert pairs, path
                for name, below, left, same in pairs:
                    assert same, f"{name} of {path} is not beside its field in the page"
                    assert abs(left) < 1, f"{name} of {path} is not in a line with its field"
                    assert 0 <= below < 12, f"{name} of {path} is {below} pixels above its field"
