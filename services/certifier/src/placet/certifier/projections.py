"""The exceptions that were granted, as the gateway said them. Rows are written in the unit that handles the event."""

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
