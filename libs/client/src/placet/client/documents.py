"""What the platform answers, as types: the documents of `/v1`.

They are read leniently (a newer platform may add fields) and written exactly: `to_json` gives the fields
that stay put, in their order, and nothing else. CloudEvents are left as they came, as dictionaries.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec

from placet.errors import Unreadable

Command = Literal[
    "deploy", "build", "renew", "rollback", "start", "stop", "delete", "scale", "promote", "abort"
]
CloudEvent = dict[str, Any]
T = TypeVar("T")

_ENDED = frozenset({"live", "stopped", "deleted", "awaiting", "quarantined", "refused", "failed", "stalled"})


class Document(msgspec.Struct, frozen=True, kw_only=True):
    def to_json(self) -> dict[str, Any]:
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built


class Step(Document, frozen=True, kw_only=True):
    """`state` is done, running, waiting, refused or failed; one that runs does `since` then."""

    name: str
    state: str
    seconds: float | None = None
    detail: str | None = None
    since: str | None = None


class Refusal(Document, frozen=True, kw_only=True):
    rule: str | None = None
    why: str
    fix: str | None = None


class Awaiting(Document, frozen=True, kw_only=True):
    rule: str | None = None
    why: str


class Verdict(Document, frozen=True, kw_only=True, rename="camel"):
    """`exception` names the one by which a rule that did not pass forbids nothing; `why` and `fix` are of those.
    `on_fail` is what comes of it otherwise: `deny`, `suspend` or `warn`."""

    rule: str
    result: str
    on_fail: str | None = None
    stage: str | None = None
    exception: str | None = None
    why: str | None = None
    fix: str | None = None


class Operation(Document, frozen=True, kw_only=True, rename="camel"):
    """The life of one command. `built` is false when an image was reused, null while that is not known. It `renews` a
    certificate, where it is to have another one that takes its place. A canary gets `share` of a hundred requests.
    `replaced` is the release of a canary that ended for it; `back_to` the one whose image a rollback serves again."""

    operation: str | None = None
    command: str | None = None
    project: str | None = None
    release: int | None = None
    source: str | None = None
    image: str | None = None
    built: bool | None = None
    certificate: str | None = None
    renews: str | None = None
    share: int | None = None
    replaced: int | None = None
    back_to: int | None = None
    state: str
    url: str | None = None
    steps: tuple[Step, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    awaiting: tuple[Awaiting, ...] = ()
    verdicts: tuple[Verdict, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen by itself: a build ends certified, a deploy goes on to live."""
        return self.state in _ENDED or (self.command == "build" and self.state == "certified")


class Canary(Document, frozen=True, kw_only=True):
    """A release that gets `weight` of a hundred of its project's requests, beside what serves."""

    release: int
    weight: int
    image: str | None = None
    certificate: str | None = None


class Aborted(Document, frozen=True, kw_only=True):
    """How a project's last canary ended."""

    release: int
    why: str
    fix: str | None = None
    at: str | None = None


class Model(Document, frozen=True, kw_only=True, rename="camel"):
    """What is served, or was: a line of `list`. `detail` says why something that should serve does not. A `trial` ends
    with its certificate; one that is `lapsing` serves on a certificate that ends soon. `replicas` of it run; `aborted`
    tells of a canary that ended since something was started or promoted. Release `awaits` waits for approval.
    `certificate_state` is valid, suspended, revoked, expired or none."""

    project: str
    release: int | None = None
    state: str
    detail: str | None = None
    url: str | None = None
    image: str | None = None
    certificate: str | None = None
    replicas: int | None = None
    canary: Canary | None = None
    aborted: Aborted | None = None
    trial: bool = False
    certified_until: str | None = None
    certificate_state: str | None = None
    lapsing: bool = False
    awaits: int | None = None


class Drift(Document, frozen=True, kw_only=True):
    """How far what a model is asked is from its reference: the largest population stability index, and whose it is."""

    since: str
    rows: int
    psi: float
    column: str


