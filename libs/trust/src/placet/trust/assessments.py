"""What an assessment says once it is scored: an in-toto Statement about the source that it was made of.

The predicate names the questionnaire and the answers by their digests, what they amount to, who answered and when, and
what purpose and data it is about, by the digests of their words. Signed as certificates are, read as strictly.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import rfc8785

from placet.errors import Unreadable
from placet.trust import dsse
from placet.trust.dsse import Envelope, Keys
from placet.trust.keys import SigningKey
from placet.trust.statements import (
    PAYLOAD_TYPE,
    SOURCES_REPOSITORY,
    STATEMENT_TYPE,
    Digest,
    Hex,
    Moment,
    Text,
    canonical_bytes,
)

PREDICATE_TYPE = "https://placet.dev/assessment/v1"

Count = Annotated[int, msgspec.Meta(ge=0)]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    pass


class _Predicate(_Strict, frozen=True, kw_only=True):
    assessment: Text
    project: Text
    purpose: Digest
    data: Digest
    questionnaire: Text
    version: Text
    digest: Digest
    answers: Digest
    answered_at: Moment
    answered_by: Text
    raw: Count
    raw_most: Count
    mitigation: Count
    mitigation_most: Count
    score: Count
    level: Annotated[int, msgspec.Meta(ge=1)]
    label: Text
    requires: tuple[Text, ...] = ()
    missing: tuple[Text, ...] = ()


class ScoredAssessment(_Predicate, frozen=True, kw_only=True):
    """`digest` is the questionnaire's, `source` what it is about. `missing` are those of the mitigations that its level
    `requires` of which nobody has said that they are in place."""

    source: Digest


class _Sha256(_Strict, frozen=True, kw_only=True):
    sha256: Hex


class _Subject(_Strict, frozen=True, kw_only=True):
    name: Literal["sources"]
    digest: _Sha256


class _Statement(_Strict, frozen=True, kw_only=True):
    type_: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(name="_type")
    subject: Annotated[tuple[_Subject, ...], msgspec.Meta(min_length=1, max_length=1)]
    predicate_type: Literal["https://placet.dev/assessment/v1"]
    predicate: _Predicate


def issue(assessment: ScoredAssessment, key: SigningKey) -> Envelope:
    payload = canonical_bytes(build(assessment))
    parse(payload)
    return dsse.sign(payload, payload_type=PAYLOAD_TYPE, keys=key)


def read(envelope: Envelope, keys: Keys) -> ScoredAssessment:
    """What was signed, by a key of the set."""
    return parse(dsse.verify(envelope, keys, payload_type=PAYLOAD_TYPE).payload)


def build(assessment: ScoredAssessment) -> dict[str, Any]:
    """The statement as a JSON document."""
    document = msgspec.json.decode(msgspec.json.encode(assessment))
    source = document.pop("source").removeprefix("sha256:")
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": SOURCES_REPOSITORY, "digest": {"sha256": source}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": document,
    }


def parse(data: bytes) -> ScoredAssessment:
    """Read a statement back; only the canonical bytes of a complete one are accepted."""
    try:
        statement = msgspec.json.decode(data, type=_Statement)
        canonical = canonical_bytes(msgspec.json.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError, rfc8785.CanonicalizationError) as error:
        raise Unreadable(f"this is not an assessment's statement: {error}") from error
    if canonical != data:
        raise Unreadable("this statement is not in canonical form (RFC 8785)")
    (subject,) = statement.subject
    said = {field: getattr(statement.predicate, field) for field in statement.predicate.__struct_fields__}
    return ScoredAssessment(source=f"sha256:{subject.digest.sha256}", **said)
