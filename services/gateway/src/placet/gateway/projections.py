"""The gateway's read models: operations, models, images, certificates, sources, people.

Rows are written in the unit that handles the event they show, so a reader never sees half of one. Names of
people are in `people`; what a source says of people, its owner's mail, its builders and its card, is in `sources`,
`builders` and `cards`; why somebody asked for an exception, and what an incident was, in `reasons`. None of these is
an event. What a person gave is sealed with a key of theirs, in `person_keys`, and is lost with it.
"""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from placet.events.tables import NOT_TOLD, READ_MODEL
from placet.gateway.operations import Operation
from placet.identity.sharing import Sharing

TABLES = sa.MetaData()

operations = sa.Table(
    "operations",
    TABLES,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("is_over", sa.Boolean, nullable=False),
    sa.Column("changes", sa.Integer, nullable=False, info=NOT_TOLD),
    sa.Column("heard_at", sa.Double, nullable=False, info=NOT_TOLD),
    sa.Column("operation", sa.LargeBinary, nullable=False),
    sa.Index("operations_of_project", "project", "id"),
    sa.Index("operations_under_way", "is_over", "heard_at"),
    info=READ_MODEL,
)

models = sa.Table(
    "models",
    TABLES,
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("release", sa.Integer),
    sa.Column("image", sa.Text),
    sa.Column("certificate", sa.Text),
    sa.Column("certified_release", sa.Integer),
    sa.Column("url", sa.Text),
    # Where its replicas listen, as a list; none while it serves nothing.
    sa.Column("endpoints", sa.LargeBinary),
    # Why what is live does not run as it should at the moment; none while it does. `serves`: some of it does.
    sa.Column("diverged", sa.Text),
    sa.Column("serves", sa.Boolean),
    sa.Column("replicas", sa.Integer),
    # What gets a share of its requests beside it, as a `Canary`; and the certificate that this does so on.
    sa.Column("canary", sa.LargeBinary),
    sa.Column("canary_certificate", sa.Text),
    # How the last canary ended, if nothing was started or promoted since.
    sa.Column("aborted", sa.LargeBinary),
    # The deployer's number of the request that what is live answers.
    sa.Column("request", sa.Integer),
    # The operation that brought it to its state; what was asked for since has changed nothing yet.
    sa.Column("operation", sa.Text, nullable=False),
    info=READ_MODEL,
)


class Canary(msgspec.Struct, frozen=True, kw_only=True):
    """`weight` is of a hundred requests."""

    release: int
    weight: int
    image: str
    certificate: str
    endpoints: tuple[str, ...]


class Aborted(msgspec.Struct, frozen=True, kw_only=True):
    release: int
    why: str
    fix: str | None
    at: str


takedowns = sa.Table(
    "takedowns",
    TABLES,
    # Why what served last serves no more, though nobody asked for that.
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("fix", sa.Text),
    # Of one that lost its certificate: which, and the rule that it does not keep.
    sa.Column("rule", sa.Text),
    sa.Column("certificate", sa.Text),
    info=READ_MODEL,
)

observations = sa.Table(
    "observations",
    TABLES,
    # The last that the deployer said of each project's model, and the last windows of it, as a list of `Window`.
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("observed", sa.LargeBinary, nullable=False),
    sa.Column("windows", sa.LargeBinary, nullable=False),
    info=READ_MODEL,
)

