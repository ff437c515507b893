"""What the certifier needs from outside."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from placet.assessments import Outcome, Reading
from placet.certifier.conditions import Watched
from placet.certifier.domain import Asked, Declared, Patience, Signed
from placet.certifier.reports import Report
from placet.events.contracts.certifier import ReleaseCleared
from placet.events.contracts.indexer import ImageIndexed
from placet.events.contracts.shapes import (
    ApprovalUsed,
    Condition,
    ExceptionUsed,
    PolicyRef,
    RecordedFacts,
    Stage,
    Verdict,
)
from placet.rules import Edition, Policy
from placet.trust import KeyHistory, ScoredAssessment

Facts = Mapping[str, Any]
NO_FACTS: Mapping[Stage, RecordedFacts] = {}


@dataclass(frozen=True, kw_only=True)
class SourceEvidence:
    declared: Declared
    facts: Facts


class Sources(Protocol):
    async def examine(self, source: str, now: datetime) -> SourceEvidence:
        """What the rules of stage submit see of a source.

        Raises Unavailable while the registry is away, Refused where the source cannot be read as a project.
        """


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """`policies` are those in force, by digest; `exceptions` those that a verdict names; `awaits` the rules that failed
    for what people can still do. Of what is certified already, what the policies `only_warn` say is a warning."""

    policies: tuple[PolicyRef, ...]
    verdicts: tuple[Verdict, ...]
    exceptions: tuple[ExceptionUsed, ...] = ()
    awaits: Mapping[str, Patience] = field(default_factory=dict)
    only_warn: frozenset[str] = frozenset()


class Rules(Protocol):
    async def judge(
        self,
        stage: Stage,
        facts: Facts,
        exceptions: Sequence[ExceptionUsed] = (),
    ) -> Judgement:
        """By what was in force when the facts were gathered.

        `exceptions` are one for a rule at most, and cover only what may be excepted.
        """

    async def judge_all(
        self, stage: Stage, asked: Sequence[tuple[Facts, Sequence[ExceptionUsed]]], *, by: Edition
    ) -> Sequence[Judgement]:
        """Each of many, by an edition that need not be that of their days."""

    async def edition(self, at: datetime) -> Edition:
        """What is in force then."""

    async def is_of_operation(self, rule: str, at: datetime) -> bool:
        """Whether it is judged again and again while a model serves, by what is in force then."""

    def image_facts(
        self,
        cleared: ReleaseCleared,
        indexed: ImageIndexed,
        now: datetime,
        approvals: Sequence[ApprovalUsed] = (),
    ) -> Facts:
        """What the rules of stage certify see of an image, and of the approvals that count."""


class Records(Protocol):
    """What rules saw, kept for whoever asks later why they said what they said."""

    async def keep(self, project: str, facts: Facts) -> RecordedFacts:
        """The same facts of the same project are kept once. What of them is about people is kept apart.

        Raises Unavailable while the registry is away, and Refused for more than is kept.
        """

    async def read(self, recorded: RecordedFacts) -> Facts:
        """Without what is about people, if that was erased. Raises Unknown if the rest is gone."""


@dataclass(frozen=True, kw_only=True)
class LoadedPolicy:
    policy: Policy
    file: bytes


class SubmittedPolicies(Protocol):
    @property
    def shipped(self) -> tuple[Policy, ...]:
        """Those that are in force without having been published."""

    async def load(self, digest: str) -> LoadedPolicy:
        """The policy in a file that was submitted, and passed its own tests.

        Raises Unavailable while the registry is away, and Refused with all that is wrong with it.
        """


class Assessor(Protocol):
    """Answers to questionnaires, as they lie in the registry."""

    async def score(self, digest: str, reading: Reading, answers: str) -> Outcome:
        """What the answers with this digest amount to; `digest` is the questionnaire's.

        Raises Unavailable while the registry is away, and Refused for what are no answers to it.
        """

    async def sign(self, assessment: ScoredAssessment) -> str:
        """Sign it and keep it there: the digest of the envelope. The same gives the same bytes."""


class Assessments(Protocol):
    """Those that were made of projects, as far as they were heard of."""

    async def reading(self, digest: str) -> Reading | None:
        """How a questionnaire's file is read; none of one that is not known here."""

    async def facts(self, cleared: ReleaseCleared, at: datetime) -> list[dict[str, Any]]:
        """What the rules of stage certify see of them: for each questionnaire the one that counts for this release."""


class Reports(Protocol):
    """What was reported of models on their way and in use, as far as it was heard and counts for them: what is of their
    project as a whole, of this release, or of this source."""

    async def is_known(self, report: str) -> bool: ...

    async def of_release(self, cleared: ReleaseCleared, at: datetime) -> Facts:
        """What the rules of stage certify see of them."""

    async def in_use(
        self, many: Sequence[Kept], at: datetime, *, with_: Report | None = None
    ) -> Sequence[Facts]:
        """What the rules of stage operate see of each; `with_` one, of which rows do not tell yet."""


class Exceptions(Protocol):
    async def in_force(
        self, project: str, source: str, at: datetime, *, without: str | None = None
    ) -> Sequence[ExceptionUsed]:
        """What was granted for this source, or the whole project, and holds then: for each rule what holds longest.

        `without` one, of which rows do not say yet that it was withdrawn.
        """

    async def in_force_for(self, many: Sequence[Held], at: datetime) -> Sequence[Sequence[ExceptionUsed]]:
        """The same for the source of each of many certificates."""

    async def is_known(self, exception: str) -> bool:
        """Whether its grant was heard before, whatever became of it."""


