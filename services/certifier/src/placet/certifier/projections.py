"""The exceptions that were granted, as the gateway said them, and the certificates that are not over.

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
)

stands_on = sa.Table(
    "stands_on",
    TABLES,
    # The exceptions without which a certificate would not have been given; one for a rule.
    sa.Column("certificate", sa.Text, primary_key=True),
    sa.Column("rule", sa.Text, primary_key=True),
    sa.Column("exception", sa.Text, nullable=False, index=True),
)
