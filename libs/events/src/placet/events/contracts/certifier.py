"""What may be served, and on which grounds."""

from __future__ import annotations

from placet.events.catalog import event
from placet.events.contracts.shapes import (
    ApprovalUsed,
    Binding,
    Command,
    Condition,
    Denial,
    ExceptionUsed,
    Ground,
    KeyWhy,
    PolicyProblem,
    PolicyRef,
    RecordedFacts,
    Resources,
    RuleRef,
    Stage,
    Verdict,
)


@event("certifier", "release.cleared")
class ReleaseCleared:
    """The source passed the rules of stage submit; carries what deployer and builder need from its manifest.

    `trial`: it was asked for as a trial, and its certificate holds for days. `dockerfile`: its image comes from one of
    its own, and serves by itself. `asker`: who asked for it, whose turn it takes wherever there is a queue.
    `exceptions` are those that its verdicts name, `conditions` what its project says of it while it serves, `facts`
    what the rules saw. `inputs` is a digest of that which does not change with time, `risk_class` what the project
    declares; so do `purpose` and `data`, as the digests that an assessment has of them. `renews` is as it was asked.
    """

    project: str
    release: int
    command: Command
    source: str
    image: str | None
    format: str
    resources: Resources
    access: str
    policies: tuple[PolicyRef, ...]
    verdicts: tuple[Verdict, ...]
    trial: bool = False
    dockerfile: bool = False
    exceptions: tuple[ExceptionUsed, ...] = ()
    asker: str | None = None
    conditions: tuple[Condition, ...] = ()
    facts: RecordedFacts | None = None
    inputs: str | None = None
    risk_class: str = ""
    purpose: str = ""
    data: str = ""
    renews: str | None = None


@event("certifier", "release.refused")
class ReleaseRefused:
    """`facts` are what the rules saw, where there was something to see."""

    project: str
    release: int
    stage: Stage
    source: str
    policies: tuple[PolicyRef, ...]
    verdicts: tuple[Verdict, ...]
    facts: RecordedFacts | None = None


@event("certifier", "approval.awaited")
class ApprovalAwaited:
    """Nothing forbids this release but what people can still do: they have until then. Said again whenever that is
    less, or is of something else than before, which nobody has approved then.

    `verdicts` are those of stage certify; `since` is when it was awaited first; `remind` is in seconds. `asker` asked
    for the release, and does not count.
    """

    project: str
    release: int
    command: Command
    binding: Binding
    verdicts: tuple[Verdict, ...]
    since: str
    until: str
    remind: int | None = None
    approvals: tuple[ApprovalUsed, ...] = ()
    asker: str | None = None


@event("certifier", "approval.reminded")
class ApprovalReminded:
    """It is awaited still: the `number`-th time that this is said."""

    project: str
    release: int
    binding: str
    rules: tuple[str, ...]
    until: str
    number: int


@event("certifier", "certificate.issued")
class CertificateIssued:
    """A signed certificate lies beside the image: `envelope` is the DSSE envelope's digest in `repository`.

    `exceptions` are those that it stands on, of both stages; it ends no later than the first of them. `conditions` are
    judged from here on, for as long as it holds. `facts` are what the rules of stage certify saw, `approvals` of
    exactly this, by people who did not ask for it. `break_glass`: two of them had it certified for a day although what
    was awaited did not come. `key` is the id of the key that it is signed with. `renews` is the certificate that it
    takes the place of, for the same source; that one holds up to its own end. `policies` are those of stage certify,
    as `verdicts` are; those of stage submit stand in `release.cleared`.
    """

    certificate: str
    project: str
    release: int
    command: Command
    source: str
    image: str
    repository: str
    envelope: str
    not_before: str
    not_after: str
    verdicts: tuple[Verdict, ...]
    exceptions: tuple[ExceptionUsed, ...] = ()
    conditions: tuple[Condition, ...] = ()
    approvals: tuple[ApprovalUsed, ...] = ()
    break_glass: bool = False
    facts: RecordedFacts | None = None
    key: str | None = None
    renews: str | None = None
    policies: tuple[PolicyRef, ...] = ()


@event("certifier", "review.owed")
class ReviewOwed:
    """Two people had this certified although what was awaited did not come: somebody else has to look at that."""

    certificate: str
    project: str
    release: int
    approvals: tuple[ApprovalUsed, ...]
    asker: str | None


@event("certifier", "certificate.upheld")
class CertificateUpheld:
    """It stands on this exception from now on: in place of `withdrawn`, which was, or, with none, since it was granted
    and is why something is no ground against it any more.
    """

    certificate: str
    project: str
    release: int
    withdrawn: str | None = None
    exception: ExceptionUsed


