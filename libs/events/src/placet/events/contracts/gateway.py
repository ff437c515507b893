"""What people asked for: commands are facts too."""

from __future__ import annotations

from typing import Literal

from placet.events.catalog import event
from placet.events.contracts.shapes import (
    Binding,
    Command,
    Denial,
    ProjectRole,
    QuotaScope,
    ReportedEvaluation,
    ReportedIncident,
    ReportedMonitoring,
    ReportedRun,
)


@event("gateway", "source.uploaded")
class SourceUploaded:
    """An archive passed inspection and is in the registry. It belongs to no release yet.

    `origin` is where the platform fetched it itself: `git+https://…@commit`; none where it was sent.
    """

    source: str
    size: int
    project: str
    origin: str | None


@event("gateway", "deploy.requested")
class DeployRequested:
    """A build ends with a certificate, a deploy goes on to a URL. `image` is set when an existing one was chosen.

    `renews` is the certificate of what serves, where the same source and image are to be judged anew for another one.
    `canary`: it is to get so many of a hundred requests, beside what serves; none of none: it takes its place.
    `back_to` is the release whose image is to be served again, where that was asked for.
    """

    project: str
    release: int
    command: Command
    source: str
    image: str | None
    renews: str | None = None
    canary: int = 0
    back_to: int | None = None


@event("gateway", "start.requested")
class StartRequested:
    project: str
    release: int


@event("gateway", "stop.requested")
class StopRequested:
    project: str


@event("gateway", "delete.requested")
class DeleteRequested:
    project: str


@event("gateway", "scale.requested")
class ScaleRequested:
    """So many replicas of what serves are to run."""

    project: str
    replicas: int


@event("gateway", "promote.requested")
class PromoteRequested:
    """The canary is to get `weight` of a hundred requests; all of them: it takes the place of what it runs beside."""

    project: str
    weight: int


@event("gateway", "abort.requested")
class AbortRequested:
    """The canary is to end: what it ran beside serves alone."""

    project: str


@event("gateway", "exception.requested")
class ExceptionRequested:
    """Somebody asks that a rule may forbid nothing for a project, or for one source of it, until then.

    `reason` is a salted digest of the words, which the gateway keeps and can forget.
    """

    exception: str
    project: str
    rule: str
    source: str | None
    until: str
    reason: str
    requested_by: str


@event("gateway", "exception.granted")
class ExceptionGranted:
    """Somebody else granted it. Says all that is needed to honour it."""

    exception: str
    project: str
    rule: str
    source: str | None
    until: str
    requested_by: str
    granted_by: str


@event("gateway", "exception.withdrawn")
class ExceptionWithdrawn:
    """It is used no more, whether it was granted or only asked for."""

    exception: str
    project: str
    rule: str
    withdrawn_by: str


@event("gateway", "approval.given")
class ApprovalGiven:
    """Somebody who neither asked for it nor built it approves a release as the binding says that it is.

    `roles` are those that they approve in. `reason` is a salted digest of the words, as with exceptions; none of none.
    `break_glass`: it is to be served for a day, whatever is awaited, which takes two.
    """

    approval: str
    project: str
    release: int
    binding: Binding
    roles: tuple[str, ...]
    given_by: str
    reason: str | None = None
    break_glass: bool = False


@event("gateway", "review.given")
class ReviewGiven:
    """Somebody who had nothing to do with it looked at what two people had certified in haste. `reason` is what they
    found, by a salted digest."""

    review: str
    certificate: str
    project: str
    release: int
    reason: str
    given_by: str


@event("gateway", "revocation.requested")
class RevocationRequested:
    """A certificate is to end now, for good. `reason` is a salted digest of the words, as with exceptions."""

    certificate: str
    project: str
    release: int
    reason: str
    requested_by: str


@event("gateway", "policy.submitted")
class PolicySubmitted:
    """Somebody asks that this version be published. Its file lies in the registry, by the sha256 of its bytes.

    `warn_first`: for so many seconds from when it is in force it only warns of what was certified before.
    """

    policy: str
    version: int
    digest: str
    submitted_by: str
    warn_first: int | None = None


@event("gateway", "advisories.submitted")
class AdvisoriesSubmitted:
    """Somebody asks that packages be matched with this snapshot of advisories from now on. It lies in the registry, by
    the sha256 of its bytes, a zip in OSV's form; `size` is in bytes."""

    digest: str
    size: int
    submitted_by: str


@event("gateway", "questionnaire.imported")
class QuestionnaireImported:
    """From here on it is the newest of this id. Its file lies in the registry, by the sha256 of its bytes.

    `form` says how the file is read. One of SurveyJS does not say itself what it is called, and of which version.
    """

    questionnaire: str
    version: str
    digest: str
    form: Literal["placet", "surveyjs"]
    imported_by: str