class Observed(Document, frozen=True, kw_only=True):
    """The last window in which a model was asked anything. Times are upper bounds."""

    since: str
    until: str
    requests: int
    refused: int = 0
    errors: int = 0
    rows: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    drift: Drift | None = None


class Ground(Document, frozen=True, kw_only=True):
    """Why a certificate does not stand, or what is to be looked at while it does."""

    rule: str
    why: str
    fix: str | None = None


class Person(Document, frozen=True, kw_only=True):
    """Somebody by the id that events have; `name` only if the platform knows it still."""

    person: str
    name: str | None = None


class Review(Document, frozen=True, kw_only=True, rename="camel"):
    """Of a certificate that two people had given in haste. `state` is owed or done; `reason` is what was found."""

    certificate: str
    release: int
    state: str
    owed_at: str
    review: str | None = None
    given_by: Person | None = None
    given_at: str | None = None
    reason: str | None = None


class Window(Document, frozen=True, kw_only=True):
    """What a model was asked in a while; `psi` is its distance from its reference, where that was told."""

    release: int
    since: str
    until: str
    requests: int
    errors: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    psi: float | None = None


class ModelDetail(Model, frozen=True, kw_only=True, rename="camel"):
    """A model with the operation that brought it to its state, and the last one, which may have changed nothing.

    `refusals` say why it serves no more where neither does, `warnings` what is to be looked at while it does.
    """

    source: str | None = None
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[Ground, ...] = ()
    reviews_owed: tuple[Review, ...] = ()
    observed: Observed | None = None
    windows: tuple[Window, ...] = ()
    cause: Operation | None = None
    operation: Operation | None = None


class Measured(Document, frozen=True, kw_only=True):
    """What a model card says was measured."""

    metric: str
    value: float


class Image(Document, frozen=True, kw_only=True, rename="camel"):
    """An image, as one project that uses it has it. `certificate_state` is valid, suspended, revoked, expired or none.
    What `vanished` is no longer in the registry. The project's model of it is `served` now, was before, or never."""

    image: str
    repository: str | None = None
    project: str | None = None
    release: int | None = None
    source: str | None = None
    format: str | None = None
    certificate: str | None = None
    certificate_state: str | None = None
    owner: str | None = None
    indexed_at: str | None = None
    served: str | None = None
    metrics: tuple[Measured, ...] = ()
    vanished: bool = False


class TakenPlace(Document, frozen=True, kw_only=True, rename="camel"):
    """The release that took another's place, and what was asked for; `back_to` is the release it went back to."""

    release: int
    operation: str
    command: str
    back_to: int | None = None


class Release(Document, frozen=True, kw_only=True, rename="camel"):
    """A release that was asked for, by its number; several may have the same image.

    `state` is live or canary of what serves, and of what did, how that `ended`: replaced, stopped, deleted, failed,
    quarantined or aborted, with the time and, where there is one to tell, the `why`. Of all others it is how far what
    was asked for has come. `served` is now, canary, before or never. `live_at` is when it went live last, and
    `tried_at` when it was a canary; times are RFC 3339. What `vanished` is no longer in the registry.
    """

    project: str
    release: int
    state: str
    served: str
    operation: str
    command: str
    back_to: int | None = None
    asked_at: str | None = None
    source: str | None = None
    image: str | None = None
    format: str | None = None
    vanished: bool = False
    certificate: str | None = None
    certificate_state: str | None = None
    tried_at: str | None = None
    live_at: str | None = None
    ended_at: str | None = None
    ended: str | None = None
    why: str | None = None
    replaced_by: TakenPlace | None = None
    metrics: tuple[Measured, ...] = ()


class Card(Document, frozen=True, kw_only=True):
    """A model card; `prose` is Markdown, as whoever made the model wrote it."""

    licence: str | None = None
    tags: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    prose: str = ""


class ImageDetail(Image, frozen=True, kw_only=True, rename="camel"):
    """With its model card, if it has one, and its labels as the registry has them now."""

    card: Card | None = None
    labels: dict[str, str] = {}


