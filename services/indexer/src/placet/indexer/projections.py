"""The indexer's own rows: what was announced and is there, where tags pointed, and what nobody announced.

They are what a look at the registry is compared with, so that only what differs is decided on; what was said lies in
the streams, and each row changes in the unit that says so.
"""

from __future__ import annotations

import sqlalchemy as sa

from placet.events.tables import NOT_TOLD, READ_MODEL

TABLES = sa.MetaData()

images = sa.Table(
    "images",
    TABLES,
    sa.Column("repository", sa.Text, primary_key=True),
    sa.Column("image", sa.Text, primary_key=True),
    # The release that it was announced for last, and the operation that asked for it.
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("release", sa.Integer, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("correlation", sa.Text, nullable=False),
    sa.Column("announced_at", sa.Double, nullable=False),
    sa.Column("is_there", sa.Boolean, nullable=False),
    # Why it is being removed; written before it is, so that its absence is told as what it was.
    sa.Column("collecting", sa.Text),
)

grounds = sa.Table(
    "grounds",
    TABLES,
    # Why an image stays for good: each certificate, and each start.
    sa.Column("image", sa.Text, primary_key=True),
    sa.Column("ground", sa.Text, primary_key=True),
    info=READ_MODEL,
)

sources = sa.Table(
    "sources",
    TABLES,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    # When it was uploaded, or when a release of it was requested last.
    sa.Column("asked_at", sa.Double, nullable=False, info=NOT_TOLD),
    info=READ_MODEL,
)

# Those of people who were erased are by the person: none of theirs holds.
revoked_tokens = sa.Table(
    "revoked_tokens", TABLES, sa.Column("token", sa.Text, primary_key=True), info=READ_MODEL
)

tags = sa.Table(
    "tags",
    TABLES,
    sa.Column("repository", sa.Text, primary_key=True),
    sa.Column("tag", sa.Text, primary_key=True),
    sa.Column("image", sa.Text, nullable=False),
)

strangers = sa.Table(
    "strangers",
    TABLES,
    sa.Column("repository", sa.Text, primary_key=True),
    sa.Column("image", sa.Text, primary_key=True),
    sa.Column("since", sa.Double, nullable=False),
    sa.Column("is_told", sa.Boolean, nullable=False),
)