@event("certifier", "certificate.suspended")
class CertificateSuspended:
    """It does not stand for as long as it has grounds against it; said again whenever those are others."""

    certificate: str
    project: str
    release: int
    grounds: tuple[Ground, ...]


@event("certifier", "certificate.reinstated")
class CertificateReinstated:
    """There is nothing against it any more."""

    certificate: str
    project: str
    release: int


@event("certifier", "certificate.warned")
class CertificateWarned:
    """It stands, and this is to be looked at: rules and conditions that only warn, and are not kept.

    Said again whenever those are others, and without any once there are none.
    """

    certificate: str
    project: str
    release: int
    warnings: tuple[Ground, ...]


@event("certifier", "certificate.revoked")
class CertificateRevoked:
    """For good, by a person; or by the certifier itself, where the key that signed it is compromised."""

    certificate: str
    project: str
    release: int
    ground: Ground
    revoked_by: str


@event("certifier", "certificate.lapsing")
class CertificateLapsing:
    """A model serves on it, and it ends in `left` seconds: time to have it renewed. Said once."""

    certificate: str
    project: str
    release: int
    not_after: str
    left: int


@event("certifier", "certificate.expired")
class CertificateExpired:
    """Its time was over; whoever relies on one knows that by himself."""

    certificate: str
    project: str
    release: int
    not_after: str


@event("certifier", "key.rotated")
class KeyRotated:
    """Certificates are signed with the key of this id from `since` on, which may be to come, and no more with the one
    `before`. `public` is the raw Ed25519 key in base64url. Of the first there is none before it, and no beginning.
    """

    key: str
    public: str
    since: str | None
    before: str | None
    why: KeyWhy | None


@event("certifier", "key.compromised")
class KeyCompromised:
    """Somebody else may have this key: from `since` on nothing counts that it signed, whatever date is written there.
    Said again if that is sooner."""

    key: str
    since: str


@event("certifier", "policy.published")
class PolicyPublished:
    """A version of a policy, for good: releases are judged by it from the day `effective_from`, up to and without
    `effective_until`, as long as no later one takes its place. `number` counts what was published, from 1.

    The file has the rest; `digest` is the sha256 of its bytes. `supersedes` is another policy that it retires. Until
    `warn_until` what was certified before is only warned of what it forbids; what is deployed is judged in full.
    """

    policy: str
    version: int
    digest: str
    number: int
    title: str
    effective_from: str
    effective_until: str | None
    supersedes: str | None
    rules: tuple[RuleRef, ...]
    warn_until: str | None = None


@event("certifier", "policy.rejected")
class PolicyRejected:
    """It is not published, for good: another file, if only by a byte, is another submission."""

    policy: str
    version: int
    digest: str
    problems: tuple[PolicyProblem, ...]


@event("certifier", "advisories.published")
class AdvisoriesPublished:
    """Packages are matched with this snapshot from now on, until a later one. `taken` is when its newest advisory was
    changed; `advisories` are the documents in it, `packages` those of PyPI that it is about. `number` counts from 1."""

    digest: str
    number: int
    taken: str
    advisories: int
    packages: int


@event("certifier", "advisories.rejected")
class AdvisoriesRejected:
    """It is not used, for good: another file, if only by a byte, is another submission."""

    digest: str
    why: str
    fix: str | None


@event("certifier", "assessment.scored")
class AssessmentScored:
    """What the answers amount to. A signed statement of it lies in the registry: `envelope` is the digest of the DSSE
    envelope's artifact.

    Levels count from 1, and this one is called `label`. `requires` are the mitigations that it asks for, `missing`
    those of them that nobody has said are in place. After `valid_days` it is stale, whatever else is so.
    """

    assessment: str
    project: str
    source: str
    questionnaire: str
    version: str
    digest: str
    raw: int
    raw_most: int
    mitigation: int
    mitigation_most: int
    score: int
    level: int
    label: str
    requires: tuple[str, ...]
    missing: tuple[str, ...]
    valid_days: int
    envelope: str


@event("certifier", "assessment.rejected")
class AssessmentRejected:
    """It says nothing, for good: what the registry has are no answers to its questionnaire, or are not there.

    `why` has none of their words.
    """

    assessment: str
    project: str
    why: str
    fix: str | None = None


@event("certifier", "access.denied")
class AccessDenied(Denial, frozen=True, kw_only=True, gc=False):
    """So many requests were answered with 401 or 403 by the certifier itself, as `gateway.access.denied` tells of the
    gateway's."""
