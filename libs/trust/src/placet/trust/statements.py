"""What a certificate says: an in-toto Statement v1 with placet's own predicate.

The subjects are the image and the source it was built from; the predicate names the certificate, project and
release, the validity, the policies by digest, the verdict of every rule, the exceptions by which a rule that did
not pass forbids nothing, the approvals that it rests on, what the rules saw by digest, the conditions that hold
while it serves, and the certificate that it renews, if it does. Canonical bytes (RFC 8785) are what is signed. Parsing
is strict: a field we do not know could change a meaning somebody signed for.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import rfc8785

from placet.errors import Unreadable

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://placet.dev/certificate/v1"
SOURCES_REPOSITORY = "sources"

Digest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]
Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    pass


class PolicyApplied(_Strict, frozen=True, kw_only=True):
    """A policy that was in force, by the digest of its file."""

    id: Text
    version: Annotated[int, msgspec.Meta(ge=1)]
    digest: Digest


class VerdictGiven(_Strict, frozen=True, kw_only=True):
    rule: Text
    policy: Text
    stage: Literal["submit", "certify", "operate"]
    result: Literal["pass", "fail", "indeterminate"]


class ExceptionApplied(_Strict, frozen=True, kw_only=True):
    """What somebody granted, for whom the gateway alone knows the name."""

    exception: Text
    rule: Text
    until: Moment
    granted_by: Text


class ConditionSet(_Strict, frozen=True, kw_only=True):
    """What holds while it serves: `metric` over `window` seconds is at most `max`. See the event's `Condition`."""

    metric: Text
    max: float
    recovery: float
    window: Annotated[int, msgspec.Meta(ge=1)]
    min_samples: Annotated[int, msgspec.Meta(ge=1)]
    action: Literal["warn", "suspend"]
    retry_after: Annotated[int, msgspec.Meta(ge=1)] | None = None


class ApprovalCounted(_Strict, frozen=True, kw_only=True):
    """Who approved exactly this, for whom the gateway alone knows the name, in which roles and when."""

    approval: Text
    given_by: Text
    roles: tuple[Text, ...]
    at: Moment
    break_glass: bool = False


class FactsSeen(_Strict, frozen=True, kw_only=True):
    """What the rules of a stage saw, by the digest of its bytes; `personal` is what of it is about people."""

    stage: Literal["submit", "certify", "operate"]
    facts: Digest
    personal: Digest | None = None


class Certificate(_Strict, frozen=True, kw_only=True):
    """A certificate in our own words; `image` and `source` are `sha256:…`, `repository` as in `models/churn`.

    Valid from `not_before` on, up to and without `not_after`.
    """

    certificate: Text
    project: Text
    release: Annotated[int, msgspec.Meta(ge=1)]
    repository: Text
    image: Digest
    source: Digest
    not_before: Moment
    not_after: Moment
    policies: tuple[PolicyApplied, ...]
    verdicts: tuple[VerdictGiven, ...]
    exceptions: tuple[ExceptionApplied, ...] = ()
    conditions: tuple[ConditionSet, ...] = ()
    facts: tuple[FactsSeen, ...] = ()
    approvals: tuple[ApprovalCounted, ...] = ()
    break_glass: bool = False
    """For a day, by two people, although what was awaited did not come."""
    renews: Text | None = None
    """The certificate that it takes the place of. Where there is none, nothing is said of it."""


class _Sha256(_Strict, frozen=True, kw_only=True):
    sha256: Hex


class _Subject(_Strict, frozen=True, kw_only=True):
    name: Text
    digest: _Sha256


class _Predicate(_Strict, frozen=True, kw_only=True):
    certificate: Text
    project: Text
    release: Annotated[int, msgspec.Meta(ge=1)]
    not_before: Moment
    not_after: Moment
    policies: tuple[PolicyApplied, ...]
    verdicts: tuple[VerdictGiven, ...]
    exceptions: tuple[ExceptionApplied, ...] = ()
    conditions: tuple[ConditionSet, ...] = ()
    approvals: tuple[ApprovalCounted, ...] = ()
    break_glass: bool = False
    facts: tuple[FactsSeen, ...] = ()
    renews: Text | None = None


class _Statement(_Strict, frozen=True, kw_only=True):
    type_: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(name="_type")
    subject: tuple[_Subject, ...]
    predicate_type: Literal["https://placet.dev/certificate/v1"]
    predicate: _Predicate


def build(certificate: Certificate) -> dict[str, Any]:
    """The statement as a JSON document."""
    document = msgspec.json.decode(msgspec.json.encode(certificate))
    image, source, repository = (document.pop(name) for name in ("image", "source", "repository"))
    if certificate.renews is None:
        del document["renews"]
    return {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": repository, "digest": {"sha256": image.removeprefix("sha256:")}},
            {"name": SOURCES_REPOSITORY, "digest": {"sha256": source.removeprefix("sha256:")}},
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": document,
    }


def canonical_bytes(statement: dict[str, Any]) -> bytes:
    return rfc8785.dumps(statement)


def parse(data: bytes) -> Certificate:
    """Read a statement back; only the canonical bytes of a complete one are accepted."""
    try:
        statement = msgspec.json.decode(data, type=_Statement)
        # The canonical form is unique, so comparing with it refuses duplicate keys and every other spelling.
        canonical = canonical_bytes(msgspec.json.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError, rfc8785.CanonicalizationError) as error:
        raise Unreadable(f"this is not a certificate's statement: {error}") from error
    if canonical != data:
        raise Unreadable("this statement is not in canonical form (RFC 8785)")
    match statement.subject:
        case [image, source] if source.name == SOURCES_REPOSITORY:
            said = statement.predicate
        case _:
            raise Unreadable("a certificate's statement has two subjects: the image, then the source")
    return Certificate(
        certificate=said.certificate,
        project=said.project,
        release=said.release,
        repository=image.name,
        image=f"sha256:{image.digest.sha256}",
        source=f"sha256:{source.digest.sha256}",
        not_before=said.not_before,
        not_after=said.not_after,
        policies=said.policies,
        verdicts=said.verdicts,
        exceptions=said.exceptions,
        conditions=said.conditions,
        approvals=said.approvals,
        break_glass=said.break_glass,
        facts=said.facts,
        renews=said.renews,
    )
