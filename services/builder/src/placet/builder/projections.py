"""The images made here, by what they were made from; and the tokens that hold no more."""

from __future__ import annotations

import sqlalchemy as sa

TABLES = sa.MetaData()

known_images = sa.Table(
    "known_images",
    TABLES,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("image", sa.Text, nullable=False, index=True),
    sa.Column("repository", sa.Text, nullable=False),
)

revoked_tokens = sa.Table("revoked_tokens", TABLES, sa.Column("token", sa.Text, primary_key=True))
