"""The gateway's read models: operations, models, images, certificates, sources, people.

Rows are written in the unit that handles the event they show, so a reader never sees half of one. Names of
people are in `people` and nowhere else; that table is not an event and can be erased.
"""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from placet.gateway.operations import Operation

TABLES = sa.MetaData()

operations = sa.Table(
    "operations",
    TABLES,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("project", sa.Text, nullable=False, index=True),
    sa.Column("is_over", sa.Boolean, nullable=False),
    sa.Column("changes", sa.Integer, nullable=False),
    sa.Column("heard_at", sa.Double, nullable=False),
    sa.Column("operation", sa.LargeBinary, nullable=False),
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
    sa.Column("endpoint", sa.Text),
    sa.Column("operation", sa.Text, nullable=False),
)

images = sa.Table(
    "images",
    TABLES,
    sa.Column("image", sa.Text, primary_key=True),
    sa.Column("repository", sa.Text, nullable=False),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("release", sa.Integer, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("format", sa.Text, nullable=False),
    sa.Column("certificate", sa.Text),
)

certificates = sa.Table(
    "certificates",
    TABLES,
    sa.Column("certificate", sa.Text, primary_key=True),
    sa.Column("image", sa.Text, nullable=False, index=True),
    sa.Column("repository", sa.Text, nullable=False),
    sa.Column("envelope", sa.Text, nullable=False),
)

sources = sa.Table(
    "sources",
    TABLES,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("files", sa.Integer, nullable=False),
)

idempotency = sa.Table(
    "idempotency",
    TABLES,
    sa.Column("person", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("operation", sa.Text, nullable=False),
)

people = sa.Table(
    "people",
    TABLES,
    sa.Column("person", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
)

revoked_tokens = sa.Table("revoked_tokens", TABLES, sa.Column("token", sa.Text, primary_key=True))


def operation_row(operation: Operation, *, changes: int, heard_at: float) -> dict[str, Any]:
    return {
        "id": operation.id,
        "project": operation.project,
        "is_over": operation.is_over,
        "changes": changes,
        "heard_at": heard_at,
        "operation": msgspec.json.encode(operation),
    }


def read_operation(row: sa.Row[Any]) -> Operation:
    return msgspec.json.decode(row.operation, type=Operation)
