"""Was it allowed to run, and on what did that stand: one answer for a moment, and what was known only later apart."""

from __future__ import annotations

from typing import Any

import pytest
from placet.events.codec import timestamp
from placet.events.contracts import certifier, deployer, gateway
from placet.events.contracts.shapes import ApprovalUsed, Ground
from placet.events.testing import changed
from placet.metadata.why import answer, known_later, last_position, subject_of

from tests.unit.gateway.roads import (
    CERTIFICATE,
    DELETE,
    DEPLOY,
    IMAGE,
    MISSING,
    NO_BUILD,
    SOURCE,
    STOP,
    asked,
    awaited,
    certified,
    cleared,
    refused,
    started,
    verdict,
)
from tests.unit.metadata.histories import (
    APPROVER,
    ASKER,
    CERTIFY_FACTS,
    EXCEPTION,
    REINSTATED,
    REVOKER,
    SUBMIT_FACTS,
    governed,
    hour,
    incident,
    revoked,
    said,
    state_of,
    suspended,
)

QUARANTINED = deployer.ModelQuarantined(
    project="churn", release=1, certificate=CERTIFICATE, why="its certificate was revoked", fix="deploy again"
)


def why(events: Any, at: float | None = None) -> dict[str, Any]:
    """After all of them, unless another hour is told."""
    return answer(state_of(events), "churn", hour(len(events) + 0.5 if at is None else at))


def test_a_model_that_served_on_a_certificate_that_stood_was_allowed_to() -> None:
    found = why(governed())
    assert (found["allowed"], found["reason"], found["ran"]) == (True, "certified", True)
    assert (found["release"]["source"], found["release"]["image"]) == (SOURCE, IMAGE)
    assert found["release"]["requestedBy"] == ASKER
    assert (found["certificate"]["certificate"], found["certificate"]["key"]["key"]) == (CERTIFICATE, "k1")
    assert [(each["policy"], each["version"], each["stage"]) for each in found["policies"]] == [
        ("house", 1, "submit"),
        ("house", 1, "certify"),
    ]
    assert {each["stage"] for each in found["verdicts"]} == {"submit", "certify"}
    assert [each["facts"] for each in found["inputs"]] == [SUBMIT_FACTS.facts, CERTIFY_FACTS.facts]
    [approval] = found["approvals"]
    assert (approval["givenBy"], approval["roles"], approval["position"]) == (APPROVER, ["approver"], 9)
    [exception] = found["exceptions"]
    assert (exception["exception"], exception["state"], exception["position"]) == (EXCEPTION, "granted", 2)
    assert exception["withdrawnBy"] is exception["withdrawnAt"] is None
    assert found["against"] == found["attempts"] == []


def test_who_withdrew_an_exception_is_told_beside_who_granted_it() -> None:
    withdrawn = gateway.ExceptionWithdrawn(
        exception=EXCEPTION, project="churn", rule="house.old", withdrawn_by=ASKER
    )
    [exception] = why([*governed(), withdrawn])["exceptions"]
    assert (exception["state"], exception["grantedBy"]) == ("withdrawn", APPROVER)
    assert (exception["withdrawnBy"], exception["position"]) == (ASKER, len(governed()) + 1)
    assert exception["withdrawnAt"] == timestamp(hour(len(governed()) + 1))


def test_every_statement_has_the_position_of_an_event() -> None:
    road = [*governed(), incident(), suspended()]
    found = why(road)
    statements = [found[name] for name in ("release", "certificate")] + [
        each
        for name in ("policies", "verdicts", "inputs", "approvals", "exceptions", "against")
        for each in found[name]
    ]
    assert all(1 <= each["position"] <= len(road) for each in [found, *statements])
    assert last_position(found) == len(road)


@pytest.mark.parametrize(
    ("events", "reason", "ran", "said_so", "position"),
    [
        ([], "never-certified", False, "nobody had asked", None),
        ([asked()], "never-certified", False, "not judged to the end", 1),
        ([asked(), refused("submit", MISSING)], "refused", False, "two.approve says no", 2),
        (NO_BUILD, "never-certified", False, "no wheel fits", 5),
        ([asked(), cleared(), awaited()], "awaiting", False, "two.approve", 3),
        ([*DEPLOY, suspended()], "suspended", True, "psi of age", 10),
        ([*DEPLOY, suspended(), REINSTATED], "certified", True, "stood", 11),
        ([*DEPLOY, revoked()], "revoked", True, REVOKER, 10),
        ([*DEPLOY, revoked(), QUARANTINED], "revoked", False, REVOKER, 10),
        ([*DEPLOY, QUARANTINED], "quarantined", False, "was taken off its route", 10),
        ([*DEPLOY, *STOP], "stopped", False, "it was stopped at", 11),
        ([*DEPLOY, *DELETE], "deleted", False, "could not be started any more", 11),
        ([*DEPLOY, *DELETE, asked(release=2)], "never-certified", False, "release 2 was asked for", 12),
        ([asked(), cleared(), certified()], "certified", False, "stood", 3),
    ],
)
def test_why_it_was_not(events: Any, reason: str, ran: bool, said_so: str, position: int | None) -> None:
    found = why(events)
    assert (found["reason"], found["allowed"], found["ran"]) == (reason, reason == "certified", ran)
    assert said_so in found["why"]
    assert found["position"] == position


def test_a_refusal_says_how_to_mend_it() -> None:
    assert why([asked(), refused("submit", MISSING)])["fix"] == "mend two.approve"


