"""What the gateway's calls answer, for the OpenAPI document.

Answers are made as plain documents, from rows and events; nothing here is in the way of one. Tests hold them against
this, and find a key that is missing here or there.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from placet.events.contracts.shapes import ProjectRole

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="in RFC 3339")]
Next = Annotated[str | None, Field(description="what to give as `after` for the page that follows")]
CertificateStanding = Literal["valid", "suspended", "revoked", "expired", "none"]
Served = Literal["now", "canary", "before", "never"]


class Person(BaseModel):
    person: str
    name: str | None = Field(description="null where it was erased, or was never known here")


class Refusal(BaseModel):
    rule: str | None
    why: str
    fix: str | None


class Ground(BaseModel):
    """Of a certificate: what there is against it, or is to be looked at."""

    rule: str | None
    why: str
    fix: str | None
    measured: list[dict[str, JsonValue]]


class Source(BaseModel):
    source: str
    size: int
    project: str
    files: int


class TakenVerdict(BaseModel):
    rule: str
    result: str
    stage: str
    exception: str | None


class TakenSource(Source):
    trial: bool
    ignored: list[str]
    ignoredFiles: int
    state: Literal["cleared", "refused"]
    refusals: list[Refusal]
    warnings: list[Refusal]
    verdicts: list[TakenVerdict]


class Step(BaseModel):
    name: str
    state: Literal["waiting", "running", "done", "refused", "failed", "stalled"]
    seconds: float | None
    since: Time | None
    detail: str | None


class AwaitedReason(BaseModel):
    rule: str | None
    why: str


class Verdict(BaseModel):
    rule: str
    result: str
    onFail: str
    stage: str
    exception: str | None
    why: str | None
    fix: str | None


class Operation(BaseModel):
    operation: str
    command: str
    project: str
    release: int | None
    source: str | None
    image: str | None
    built: bool | None
    certificate: str | None
    renews: str | None
    share: int | None = Field(description="of a canary: how many of a hundred requests it gets")
    replaced: int | None
    backTo: int | None
    state: str
    url: str | None
    steps: list[Step]
    refusals: list[Refusal]
    awaiting: list[AwaitedReason]
    verdicts: list[Verdict]


class Operations(BaseModel):
    operations: list[Operation]
    next: Next


class BriefOperation(BaseModel):
    operation: str
    command: str
    project: str
    release: int | None
    share: int | None
    backTo: int | None
    state: str


class Window(BaseModel):
    release: int
    since: Time
    until: Time
    requests: int
    errors: int
    p50_ms: float | None
    p99_ms: float | None
    psi: float | None


class Canary(BaseModel):
    release: int
    weight: int
    image: str
    certificate: str


class Model(BaseModel):
    project: str
    release: int | None
    state: str
    detail: str | None
    url: str | None
    image: str | None
    certificate: str | None
    trial: bool
    replicas: int | None
    canary: Canary | None
    aborted: dict[str, JsonValue] | None = Field(description="the canary that ended last, and why")
    certifiedUntil: Time | None
    certificateState: CertificateStanding
    lapsing: bool
    awaits: int | None


class ListedModel(Model):
    operation: BriefOperation
    windows: list[Window] = Field(default=[], description="where `windows` asks for some")


class Models(BaseModel):
    models: list[ListedModel]
    next: Next


class Review(BaseModel):
    certificate: str
    release: int
    state: Literal["owed", "done"]
    owedAt: Time
    review: str | None
    givenBy: Person | None
    givenAt: Time | None
    reason: str | None


class WholeModel(Model):
    source: str | None
    refusals: list[Refusal]
    observed: dict[str, JsonValue] | None
    windows: list[Window]
    warnings: list[Ground]
    reviewsOwed: list[Review]
    cause: Operation
    operation: Operation


class Metric(BaseModel):
    metric: str
    value: float


class ReplacedBy(BaseModel):
    release: int
    command: str
    operation: str
    backTo: int | None


class Release(BaseModel):
    project: str
    release: int
    state: str
    served: Served
    operation: str
    command: str
    backTo: int | None
    askedAt: Time
    source: str | None
    image: str | None
    format: str | None
    vanished: bool
    certificate: str | None
    certificateState: CertificateStanding
    triedAt: Time | None
    liveAt: Time | None
    endedAt: Time | None
    ended: str | None
    why: str | None
    replacedBy: ReplacedBy | None
    metrics: list[Metric]


class Releases(BaseModel):
    releases: list[Release]
    next: int | None


class Image(BaseModel):
    image: str
    project: str
    repository: str
    release: int
    source: str
    format: str
    certificate: str | None
    vanished: bool
    owner: str | None
    certificateState: CertificateStanding
    indexedAt: Time | None
    served: Literal["now", "before", "never"]
    metrics: list[Metric]


class Images(BaseModel):
    images: list[Image]
    next: Next


class CardResult(BaseModel):
    metric: str
    value: float
    dataset: str | None


class Card(BaseModel):
    licence: str | None
    tags: list[str]
    datasets: list[str]
    metrics: list[str]
    languages: list[str]
    results: list[CardResult]
    prose: str


class Referrer(BaseModel):
    digest: str
    artifactType: str


class WholeImage(Image):
    card: Card | None
    labels: dict[str, str]
    referrers: list[Referrer]


class CertificateStands(BaseModel):
    certificate: str
    project: str
    release: int
    image: str
    state: CertificateStanding
    notAfter: Time
    trial: bool
    renews: str | None
    renewedBy: str | None
    grounds: list[Ground]
    warnings: list[Ground]
    revokedBy: Person | None
    revokedAt: Time | None
    reason: str | None
    review: Review | None


class Certificate(CertificateStands):
    envelope: dict[str, JsonValue] = Field(description="DSSE, as it lies in the registry")
    statement: dict[str, JsonValue] = Field(description="in-toto's, as it is in the envelope")


class IssuedToken(BaseModel):
    token: str = Field(description="shown once")
    id: str
    person: str
    roles: list[str]
    expires: Time


class Token(BaseModel):
    id: str
    roles: list[str]
    issuedAt: Time
    expires: Time
    revoked: bool


class ListedToken(Token):
    person: str
    name: str | None


class Tokens(BaseModel):
    tokens: list[ListedToken]
    next: Next


class Me(BaseModel):
    person: str
    name: str | None
    roles: list[str]
    commands: list[str]


class RuleException(BaseModel):
    exception: str
    project: str
    rule: str
    source: str | None
    until: Time
    state: Literal["requested", "granted", "withdrawn", "expired"]
    reason: str | None
    requestedBy: Person
    requestedAt: Time
    grantedBy: Person | None
    grantedAt: Time | None
    withdrawnBy: Person | None
    withdrawnAt: Time | None


class Exceptions(BaseModel):
    exceptions: list[RuleException]
    next: Next


class JudgedBy(BaseModel):
    id: str
    version: int
    digest: str


class GivenApproval(BaseModel):
    approval: str
    project: str
    release: int
    binding: str
    roles: list[str]
    givenBy: Person | None
    givenAt: Time
    reason: str | None
    breakGlass: bool


class CountedApproval(GivenApproval):
    binds: bool


class AwaitedRelease(BaseModel):
    release: int
    state: Literal["awaiting", "certified", "refused"]
    operation: str
    binding: str
    source: str
    image: str
    inputs: str
    policies: list[JudgedBy]
    awaiting: list[Refusal]
    since: Time
    until: Time
    askedBy: Person | None
    approvals: list[CountedApproval]


class AwaitedReleases(BaseModel):
    releases: list[AwaitedRelease]


class AwaitedOfProject(AwaitedRelease):
    project: str


class AwaitedAnywhere(BaseModel):
    releases: list[AwaitedOfProject]
    next: Next


class OwedReview(BaseModel):
    project: str
    certificate: str
    release: int
    state: Literal["owed"]
    owedAt: Time


class OwedReviews(BaseModel):
    reviews: list[OwedReview]
    next: Next


class Key(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)

    kid: str
    x: str
    from_: Time | None = Field(alias="from")
    until: Time | None
    why: str | None
    compromised: Time | None


class Keys(BaseModel):
    keys: list[Key]


class PolicyProblem(BaseModel):
    why: str
    fix: str | None


class Policy(BaseModel):
    policy: str
    version: int
    digest: str
    title: str
    owner: str
    state: Literal["submitted", "in-force", "scheduled", "superseded", "ended", "rejected"]
    shipped: bool
    supersedes: int | None
    effectiveFrom: str | None
    effectiveUntil: str | None
    warnUntil: Time | None
    submittedBy: Person | None
    submittedAt: Time | None
    decidedAt: Time | None
    problems: list[PolicyProblem]


class Policies(BaseModel):
    policies: list[Policy]
    next: Next


class PolicyVersions(BaseModel):
    policy: str
    versions: list[Policy]


class Snapshot(BaseModel):
    """Of advisories."""

    digest: str
    size: int
    state: Literal["submitted", "in-use", "replaced", "rejected"]
    taken: str | None
    advisories: int | None
    packages: int | None
    submittedBy: Person | None
    submittedAt: Time
    decidedAt: Time | None
    problem: PolicyProblem | None


class Snapshots(BaseModel):
    advisories: list[Snapshot]
    next: Next


class Questionnaire(BaseModel):
    questionnaire: str
    version: str
    title: str
    digest: str
    form: Literal["placet", "surveyjs"]
    state: Literal["newest", "superseded"]
    shipped: bool
    importedBy: str | None
    importedAt: Time | None


class Questionnaires(BaseModel):
    questionnaires: list[Questionnaire]
    next: Next


class WholeQuestionnaire(Questionnaire):
    content: dict[str, JsonValue] = Field(description="all that it asks")


class Score(BaseModel):
    raw: int
    rawMost: int
    mitigation: int
    mitigationMost: int
    score: int
    level: int
    label: str
    requires: list[str]
    missing: list[str]


class Assessment(BaseModel):
    assessment: str
    project: str
    state: Literal["answered", "scored", "rejected"]
    questionnaire: str
    version: str
    digest: str
    source: str
    answeredBy: Person | None
    answeredAt: Time
    ageDays: int
    stale: list[str]
    score: Score | None
    envelope: str | None
    why: str | None
    fix: str | None


class Assessments(BaseModel):
    assessments: list[Assessment]
    next: Next


class Answers(BaseModel):
    answers: dict[str, str | list[str]]
    mitigations: list[str]


class Report(BaseModel):
    report: str
    project: str
    kind: Literal["run", "evaluation", "monitoring", "incident"]
    release: int | None
    source: str | None
    at: Time
    heardAt: Time
    reportedBy: Person | None
    content: dict[str, JsonValue]
    summary: str | None


class Reports(BaseModel):
    reports: list[Report]


class ReportsPage(Reports):
    next: Next


class Known(Person):
    state: Literal["known", "erasing", "erased"]


class People(BaseModel):
    people: list[Known]
    next: Next


class Answered(BaseModel):
    assessment: str
    project: str
    answeredAt: Time


class Naming(BaseModel):
    source: str
    as_: Literal["owner", "builder"] = Field(alias="as")


class Held(Known):
    tokens: list[Token]
    words: int
    answers: list[Answered]
    namedBy: list[Naming]
    acts: dict[str, int]
    askedAt: Time | None
    erasedAt: Time | None
    wordsErased: int | None
    artifactsRemoved: int | None
    artifactsKept: int | None
    scrubbed: bool | None


class Words(BaseModel):
    of: str
    givenAt: Time
    words: str | None


class WordsPage(BaseModel):
    words: list[Words]
    next: Next


class RetentionClass(BaseModel):
    kind: str
    what: str
    days: int
    number: int
    due: int
    kept: int
    nextAt: Time | None


class Hold(BaseModel):
    hold: str
    project: str
    reason: str | None
    placedBy: Person | None
    placedAt: Time


class Retention(BaseModel):
    classes: list[RetentionClass]
    holds: list[Hold]


class Limits(BaseModel):
    cpuMillis: int | None
    memoryBytes: int | None
    gpus: int | None
    models: int | None


class Quota(BaseModel):
    scope: Literal["team", "project"]
    of: str
    limits: Limits
    live: Limits
    projects: list[str]
    exceeded: list[str]


class Quotas(BaseModel):
    quotas: list[Quota]
    next: Next


class Team(BaseModel):
    team: str
    members: list[Person]


class ListedTeam(Team):
    projects: list[str] = Field(description="those that count for its quota")


class Teams(BaseModel):
    teams: list[ListedTeam]
    next: Next


class ProjectOfTeam(BaseModel):
    project: str
    team: str


class Member(BaseModel):
    """Of a project."""

    to: str = Field(description="person:…, or team: and its name")
    name: str | None
    role: ProjectRole
    grantedBy: Person
    grantedAt: Time


class Members(BaseModel):
    project: str
    private: bool
    members: list[Member]
    yourRole: ProjectRole | None
    youMayShare: bool


class Facts(BaseModel):
    facts: dict[str, dict[str, Any] | None]
