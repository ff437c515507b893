"""What the pages of governance work out by themselves: what is whose, what changed, what is asked next."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from html import unescape
from typing import Any

import httpx
import msgspec
import pytest
from placet.assessments import load_shipped
from placet.client import (
    Approval,
    AwaitedRelease,
    Certificate,
    Me,
    PolicyNamed,
    PolicyVersion,
    RuleException,
    Verdict,
)
from placet.client.documents import Person, QuestionnaireDetail, read
from placet.errors import Refused, Unreadable
from placet.gateway.console import assessing, certificates, governing, policies, session, shipping
from placet.gateway.console.asking import Platform
from placet.gateway.console.excepting import end_of
from placet.rules import load_shipped as load_policies
from placet.rules import offered_files, read_policy, shipped_files

from tests.unit.client.fake_platform import ADMIN, APPROVER, FakePlatform
from tests.unit.console.test_console_security import SCRIPT, sign_in

ADA, BOB = Person(person="person:1", name="Ada"), Person(person="person:2", name="Bob")


def digest(of: str) -> str:
    return f"sha256:{of * 64}"


def policy(id: str, version: int = 1) -> PolicyNamed:
    return PolicyNamed(id=id, version=version, digest=digest(str(version)))


def release(number: int = 2, **changes: Any) -> AwaitedRelease:
    usual: dict[str, Any] = {
        "release": number,
        "state": "awaiting",
        "operation": "1",
        "binding": digest("b"),
        "source": digest("5"),
        "image": digest("a"),
        "inputs": digest("f"),
        "policies": (policy("house"), policy("eyes")),
        "since": "2026-11-26T00:00:00Z",
        "until": "2026-12-10T00:00:00Z",
        "asked_by": ADA,
    }
    return AwaitedRelease(**{**usual, **changes})


def approval(by: Person = BOB, **changes: Any) -> Approval:
    usual: dict[str, Any] = {
        "approval": "approval:1",
        "project": "churn",
        "release": 2,
        "binding": digest("b"),
        "given_by": by,
        "given_at": "2026-11-27T00:00:00Z",
    }
    return Approval(**{**usual, **changes})


def certificate(number: int = 1, **predicate: Any) -> Certificate:
    said = {
        "policies": [{"id": "house", "version": 1, "digest": digest("1")}],
        "verdicts": [],
        **predicate,
    }
    subject = [
        {"name": "models/churn", "digest": {"sha256": "c" * 64}},
        {"name": "sources", "digest": {"sha256": "5" * 64}},
    ]
    return Certificate(
        certificate="certificate:1",
        project="churn",
        release=number,
        image=digest("c"),
        state="valid",
        not_after="2027-01-01T00:00:00Z",
        envelope={},
        statement={"subject": subject, "predicate": said},
    )


@pytest.mark.parametrize(
    ("who", "roles", "approvals", "approves", "breaks"),
    [
        (BOB, ("approver",), (), True, True),
        (BOB, ("compliance",), (), True, True),
        (BOB, ("operator",), (), False, True),
        (BOB, ("admin", "scientist"), (), False, False),
        (ADA, ("approver",), (), False, False),
        (BOB, ("approver",), (approval(),), False, True),
        (BOB, ("approver",), (approval(break_glass=True),), True, False),
        (BOB, ("approver",), (approval(binds=False),), True, True),
        (BOB, ("approver",), (approval(ADA),), True, True),
    ],
)
def test_a_release_is_yours_to_approve_by_role_if_it_is_not_your_own_and_once(
    who: Person, roles: tuple[str, ...], approvals: tuple[Approval, ...], approves: bool, breaks: bool
) -> None:
    me = Me(person=who.person, roles=roles)
    waits = release(approvals=approvals)
    assert governing.may_approve(me, waits) is approves
    assert governing.may_break_glass(me, waits) is breaks


@pytest.mark.parametrize(
    ("who", "role", "state", "grants", "withdraws"),
    [
        (BOB, "approver", "requested", True, True),
        (BOB, "admin", "requested", True, True),
        (BOB, "scientist", "requested", False, False),
        (ADA, "approver", "requested", False, True),
        (ADA, "scientist", "granted", False, True),
        (BOB, "approver", "granted", False, True),
        (BOB, "approver", "withdrawn", False, False),
        (ADA, "scientist", "expired", False, False),
    ],
)
def test_an_exception_is_granted_by_another_and_ended_by_who_asked_or_decides(
    who: Person, role: str, state: str, grants: bool, withdraws: bool
) -> None:
    asked = RuleException(
        exception="exception:1",
        project="churn",
        rule="r",
        until="2026-12-10T00:00:00Z",
        state=state,
        requested_by=ADA,
        requested_at="2026-11-10T00:00:00Z",
    )
    me = Me(person=who.person, roles=(role,))
    assert (governing.may_grant(me, asked), governing.may_withdraw(me, asked)) == (grants, withdraws)


def test_what_was_certified_last_is_the_newest_before_the_release() -> None:
    old, newer, refused = (
        release(1, state="certified"),
        release(3, state="certified"),
        release(4, state="refused"),
    )
    later = release(9, state="certified")
    waits = release(5)
    found = governing.last_certified(5, (waits, later, refused, newer, old), None)
    assert found is not None
    assert (found.release, found.certificate, found.inputs) == (3, None, digest("f"))
    assert governing.last_certified(1, (waits, newer), None) is None
    served = governing.last_certified(5, (newer, old), certificate(4))
    assert served is not None
    assert (served.release, served.certificate, served.inputs) == (4, "certificate:1", None)
    both = governing.last_certified(5, (newer, old), certificate(3))
    assert both is not None
    assert (both.certificate, both.inputs) == ("certificate:1", digest("f")), (
        "what waited says what rules saw"
    )
    assert governing.last_certified(5, (), certificate(6)) is None, "it is of a later release"


def test_differences_name_each_digest_and_policy() -> None:
    before = governing.of_certificate(
        certificate(
            policies=[
                {"id": "house", "version": 1, "digest": digest("1")},
                {"id": "gone", "version": 7, "digest": digest("7")},
            ]
        )
    )
    now = release(policies=(policy("house", 2), policy("eyes")))
    told = {each.what: each for each in governing.differences(before, now)}
    assert list(told) == ["Source", "Image", "Policy eyes", "Policy gone", "Policy house"]
    assert told["Source"].is_same
    assert (told["Image"].before, told["Image"].now) == (digest("c"), digest("a"))
    assert (told["Policy eyes"].before, told["Policy eyes"].now) == (None, f"version 1, {digest('1')}")
    assert told["Policy gone"].now is None
    assert not told["Policy house"].is_same


def test_verdicts_that_did_not_pass_come_first_with_why_and_the_exception() -> None:
    given = [
        {"rule": "fine", "policy": "house", "stage": "submit", "result": "pass"},
        {"rule": "pickle", "policy": "house", "stage": "certify", "result": "fail"},
        {"rule": "old", "policy": "house", "stage": "certify", "result": "indeterminate"},
    ]
    excepted = [{"rule": "pickle", "exception": "exception:1"}, {"rule": "fine", "exception": "exception:2"}]
    why = Verdict(rule="pickle", stage="certify", result="fail", why="it is one", fix="convert it")
    other = Verdict(rule="old", stage="submit", result="fail", why="of another stage")
    told = {(each.rule, each.stage): each for each in (why, other)}
    found = certificates.judged({"verdicts": given, "exceptions": excepted}, told, {})
    assert [(each.rule, each.why, each.exception) for each in found] == [
        ("pickle", "it is one", "exception:1"),
        ("old", None, None),
        ("fine", None, None),
    ]


def test_an_exception_ends_with_its_last_day() -> None:
    assert end_of("2027-01-31") == datetime(2027, 1, 31, 23, 59, 59, 999_000, tzinfo=UTC), (
        "told as of that day"
    )
    for wrong in ("", "31.1.2027", "9999-12-31", "2027-02-30"):
        with pytest.raises(Unreadable):
            end_of(wrong)


async def test_every_policy_that_ships_is_shown_as_rules() -> None:
    platform = Platform("http://platform")
    for name, file in shipped_files().items():
        read_back = await policies.read(platform, "person:1", file.decode())
        assert read_back is not None, name
        for rule in read_back.rules:
            told = policies.ruled(rule, read_back.params)
            assert "{{" not in "".join([*told.says, told.fix]), rule.id
            assert told.requires, rule.id
            assert told.says, rule.id
    assert await policies.read(platform, "person:1", "rules: [") is None
    assert await policies.read(platform, "person:1", "#" * 100_000) is None


QUESTIONNAIRE = {
    "apiVersion": "placet/v1",
    "kind": "Questionnaire",
    "id": "impact",
    "version": "1",
    "title": "Impact",
    "owner": "compliance",
    "levels": [{"name": "low", "upTo": 0.5}, {"name": "high", "upTo": 1.0, "requires": ["review", "log"]}],
    "mitigations": [{"id": "review", "text": "Somebody looks"}, {"id": "log", "text": "It is logged"}],
    "sections": [
        {
            "id": "use",
            "title": "Use",
            "questions": [
                {
                    "id": "people",
                    "text": "Is it about people?",
                    "counts": "risk",
                    "choices": [{"value": "yes", "text": "Yes", "points": 2}, {"value": "no", "text": "No"}],
                },
                {
                    "id": "which",
                    "text": "Which?",
                    "kind": "many",
                    "counts": "risk",
                    "askedIf": {"question": "people", "has": "yes"},
                    "choices": [
                        {"value": "old", "text": "Old", "points": 1},
                        {"value": "ill", "text": "Ill", "points": 1},
                    ],
                },
                {"id": "why", "text": "Why?", "kind": "text"},
            ],
        }
    ],
}


def detail(**changes: Any) -> QuestionnaireDetail:
    usual: dict[str, Any] = {
        "questionnaire": "impact",
        "version": "1",
        "title": "Impact",
        "digest": digest("d"),
        "form": "placet",
        "state": "newest",
        "content": QUESTIONNAIRE,
    }
    return QuestionnaireDetail(**{**usual, **changes})


def test_a_questionnaire_branches_and_keeps_what_is_not_asked_any_more() -> None:
    asked = assessing.read(detail())
    empty = assessing.standing_of(asked, assessing.read_draft({}))
    assert (set(empty.asked), set(empty.unanswered)) == ({"people", "why"}, {"people"})
    form = {"answer.people": ["yes"], "answer.which[]": ["old", "ill"], "mitigation": ["log", "log"]}
    draft = assessing.read_draft(form)
    assert draft == assessing.Draft(answers={"people": "yes", "which": ("old", "ill")}, mitigations=("log",))
    full = assessing.standing_of(asked, draft)
    assert (set(full.asked), set(full.unanswered)) == ({"people", "which", "why"}, set())
    assert (full.score.score, full.score.level_name, full.missing) == (4, "high", ("review",))
    hidden = assessing.standing_of(asked, assessing.read_draft({**form, "answer.people": ["no"]}))
    assert (set(hidden.asked), dict(hidden.answers)) == ({"people", "why"}, {"people": "no"})
    assert (hidden.score.score, hidden.missing) == (0, ())


def test_none_of_the_choices_is_an_answer_and_an_empty_field_is_not() -> None:
    asked = assessing.read(detail())
    silent = assessing.read_draft({"answer.people": ["yes"], "answer.why": [""]})
    assert assessing.standing_of(asked, silent).unanswered == {"which"}
    none = assessing.read_draft({"answer.people": ["yes"], "none": ["which"]})
    assert none.answers == {"people": "yes", "which": ()}
    assert assessing.standing_of(asked, none).unanswered == frozenset()
    some = assessing.read_draft({"answer.which[]": ["old"], "none": ["which"]})
    assert some.answers == {"which": ("old",)}


def test_every_questionnaire_that_ships_is_a_form() -> None:
    for each in load_shipped():
        content = msgspec.json.decode(msgspec.json.encode(each))
        known = read(
            msgspec.json.encode({**msgspec.to_builtins(detail()), "content": content}), QuestionnaireDetail
        )
        assert assessing.read(known).sections == each.sections
    with pytest.raises(Unreadable, match="cannot be shown"):
        assessing.read(detail(content={"kind": "Other"}))


async def test_a_refused_request_keeps_what_was_filled_in_and_shows_it_as_words(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    await sign_in(browser)
    form = {
        "proof": session.proof_of(ADMIN),
        "project": "churn",
        "rule": "r",
        "until": "no day",
        "reason": SCRIPT,
    }
    answer = await browser.post("/console/governance/exceptions", data=form)
    assert answer.status_code == 400
    assert "is no day" in answer.text
    assert SCRIPT not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text
    assert platform.exceptions == []


async def test_pages_of_governance_show_nobodys_words_as_anything_else(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    await sign_in(browser)
    platform.awaited.append(
        {
            **msgspec.to_builtins(release(asked_by=Person(person="person:1", name=SCRIPT))),
            "askedBy": {"person": "person:1", "name": SCRIPT},
            "awaiting": [{"rule": SCRIPT, "why": SCRIPT, "fix": SCRIPT}],
        }
    )
    platform.models["churn"] = {"project": "churn", "release": 1, "state": "awaiting", "url": None}
    for path in ("/console/governance", "/console/models/churn/approvals"):
        page = await browser.get(path)
        assert page.status_code == 200, page.text
        assert SCRIPT not in page.text
        assert "&lt;script&gt;alert(1)" in page.text


async def test_nobody_decides_in_anothers_name(browser: httpx.AsyncClient, platform: FakePlatform) -> None:
    """Who is not signed in sees no page; a form that the console did not make decides nothing."""
    places = (
        "governance",
        "governance/exceptions",
        "governance/policies",
        "certificates/1",
        "models/wine/approvals",
    )
    for path in places:
        answer = await browser.get(f"/console/{path}")
        assert answer.headers["location"].startswith("/console/sign-in?next="), path
    assert platform.requests == []
    await sign_in(browser)
    forged = {
        "act": "grant",
        "release": "1",
        "binding": digest("b"),
        "reason": "mine",
        "found": "mine",
        "file": "x",
    }
    for path in (
        "models/wine/approvals",
        "governance/exceptions",
        "governance/exceptions/wine/exception:1",
        "governance/policies",
        "governance/assessments/answer",
        "certificates/1/revoke",
        "certificates/1/review",
    ):
        for proof in ({}, {"proof": session.proof_of("another")}):
            answer = await browser.post(f"/console/{path}", data={**forged, **proof})
            assert answer.status_code == 403, path
    assert [each for each in platform.requests if each[0] not in ("GET", "HEAD")] == []


def version(number: int, state: str = "superseded", id: str = "house", **said: Any) -> PolicyVersion:
    return read(
        json.dumps(
            {
                "policy": id,
                "version": number,
                "digest": digest(f"{id}{number}"),
                "title": "T",
                "owner": "o",
                "state": state,
                "shipped": False,
                "submittedBy": None,
                "submittedAt": None,
                **said,
            }
        ).encode(),
        PolicyVersion,
    )


@pytest.mark.parametrize(
    ("versions", "named", "supersedes", "before"),
    [
        ([], None, None, None),
        ([version(1), version(2, "in-force")], None, None, 2),
        ([version(1), version(2, "ended")], None, None, 2),
        ([version(1), version(3, "rejected")], None, None, 1),
        ([version(1), version(2, "in-force")], 2, None, 1),
        ([version(1), version(2, "in-force")], 1, None, None),
        ([version(2, "in-force"), version(3, "submitted")], 3, None, 2),
        ([version(7, "in-force", id="old")], None, "old", 7),
        ([version(7, "in-force", id="other")], None, None, None),
    ],
)
def test_a_policy_is_held_against_what_it_would_take_the_place_of(
    versions: list[PolicyVersion], named: int | None, supersedes: str | None, before: int | None
) -> None:
    chosen = next((each for each in versions if each.version == named), None)
    new = msgspec.structs.replace(
        load_policies()[0],
        id="house",
        supersedes=supersedes,
        digest=digest("new") if chosen is None else chosen.digest,
    )
    found = policies.before_it(new, versions, chosen)
    assert (None if found is None else found.version) == before


async def test_what_somebody_wrote_is_kept_where_it_is_refused(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    await sign_in(browser)
    sent = {"proof": session.proof_of(ADMIN), "reason": f"because {SCRIPT}"}
    answer = await browser.post("/console/models/wine/approvals", data=sent)
    assert answer.status_code == 400
    assert "as you wrote it" in answer.text
    assert "because &lt;script&gt;" in answer.text
    assert SCRIPT not in answer.text
    assert 'action="/console/models/wine/approvals"' in answer.text


def approving(**form: str) -> dict[str, str]:
    said = {"proof": session.proof_of(ADMIN), "release": "2", "binding": digest("c"), "reason": SCRIPT}
    return {**said, **form}


def awaits(platform: FakePlatform, state: str = "awaiting") -> None:
    person = {"person": "person:2", "name": "Bob"}
    platform.awaited.append({**msgspec.to_builtins(release()), "askedBy": person, "state": state})
    platform.models["churn"] = {"project": "churn", "release": 1, "state": "awaiting", "url": None}


async def test_an_approval_that_came_too_late_is_told_so_where_it_was_given(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    await sign_in(browser)
    awaits(platform, "certified")
    answer = await browser.post("/console/models/churn/approvals", data=approving())
    assert answer.status_code == 422
    assert "Yours did not count: release 2 waits no more" in answer.text
    assert "What waited before" in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text
    assert SCRIPT not in answer.text


async def test_an_approval_of_what_is_another_by_now_keeps_what_was_written(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    await sign_in(browser, APPROVER)
    awaits(platform)
    form = approving(reason="it is right", proof=session.proof_of(APPROVER))
    answer = await browser.post("/console/models/churn/approvals", data=form)
    assert answer.status_code == 422
    assert "it is something else by now" in answer.text
    assert 'maxlength="2000">it is right</textarea>' in answer.text
    assert platform.approved == []


def test_what_is_offered_is_not_offered_again_where_it_was_published() -> None:
    every = {each.policy.id for each in shipping.open_offers([])}
    assert "four-eyes" in every
    for state in ("in-force", "submitted", "superseded"):
        left = {each.policy.id for each in shipping.open_offers([version(1, state, id="four-eyes")])}
        assert left == every - {"four-eyes"}
    assert {
        each.policy.id for each in shipping.open_offers([version(1, "rejected", id="four-eyes")])
    } == every


async def test_what_is_offered_is_published_without_pasting(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    await sign_in(browser)
    listed = (await browser.get("/console/governance/policies")).text
    assert "/console/governance/policies?offered=four-eyes#publish" in listed
    filled = (await browser.get("/console/governance/policies?offered=four-eyes")).text
    written = unescape(filled.partition('spellcheck="false">')[2].partition("</textarea>")[0])
    assert written.encode() == offered_files()["four-eyes.yaml"]
    assert (await browser.get("/console/governance/policies?offered=../four-eyes")).status_code == 404


async def test_rules_that_admit_exceptions_are_offered_where_one_is_asked_for(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    """Those of what ships, and of a policy of the house's own; of what is in force no more none."""
    await sign_in(browser)
    shipped = load_policies()[0]
    house = offered_files()["data-lineage.yaml"].decode()
    known = [
        (shipped.id, shipped.digest, "in-force", True),
        ("data-lineage", digest("d"), "in-force", False),
        ("model-risk", digest("m"), "superseded", False),
        ("gone", digest("e"), "in-force", False),
    ]
    for id, of, state, ships in known:
        said = {"policy": id, "version": 1, "digest": of, "title": id, "owner": "o", "state": state}
        platform.policies.append({**said, "shipped": ships})
    platform.policy_files = {digest("d"): house, digest("m"): offered_files()["model-risk.yaml"].decode()}
    page = (await browser.get("/console/governance/exceptions")).text
    for rule in ("model.pickle-by-exception", "lineage.verified-data"):
        assert f'<option value="{rule}">' in page
        assert f"/console/governance/exceptions?rule={rule}#ask" in page
    assert "model-risk.outcomes-analysed" not in page