def test_of_what_was_refused_the_rules_that_were_kept_are_told_too() -> None:
    kept, broken = verdict("card", "submit"), verdict("owner.named", "submit", "fail")
    found = why([asked(), refused("submit", kept, broken)])
    assert [(each["rule"], each["result"]) for each in found["verdicts"]] == [
        ("card", "pass"),
        ("owner.named", "fail"),
    ]
    both = why([asked(), changed(cleared(), verdicts=(kept,)), refused("certify", kept, MISSING)])
    assert [each["rule"] for each in both["verdicts"]] == ["card", "two.approve"]


def test_a_certificate_whose_time_was_over_allowed_nothing_though_nobody_had_said_so() -> None:
    found = why(DEPLOY, at=24 * 91)
    assert (found["reason"], found["ran"]) == ("expired", True)
    assert found["certificate"]["state"] == "expired"


def test_a_key_that_had_leaked_by_then_allowed_nothing() -> None:
    leaked = certifier.KeyCompromised(key="k1", since="2026-01-01T02:00:00.000Z")
    rotated = certifier.KeyRotated(key="k1", public="p", since=None, before=None, why=None)
    assert why([rotated, *governed(), leaked])["reason"] == "key-compromised"


def test_a_certificate_of_before_its_event_named_policies_is_not_told_as_judged_by_none() -> None:
    road = [changed(each, policies=()) if each == certified() else each for each in DEPLOY]
    assert [(each["policy"], each["version"], each["stage"]) for each in why(road)["policies"]] == [
        ("house", 1, "submit"),
        ("house", None, "certify"),
    ]


def test_what_serves_is_meant_and_not_what_was_refused_meanwhile() -> None:
    other = changed(refused("submit", MISSING), release=2)
    found = why([*DEPLOY, asked(release=2), other])
    assert (found["allowed"], found["release"]["release"]) == (True, 1)
    assert [(each["release"], each["state"]) for each in found["attempts"]] == [(2, "refused")]


def test_a_renewed_model_stands_on_its_new_certificate() -> None:
    other = changed(certified(release=2, certificate="certificate:2"), renews=CERTIFICATE)
    again = changed(started(release=2), certificate="certificate:2")
    found = why([*DEPLOY, asked(release=2), other, again])
    assert found["certificate"]["certificate"] == "certificate:2"
    assert found["certificate"]["renews"] == CERTIFICATE


def test_what_spoke_against_it_then_is_told_whether_or_not_it_stopped_it() -> None:
    warned = certifier.CertificateWarned(
        certificate=CERTIFICATE,
        project="churn",
        release=1,
        warnings=(Ground(rule="house.card", why="no licence", fix="name one"),),
    )
    owed = certifier.ReviewOwed(
        certificate=CERTIFICATE,
        project="churn",
        release=1,
        approvals=(
            ApprovalUsed(approval="a", given_by=APPROVER, roles=("approver",), at="", break_glass=True),
        ),
        asker=ASKER,
    )
    road = [*DEPLOY, warned, owed, incident()]
    found = why(road)
    assert found["allowed"]
    assert [(each["kind"], each["position"]) for each in found["against"]] == [
        ("warning", 10),
        ("review-owed", 11),
        ("incident", 12),
    ]
    mended = [
        changed(warned, warnings=()),
        gateway.ReviewGiven(
            review="review:1",
            certificate=CERTIFICATE,
            project="churn",
            release=1,
            reason="sha256:1",
            given_by=REVOKER,
        ),
        incident("resolved", report="report:2"),
    ]
    after = why([*road, *mended])
    assert after["against"] == []
    assert [each["roles"] for each in after["approvals"]] == [["review"]]


def test_what_became_known_later_is_told_apart() -> None:
    road = governed()
    withdrawn = gateway.ExceptionWithdrawn(
        exception=EXCEPTION, project="churn", rule="house.old", withdrawn_by=ASKER
    )
    leaked = certifier.KeyCompromised(key="k1", since="2026-01-01T02:00:00.000Z")
    others = [
        changed(withdrawn, exception="exception:9"),
        changed(suspended(), certificate="certificate:9"),
        changed(leaked, key="k9"),
    ]
    after = [
        *others,
        withdrawn,
        suspended(),
        leaked,
        incident(at="2026-01-01T01:00:00Z"),
        incident(report="report:2", at="2026-05-01T00:00:00Z"),
        revoked(),
        QUARANTINED,
    ]
    at = hour(len(road) + 0.5)
    later = list(known_later(subject_of(state_of(road), "churn"), said([*road, *after])[len(road) :], at))
    assert [each["kind"] for each in later] == [
        "exception-withdrawn",
        "suspended",
        "key-compromised",
        "incident",
        "incident",
        "revoked",
        "quarantined",
    ]
    assert [each["position"] for each in later] == [len(road) + place for place in range(4, 11)]
    assert "had happened by then already" in later[3]["why"]
    assert "had happened by then already" not in later[4]["why"]
    assert "was so at the time already" in later[2]["why"]
    assert why(road)["allowed"]


def test_what_came_of_a_release_that_was_not_judged_yet_is_told_as_later() -> None:
    at, subject = hour(1.5), subject_of(state_of([asked()]), "churn")
    assert [each["kind"] for each in known_later(subject, said(DEPLOY)[1:], at)] == ["certified"]
    road = [asked(), refused("submit", MISSING)]
    assert [each["kind"] for each in known_later(subject, said(road)[1:], at)] == ["refused"]