class GarbageItem(Document, frozen=True, kw_only=True):
    """An image or a source in the registry, and why it is kept or not; `bytes` is what its removal frees, or
    what it takes if it is kept."""

    kind: str
    digest: str
    project: str
    release: int | None = None
    bytes: int
    why: str


class Garbage(Document, frozen=True, kw_only=True):
    remove: tuple[GarbageItem, ...]
    keep: tuple[GarbageItem, ...]
    bytes: int


class Collected(Document, frozen=True, kw_only=True):
    """What was removed. `stopped` says why not all of it was; `swept` are bytes of what nothing named besides."""

    removed: tuple[GarbageItem, ...]
    bytes: int
    swept: int = 0
    stopped: Refusal | None = None


class Amount(Document, frozen=True, kw_only=True, rename="camel"):
    """CPU in thousandths of a core, memory in bytes."""

    cpu_millis: int
    memory_bytes: int
    gpus: int = 0


class NoRoom(Document, frozen=True, kw_only=True, rename="camel"):
    """What a deploy would be refused for, asked for now; what `is_lasting` whatever else is stopped."""

    why: str
    fix: str | None = None
    is_lasting: bool = True


class Example(Document, frozen=True, kw_only=True):
    """A request that a model takes, null where it does not say; `access` is token or public."""

    project: str
    release: int
    access: str = "token"
    request: Any = None


class Capacity(Document, frozen=True, kw_only=True):
    total: Amount
    free: Amount
    containers: bool = False
    refusals: tuple[NoRoom, ...] = ()


class Source(Document, frozen=True, kw_only=True):
    """A source archive as the platform keeps it; `size` in bytes."""

    source: str
    size: int | None = None
    project: str | None = None
    files: int | list[Any] | None = None


class Standing(Document, frozen=True, kw_only=True, rename="camel"):
    """`state` is valid, suspended, revoked or expired. Of one that was revoked: by whom, when, and the reason unless it
    was erased. `renews` and `renewed_by` are the certificates before and after it."""

    certificate: str
    project: str
    release: int
    image: str
    state: str
    not_after: str
    trial: bool = False
    renews: str | None = None
    renewed_by: str | None = None
    grounds: tuple[Ground, ...] = ()
    warnings: tuple[Ground, ...] = ()
    revoked_by: Person | None = None
    revoked_at: str | None = None
    reason: str | None = None
    review: Review | None = None


class Certificate(Standing, frozen=True, kw_only=True, rename="camel"):
    envelope: dict[str, Any]
    statement: dict[str, Any]


class PublicKey(Document, frozen=True, kw_only=True):
    """A key that certificates were signed with, `x` in base64url. It counts for what is dated in its time, and since it
    was `compromised` for nothing; `why` it went is scheduled, staff, lost or compromised."""

    kid: str
    x: str
    from_: str | None = msgspec.field(default=None, name="from")
    until: str | None = None
    why: str | None = None
    compromised: str | None = None


class Token(Document, frozen=True, kw_only=True):
    """A new token: `token` is shown this once and stored nowhere."""

    token: str
    id: str
    person: str
    roles: tuple[str, ...] = ()
    expires: str | None = None


class KnownToken(Document, frozen=True, kw_only=True, rename="camel"):
    """A token that was made: whose it is and what it allows, and never the token itself."""

    id: str
    person: str
    name: str | None = None
    roles: tuple[str, ...] = ()
    issued_at: str | None = None
    expires: str | None = None
    revoked: bool = False


class TokensPage(Document, frozen=True, kw_only=True):
    tokens: tuple[KnownToken, ...] = ()
    next: str | None = None


class Hampered(Document, frozen=True, kw_only=True):
    """What a service does again and again and could not do the last time, and what was away."""

    what: str
    why: str


class Outbox(Document, frozen=True, kw_only=True):
    """A service's own log ends at `position`; `waiting` events of it are to be sent yet, the first one `since` then."""

    position: int
    waiting: int = 0
    since: str | None = None


