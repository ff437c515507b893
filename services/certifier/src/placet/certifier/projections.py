"""The exceptions that were granted, as the gateway said them, the certificates that are not over, with who signed them
and what was observed of their models, what is known of releases before a trial, the policies that were published, the
advisories in use, what is waited for, with the approvals of it, the assessments that were made, and what was reported.

Rows are written in the unit that handles the event.
"""

from __future__ import annotations

import sqlalchemy as sa

from placet.events.tables import READ_MODEL

TABLES = sa.MetaData()

exceptions = sa.Table(
    "exceptions",
    TABLES,
    sa.Column("exception", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, nullable=False, index=True),
    sa.Column("rule", sa.Text, nullable=False),
    # None: whatever source of the project it is.
    sa.Column("source", sa.Text),
    sa.Column("until", sa.Text, nullable=False),
    sa.Column("granted_by", sa.Text, nullable=False),
    sa.Column("withdrawn", sa.Boolean, nullable=False),
    info=READ_MODEL,
)

certificates = sa.Table(
    "certificates",
    TABLES,
    sa.Column("certificate", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, nullable=False, index=True),
    sa.Column("release", sa.Integer, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    # Seconds since 1970.
    sa.Column("not_after", sa.Double, nullable=False, index=True),
    # What it was judged by last: an edition of policies (`placet.rules.policy_set`) and the advisories in use; none: it
    # is to be judged anew.
    sa.Column("edition", sa.Text),
    # When time alone may change what is said of it, in seconds since 1970; none: it cannot.
    sa.Column("judge_at", sa.Double),
    # Moved on whenever it has to be judged anew: a judgement that began before that does not count.
    sa.Column("turn", sa.BigInteger, nullable=False),
    # When the last third of its time begins, in seconds since 1970.
    sa.Column("last_third", sa.Double, nullable=False),
    # Whether a model serves on it, and whether it was said that it ends soon.
    sa.Column("serves", sa.Boolean, nullable=False),
    sa.Column("is_reminded", sa.Boolean, nullable=False),
    sa.Index("certificates_to_remind_of", "serves", "is_reminded", "last_third"),
)

signed = sa.Table(
    "signed",
    TABLES,
    # Which key signed a certificate; those from before keys were rotated have no row.
    sa.Column("certificate", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, index=True),
    info=READ_MODEL,
)

revoked = sa.Table(
    "revoked",
    TABLES,
    # For good: what was asked to renew one before that is not certified any more.
    sa.Column("certificate", sa.Text, primary_key=True),
    info=READ_MODEL,
)

revoked_tokens = sa.Table(
    "revoked_tokens", TABLES, sa.Column("token", sa.Text, primary_key=True), info=READ_MODEL
)

stands_on = sa.Table(
    "stands_on",
    TABLES,
    # The exceptions without which a certificate would not have been given; one for a rule.
    sa.Column("certificate", sa.Text, primary_key=True),
    sa.Column("rule", sa.Text, primary_key=True),
    sa.Column("exception", sa.Text, nullable=False, index=True),
)

watches = sa.Table(
    "watches",
    TABLES,
    sa.Column("certificate", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, nullable=False, index=True),
    sa.Column("release", sa.Integer, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    # Its conditions, and what was observed of its model (`conditions.Watched`).
    sa.Column("watched", sa.LargeBinary, nullable=False),
    # Moved on with each change: of two that saw the same, the second has to look again.
    sa.Column("turn", sa.BigInteger, nullable=False),
    # When time alone may change what is said of it, in seconds since 1970; none: it cannot.
    sa.Column("look_at", sa.Double, index=True),
)

walked = sa.Table(
    "walked",
    TABLES,
    # What a trial that came after this release was told of it and all before: another one need not look at them again.
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("release", sa.Integer, primary_key=True, autoincrement=False),
    # By people, for one of them; else all are trials, or refused.
    sa.Column("answered_for", sa.Boolean, nullable=False),
)

awaited = sa.Table(
    "awaited",
    TABLES,
    # Releases that nothing forbids but what people can still do.
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("release", sa.Integer, primary_key=True, autoincrement=False),
    # What goes on when it is certified.
    sa.Column("operation", sa.Text, nullable=False),
    # What the indexer said of its image.
    sa.Column("indexed", sa.LargeBinary, nullable=False),
    # When something may have changed, in seconds since 1970.
    sa.Column("look_at", sa.Double, nullable=False, index=True),
)

approvals = sa.Table(
    "approvals",
    TABLES,
    sa.Column("approval", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("release", sa.Integer, nullable=False),
    # The digest of what it is of.
    sa.Column("binding", sa.Text, nullable=False),
    sa.Column("given_by", sa.Text, nullable=False),
    # Between commas.
    sa.Column("roles", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("break_glass", sa.Boolean, nullable=False),
    sa.Index("approvals_of_release", "project", "release"),
)

policies = sa.Table(
    "policies",
    TABLES,
    # Published ones, as they were sent: judging needs no registry.
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False, unique=True),
    # When the event says that it was published.
    sa.Column("at", sa.Text, nullable=False),
    # Until then it only warns of what was certified before.
    sa.Column("warn_until", sa.Text),
    sa.Column("file", sa.LargeBinary, nullable=False),
    info=READ_MODEL,
)

advisories = sa.Table(
    "advisories",
    TABLES,
    # The snapshot in use, and what packages are matched with (`placet.rules.advisories`).
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("compiled", sa.LargeBinary, nullable=False),
)

questionnaires = sa.Table(
    "questionnaires",
    TABLES,
    # Imported ones; those that ship need no row.
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("questionnaire", sa.Text, nullable=False, index=True),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("form", sa.Text, nullable=False),
    # When the event says that it was imported.
    sa.Column("at", sa.Text, nullable=False),
    info=READ_MODEL,
)

assessments = sa.Table(
    "assessments",
    TABLES,
    sa.Column("assessment", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, nullable=False),
    # Of which questionnaire, and what it is about; digests.
    sa.Column("questionnaire", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    sa.Column("answered_at", sa.Text, nullable=False),
    sa.Column("answered_by", sa.Text, nullable=False),
    # None of one that is not scored yet, or never will be.
    sa.Column("scored", sa.LargeBinary),
    sa.Index("assessments_of_project", "project", "answered_at"),
    info=READ_MODEL,
)

reports = sa.Table(
    "reports",
    TABLES,
    sa.Column("report", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, nullable=False),
    # None of both: it is of the whole project.
    sa.Column("release", sa.Integer),
    sa.Column("source", sa.Text),
    # The source of that release, once it is cleared.
    sa.Column("release_of", sa.Text),
    sa.Column("kind", sa.Text, nullable=False),
    # The run or the incident that it tells of, of which others may tell as well; else the report itself.
    sa.Column("about", sa.Text, nullable=False),
    # What is seen before what came later (`reports.weight`).
    sa.Column("weight", sa.Integer, nullable=False),
    # When it was, as who reports says, and when it was heard.
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("heard_at", sa.Text, nullable=False),
    # The event, and how many bytes that are.
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("said", sa.LargeBinary, nullable=False),
    sa.Index("reports_of_project", "project", "kind", "at"),
    info=READ_MODEL,
)


def look_again(project: str | None = None) -> sa.Update:
    """Something that rules see has changed, for one project or for all: what is waited for may be another thing now."""
    those = sa.true() if project is None else awaited.c.project == project
    return sa.update(awaited).where(those).values(look_at=0.0)


def name_source(project: str, release: int, source: str) -> sa.Update:
    """For what was reported of a release before it was cleared."""
    those = sa.and_(reports.c.project == project, reports.c.release == release)
    return sa.update(reports).where(those).values(release_of=source)
