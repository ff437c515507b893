"""The indexer's own rows: what was announced and is there, where tags pointed, and what nobody announced.

They are what a look at the registry is compared with, so that only what differs is decided on; what was said lies in
the streams, and each row changes in the unit that says so.
"""

from __future__ import annotations

import sqlalchemy as sa

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
    sa.Column("is_there", sa.Boolean, nullable=False),
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