class Hears(Document, frozen=True, kw_only=True):
    """Of another service's log all is heard up to `position`, and `behind` more are known to be there; none where that
    is known to another replica alone. Of what was heard `waiting` are not handled yet, the first one `since` then, the
    one that failed most often `attempts` times."""

    producer: str
    position: int = 0
    behind: int | None = None
    waiting: int = 0
    since: str | None = None
    attempts: int = 0


class JobsOfKind(Document, frozen=True, kw_only=True):
    """How many of a kind of work are being done, and wait; `failed` are those of both that failed before."""

    kind: str
    running: int = 0
    waiting: int = 0
    failed: int = 0


class BuildingProjection(Document, frozen=True, kw_only=True):
    version: int
    position: int
    lag: int


class ProjectionState(Document, frozen=True, kw_only=True, rename="camel"):
    """A read model: events that it does not show yet (`lag`), and seconds since it last said that it lives."""

    name: str
    version: int
    position: int
    lag: int
    beat_age: float | None = None
    building: BuildingProjection | None = None


class ServiceState(Document, frozen=True, kw_only=True):
    """How a service stands. Of one that does not answer (`answers`) no more is known than `why`, and whether it
    only was not in time (`slow`): it may be at work. `parked` is none where its database is away."""

    service: str
    answers: bool = True
    slow: bool = False
    ready: bool = False
    why: str | None = None
    hampered: tuple[Hampered, ...] = ()
    leads: bool = False
    parked: int | None = None
    outbox: Outbox | None = None
    hears: tuple[Hears, ...] = ()
    jobs: tuple[JobsOfKind, ...] = ()
    projections: tuple[ProjectionState, ...] = ()

    @property
    def lag(self) -> int:
        """Events that it has not heard or not handled, as far as is known."""
        return sum((each.behind or 0) + each.waiting for each in self.hears)


class ParkedMessage(Document, frozen=True, kw_only=True, rename="camel"):
    """A message that a service put aside, with the reason. A `stray` did not come from who it says it is from: it has
    no position, and is never handled."""

    id: str
    producer: str | None = None
    epoch: str | None = None
    position: int | None = None
    event: str | None = None
    type: str | None = None
    project: str | None = None
    routing_key: str
    reason: str
    attempts: int = 0
    received_at: str | None = None
    parked_at: str | None = None
    stray: bool = False


class ParkedPage(Document, frozen=True, kw_only=True):
    parked: tuple[ParkedMessage, ...] = ()
    next: str | None = None


class Retried(Document, frozen=True, kw_only=True):
    retried: int


class RuleException(Document, frozen=True, kw_only=True, rename="camel"):
    """`state` is requested, granted, withdrawn or expired. `source` is the only one that it is for, if it names one."""

    exception: str
    project: str
    rule: str
    source: str | None = None
    until: str
    state: str
    reason: str | None = None
    requested_by: Person
    requested_at: str
    granted_by: Person | None = None
    granted_at: str | None = None
    withdrawn_by: Person | None = None
    withdrawn_at: str | None = None


class Report(Document, frozen=True, kw_only=True, rename="camel"):
    """What somebody reported of a model. `kind` is run, evaluation, monitoring or incident, and `content` what of it is
    in the event; `at` is when it happened, `heard_at` when the platform heard of it."""

    report: str
    project: str
    kind: str
    release: int | None = None
    source: str | None = None
    at: str
    heard_at: str
    reported_by: Person
    content: dict[str, Any]
    summary: str | None = None


class PolicyNamed(Document, frozen=True, kw_only=True):
    """A policy by which something was judged."""

    id: str
    version: int
    digest: str


class Approval(Document, frozen=True, kw_only=True, rename="camel"):
    """Somebody approved a release; one that no longer `binds` was of what that was before, and counts no more."""

    approval: str
    project: str
    release: int
    binding: str
    roles: tuple[str, ...] = ()
    given_by: Person
    given_at: str
    reason: str | None = None
    break_glass: bool = False
    binds: bool = True


