"""A certificate that somebody had no right to is found out, though every signature under it holds."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from placet.trust import (
    ApprovalCounted,
    Certificate,
    ExceptionApplied,
    FactsSeen,
    PolicyApplied,
    SigningKey,
    VerdictGiven,
    certificates,
)
from placet.trust.keys import public_text
from placet.verifier.bundles import Bundle
from placet.verifier.checks import Check, Event

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
END = AT + timedelta(days=30)
ADA, BOB, EVE = (f"person:00000000-0000-7000-8000-00000000000{number}" for number in (1, 2, 3))
IMAGE, SOURCE = (f"sha256:{letter * 64}" for letter in "ab")
POLICY = b"""\
apiVersion: placet/v1
kind: Policy
id: house
version: 1
title: The house
owner: legal
rules:
  - {id: a.asked, title: t, citations: [], stage: certify, onFail: deny, require: model.ok, say: no, fix: x,
     exceptable: true}
  - {id: a.awaited, title: t, citations: [], stage: certify, onFail: deny, require: model.seen, say: no, fix: x,
     awaits: {within: 3d}}
  - {id: a.warned, title: t, citations: [], stage: certify, onFail: warn, require: model.nice, say: no, fix: x}
"""


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Case:
    """A release that broke one rule, which was excepted, and that two people approved."""

    ok: bool = False
    seen: bool = True
    exceptions: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"exception": "exception:1", "rule": "a.asked", "until": END, "granted_by": BOB}
        ]
    )
    approvals: list[str] = field(default_factory=lambda: [BOB, EVE])
    break_glass: bool = False
    verdicts: dict[str, str] = field(default_factory=dict)
    ends: datetime = END
    asked_by: str = ADA
    granted: dict[str, Any] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    withdrawn_at: int | None = None
    key_since: datetime | None = None
    key_until: datetime | None = None
    asker: str = ADA
    facts: dict[str, Any] = field(default_factory=dict)
    is_recorded: bool = True
    published: str = sha256(POLICY)
    in_log: dict[str, Any] = field(default_factory=dict)

    def check(self) -> Check:
        key = SigningKey.generate()
        seen = {
            "model": {"ok": self.ok, "seen": self.seen, "nice": False},
            "now": AT.isoformat(),
            "project": {"name": "churn"},
            "source": {"digest": SOURCE},
            "image": {"digest": IMAGE},
            "approvals": {
                "given": [] if self.break_glass else [{"roles": ["approver"]} for _ in self.approvals]
            },
        }
        facts = json.dumps(seen | self.facts).encode()
        results = {"a.asked": self.ok, "a.awaited": self.seen, "a.warned": False}
        said = {rule: "pass" if held else "fail" for rule, held in results.items()} | self.verdicts
        certificate = Certificate(
            certificate="certificate:1",
            project="churn",
            release=1,
            repository="models/churn",
            image=IMAGE,
            source=SOURCE,
            not_before=AT,
            not_after=self.ends,
            policies=(PolicyApplied(id="house", version=1, digest=sha256(POLICY)),),
            verdicts=tuple(
                VerdictGiven(rule=rule, policy="house", stage="certify", result=result)  # type: ignore[arg-type]
                for rule, result in said.items()
            ),
            exceptions=tuple(ExceptionApplied(**each) for each in self.exceptions),
            facts=(FactsSeen(stage="certify", facts=sha256(facts)),) if self.is_recorded else (),
            approvals=tuple(
                ApprovalCounted(
                    approval=f"approval:{who}",
                    given_by=who,
                    roles=("approver",),
                    at=AT,
                    break_glass=self.break_glass,
                )
                for who in self.approvals
            ),
            break_glass=self.break_glass,
        )
        envelope = certificates.issue(certificate, key).to_json()
        artifact = json.dumps({"layers": [{"digest": sha256(envelope)}]}).encode()
        files = [POLICY, facts, envelope, artifact]
        bundle = Bundle.__new__(Bundle)
        bundle.files, bundle.by_digest = {}, {sha256(each): each for each in files}
        check = Check(bundle, logs=[], witnesses=[])
        check.events = [
            happened(
                1,
                "certifier.key.rotated",
                key=key.kid,
                public=public_text(key.public),
                before=None,
                since=stamp(self.key_since),
            ),
            *self._rotated(key),
            happened(2, "certifier.policy.published", policy="house", version=1, digest=self.published),
            happened(
                3,
                "certifier.release.cleared",
                project="churn",
                release=1,
                asker=self.asker,
                facts=None,
                verdicts=[],
                policies=[],
            ),
            happened(4, "gateway.exception.granted", **(self._grant() | self.granted)),
            *(
                happened(5, "gateway.approval.given", **(self._approval(who) | self.given))
                for who in self.approvals
            ),
            *self._withdrawn(),
            happened(
                9,
                "certifier.certificate.issued",
                **(self._issued(artifact, said, sha256(facts)) | self.in_log),
            ),
        ]
        return check

    def _rotated(self, key: SigningKey) -> list[Event]:
        if self.key_until is None:
            return []
        other = SigningKey.generate()
        return [
            happened(
                2,
                "certifier.key.rotated",
                key=other.kid,
                public=public_text(other.public),
                before=key.kid,
                since=stamp(self.key_until),
            )
        ]

    def _grant(self) -> dict[str, Any]:
        return {
            "exception": "exception:1",
            "project": "churn",
            "rule": "a.asked",
            "until": stamp(END),
            "requested_by": self.asked_by,
            "granted_by": BOB,
        }

    def _approval(self, who: str) -> dict[str, Any]:
        binding = {"source": SOURCE, "image": IMAGE}
        return {
            "approval": f"approval:{who}",
            "project": "churn",
            "release": 1,
            "given_by": who,
            "roles": ["approver"],
            "break_glass": self.break_glass,
            "binding": binding,
        }

    def _withdrawn(self) -> list[Event]:
        if self.withdrawn_at is None:
            return []
        return [happened(self.withdrawn_at, "gateway.exception.withdrawn", exception="exception:1")]

    def _issued(self, artifact: bytes, said: dict[str, str], facts: str) -> dict[str, Any]:
        return {
            "certificate": "certificate:1",
            "project": "churn",
            "release": 1,
            "repository": "models/churn",
            "image": IMAGE,
            "source": SOURCE,
            "not_before": stamp(AT),
            "not_after": stamp(self.ends),
            "envelope": sha256(artifact),
            "facts": {"facts": facts} if self.is_recorded else None,
            "policies": [{"id": "house", "version": 1, "digest": sha256(POLICY)}],
            "verdicts": [
                {"rule": rule, "policy": "house", "stage": "certify", "result": result}
                for rule, result in said.items()
            ],
        }


def stamp(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def happened(position: int, kind: str, **data: Any) -> Event:
    return Event(position, f"placet.{kind}", AT, "service:certifier", data)


def wrong(case: Case) -> list[str]:
    check = case.check()
    check.judge()
    return [each.words for each in check.findings if each.outcome == "wrong"]


def test_one_that_somebody_had_a_right_to_holds() -> None:
    check = Case().check()
    check.judge()
    assert [each.words for each in check.findings if each.outcome == "wrong"] == []
    told = [each.words for each in check.findings]
    assert any("3 rules of stage certify run again" in each for each in told)
    assert any("1 exceptions and 2 approvals, each given by another person" in each for each in told)


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (Case(exceptions=[]), "it was allowed, and the rule a.asked forbids it"),
        (Case(seen=False), "it was allowed, and the rule a.awaited forbids it"),
        (
            Case(
                ok=True,
                seen=False,
                exceptions=[
                    {"exception": "exception:1", "rule": "a.awaited", "until": END, "granted_by": BOB}
                ],
            ),
            "the rule a.awaited forbids it",
        ),
        (Case(verdicts={"a.asked": "pass"}), "the rule a.asked gives fail of these facts, and pass was said"),
        (Case(verdicts={"a.made-up": "pass"}), "the rule a.made-up is asked by no policy"),
        (Case(granted={"exception": "exception:2"}), "which nobody granted before"),
        (Case(granted={"rule": "a.other"}), "which is from another rule or for another project"),
        (Case(granted={"project": "other"}), "which is from another rule or for another project"),
        (Case(asked_by=BOB), "was not granted by somebody else than asked for it"),
        (Case(granted={"granted_by": EVE}), "was not granted by somebody else than asked for it"),
        (Case(ends=END + timedelta(days=1)), "holds longer than the exception exception:1"),
        (Case(withdrawn_at=8), "which was withdrawn at position 8"),
        (Case(given={"approval": "approval:other"}), "which nobody gave before"),
        (Case(given={"release": 2}), "which is of something else, or by somebody else"),
        (Case(given={"given_by": ADA}), "which is of something else, or by somebody else"),
        (Case(given={"binding": {"source": SOURCE, "image": SOURCE}}), "which is of another source or image"),
        (Case(given={"binding": {"source": IMAGE, "image": IMAGE}}), "which is of another source or image"),
        (Case(asker=EVE), "by who asked for the release"),
        (Case(granted={"source": IMAGE}), "which is for another source"),
        (Case(approvals=[BOB, BOB]), "counts two approvals of one person"),
        (Case(given={"roles": ["intern"]}), "as one in other roles, or of another kind"),
        (Case(given={"break_glass": True}), "as one in other roles, or of another kind"),
        (
            Case(facts={"project": {"name": "other"}}),
            "the rules saw the project other, and churn was certified",
        ),
        (Case(facts={"source": {"digest": IMAGE}}), f"the rules saw the source {IMAGE}"),
        (Case(facts={"image": {"digest": SOURCE}}), f"the rules saw the image {SOURCE}"),
        (
            Case(facts={"approvals": {"given": [{"roles": ["approver"]}] * 3}}),
            "the rules saw 3 approvals, and 2 were counted",
        ),
        (Case(published=SOURCE), "version 1 of the policy house is"),
        (Case(in_log={"facts": {"facts": SOURCE}}), "names other facts of stage certify than the log"),
        (Case(in_log={"policies": []}), "names other policies than the log"),
        (Case(break_glass=True, exceptions=[], ok=True, approvals=[BOB]), "by 1 people: it takes two"),
        (Case(break_glass=True, exceptions=[], ok=True), "was given in haste, and holds longer than a day"),
        (Case(key_since=AT + timedelta(seconds=1)), "when that key did not sign"),
        (Case(key_until=AT), "when that key did not sign"),
        (Case(in_log={"image": SOURCE}), "is another one than position 9 of the log names: it was replaced"),
        (Case(in_log={"not_after": stamp(END + timedelta(days=9))}), "it was replaced"),
        (Case(in_log={"release": 2}), "it was replaced"),
    ],
)
def test_one_that_nobody_had_a_right_to_is_named(case: Case, said: str) -> None:
    assert any(said in each for each in wrong(case)), wrong(case)


def test_in_haste_only_what_people_can_still_do_is_forgiven() -> None:
    day = AT + timedelta(days=1)
    assert wrong(Case(ok=True, seen=False, exceptions=[], break_glass=True, ends=day)) == []
    assert any(
        "a.asked" in each for each in wrong(Case(seen=False, exceptions=[], break_glass=True, ends=day))
    )


def test_of_one_whose_facts_were_not_recorded_it_is_said_that_nothing_was_run_again() -> None:
    check = Case(is_recorded=False).check()
    check.judge()
    assert not any("run again" in each.words for each in check.findings)
    assert [
        each.outcome for each in check.findings if "stage certify saw was not recorded" in each.words
    ] == ["unchecked"]


def test_a_withdrawal_that_came_later_speaks_against_nothing() -> None:
    assert wrong(Case(withdrawn_at=10)) == []


def test_what_is_not_formed_as_it_has_to_be_is_wrong_and_no_traceback() -> None:
    check = Case().check()
    check.events = [event._replace(data={}) for event in check.events]
    check.judge()
    assert any("is not formed as bundles are" in each.words for each in check.findings)


@pytest.mark.parametrize(
    ("events", "at", "said"),
    [
        ([], AT, "it was never certified until then"),
        (["issued"], AT, "allowed it"),
        (["issued"], END, "did not hold then"),
        (["issued", "suspended"], AT, "was suspended at position 2"),
        (["issued", "suspended", "reinstated"], AT, "allowed it"),
        (["issued", "revoked"], AT, "was revoked at position 2"),
        (["issued", "revoked", "reinstated"], AT, "was revoked at position 2"),
        (["issued", "revoked", "suspended", "reinstated"], AT, "was revoked at position 2"),
    ],
)
def test_what_it_amounts_to(events: list[str], at: datetime, said: str) -> None:
    data = {
        "certificate": "certificate:1",
        "project": "churn",
        "release": 1,
        "not_before": stamp(AT),
        "not_after": stamp(END),
    }
    check = Check(SimpleNamespace(files={}, by_digest={}), logs=[], witnesses=[])  # type: ignore[arg-type]
    check.events = [
        happened(number, f"certifier.certificate.{verb}", **data) for number, verb in enumerate(events, 1)
    ]
    assert any(said in each for each in check.standing("churn", at))
    assert check.standing("other", at)[0] == "it was never certified until then"


@pytest.mark.parametrize(
    ("verbs", "certificate", "running"),
    [
        (["started"], "allowed it", "release 1 was served"),
        (["started", "quarantined"], "stood", "none was served: it was taken off its route at position 3"),
        (["started", "quarantined", "started"], "allowed it", "release 1 was served"),
        (["started", "stopped"], "stood", "none was served: it was stopped at position 3"),
        (["started", "stopped", "deleted"], "stood", "none was served: it was deleted at position 4"),
    ],
)
def test_who_stopped_it_or_took_it_off_its_route_did_not_let_it_run(
    verbs: list[str], certificate: str, running: str
) -> None:
    data = {
        "certificate": "certificate:1",
        "project": "churn",
        "release": 1,
        "not_before": stamp(AT),
        "not_after": stamp(END),
    }
    check = Check(SimpleNamespace(files={}, by_digest={}), logs=[], witnesses=[])  # type: ignore[arg-type]
    check.events = [happened(1, "certifier.certificate.issued", **data)]
    check.events += [
        happened(number, f"deployer.model.{verb}", project="churn", release=1)
        for number, verb in enumerate(verbs, 2)
    ]
    assert check.standing("churn", AT) == [
        f"release 1: the certificate certificate:1 {certificate}",
        running,
    ]


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([("started", 1)], "release 1 was served"),
        ([("started", 1), ("quarantined", 1)], "none was served: it was taken off its route at position 2"),
        ([("started", 1), ("failed", 1)], "none was served: it failed at position 2"),
        ([("started", 1), ("started", 2), ("quarantined", 1)], "release 2 was served"),
        ([("started", 1), ("stopped", 1)], "none was served: it was stopped at position 2"),
        ([("failed", 1)], "none was served"),
    ],
)
def test_what_was_served(events: list[tuple[str, int]], said: str) -> None:
    check = Check(SimpleNamespace(files={}, by_digest={}), logs=[], witnesses=[])  # type: ignore[arg-type]
    check.events = [
        happened(number, f"deployer.model.{verb}", project="churn", release=release)
        for number, (verb, release) in enumerate(events, 1)
    ]
    assert check.standing("churn", AT)[-1] == said


def test_a_moment_that_is_none_is_wrong_and_no_traceback() -> None:
    check = Check(SimpleNamespace(files={}, by_digest={}), logs=[], witnesses=[])  # type: ignore[arg-type]
    data = {"certificate": "certificate:1", "project": "churn", "not_before": "0001-01-01T00:00:00+23:59"}
    check.events = [happened(1, "certifier.certificate.issued", **data)]
    assert check.standing("churn", AT) == []
    assert [each.outcome for each in check.findings] == ["wrong"]