def test_a_rule_s_words_have_the_policy_s_parameters_and_name_what_is_to_be_judged() -> None:
    eyes = next(
        each for each in (read_policy(file) for file in offered_files().values()) if each.id == "four-eyes"
    )
    says = [each for rule in eyes.rules for each in policies.ruled(rule, eyes.params).says]
    assert any(
        each.startswith("a model of limited risk is approved by 1, and (approvals.people) have so far")
        for each in says
    )
    unset = [each for rule in eyes.rules for each in policies.ruled(rule, {}).says]
    assert any("approved by (params.limited), and" in each for each in unset)


async def test_what_a_policy_would_change_is_no_page_of_its_own_to_come_back_to(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    """And it links to no policy that is not here yet."""
    await sign_in(browser)
    left = await browser.get("/console/governance/policies/effect")
    assert (left.status_code, left.headers["location"]) == (303, "/console/governance/policies")
    form = {"proof": session.proof_of(ADMIN), "file": offered_files()["four-eyes.yaml"].decode()}
    crumb = '<a href="/console/governance/policies/four-eyes">four-eyes</a> /'
    new = (await browser.post("/console/governance/policies/effect", data=form)).text
    assert "<span>four-eyes</span> /" in new
    assert crumb not in new
    said = {"policy": "four-eyes", "version": 1, "digest": digest("d"), "title": "Eyes", "owner": "o"}
    platform.policies.append({**said, "state": "rejected"})
    assert crumb in (await browser.post("/console/governance/policies/effect", data=form)).text


def test_what_refuses_answers_is_told_with_the_question_and_not_its_id() -> None:
    asked = assessing.read(detail())
    told = assessing.refusals(
        asked, Refused("the answers, people: has no answer", fix="answer it: it counts")
    )
    [(question, each)] = told
    assert question is not None
    assert (question.text, each.detail, each.fix) == (
        "Is it about people?",
        "has no answer",
        "answer it: it counts",
    )
    for other in ("the answers, mitigations: are unknown", "it is away"):
        [(question, each)] = assessing.refusals(asked, Refused(other))
        assert (question, each.detail) == (None, other)


async def test_rules_and_certificates_are_read_in_sentences_with_the_expression_beside_them(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    await sign_in(browser)
    eyes = next(each for each in shipping.all_shipped().values() if each.id == "four-eyes")
    file = offered_files()["four-eyes.yaml"].decode()
    said = {
        "policy": eyes.id,
        "version": eyes.version,
        "digest": eyes.digest,
        "title": eyes.title,
        "owner": "o",
    }
    platform.policies.append({**said, "state": "in-force", "shipped": False})
    platform.policy_files = {eyes.digest: file}
    page = unescape((await browser.get("/console/governance/policies/four-eyes")).text)
    assert "it is no trial" in page
    assert "<li>the number of people who approved it is at least 2" in " ".join(page.split())
    [rule] = eyes.rules
    assert f"<code>{rule.require}</code>" in page
    assert f"<code>{eyes.applies_to}</code>" in page
    platform.of_certificate = {
        "policies": [{"id": eyes.id, "version": eyes.version, "digest": eyes.digest}],
        "verdicts": [{"rule": rule.id, "policy": eyes.id, "stage": "certify", "result": "pass"}],
    }
    page = unescape((await browser.get("/console/certificates/1")).text)
    assert rule.title in page
    assert "the number of people who approved it is at least 2" in page
    assert f"<code>{rule.require}</code>" in page


async def test_a_certificate_is_shown_without_the_words_of_rules_that_are_kept_no_more(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    await sign_in(browser)
    page = await browser.get("/console/certificates/1")
    assert page.status_code == 200
    assert "owner-named" in page.text
    assert "What it requires" not in page.text


async def test_what_is_the_same_as_was_approved_last_is_folded_and_the_two_releases_are_compared(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    await sign_in(browser)
    many = tuple(policy(f"house-{number}") for number in range(9))
    given = approval(release=1, given_at="2026-11-20T10:00:00Z", binds=True)
    before = release(1, state="certified", approvals=(given,), policies=many, source=digest("4"))
    for each in (before, release(policies=(*many[1:], policy("new")))):
        platform.awaited.append(msgspec.json.decode(msgspec.json.encode(each)))
    platform.models["churn"] = {"project": "churn", "release": 1, "state": "awaiting", "url": None}
    page = (await browser.get("/console/models/churn/approvals")).text
    assert 'href="/console/models/churn/comparison?before=1&amp;after=2"' in page
    begin, _, rest = page.partition("10 parts are the same as approved on 2026-11-20")
    assert rest, "the image, what the rules saw, and eight policies"
    changed = begin.rpartition("What changed since something was certified last")[2]
    for what in ("Source", "Policy house-0", "Policy new"):
        assert f"<td>{what}</td>" in changed
    assert "<td>Image</td>" not in changed
    folded = rest.partition("</details>")[0]
    for what in ("Image", "What the rules saw", "Policy house-8"):
        assert f"<td>{what}</td>" in folded
    assert folded.count('<span class="soft">same</span>') == 10


async def test_where_nothing_differs_from_what_was_approved_that_is_said(
    browser: httpx.AsyncClient, platform: FakePlatform
) -> None:
    await sign_in(browser)
    for each in (release(1, state="certified"), release()):
        platform.awaited.append(msgspec.json.decode(msgspec.json.encode(each)))
    platform.models["churn"] = {"project": "churn", "release": 1, "state": "awaiting", "url": None}
    page = (await browser.get("/console/models/churn/approvals")).text
    assert "Of all that an approval is of, nothing is another." in page
    assert "5 parts are the same as in release 1" in page
    assert 'class="warn">' not in page.partition('id="awaited"')[2]
