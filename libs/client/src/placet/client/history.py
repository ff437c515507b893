"""What was so at another time, as types: the answers of `/v1/audit/why`, `/v1/audit/state` and the lists beside them.

Each statement has the `position` of the event in the audit log that it stands on, which `Client.log_proof` proves. What
is said of an entity differs by its kind, and a newer platform says more: those facts are a dictionary.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from placet.client.documents import Document
from placet.errors import Unreadable

T = TypeVar("T")


class AsOf(Document, frozen=True, kw_only=True):
    """Of when an answer is (`at`), and up to which position the log was read for it. `asked` is the time that was asked
    for, and `note` what whoever asked may have meant otherwise: a day up to its end, or a time that is still to come.
    `unread` names types of events that the platform is too old to read."""

    at: str
    asked: str | None = None
    position: int
    unread: tuple[str, ...] = ()
    note: str | None = None


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """A release, a certificate, an approval …, as it was. `said` has the positions of the events behind `state` and
    behind each of its `facts`."""

    kind: str
    id: str
    project: str | None
    release: int | None
    state: str
    facts: dict[str, Any]
    said: dict[str, int]

    @classmethod
    def of(cls, document: dict[str, Any]) -> Entity:
        """Raises Unreadable."""
        own = {name: document.get(name) for name in _OWN}
        facts = {name: value for name, value in document.items() if name not in _OWN}
        try:
            return msgspec.convert({**own, "facts": facts}, cls)
        except msgspec.ValidationError as error:
            raise Unreadable(
                f"the platform's answer is no state of anything: {error}",
                fix="is the address really a placet platform, and of this version?",
            ) from error

    def to_json(self) -> dict[str, Any]:
        *first, last = _OWN
        return {**{name: getattr(self, name) for name in first}, **self.facts, last: getattr(self, last)}


_OWN = ("kind", "id", "project", "release", "state", "said")


@dataclass(frozen=True, kw_only=True)
class StateThen:
    """Everything that was so, by kind, project, release and id."""

    as_of: AsOf
    entities: AsyncIterator[Entity]


@dataclass(frozen=True, kw_only=True)
class ProjectsThen:
    """Each as its model stood: among its facts are `live` (the release, if one served), `certificate` with
    `certificateState`, and how many `releases` it had."""

    as_of: AsOf
    projects: tuple[Entity, ...]
    next: str | None

    @classmethod
    def of(cls, document: dict[str, Any]) -> ProjectsThen:
        """Raises Unreadable."""
        try:
            return cls(
                as_of=msgspec.convert(document, AsOf),
                projects=tuple(map(Entity.of, document["projects"])),
                next=document["next"],
            )
        except (msgspec.ValidationError, KeyError) as error:
            raise Unreadable(f"the platform's answer is no page of projects: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Listing(Generic[T]):
    as_of: AsOf
    entries: tuple[T, ...]

    def __iter__(self) -> Iterator[T]:
        return iter(self.entries)


class Expiring(Document, frozen=True, kw_only=True, rename="camel"):
    """A certificate that ends in `left` seconds. `serves`: whether a model was live on it."""

    certificate: str
    project: str
    release: int
    state: str
    not_after: str
    left: int
    renewed_by: str | None = None
    serves: bool
    position: int


# Why


class Served(Document, frozen=True, kw_only=True):
    """How the release stood with those who call it, since when and where."""

    state: str | None = None
    since: str | None = None
    url: str | None = None
    diverged: Any = None
    position: int


class ReleaseThen(Document, frozen=True, kw_only=True, rename="camel"):
    release: int
    source: str | None = None
    image: str | None = None
    format: str | None = None
    risk_class: str | None = None
    requested_by: str | None = None
    requested_at: str | None = None
    position: int
    served: Served | None = None


class SignedBy(Document, frozen=True, kw_only=True):
    key: str | None = None
    public: str | None = None
    position: int


class CertificateThen(Document, frozen=True, kw_only=True, rename="camel"):
    certificate: str
    state: str
    issued_at: str | None = None
    not_before: str | None = None
    not_after: str | None = None
    envelope: str | None = None
    repository: str | None = None
    image: str | None = None
    break_glass: bool | None = None
    renews: str | None = None
    position: int
    key: SignedBy


class PolicyThen(Document, frozen=True, kw_only=True):
    """Without `version` and `digest` where the certificate's envelope alone says them: its event is of before."""

    policy: str
    version: int | None = None
    digest: str | None = None
    stage: str | None = None
    position: int