releases = sa.Table(
    "releases",
    TABLES,
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("release", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("access", sa.Text, nullable=False),
    sa.Column("trial", sa.Boolean, nullable=False),
    info=READ_MODEL,
)

lives = sa.Table(
    "lives",
    TABLES,
    # Of each release that was asked for, in which operation; when it went live last, and when it was a canary last.
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("release", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("operation", sa.Text, nullable=False),
    sa.Column("live_at", sa.Text),
    sa.Column("tried_at", sa.Text),
    # How that ended: `replaced` by another release, `stopped`, `deleted`, `failed`, `quarantined` or `aborted`.
    sa.Column("ended_at", sa.Text),
    sa.Column("ended", sa.Text),
    sa.Column("replaced_by", sa.Integer),
    sa.Column("why", sa.Text),
    info=READ_MODEL,
)

images = sa.Table(
    "images",
    TABLES,
    # One for each project that it was indexed for: made for the one, it may be deployed under another's name.
    sa.Column("image", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("repository", sa.Text, nullable=False),
    sa.Column("release", sa.Integer, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("format", sa.Text, nullable=False),
    # The project's newest for it.
    sa.Column("certificate", sa.Text),
    # What the indexer said last: the registry has it no more.
    sa.Column("vanished", sa.Boolean, nullable=False),
    info=READ_MODEL,
)

keys = sa.Table(
    "keys",
    TABLES,
    # Every key that certificates were ever signed with, or are to be; `number` is where in the log that was said.
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("public", sa.Text, nullable=False),
    sa.Column("since", sa.Text),
    sa.Column("until", sa.Text),
    sa.Column("why", sa.Text),
    sa.Column("compromised", sa.Text),
    info=READ_MODEL,
)

histories = sa.Table(
    "histories",
    TABLES,
    # Of an image in a project: when it was indexed first, and when the project's model of it went live last,
    # and when it got a share of the requests last, which alone is nothing to go back to.
    sa.Column("image", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("indexed_at", sa.Text),
    sa.Column("live_at", sa.Text),
    sa.Column("tried_at", sa.Text),
    info=READ_MODEL,
)

certificates = sa.Table(
    "certificates",
    TABLES,
    sa.Column("certificate", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("release", sa.Integer, nullable=False),
    sa.Column("image", sa.Text, nullable=False, index=True),
    sa.Column("repository", sa.Text, nullable=False),
    sa.Column("envelope", sa.Text, nullable=False),
    sa.Column("not_after", sa.Text, nullable=False),
    # The certificate that it takes the place of.
    sa.Column("renews", sa.Text, index=True),
    # It was said that it ends soon, and a model serves on it.
    sa.Column("lapsing", sa.Boolean, nullable=False),
    # `suspended` or `revoked` (from when it was asked for), with the grounds; none of one that stands, up to its time.
    sa.Column("standing", sa.Text),
    sa.Column("grounds", sa.LargeBinary),
    # What is to be looked at while it stands.
    sa.Column("warnings", sa.LargeBinary),
    # Who asked that it be revoked, and when; the words are in `reasons`.
    sa.Column("revoked_by", sa.Text),
    sa.Column("revoked_at", sa.Text),
    info=READ_MODEL,
)

sources = sa.Table(
    "sources",
    TABLES,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("files", sa.Integer, nullable=False),
    # The mail address of who answers for the model, as placet.yaml has it: sealed with the key of who sent it first.
    sa.Column("owner", sa.LargeBinary),
    # What it looks like, as a digest.
    sa.Column("owner_alike", sa.Text, index=True),
)

cards = sa.Table(
    "cards",
    TABLES,
    sa.Column("source", sa.Text, primary_key=True),
    # As it lies in the project: Markdown with metadata in front.
    sa.Column("card", sa.LargeBinary, nullable=False),
    info=READ_MODEL,
)

results = sa.Table(
    "results",
    TABLES,
    # What cards say was measured; names of metrics in lower case.
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("metric", sa.Text, nullable=False, index=True),
    sa.Column("value", sa.Double, nullable=False),
    info=READ_MODEL,
)

idempotency = sa.Table(
    "idempotency",
    TABLES,
    sa.Column("person", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("operation", sa.Text, nullable=False),
    sa.Column("asked_at", sa.Double, nullable=False, index=True),
)

exceptions = sa.Table(
    "exceptions",
    TABLES,
    # From rules; what was asked for, and by whom it was granted or withdrawn.
    sa.Column("exception", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    # None: whatever source of the project it is.
    sa.Column("source", sa.Text),
    sa.Column("until", sa.Text, nullable=False),
    sa.Column("requested_by", sa.Text, nullable=False),
    sa.Column("requested_at", sa.Text, nullable=False),
    sa.Column("granted_by", sa.Text),
    sa.Column("granted_at", sa.Text),
    sa.Column("withdrawn_by", sa.Text),
    sa.Column("withdrawn_at", sa.Text),
    sa.Index("exceptions_of_project", "project", "exception"),
    info=READ_MODEL,
)

ANY_SOURCE = ""
asked_exceptions = sa.Table(
    "asked_exceptions",
    TABLES,
    # What was asked for and not withdrawn: the same, by the same person, is the same exception.
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("rule", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("until", sa.Text, primary_key=True),
    sa.Column("requested_by", sa.Text, primary_key=True),
    sa.Column("exception", sa.Text, nullable=False, unique=True),
    # Not granted yet.
    sa.Column("is_open", sa.Boolean, nullable=False),
    sa.Index("asked_exceptions_of_project", "project", "is_open", "until"),
    sa.Index("asked_exceptions_by_person", "requested_by", "is_open", "until"),
    info=READ_MODEL,
)

awaited = sa.Table(
    "awaited",
    TABLES,
    # Releases that wait for approval, or did; what the certifier said of that last.
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("release", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("operation", sa.Text, nullable=False),
    # `awaiting`, `certified` or `refused`.
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("awaited", sa.LargeBinary, nullable=False),
    sa.Index("awaited_by_state", "state", "project", "release"),
    info=READ_MODEL,
)

approvals = sa.Table(
    "approvals",
    TABLES,
    sa.Column("approval", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("release", sa.Integer, nullable=False),
    # The digest of what it is of.
    sa.Column("binding", sa.Text, nullable=False),
    # Between commas.
    sa.Column("roles", sa.Text, nullable=False),
    sa.Column("given_by", sa.Text, nullable=False),
    sa.Column("given_at", sa.Text, nullable=False),
    sa.Column("break_glass", sa.Boolean, nullable=False),
    sa.Index("approvals_of_release", "project", "release"),
    info=READ_MODEL,
)

reviews = sa.Table(
    "reviews",
    TABLES,
    # Certificates that two people had given in haste, and who looked at that since; the words are in `reasons`.
    sa.Column("certificate", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, nullable=False, index=True),
    sa.Column("release", sa.Integer, nullable=False),
    sa.Column("owed_at", sa.Text, nullable=False),
    # Who had to do with it, between commas.
    sa.Column("concerned", sa.Text, nullable=False),
    sa.Column("review", sa.Text),
    sa.Column("given_by", sa.Text),
    sa.Column("given_at", sa.Text),
    info=READ_MODEL,
)

senders = sa.Table(
    "senders",
    TABLES,
    # Who sent a source first.
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("person", sa.Text, nullable=False, index=True),
    info=READ_MODEL,
)

builders = sa.Table(
    "builders",
    TABLES,
    # Whom its placet.yaml names as builders, by digests of what names look like whatever their case.
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("alike", sa.Text, primary_key=True),
)

reasons = sa.Table(
    "reasons",
    TABLES,
    # In the words of who asked for the exception or the revocation, approved, reviewed, or told of an incident.
    sa.Column("of", sa.Text, primary_key=True),
    sa.Column("given_by", sa.Text, nullable=False),
    sa.Column("given_at", sa.Text, nullable=False),
    sa.Column("project", sa.Text, nullable=False),
    # The words with the salt of the digest that the event has, sealed with the key of who gave them; none: erased.
    sa.Column("sealed", sa.LargeBinary),
    sa.Index("reasons_by_person", "given_by", "of"),
    sa.Index("reasons_by_age", "given_at"),
)

policies = sa.Table(
    "policies",
    TABLES,
    # What was submitted, as it was sent, and what the certifier said of it.
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("policy", sa.Text, nullable=False, index=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("supersedes", sa.Text),
    # Days; as the file has them, and of a published one as the event says.
    sa.Column("effective_from", sa.Text),
    sa.Column("effective_until", sa.Text),
    # Until then it only warns of what was certified before.
    sa.Column("warn_until", sa.Text),
    sa.Column("submitted_by", sa.Text, nullable=False),
    sa.Column("submitted_at", sa.Text, nullable=False),
    # `submitted`, `published` or `rejected`; when that was decided, and the place among what was published.
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("decided_at", sa.Text),
    sa.Column("number", sa.Integer),
    sa.Column("problems", sa.LargeBinary),
    sa.Column("file", sa.LargeBinary, nullable=False),
    info=READ_MODEL,
)

advisories = sa.Table(
    "advisories",
    TABLES,
    # Snapshots as they were submitted, and what the certifier said of them.
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("submitted_by", sa.Text, nullable=False),
    sa.Column("submitted_at", sa.Text, nullable=False, index=True),
    # `submitted`, `in-use`, `replaced` or `rejected`, and when that was decided.
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("decided_at", sa.Text),
    # Of one that was published: when its newest advisory was changed, its documents, the packages that they are about.
    sa.Column("taken", sa.Text),
    sa.Column("advisories", sa.Integer),
    sa.Column("packages", sa.Integer),
    # Of one that was rejected.
    sa.Column("why", sa.Text),
    sa.Column("fix", sa.Text),
    info=READ_MODEL,
)

declarations = sa.Table(
    "declarations",
    TABLES,
    # What a source says that its model is for, and was made from, by the digests of the words.
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    info=READ_MODEL,
)

questionnaires = sa.Table(
    "questionnaires",
    TABLES,
    # Imported ones: as they were sent, and as they were read.
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("questionnaire", sa.Text, nullable=False, index=True),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("form", sa.Text, nullable=False),
    sa.Column("imported_by", sa.Text, nullable=False),
    sa.Column("imported_at", sa.Text, nullable=False),
    sa.Column("file", sa.LargeBinary, nullable=False),
    sa.Column("document", sa.LargeBinary, nullable=False),
    info=READ_MODEL,
)

assessments = sa.Table(
    "assessments",
    TABLES,
    sa.Column("assessment", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, nullable=False),
    # As the event says it; the words of who answered lie in the registry.
    sa.Column("answered", sa.LargeBinary, nullable=False),
    sa.Column("answered_by", sa.Text, nullable=False, index=True),
    sa.Column("answered_at", sa.Text, nullable=False),
    # What they lie under in the registry; none once they were removed there.
    sa.Column("answers", sa.Text, info=NOT_TOLD),
    # What the certifier made of it: one of the two, or nothing yet.
    sa.Column("scored", sa.LargeBinary),
    sa.Column("rejected", sa.LargeBinary),
    sa.Index("assessments_of_project", "project", "assessment"),
    info=READ_MODEL,
)

reports = sa.Table(
    "reports",
    TABLES,
    # What others said of a model; the words of an incident are in `reasons`.
    sa.Column("report", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, nullable=False),
    # Where it stands among the project's, in the order in which they were heard.
    sa.Column("place", sa.Text, nullable=False, info=NOT_TOLD),
    # `run`, `evaluation`, `monitoring` or `incident`.
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("release", sa.Integer),
    sa.Column("heard_at", sa.Text, nullable=False),
    # As the event says it.
    sa.Column("said", sa.LargeBinary, nullable=False),
    sa.Index("reports_of_project", "project", "place"),
    sa.Index("reports_of_kind", "project", "kind", "heard_at"),
    info=READ_MODEL,
)

person_keys = sa.Table(
    "person_keys",
    TABLES,
    # What a person's name and words are sealed with. None of one who was erased: they get no other one.
    sa.Column("person", sa.Text, primary_key=True),
    sa.Column("key", sa.LargeBinary),
)

people = sa.Table(
    "people",
    TABLES,
    sa.Column("person", sa.Text, primary_key=True),
    # Sealed with their key.
    sa.Column("name", sa.LargeBinary, nullable=False),
    # How many tokens they were given: who erases them finds whether there is one more meanwhile.
    sa.Column("tokens", sa.Integer, nullable=False),
)

names_alike = sa.Table(
    "names_alike",
    TABLES,
    # What a name looks like whatever its case, as a digest (`people.py`): two people never look the same.
    sa.Column("alike", sa.Text, primary_key=True),
    sa.Column("person", sa.Text, nullable=False, index=True),
)

name_digests = sa.Table(
    "name_digests",
    TABLES,
    # The one key of all digests of names, made at the first start.
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", sa.LargeBinary, nullable=False),
)

tokens = sa.Table(
    "tokens",
    TABLES,
    # Those that were given to people; whether one was revoked is in `revoked_tokens`.
    sa.Column("token", sa.Text, primary_key=True),
    sa.Column("person", sa.Text, nullable=False),
    # Between commas.
    sa.Column("roles", sa.Text, nullable=False),
    sa.Column("issued_at", sa.Text, nullable=False),
    sa.Column("expires", sa.Text, nullable=False),
    sa.Index("tokens_of_person", "person", "issued_at"),
)

personal_facts = sa.Table(
    "personal_facts",
    TABLES,
    # What rules saw of people, by its digest in the registry, and when an event named it last.
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, nullable=False, index=True),
    sa.Column("named_at", sa.Text, nullable=False),
)

holds = sa.Table(
    "holds",
    TABLES,
    # Projects of which nothing is removed for its age, nor for who asks to be forgotten; why is in `reasons`.
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("hold", sa.Text, nullable=False),
    sa.Column("placed_by", sa.Text, nullable=False),
    sa.Column("placed_at", sa.Text, nullable=False),
    info=READ_MODEL,
)

demands = sa.Table(
    "demands",
    TABLES,
    # What each replica of a release asks for.
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("release", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("cpu_millis", sa.BigInteger, nullable=False),
    sa.Column("memory_bytes", sa.BigInteger, nullable=False),
    sa.Column("gpus", sa.BigInteger, nullable=False),
    info=READ_MODEL,
)

quotas = sa.Table(
    "quotas",
    TABLES,
    # What a team or a project may hold altogether; none of a kind: as much as there is.
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("of", sa.Text, primary_key=True),
    sa.Column("cpu_millis", sa.BigInteger),
    sa.Column("memory_bytes", sa.BigInteger),
    sa.Column("gpus", sa.BigInteger),
    sa.Column("models", sa.BigInteger),
    info=READ_MODEL,
)

teams = sa.Table(
    "teams",
    TABLES,
    # Projects that are of a team.
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("team", sa.Text, nullable=False, index=True),
    info=READ_MODEL,
)

made_teams = sa.Table(
    # Those that have members, or may have some.
    "made_teams",
    TABLES,
    sa.Column("team", sa.Text, primary_key=True),
    info=READ_MODEL,
)

sharing = Sharing(TABLES)
"""Who is of a team, who has which role on a project, and which are private."""

erasures = sa.Table(
    "erasures",
    TABLES,
    # People whose key is destroyed: since when, and since when what they left in the registry is gone, too.
    sa.Column("person", sa.Text, primary_key=True),
    sa.Column("asked_at", sa.Text, nullable=False),
    sa.Column("words", sa.Integer, nullable=False),
    # A digest of their name, by which they are found in what rules saw; empty where a restore has lost it, none once
    # that is done.
    sa.Column("looks", sa.Text),
    sa.Column("erased_at", sa.Text),
    # As the event says it.
    sa.Column("said", sa.LargeBinary),
)

revoked_tokens = sa.Table(
    "revoked_tokens", TABLES, sa.Column("token", sa.Text, primary_key=True), info=READ_MODEL
)


UNDER_WAY = (
    "requested",
    "cleared",
    "reserved",
    "built",
    "indexed",
    "certified",
    "awaiting",
    "refused",
    "failed",
    "stalled",
)
"""States of a model that are its newest deploy's."""

TAKEN_DOWN = ("failed", "quarantined")
"""States of a model with a release that nobody asked for; `takedowns` says why."""


def new_operation(operation: Operation, *, heard_at: float) -> dict[str, Any]:
    """The row of an operation that begins."""
    return {"id": operation.id, "project": operation.project, "changes": 1, **_told(operation, heard_at)}


def update_operation(operation: Operation, *, heard_at: float) -> sa.Update:
    """What is known of an operation now. `changes` is counted by the database, so that no number is given twice."""
    changes = operations.c.changes + 1
    mine = operations.c.id == operation.id
    return sa.update(operations).where(mine).values(changes=changes, **_told(operation, heard_at))


def show_progress(operation: Operation) -> sa.Update:
    """Until a release of it serves, a model is as far as its newest deploy or build; ids are ordered by time."""
    is_told = operation.command in ("deploy", "build") and operation.state in UNDER_WAY
    mine = sa.and_(models.c.project == operation.project, sa.true() if is_told else sa.false())
    newest = sa.and_(models.c.release.is_(None), models.c.operation <= operation.id)
    return sa.update(models).where(mine, newest).values(state=operation.state, operation=operation.id)


def _told(operation: Operation, heard_at: float) -> dict[str, Any]:
    return {
        "is_over": operation.is_over,
        "heard_at": heard_at,
        "operation": msgspec.json.encode(operation),
    }


def read_operation(row: sa.Row[Any]) -> Operation:
    return msgspec.json.decode(row.operation, type=Operation)


def read_canary(row: sa.Row[Any]) -> Canary | None:
    return None if row.canary is None else msgspec.json.decode(row.canary, type=Canary)


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What a project's model was asked in a while, and how far that was from its reference, where that was told."""

    release: int
    since: str
    until: str
    requests: int
    errors: int
    p50_ms: float | None
    p99_ms: float | None
    psi: float | None


WINDOWS = 96
"""Of each project, the last; the audit log has all."""


def read_windows(row: sa.Row[Any]) -> tuple[Window, ...]:
    """The oldest first."""
    return msgspec.json.decode(row.windows, type=tuple[Window, ...])


def read_observed(row: sa.Row[Any]) -> dict[str, Any]:
    """As the deployer said it."""
    return msgspec.json.decode(row.observed, type=dict[str, Any])
