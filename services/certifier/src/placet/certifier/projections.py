"""The exceptions that were granted, as the gateway said them, the certificates that are not over, with what was
observed of their models, what is known of releases before a trial, the policies that were published, and the advisories
in use.

Rows are written in the unit that handles the event.
"""

from __future__ import annotations

import sqlalchemy as sa

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
    # The edition of policies that it was judged by last (`placet.rules.policy_set`); none: it is to be judged anew.
    sa.Column("edition", sa.Text),
    # When time alone may change what is said of it, in seconds since 1970; none: it cannot.
    sa.Column("judge_at", sa.Double),
    # Moved on whenever it has to be judged anew: a judgement that began before that does not count.
    sa.Column("turn", sa.BigInteger, nullable=False),
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
)

advisories = sa.Table(
    "advisories",
    TABLES,
    # The snapshot in use, and what packages are matched with (`placet.rules.advisories`).
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("compiled", sa.LargeBinary, nullable=False),
)
