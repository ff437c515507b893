"""A scored assessment is signed as a certificate is, and neither passes for the other."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from placet.errors import PlacetError, Refused, Unreadable
from placet.trust import KeySet, ScoredAssessment, SigningKey, assessments, certificates, statements

from tests.unit.trust.test_trust_certificates import CERTIFICATE

KEY = SigningKey.generate()
KEYS = KeySet([KEY.public])
MADE = ScoredAssessment(
    assessment="assessment:0192",
    project="digits",
    source=f"sha256:{'a' * 64}",
    purpose=f"sha256:{'b' * 64}",
    data=f"sha256:{'c' * 64}",
    questionnaire="algorithmic-impact",
    version="1",
    digest=f"sha256:{'d' * 64}",
    answers=f"sha256:{'e' * 64}",
    answered_at=datetime(2026, 11, 23, 12, tzinfo=UTC),
    answered_by="person:0193",
    raw=12,
    raw_most=40,
    mitigation=8,
    mitigation_most=16,
    score=12,
    level=2,
    label="moderate",
    requires=("notice", "contest"),
    missing=("contest",),
)


def test_what_was_signed_is_what_is_read_and_the_same_has_the_same_bytes() -> None:
    envelope = assessments.issue(MADE, KEY)
    assert assessments.read(envelope, KEYS) == MADE
    assert assessments.issue(MADE, KEY).to_json() == envelope.to_json()


def test_another_key_signs_for_nobody() -> None:
    with pytest.raises(Refused):
        assessments.read(assessments.issue(MADE, SigningKey.generate()), KEYS)


def test_neither_passes_for_the_other() -> None:
    with pytest.raises(Unreadable):
        certificates.read(assessments.issue(MADE, KEY), KEYS)
    with pytest.raises(Unreadable):
        assessments.read(certificates.issue(CERTIFICATE, KEY), KEYS)


@pytest.mark.parametrize(
    "change",
    [
        {"level": 0},
        {"score": -1},
        {"answers": "sha256:short"},
        {"unheard": "of"},
        {"answeredAt": "2026-11-23T12:00:00"},
    ],
)
def test_what_is_no_whole_statement_is_not_read(change: dict[str, Any]) -> None:
    document = assessments.build(MADE)
    document["predicate"] |= change
    with pytest.raises(PlacetError):
        assessments.parse(statements.canonical_bytes(document))


def test_only_the_canonical_bytes_are_read() -> None:
    with pytest.raises(Unreadable, match="canonical"):
        assessments.parse(json.dumps(assessments.build(MADE)).encode())
