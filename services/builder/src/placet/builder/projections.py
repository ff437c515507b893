"""The images made here, by what they were made from; what was asked for; and the tokens that hold no more."""

from __future__ import annotations

import sqlalchemy as sa

from placet.events.tables import READ_MODEL
from placet.identity.sharing import Sharing

TABLES = sa.MetaData()

known_images = sa.Table(
    "known_images",
    TABLES,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("image", sa.Text, nullable=False, index=True),
    sa.Column("repository", sa.Text, nullable=False),
)

requests = sa.Table(
    "requests",
    TABLES,
    sa.Column("project", sa.Text, primary_key=True),
    # The newest release that was asked for, and the newest when the project was last stopped, or deleted.
    sa.Column("newest", sa.Integer, nullable=False),
    sa.Column("stopped", sa.Integer),
    sa.Column("deleted", sa.Integer),
    info=READ_MODEL,
)

# Those of people who were erased are by the person: none of theirs holds.
revoked_tokens = sa.Table(
    "revoked_tokens", TABLES, sa.Column("token", sa.Text, primary_key=True), info=READ_MODEL
)

sharing = Sharing(TABLES)
"""Who may read what is private."""