@event("gateway", "assessment.answered")
class AssessmentAnswered:
    """Somebody answered a questionnaire about a project, as it is in this source.

    `digest` is the questionnaire's. `answers` is the digest of what was answered, with a salt, in the registry: who
    takes that away leaves a log that still holds. `purpose` and `data` are digests of what its placet.yaml says.
    """

    assessment: str
    project: str
    source: str
    purpose: str
    data: str
    questionnaire: str
    version: str
    digest: str
    answers: str
    answered_by: str


@event("gateway", "metadata.reported")
class MetadataReported:
    """Somebody says what happened to a model on its way or in use. Exactly one of the last four is there.

    It is of the whole project, of one `release`, or of one `source`. `at` is when it happened, as who reports it says;
    when it was heard is the event's own time. `report` follows from project and the sender's own id, so that the same
    that is sent again is the same report. `summary` is a salted digest of words that the gateway keeps and can forget.
    """

    report: str
    project: str
    release: int | None
    source: str | None
    at: str
    reported_by: str
    summary: str | None = None
    run: ReportedRun | None = None
    evaluation: ReportedEvaluation | None = None
    monitoring: ReportedMonitoring | None = None
    incident: ReportedIncident | None = None


@event("gateway", "erasure.requested")
class ErasureRequested:
    """Somebody is to be forgotten: from here on nobody can read what their key opened, and their tokens are revoked.

    `words` is of how many reasons and summaries that is true. The opaque id stays, and says nothing any more.
    """

    person: str
    requested_by: str
    tokens: int
    words: int


@event("gateway", "person.erased")
class PersonErased:
    """What of somebody lay outside of the gateway's tables is gone as well.

    `artifacts` were removed from the registry: their answers, and what rules saw that names them. `kept` could not be,
    since the registry removes nothing, or may name them and may not: a gateway that lost its database knows their name
    no more. `scrubbed`: their key and name are not in the database's files any more.
    """

    person: str
    artifacts: int
    kept: int
    scrubbed: bool


@event("gateway", "retention.applied")
class RetentionApplied:
    """What is over its time was removed: of one kind, all that was given before a moment and that nothing stands on.

    `kept` could not be removed, since the registry removes nothing. Events are never removed.
    """

    kind: Literal["words", "answers", "facts"]
    before: str
    removed: int
    kept: int


@event("gateway", "hold.placed")
class HoldPlaced:
    """Nothing of this project is removed from here on, however old it is. `reason` is a salted digest of the words."""

    hold: str
    project: str
    reason: str
    placed_by: str


@event("gateway", "hold.lifted")
class HoldLifted:
    hold: str
    project: str
    lifted_by: str


@event("gateway", "quota.set")
class QuotaSet:
    """What the projects of a team, or one project, may hold altogether from here on: `of` is its name. CPU in
    thousandths of a core, memory in bytes; null is as much as there is. What holds more by then goes on."""

    scope: QuotaScope
    of: str
    cpu_millis: int | None
    memory_bytes: int | None
    gpus: int | None
    models: int | None


@event("gateway", "quota.removed")
class QuotaRemoved:
    scope: QuotaScope
    of: str


@event("gateway", "project.assigned")
class ProjectAssigned:
    """The project counts for this team's quota from here on; for none if that is null."""

    project: str
    team: str | None


@event("gateway", "team.changed")
class TeamChanged:
    """These people came to the team, and these left it; the first of its changes makes the team. People are opaque."""

    team: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed_by: str


@event("gateway", "team.disbanded")
class TeamDisbanded:
    """There is no such team any more, and nobody is of it. One of the same name that is made later is another."""

    team: str
    disbanded_by: str


@event("gateway", "role.granted")
class RoleGranted:
    """From here on `to` has this role on the project, in place of another that it had: a person, `person:<uuid>`, or a
    team, `team:<name>`. A project on which anybody has a role is changed by those alone who have one."""

    project: str
    to: str
    role: ProjectRole
    granted_by: str


@event("gateway", "role.revoked")
class RoleRevoked:
    project: str
    to: str
    role: ProjectRole
    revoked_by: str


@event("gateway", "project.restricted")
class ProjectRestricted:
    """It is private from here on: who has no role on it reads nothing of it, but for whoever judges and audits all."""

    project: str
    restricted_by: str


@event("gateway", "project.opened")
class ProjectOpened:
    """It is private no more: whoever may read may read this, too."""

    project: str
    opened_by: str


@event("gateway", "token.issued")
class TokenIssued:
    """`person` is opaque; who that is, only the gateway's own tables know."""

    token: str
    person: str
    roles: tuple[str, ...]
    expires: str


@event("gateway", "token.revoked")
class TokenRevoked:
    token: str


@event("gateway", "access.denied")
class AccessDenied(Denial, frozen=True, kw_only=True, gc=False):
    """So many requests were answered with 401, 403 or 429 between these moments: of one person, of one place, or, where
    both are null, of many. The first of a series is said at once, the same again as a number (decision 89).

    `person` is opaque, and `origin` a digest of where somebody unknown asked from, with a key that only the process has
    and that ends with it. `reason` is the rule that the answer named. `method`, `route` (a template, such as
    /v1/models/{project}/approvals) and `project` are what was asked, null where that was not always the same.
    """
