"""audit replay --state, why, who-approved, exceptions, expiring and coverage, against a real audit log."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from placet.cli.verbs.history import _named
from placet.events import Heard
from placet.events.codec import timestamp
from placet.events.contracts.gateway import ExceptionWithdrawn
from placet.metadata.why import answer

from tests.unit.cli.conftest import Placet
from tests.unit.cli.test_cli_audit import Served
from tests.unit.client.fake_platform import FakePlatform
from tests.unit.gateway.roads import CERTIFICATE, DEPLOY, IMAGE, SOURCE, asked, refused, verdict
from tests.unit.metadata.histories import (
    APPROVER,
    EXCEPTION,
    SUBMIT_FACTS,
    governed,
    hour,
    incident,
    revoked,
    state_of,
    suspended,
)

WITHDREW = "person:00000000-0000-7000-8000-0000000000ff"


@pytest.fixture
def served(tmp_path: Path, placet: Placet, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    folder = tmp_path / "platform"
    folder.mkdir()
    with Served(folder) as one:
        monkeypatch.setenv("PLACET_URL", one.url)
        monkeypatch.setenv("PLACET_TOKEN", one.sealed.log.token())
        yield one


def said(served: Served, events: Sequence[Any]) -> list[str]:
    """Each an hour after the one before, signed and indexed; when each was said."""

    async def go() -> list[str]:
        log = served.sealed.log
        times: list[str] = []
        last: dict[str, int] = {}
        for event in events:
            heard = log.heard(event, 0)
            position = last[heard.event.producer] = last.get(heard.event.producer, 0) + 1
            await log.keep(Heard(event=heard.event, epoch="1", position=position))
            times.append(timestamp(log.alone.clock.now()))
            log.alone.clock.pass_(timedelta(hours=1))
        await served.sealed.sealing().catch_up()
        async with log.indexing():
            await asyncio.sleep(0)
        return times

    return served.do(go)


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


# replay


def test_a_state_is_one_entity_a_line_and_says_of_when_it_is(placet: Placet, served: Served) -> None:
    said(served, governed())
    ended = placet("audit", "replay", "--state", "--position", "10")
    entities = lines(ended.out)
    assert ended.status == 0
    assert [each["kind"] for each in entities] == [
        "approval",
        "certificate",
        "exception",
        "policy",
        "project",
        "release",
    ]
    assert entities[-1]["said"]["certifiedAt"] == 10
    assert "from the log up to position 10" in ended.err
    assert "1 approval, 1 certificate" in ended.err
    assert ended.err.count("\n") == 2
    assert lines(placet("audit", "replay", "--state", "--position", "10", "--json").out) == entities


def test_how_many_of_what_there_are_is_told_in_english(placet: Placet, served: Served) -> None:
    said(served, [*governed(), asked(release=2), asked(release=3)])
    told = placet("audit", "replay", "--state").err
    assert "1 policy, 1 project, 3 releases" in told
    assert [_named(kind, 2) for kind in ("policy", "key", "token", "advisories", "exception")] == [
        "policies",
        "keys",
        "tokens",
        "advisories",
        "exceptions",
    ]


@pytest.mark.parametrize(
    "asked_for",
    [
        ("replay", "--state"),
        ("expiring",),
        ("exceptions",),
        ("who-approved", "churn"),
    ],
)
def test_of_a_time_that_is_still_to_come_it_is_said_on_what_an_answer_stands(
    placet: Placet, served: Served, asked_for: tuple[str, ...]
) -> None:
    times = said(served, governed())
    still = "that is still to come: what is told is as if nothing more happened until then"
    ended = placet("audit", *asked_for, "--at", "2100-01-01")
    assert ended.status == 0
    assert f"2100-01-01 is taken up to its end in UTC; {still}" in ended.err
    assert still not in placet("audit", *asked_for, "--at", times[-1]).err
    if asked_for != ("replay", "--state"):
        document = placet("audit", *asked_for, "--at", "2100-01-01", "--json").document
        assert (document["asked"], still in document["note"], document["position"]) == (
            "2100-01-01",
            True,
            12,
        )


def test_two_states_are_compared_field_by_field(placet: Placet, served: Served) -> None:
    times = said(served, [*DEPLOY, suspended(), asked(release=2)])
    for compared in ("11", times[10]):
        ended = placet("audit", "replay", "--state", "--at", times[8], "--compare", compared)
        changes = {(each["change"], each["id"]): each for each in lines(ended.out)}
        assert set(changes) == {("changed", CERTIFICATE), ("changed", "churn"), ("added", "churn/2")}
        assert changes["changed", CERTIFICATE]["fields"]["state"] == {
            "before": "valid",
            "after": "suspended",
            "position": 10,
        }
        assert changes["changed", "churn"]["fields"]["asked"]["position"] == 11
        assert "1 added, 2 changed" in ended.err
    back = lines(placet("audit", "replay", "--state", "--compare", "9").out)
    assert [each["change"] for each in back] == ["changed", "changed", "gone"]
    same = placet("audit", "replay", "--state", "--position", "9", "--compare", "9")
    assert (same.out, "nothing is different between both" in same.err) == ("", True)


def test_a_replay_is_filtered_as_events_are(placet: Placet, served: Served) -> None:
    times = said(served, [*DEPLOY, asked(project="other")])
    for typed, positions in {
        ("--type", "placet.deployer.*"): [3, 8, 9],
        ("--type", "*.requested.v1"): [1, 10],
        ("--type", "placet.*.started.v1"): [9],
        ("--type", "placet.deployer.model.started.v1"): [9],
        ("--type", "model"): [],
        ("--since", times[7]): [8, 9, 10],
        ("--until-time", times[1]): [1, 2],
        ("--since", times[1], "--until-time", times[3], "--type", "*accepted*"): [4],
        ("--project", "other", "--type", "*"): [10],
        ("--since", times[0][:10], "--until-time", times[0][:10]): [*range(1, 11)],
        ("--since", "2026-01-02"): [],
        ("--until-time", "2025-12-31"): [],
    }.items():
        ended = placet("audit", "replay", *typed)
        assert [each["sequence"] for each in lines(ended.out)] == positions, typed


@pytest.mark.parametrize(("verb", "until"), [("events", "--until"), ("audit replay", "--until-time")])
def test_where_nothing_was_found_the_times_are_told_in_which_it_was_looked_for(
    placet: Placet, served: Served, verb: str, until: str
) -> None:
    said(served, DEPLOY)
    ended = placet(*verb.split(), "--since", "1999-01-01", until, "1999-01-02T03:04:05+01:00")
    times = "since 1999-01-01T00:00:00.000Z up to 1999-01-02T02:04:05.000Z"
    assert (ended.status, ended.out, ended.err) == (0, "", f"the log has no event {times}\n")
    assert "no event since 2099-" in placet(*verb.split(), "--since", "2099-01-01").err


@pytest.mark.parametrize("typed", [("events", "--until"), ("audit", "replay", "--until-time")])
def test_times_that_are_the_wrong_way_around_are_told(placet: Placet, typed: tuple[str, ...]) -> None:
    ended = placet(*typed, "2026-01-01T12:00:00Z", "--since", "2026-01-02")
    assert ended.status == 2
    assert f"{typed[-1]} 2026-01-01T12:00:00.000Z lies before --since 2026-01-02T00:00:00.000Z" in ended.err


@pytest.mark.parametrize(
    "typed",
    [
        "--state --from 3",
        "--state --type x",
        "--state --since 2026-01-01T00:00:00Z",
        "--state --release 1",
        "--state --at 2026-01-01 --position 3",
        "--state --at yesterday",
        "--state --at 2026-01-01T00:00:00",
        "--state --compare yesterday",
        "--at 2026-01-01",
        "--compare 3",
        "--release 1",
    ],
)
def test_what_does_not_go_together_is_wrong_usage(placet: Placet, typed: str) -> None:
    ended = placet("audit", "replay", *typed.split())
    assert (ended.status, ended.out) == (2, "")
    assert "fix: " in ended.err


# why


def test_why_says_what_it_stands_on_with_positions(placet: Placet, served: Served) -> None:
    times = said(served, [*governed(), incident(), suspended(), revoked()])
    ended = placet("audit", "why", "churn", "--at", times[12])
    first, *told = ended.out.splitlines()
    assert ended.status == 0
    assert first == f"churn at {times[12]}: it was allowed to run, and ran"
    for line in (
        f"  source  {SOURCE}",
        f"  image   {IMAGE}",
        "  signed with key k1  [10]",
        f"  at stage submit {SUBMIT_FACTS.facts}, and of people {SUBMIT_FACTS.personal}  [4]",
        f"  {APPROVER} as approver at 2026-01-01T00:00:00.000Z  [9]",
        "  card.present (house) warned: card.present says no  [4]",
        "  2 of 3 rules were kept  [4, 10]",
        f"  {times[14]} revoked: by person:00000000-0000-7000-8000-000000000003: it was revoked  [15]",
        "  the checkpoint of 15 events is the first that covers all of this, up to position 15",
    ):
        assert line in told, ended.out
    assert any(line.startswith("  incident: an incident of severity high was open") for line in told)
    document = placet("audit", "why", "churn", "--at", times[12], "--json").document
    assert (document["allowed"], document["checkpoint"]) == (True, 15)


@pytest.mark.parametrize(
    ("position", "words"),
    [
        (13, "it was not allowed to run, and ran all the same"),
        (14, "it was not allowed to run, and ran all the same"),
    ],
)
def test_why_says_that_it_ran_although_it_was_not_allowed_to(
    placet: Placet, served: Served, position: int, words: str
) -> None:
    times = said(served, [*governed(), suspended(), revoked()])
    ended = placet("audit", "why", "churn", "--at", times[position - 1])
    assert words in ended.out.splitlines()[0]
    assert "fix: " in ended.out


def test_of_a_time_that_is_still_to_come_why_says_what_would_be_so(placet: Placet, served: Served) -> None:
    said(served, DEPLOY)
    for at, would in (("2100-01-01", "would not be"), ("2026-01-20", "would be")):
        ended = placet("audit", "why", "churn", "--at", at)
        assert ended.out.splitlines()[0] == f"churn at {at}T23:59:59.999Z: it {would} allowed to run"
        assert "that is still to come" in ended.out
        assert placet("audit", "why", "churn", "--at", at, "--json").document["ran"] is None


def test_who_withdrew_an_exception_is_told(placet: Placet, served: Served) -> None:
    withdrawn = ExceptionWithdrawn(
        exception=EXCEPTION, project="churn", rule="house.old", withdrawn_by=WITHDREW
    )
    said(served, [*governed(), withdrawn])
    assert f"granted by {APPROVER}, withdrawn by {WITHDREW} at " in placet("audit", "why", "churn").out
    assert WITHDREW in placet("audit", "exceptions").out


def test_why_it_was_refused_is_told_with_what_to_do(placet: Placet, served: Served) -> None:
    said(served, [asked(), refused("submit", verdict("owner.named", "submit", "fail"))])
    ended = placet("audit", "why", "churn")
    assert "it was not allowed to run, and did not run" in ended.out
    assert "fix: mend owner.named" in ended.out
    assert "there was none" in ended.out


def test_a_day_is_said_to_be_taken_up_to_its_end(placet: Placet, served: Served) -> None:
    times = said(served, DEPLOY)
    ended = placet("audit", "why", "churn", "--at", times[0][:10])
    assert f"{times[0][:10]} is taken up to its end in UTC" in ended.out


def test_a_project_of_which_nothing_is_known_is_not_answered(placet: Placet, served: Served) -> None:
    said(served, DEPLOY)
    ended = placet("audit", "why", "nobody")
    assert ended.status == 1
    assert "no event of a project called 'nobody'" in ended.err


# lists


def test_who_approved_which_release(placet: Placet, served: Served) -> None:
    said(served, [*governed(), asked(release=2)])
    ended = placet("audit", "who-approved", "churn")
    assert [word for word in (APPROVER, "approver", CERTIFICATE) if word not in ended.out] == []
    [approval] = placet("audit", "who-approved", "churn", "--release", "1", "--json").document["approvals"]
    assert approval["said"]["givenAt"] == 9
    assert (
        "nobody approved anything of release 2 of churn"
        in placet("audit", "who-approved", "churn", "--release", "2").err
    )
    none = placet("audit", "who-approved", "churn", "--release", "3")
    assert (none.status, none.out) == (1, "")
    assert "the log has no release 3 of churn" in none.err
    assert "fix: the newest is 2" in none.err


def test_exceptions_as_they_stood(placet: Placet, served: Served) -> None:
    times = said(served, governed())
    assert "requested" in placet("audit", "exceptions", "--at", times[0]).out
    ended = placet("audit", "exceptions", "--state", "granted")
    assert [word for word in (EXCEPTION, "house.old", CERTIFICATE) if word not in ended.out] == []
    assert placet("audit", "exceptions", "--state", "expired", "--json").document["exceptions"] == []


def test_what_ends_soon_says_what_to_do_about_it(placet: Placet, served: Served) -> None:
    said(served, DEPLOY)
    ended = placet("audit", "expiring", "--within", "120d")
    assert CERTIFICATE in ended.out
    assert "fix: `placet certificate renew churn`" in ended.err
    assert "no certificate ends in that time" in placet("audit", "expiring").err


# coverage


POLICY = """\
apiVersion: placet/v1
kind: Policy
id: house
version: 1
title: House rules
owner: model-risk@example.org
rules:
  - id: owner.named
    title: Somebody answers for it
    stage: submit
    onFail: deny
    require: size(project.name) > 0
    say: nobody answers for it
    fix: name an owner
    citations:
      - {source: EU AI Act, section: Article 26}
      - {source: EU AI Act, section: Article 9}
  - id: never.asked
    title: Something else
    stage: certify
    onFail: deny
    require: size(project.name) > 0
    say: no
    fix: do it
    citations: [{source: ISO 42001}]