class AwaitedRelease(Document, frozen=True, kw_only=True, rename="camel"):
    """A release that waits for approval, or did: `state` is awaiting, certified or refused. `binding` is the digest of
    all that an approval of it is of."""

    release: int
    state: str
    operation: str
    binding: str
    source: str
    image: str
    inputs: str
    policies: tuple[PolicyNamed, ...] = ()
    awaiting: tuple[Refusal, ...] = ()
    since: str
    until: str
    asked_by: Person | None = None
    approvals: tuple[Approval, ...] = ()


class AwaitedAnywhere(AwaitedRelease, frozen=True, kw_only=True, rename="camel"):
    """A release that waits for approval, of any project."""

    project: str


class OwedReview(Review, frozen=True, kw_only=True, rename="camel"):
    """A review that is owed, of any project."""

    project: str


class PolicyProblem(Document, frozen=True, kw_only=True):
    """Why a policy was not published."""

    why: str
    fix: str | None = None


class PolicyVersion(Document, frozen=True, kw_only=True, rename="camel"):
    """`state` is submitted, in-force, scheduled, superseded, ended or rejected. What ships was submitted by nobody.
    Until `warn_until` it only warns of what was certified before."""

    policy: str
    version: int
    digest: str
    title: str
    owner: str
    state: str
    shipped: bool = False
    supersedes: str | None = None
    effective_from: str | None = None
    effective_until: str | None = None
    warn_until: str | None = None
    submitted_by: Person | None = None
    submitted_at: str | None = None
    decided_at: str | None = None
    problems: tuple[PolicyProblem, ...] = ()


class FactsPage(Document, frozen=True, kw_only=True):
    facts: dict[str, dict[str, Any] | None]


class AdvisoriesProblem(Document, frozen=True, kw_only=True):
    """Why a snapshot is not used."""

    why: str
    fix: str | None = None


class Snapshot(Document, frozen=True, kw_only=True, rename="camel"):
    """Advisories about packages. `state` is submitted, in-use, replaced or rejected; `taken` when its newest advisory
    was changed."""

    digest: str
    size: int
    state: str
    taken: str | None = None
    advisories: int | None = None
    packages: int | None = None
    submitted_by: Person | None = None
    submitted_at: str | None = None
    decided_at: str | None = None
    problem: AdvisoriesProblem | None = None


class QuestionnaireVersion(Document, frozen=True, kw_only=True, rename="camel"):
    """`state` is newest or superseded. What ships was imported by nobody."""

    questionnaire: str
    version: str
    title: str
    digest: str
    form: str
    state: str
    shipped: bool = False
    imported_by: str | None = None
    imported_at: str | None = None


class QuestionnaireDetail(QuestionnaireVersion, frozen=True, kw_only=True, rename="camel"):
    """With all that it asks, as the platform read it."""

    content: dict[str, Any]


class AssessmentScore(Document, frozen=True, kw_only=True, rename="camel"):
    """`missing` are those of the mitigations that the level `requires` that are not in place."""

    raw: int
    raw_most: int
    mitigation: int
    mitigation_most: int
    score: int
    level: int
    label: str
    requires: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class Assessment(Document, frozen=True, kw_only=True, rename="camel"):
    """`state` is answered, scored or rejected, and `why` it was. `stale` says why it says nothing any more of what was
    deployed or built last: age, questionnaire, purpose, data, source."""

    assessment: str
    project: str
    state: str
    questionnaire: str
    version: str
    digest: str
    source: str
    answered_by: Person | None = None
    answered_at: str
    age_days: int = 0
    stale: tuple[str, ...] = ()
    score: AssessmentScore | None = None
    envelope: str | None = None
    why: str | None = None
    fix: str | None = None