class VerdictThen(Document, frozen=True, kw_only=True, rename="camel"):
    rule: str
    policy: str
    stage: str
    result: str
    on_fail: str
    why: str | None = None
    fix: str | None = None
    exception: str | None = None
    position: int


class InputThen(Document, frozen=True, kw_only=True):
    """What the rules of a stage saw, by the digest of its bytes; `personal` is what of it is about people."""

    stage: str | None = None
    facts: str
    personal: str | None = None
    position: int


class ApprovalThen(Document, frozen=True, kw_only=True, rename="camel"):
    approval: str | None = None
    given_by: str | None = None
    roles: tuple[str, ...] = ()
    at: str | None = None
    break_glass: bool = False
    reason: str | None = None
    position: int


class ExceptionThen(Document, frozen=True, kw_only=True, rename="camel"):
    exception: str
    rule: str
    until: str
    granted_by: str
    state: str
    requested_by: str | None = None
    granted_at: str | None = None
    withdrawn_by: str | None = None
    withdrawn_at: str | None = None
    position: int


class AssessmentThen(Document, frozen=True, kw_only=True, rename="camel"):
    assessment: str
    state: str
    questionnaire: str | None = None
    version: str | None = None
    digest: str | None = None
    answered_by: str | None = None
    answered_at: str | None = None
    scored_at: str | None = None
    level: int | None = None
    label: str | None = None
    score: float | None = None
    missing: tuple[str, ...] = ()
    envelope: str | None = None
    position: int


class Against(Document, frozen=True, kw_only=True):
    """What was known by then that spoke against it; `of` is what it is about, where that has an id."""

    kind: str
    rule: str | None = None
    why: str
    fix: str | None = None
    of: str | None = None
    position: int


class Attempt(Document, frozen=True, kw_only=True):
    """A release that was asked for after the one that the answer is about."""

    release: int
    state: str
    position: int


class Later(Document, frozen=True, kw_only=True):
    """What became known only after that time, and changes no answer."""

    time: str
    kind: str
    why: str
    position: int


class Why(Document, frozen=True, kw_only=True, rename="camel"):
    """Whether a project's model was `allowed` to run at a time and whether it `ran`; and on what that stands.

    Of a time that is still to come `allowed` is as if nothing more happened until then, and `ran` is not known.
    `reason` is one word for `why`, and `checkpoint` the size of the first checkpoint of the log that covers all of it,
    up to `last_position`; none where that is still to come.
    """

    project: str
    at: str
    allowed: bool
    reason: str
    why: str
    fix: str | None = None
    position: int | None = None
    ran: bool | None
    release: ReleaseThen | None = None
    certificate: CertificateThen | None = None
    policies: tuple[PolicyThen, ...] = ()
    verdicts: tuple[VerdictThen, ...] = ()
    inputs: tuple[InputThen, ...] = ()
    approvals: tuple[ApprovalThen, ...] = ()
    exceptions: tuple[ExceptionThen, ...] = ()
    assessments: tuple[AssessmentThen, ...] = ()
    against: tuple[Against, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    asked: str | None = None
    note: str | None = None
    later: tuple[Later, ...] = ()
    more_later: bool = False
    looked_up_to: int = 0
    unread: tuple[str, ...] = ()
    last_position: int = 0
    checkpoint: int | None = None