"""


@pytest.fixture
def covered(platform: FakePlatform) -> FakePlatform:
    digest = f"sha256:{hashlib.sha256(POLICY.encode()).hexdigest()}"
    house = {"policy": "house", "version": 1, "digest": digest, "title": "House rules", "owner": "o"}
    platform.policies += [
        {**house, "state": "in-force"},
        {**house, "digest": "sha256:0", "state": "scheduled"},
    ]
    platform.policy_files[digest] = POLICY
    platform.whys["churn"] = answer(state_of([*governed(), suspended()]), "churn", hour(30))
    return platform


def test_what_is_cited_is_told_with_its_rule(placet: Placet, covered: FakePlatform) -> None:
    rows = placet("audit", "coverage", "--json").document["citations"]
    assert [(each["source"], each["section"], each["rule"]) for each in rows] == [
        ("EU AI Act", "Article 9", "owner.named"),
        ("EU AI Act", "Article 26", "owner.named"),
        ("ISO 42001", None, "never.asked"),
    ]
    assert {(each["policy"], each["version"], each["evidence"]) for each in rows} == {("house", 1, None)}


def test_of_a_project_it_is_told_with_the_evidence(placet: Placet, covered: FakePlatform) -> None:
    ended = placet("audit", "coverage", "--project", "churn", "--json")
    first, _, last = ended.document["citations"]
    assert first["evidence"] == {
        "result": "pass",
        "version": 1,
        "digest": f"sha256:{'e' * 64}",
        "exception": None,
        "release": 1,
        "certificate": CERTIFICATE,
        "facts": SUBMIT_FACTS.facts,
        "position": 4,
    }
    assert last["evidence"] is None
    assert "1 citations have a rule that has judged nothing of churn yet" in ended.err