class Me(Document, frozen=True, kw_only=True):
    """Who a token is of. `commands` are those that it may give; null where the platform does not say."""

    person: str
    name: str | None = None
    roles: tuple[str, ...] = ()
    commands: tuple[str, ...] | None = None


class KnownPerson(Person, frozen=True, kw_only=True):
    """`state` is known, erasing or erased; `name` is a pseudonym from erasing on."""

    state: str


class TokenHeld(Document, frozen=True, kw_only=True, rename="camel"):
    id: str
    roles: tuple[str, ...]
    issued_at: str
    expires: str
    revoked: bool


class AnswersHeld(Document, frozen=True, kw_only=True, rename="camel"):
    assessment: str
    project: str
    answered_at: str


class NamedBy(Document, frozen=True, kw_only=True):
    """A source whose placet.yaml names somebody as its owner, or as a builder."""

    source: str
    as_: str = msgspec.field(name="as")


class Held(KnownPerson, frozen=True, kw_only=True, rename="camel"):
    """What is held about somebody. `words` is how many reasons and summaries, `acts` how often they did what.

    Of one who is erased `artifacts_kept` could not be removed from the registry, or may have a name that a restored
    platform knows no more, and `scrubbed` says whether their key
    is not in the database's files any more either.
    """

    tokens: tuple[TokenHeld, ...] = ()
    words: int = 0
    answers: tuple[AnswersHeld, ...] = ()
    named_by: tuple[NamedBy, ...] = ()
    acts: dict[str, int] = {}
    asked_at: str | None = None
    erased_at: str | None = None
    words_erased: int | None = None
    artifacts_removed: int | None = None
    artifacts_kept: int | None = None
    scrubbed: bool | None = None


class Words(Document, frozen=True, kw_only=True, rename="camel"):
    """What somebody gave as a reason, or as a summary; `of` is the id of what it is about."""

    of: str
    given_at: str
    words: str | None = None


class RetentionClass(Document, frozen=True, kw_only=True, rename="camel"):
    """How long a kind of what people gave is kept, in `days`; of `number` how many are `due` now, how many are over
    their time and `kept`, and when the next one is due."""

    kind: str
    what: str
    days: int
    number: int
    due: int
    kept: int
    next_at: str | None = None


class Hold(Document, frozen=True, kw_only=True, rename="camel"):
    """Of a project nothing is removed, however old it gets."""

    hold: str
    project: str
    reason: str | None = None
    placed_by: Person | None = None
    placed_at: str


class Retention(Document, frozen=True, kw_only=True):
    classes: tuple[RetentionClass, ...]
    holds: tuple[Hold, ...] = ()


class Amounts(Document, frozen=True, kw_only=True, rename="camel"):
    """CPU in thousandths of a core, memory in bytes; of a limit null is as much as there is."""

    cpu_millis: int | None = None
    memory_bytes: int | None = None
    gpus: int | None = None
    models: int | None = None


class Quota(Document, frozen=True, kw_only=True):
    """What a team or a project, called `of`, may hold altogether, and what is `live` of its `projects`; `exceeded` are
    the kinds of which that is more."""

    scope: str
    of: str
    limits: Amounts
    live: Amounts = Amounts()
    projects: tuple[str, ...] = ()
    exceeded: tuple[str, ...] = ()


class Beside(Document, frozen=True, kw_only=True, rename="camel"):
    """What a release of the same project holds by now."""

    release: int
    cpu_millis: int = 0
    memory_bytes: int = 0
    gpus: int = 0


class HeldQuota(Document, frozen=True, kw_only=True):
    """A quota that a project counts for, with what the others, `projects`, hold of it."""

    scope: str
    of: str
    limits: Amounts
    held: Amounts = Amounts()
    projects: tuple[str, ...] = ()