class Approvals(Protocol):
    async def of_release(self, project: str, release: int) -> Sequence[tuple[str, ApprovalUsed]]:
        """All that were heard while it was waited for, each with the digest of what it is of."""


@dataclass(frozen=True, kw_only=True)
class Wait:
    """A release that is waited for: `operation` is what goes on with it."""

    indexed: ImageIndexed
    operation: str


class Waits(Protocol):
    async def of_release(self, project: str, release: int) -> Wait | None: ...

    async def of_project(self, project: str) -> Sequence[Wait]: ...

    async def due(self, at: float) -> Sequence[Wait]:
        """Those of which something may have changed by then."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """A certificate that is not over. `not_after` is in seconds since 1970; it was judged by `edition` last, as of one
    `turn`."""

    certificate: str
    project: str
    release: int
    source: str
    not_after: float
    edition: str | None = None
    turn: int = 0


class Certificates(Protocol):
    """Those that are not over, whether there are grounds against them or not."""

    async def of_project(self, project: str) -> Sequence[Held]: ...

    async def on_exception(self, exception: str) -> Sequence[Held]:
        """Those that stand on it."""

    async def to_judge(self, edition: str, at: datetime, *, limit: int) -> Sequence[Held]:
        """So many of those that were not judged by this edition, or of which time alone may have changed something."""

    async def is_revoked(self, certificate: str) -> bool:
        """Whether somebody ended it, for good."""

    async def ended(self, at: datetime) -> Sequence[Held]:
        """Those whose time was over by then."""

    async def lapsing(self, at: datetime, within: timedelta) -> Sequence[Held]:
        """Those that a model serves on, that end within so long, and of which nobody was reminded.

        None that has more than a third of its time left.
        """

    async def signed_with(self, key: str, *, or_unknown: bool) -> Sequence[Held]:
        """Those that this key signed, and those of which nobody wrote down which one did."""


class Keys(Protocol):
    async def history(self) -> KeyHistory:
        """Every key that certificates were ever signed with. Raises `Unavailable` while nobody can say."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What is known of a certificate's conditions, as of one `turn`."""

    certificate: str
    project: str
    release: int
    source: str
    watched: Watched
    turn: int


class Watches(Protocol):
    """The conditions of certificates that are not over."""

    async def of_project(self, project: str) -> Sequence[Kept]: ...

    async def of_release(self, project: str, release: int) -> Kept | None: ...

    async def of_certificate(self, certificate: str) -> Kept | None: ...

    async def of_certificates(self, certificates: Collection[str]) -> Mapping[str, Kept]:
        """By certificate, as far as there is one."""

    async def due(self, at: float) -> Sequence[str]:
        """Certificates of which time alone may have changed something by then."""


@dataclass(frozen=True, kw_only=True)
class Walked:
    """A project's releases up to this one, as a trial found them: whether people answer for one of them."""

    release: int
    answered_for: bool


class Earlier(Protocol):
    async def walked(self, project: str, before: int) -> Walked:
        """The latest before this release; release 0, which nobody answers for, where no trial has looked."""


class Contents(Protocol):
    async def of_image(self, repository: str, image: str) -> Facts:
        """The facts `contents`: what lies beside the image in the registry says that it is made of this.

        Raises Unavailable while the registry is away.
        """


@dataclass(frozen=True, kw_only=True)
class ReadSnapshot:
    """Of a snapshot of advisories, what others are to know, and what packages are matched with."""

    taken: datetime
    advisories: int
    packages: int
    compiled: bytes


class Snapshots(Protocol):
    async def read(self, digest: str) -> ReadSnapshot:
        """One that was submitted. Raises Unavailable while the registry is away, else what is wrong with it."""


class Advisories(Protocol):
    async def about(self, packages: Sequence[Mapping[str, Any]], now: datetime) -> Facts:
        """The facts `advisories`, by the snapshot that is in use; empty where none is."""

    async def in_use(self) -> str | None:
        """The digest of that snapshot."""


class Notary(Protocol):
    async def sign(
        self,
        asked: Asked,
        indexed: ImageIndexed,
        judgement: Judgement,
        *,
        certificate: str,
        at: datetime,
        trial: bool = False,
        conditions: Sequence[Condition] = (),
        approvals: Sequence[ApprovalUsed] = (),
        breakers: Sequence[ApprovalUsed] = (),
        facts: Mapping[Stage, RecordedFacts] = NO_FACTS,
    ) -> Signed:
        """Sign a certificate and lay it beside the image. The same arguments give the same bytes.

        One of a trial ends sooner, and none outlives an exception that it stands on. Where there are `breakers`, it is
        for a day, and says so.
        """


class Ground(Protocol):
    async def keep(self) -> None:
        """Keep what ships and is relied on, where what people submit is kept. Once done, it is done."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    sources: Sources
    rules: Rules
    records: Records
    contents: Contents
    snapshots: Snapshots
    advisories: Advisories
    policies: SubmittedPolicies
    assessor: Assessor
    assessments: Assessments
    reports: Reports
    notary: Notary
    exceptions: Exceptions
    certificates: Certificates
    keys: Keys
    watches: Watches
    earlier: Earlier
    approvals: Approvals
    waits: Waits
    ground: Ground | None = None
