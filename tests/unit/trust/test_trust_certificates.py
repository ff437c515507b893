"""Certificates: for this image, this source, this span of time, by this key."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from placet.errors import PlacetError, Refused, Unreadable
from placet.trust import (
    ApprovalCounted,
    Certificate,
    ConditionSet,
    ExceptionApplied,
    FactsSeen,
    KeyHistory,
    KeySet,
    PolicyApplied,
    SigningKey,
    VerdictGiven,
    certificates,
    dsse,
    statements,
)

KEY = SigningKey.generate()
KEYS = KeyHistory.of(KeySet([KEY.public]))
BEGIN = datetime(2026, 11, 23, 12, tzinfo=UTC)
IMAGE, SOURCE = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
CERTIFICATE = Certificate(
    certificate="certificate:0192",
    project="digits",
    release=3,
    repository="models/digits",
    image=IMAGE,
    source=SOURCE,
    not_before=BEGIN,
    not_after=BEGIN + timedelta(days=30),
    policies=(PolicyApplied(id="accountability", version=1, digest=f"sha256:{'c' * 64}"),),
    verdicts=(
        VerdictGiven(rule="governance.owner-named", policy="accountability", stage="submit", result="pass"),
    ),
    exceptions=(
        ExceptionApplied(
            exception="exception:0193",
            rule="model.pickle-by-exception",
            until=BEGIN + timedelta(days=30),
            granted_by="person:0194",
        ),
    ),
    conditions=(
        ConditionSet(metric="psi", max=0.2, recovery=0.16, window=86400, min_samples=500, action="suspend"),
    ),
    approvals=(
        ApprovalCounted(
            approval="approval:0193", given_by="person:grace", roles=("approver", "compliance"), at=BEGIN
        ),
    ),
    facts=(FactsSeen(stage="submit", facts=f"sha256:{'d' * 64}", personal=f"sha256:{'e' * 64}"),),
)


def verified(envelope: dsse.Envelope, **changes: Any) -> Certificate:
    asked = {"image": IMAGE, "source": SOURCE, "now": BEGIN, **changes}
    return certificates.verify(envelope, KEYS, **asked)


def statement(**changes: Any) -> dict[str, Any]:
    return statements.build(CERTIFICATE) | changes


def signed_statement(document: dict[str, Any]) -> dsse.Envelope:
    return dsse.sign(statements.canonical_bytes(document), payload_type=statements.PAYLOAD_TYPE, keys=KEY)


def test_a_certificate_is_read_back_as_it_was_issued() -> None:
    assert verified(dsse.read(certificates.issue(CERTIFICATE, KEY).to_json())) == CERTIFICATE


def test_the_statement_has_the_form_that_is_promised() -> None:
    assert statements.build(CERTIFICATE) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": "models/digits", "digest": {"sha256": "a" * 64}},
            {"name": "sources", "digest": {"sha256": "b" * 64}},
        ],
        "predicateType": "https://placet.dev/certificate/v1",
        "predicate": {
            "certificate": "certificate:0192",
            "project": "digits",
            "release": 3,
            "notBefore": "2026-11-23T12:00:00Z",
            "notAfter": "2026-12-23T12:00:00Z",
            "policies": [{"id": "accountability", "version": 1, "digest": f"sha256:{'c' * 64}"}],
            "verdicts": [
                {
                    "rule": "governance.owner-named",
                    "policy": "accountability",
                    "stage": "submit",
                    "result": "pass",
                }
            ],
            "exceptions": [
                {
                    "exception": "exception:0193",
                    "rule": "model.pickle-by-exception",
                    "until": "2026-12-23T12:00:00Z",
                    "grantedBy": "person:0194",
                }
            ],
            "conditions": [
                {
                    "metric": "psi",
                    "max": 0.2,
                    "recovery": 0.16,
                    "window": 86400,
                    "minSamples": 500,
                    "action": "suspend",
                    "retryAfter": None,
                }
            ],
            "approvals": [
                {
                    "approval": "approval:0193",
                    "givenBy": "person:grace",
                    "roles": ["approver", "compliance"],
                    "at": "2026-11-23T12:00:00Z",
                    "breakGlass": False,
                }
            ],
            "breakGlass": False,
            "facts": [{"stage": "submit", "facts": f"sha256:{'d' * 64}", "personal": f"sha256:{'e' * 64}"}],
        },
    }


def test_a_certificate_of_before_there_were_conditions_is_read_as_it_was() -> None:
    document = statement()
    del document["predicate"]["conditions"]
    assert verified(signed_statement(document)) == msgspec.structs.replace(CERTIFICATE, conditions=())


def test_what_a_certificate_renews_is_signed_and_of_one_that_renews_none_nothing_is_said() -> None:
    renewal = msgspec.structs.replace(CERTIFICATE, renews="certificate:0191")
    assert statements.build(renewal)["predicate"]["renews"] == "certificate:0191"
    assert "renews" not in statements.build(CERTIFICATE)["predicate"]
    assert verified(dsse.read(certificates.issue(renewal, KEY).to_json())) == renewal


def test_the_same_certificate_has_the_same_bytes() -> None:
    assert certificates.issue(CERTIFICATE, KEY) == certificates.issue(CERTIFICATE, KEY)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image": SOURCE}, "is for the image"),
        ({"source": IMAGE}, "is for the source"),
        ({"now": BEGIN - timedelta(seconds=61)}, "not valid before"),
        ({"now": BEGIN + timedelta(days=30)}, "ended at"),
    ],
    ids=["another image", "another source", "too early", "too late"],
)
def test_a_certificate_does_not_hold_for(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        verified(certificates.issue(CERTIFICATE, KEY), **changes)


def test_a_certificate_holds_to_its_last_moment() -> None:
    assert verified(certificates.issue(CERTIFICATE, KEY), now=BEGIN + timedelta(days=30, seconds=-1))


def test_another_key_certifies_nothing() -> None:
    with pytest.raises(Refused, match="no key we know"):
        verified(certificates.issue(CERTIFICATE, SigningKey.generate()))


def test_a_certificate_that_ends_before_it_begins_is_not_issued() -> None:
    never = msgspec.structs.replace(CERTIFICATE, not_after=BEGIN)
    with pytest.raises(Refused, match="end before it begins"):
        certificates.issue(never, KEY)


@pytest.mark.parametrize(
    "document",
    [
        statement(more=1),
        statement(_type="https://in-toto.io/Statement/v0.1"),
        statement(predicateType="https://placet.dev/certificate/v2"),
        statement(subject=statements.build(CERTIFICATE)["subject"][:1]),
        statement(subject=list(reversed(statements.build(CERTIFICATE)["subject"]))),
        statement(predicate={**statements.build(CERTIFICATE)["predicate"], "exempt": True}),
        statement(
            predicate={**statements.build(CERTIFICATE)["predicate"], "notAfter": "2026-12-23T12:00:00"}
        ),
        statement(predicate={**statements.build(CERTIFICATE)["predicate"], "release": "3"}),
    ],
    ids=[
        "more",
        "type",
        "predicate type",
        "one subject",
        "swapped",
        "more said",
        "no time zone",
        "release as text",
    ],
)
def test_a_signed_statement_of_another_form_is_unreadable(document: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        verified(signed_statement(document))


def test_a_statement_that_is_not_canonical_is_unreadable() -> None:
    loose = json.dumps(statements.build(CERTIFICATE)).encode()
    with pytest.raises(Unreadable, match="canonical"):
        statements.parse(loose)


def test_a_key_given_twice_cannot_hide_what_was_signed() -> None:
    said = statements.canonical_bytes(statements.build(CERTIFICATE))
    twice = said.replace(b'"project":"digits"', b'"project":"other","project":"digits"')
    with pytest.raises(PlacetError):
        statements.parse(twice)