class Placement(Document, frozen=True, kw_only=True):
    """What a deploy would be given, asked for now. `state` is reserved, queued or refused; `each` replica asks for so
    much, `beside` is what the project holds already. `position` is the place at which it would wait, for `quota` or
    where that is null for the platform's room, and `waiting` how many do."""

    project: str
    state: str
    where: str
    replicas: int
    each: Amount
    all: Amount
    total: Amount
    free: Amount
    beside: tuple[Beside, ...] = ()
    quotas: tuple[HeldQuota, ...] = ()
    waiting: int = 0
    position: int | None = None
    quota: str | None = None
    why: str | None = None
    fix: str | None = None


class QuotaPage(Document, frozen=True, kw_only=True):
    quotas: tuple[Quota, ...]
    next: str | None = None


class Team(Document, frozen=True, kw_only=True):
    """`projects` are those that count for its quota, and `members` the people who have its roles."""

    team: str
    projects: tuple[str, ...] = ()
    members: tuple[Person, ...] = ()


class Member(Document, frozen=True, kw_only=True, rename="camel"):
    """Who has a role on a project: `to` is `person:…` or `team:NAME`; the name of who is not known is null."""

    to: str
    role: str
    name: str | None = None
    granted_by: Person | None = None
    granted_at: str | None = None


class Members(Document, frozen=True, kw_only=True, rename="camel"):
    """Who has a role on a project, owners first; with nobody, whatever a token allows, it allows there."""

    project: str
    private: bool = False
    members: tuple[Member, ...] = ()
    your_role: str | None = None
    you_may_share: bool = False


class TeamPage(Document, frozen=True, kw_only=True):
    teams: tuple[Team, ...]
    next: str | None = None


class PeoplePage(Document, frozen=True, kw_only=True):
    people: tuple[KnownPerson, ...]
    next: str | None = None


class WordsPage(Document, frozen=True, kw_only=True):
    words: tuple[Words, ...]
    next: str | None = None


class Entry(Document, frozen=True, kw_only=True, rename="camel"):
    """An event in the audit log, with its position there and in its producer's store (of that epoch)."""

    position: int
    producer: str
    epoch: str | int | None = None
    producer_position: int
    event: CloudEvent


class LogKey(Document, frozen=True, kw_only=True, rename="camel"):
    """A key of the audit log, as verifier key of C2SP's signed notes; when it was in use, and why it went."""

    vkey: str
    kid: str
    from_: str | None = msgspec.field(default=None, name="from")
    until: str | None = None
    why: str | None = None
    compromised: str | None = None


class LogKeys(Document, frozen=True, kw_only=True, rename="camel"):
    origin: str
    keys: tuple[LogKey, ...]


class LogProducer(Document, frozen=True, kw_only=True, rename="camel"):
    """What a producer says of its own store: `digest` is over all events of `epoch`, its latest, up to `position`."""

    producer: str
    epoch: str
    position: int
    digest: str
    said_at: str


class LogProducers(Document, frozen=True, kw_only=True, rename="camel"):
    producers: tuple[LogProducer, ...]


class SignedCheckpoint(Document, frozen=True, kw_only=True, rename="camel"):
    """`note` is the signed note, as text; the time is of the platform's clock, and nobody signed it."""

    size: int
    note: str
    signed_at: str


class CheckpointsPage(Document, frozen=True, kw_only=True):
    checkpoints: tuple[SignedCheckpoint, ...]
    next: int | None = None


class WebhookAnswer(Document, frozen=True, kw_only=True):
    """What the last message came to: a `status`, or `trouble` where none came; `position` is the event's."""

    at: str
    position: int
    status: int | None = None
    trouble: str | None = None


class Webhook(Document, frozen=True, kw_only=True, rename="camel"):
    """Where events are sent to. `state` is enabled, failing or disabled, and `why` of a disabled one gone or failing;
    everything up to `position` that it asks for was taken. `secret` is told once, to who made it."""

    webhook: str
    url: str
    type: str | None = None
    project: str | None = None
    state: str
    why: str | None = None
    position: int
    head: int
    last_answer: WebhookAnswer | None = None
    failures: int = 0
    failing_since: str | None = None
    next_attempt: str | None = None
    old_secret_until: str | None = None
    added_by: str | None = None
    added_at: str | None = None
    secret: str | None = None


class WebhooksPage(Document, frozen=True, kw_only=True):
    webhooks: tuple[Webhook, ...] = ()


class WebhookTried(Document, frozen=True, kw_only=True):
    """What a test message came to."""

    id: str
    taken: bool
    status: int | None = None
    trouble: str | None = None


class WitnessState(Document, frozen=True, kw_only=True, rename="camel"):
    """How many events of the audit log a witness has seen, when it said so last, and what is in the way now."""

    name: str
    size: int
    seen_at: str | None = None
    asked_at: str | None = None
    trouble: str | None = None


class Witnesses(Document, frozen=True, kw_only=True, rename="camel"):
    """`size` is that of the newest checkpoint."""

    size: int
    witnesses: tuple[WitnessState, ...]


class WatchedModel(Model, frozen=True, kw_only=True, rename="camel"):
    """With its last windows, the oldest first, and in brief the operation that was asked for last."""

    windows: tuple[Window, ...] = ()
    operation: Operation | None = None


class WatchedModels(Document, frozen=True, kw_only=True):
    models: tuple[WatchedModel, ...]
    next: str | None = None


class ModelsPage(Document, frozen=True, kw_only=True):
    models: tuple[Model, ...]
    next: str | int | None = None


class ImagesPage(Document, frozen=True, kw_only=True):
    images: tuple[Image, ...]
    next: str | None = None


class ReleasesPage(Document, frozen=True, kw_only=True):
    releases: tuple[Release, ...]
    next: int | None = None


class AwaitedReleases(Document, frozen=True, kw_only=True):
    releases: tuple[AwaitedRelease, ...]


class AwaitedPage(Document, frozen=True, kw_only=True):
    releases: tuple[AwaitedAnywhere, ...]
    next: str | None = None


class OwedReviewsPage(Document, frozen=True, kw_only=True):
    reviews: tuple[OwedReview, ...]
    next: str | None = None


class ExceptionsPage(Document, frozen=True, kw_only=True):
    exceptions: tuple[RuleException, ...]
    next: str | None = None


class Reports(Document, frozen=True, kw_only=True):
    """In the order in which they were sent."""

    reports: tuple[Report, ...]


class ReportsPage(Document, frozen=True, kw_only=True):
    reports: tuple[Report, ...]
    next: str | None = None


class PoliciesPage(Document, frozen=True, kw_only=True):
    policies: tuple[PolicyVersion, ...]
    next: str | None = None


class PolicyVersions(Document, frozen=True, kw_only=True):
    versions: tuple[PolicyVersion, ...]


class PublicKeys(Document, frozen=True, kw_only=True):
    keys: tuple[PublicKey, ...]


class SnapshotsPage(Document, frozen=True, kw_only=True):
    advisories: tuple[Snapshot, ...]
    next: str | None = None


class QuestionnairesPage(Document, frozen=True, kw_only=True):
    questionnaires: tuple[QuestionnaireVersion, ...]
    next: str | None = None


class AssessmentsPage(Document, frozen=True, kw_only=True):
    assessments: tuple[Assessment, ...]
    next: str | None = None


class EventsPage(Document, frozen=True, kw_only=True):
    events: tuple[CloudEvent, ...]
    next: int | None = None


def read(body: bytes | str, kind: type[T]) -> T:
    """The document in `body`, or `Unreadable` with what does not fit."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as unfit:
        raise _unfit(kind, unfit) from unfit


def read_lines(body: bytes, kind: type[T]) -> list[T]:
    """The documents in `body`, one a line. Raises Unreadable."""
    try:
        return msgspec.json.Decoder(kind).decode_lines(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as unfit:
        raise _unfit(kind, unfit) from unfit


def _unfit(kind: type, unfit: Exception) -> Unreadable:
    return Unreadable(
        f"the platform's answer is no {kind.__name__.lower()}: {unfit}",
        fix="is the address really a placet platform, and of this version?",
    )
