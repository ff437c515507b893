"""The audit log by type and project, for those who filter it, and the tokens it says are revoked.

Made from the log, and again at will.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from placet.events import Projection, Recorded
from placet.events.store import Put, Run

AUDIT = "audit"

TABLES = sa.MetaData()

epochs = sa.Table(
    "audit_epochs",
    TABLES,
    sa.Column("producer", sa.Text, primary_key=True),
    sa.Column("epoch", sa.Text, primary_key=True),
    sa.Column("began_after", sa.BigInteger, nullable=False),
)

index = sa.Table(
    "audit_index",
    TABLES,
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("project", sa.Text, nullable=False),
    sa.Index("audit_index_project", "project", "position"),
    sa.Index("audit_index_type", "type", "position"),
)

revoked_tokens = sa.Table("revoked_tokens", TABLES, sa.Column("token", sa.Text, primary_key=True))


def stream_of(producer: str, epoch: str) -> str:
    """The audit log's stream for one epoch of a producer; its versions count that epoch's positions."""
    return f"{producer}@{epoch}"


def apply(events: Sequence[Recorded[Any]]) -> Sequence[Put | Run]:
    rows = [
        {"position": each.position, "type": each.event.type, "project": each.event.partitionkey}
        for each in events
    ]
    revoked = [
        Put(table=revoked_tokens, row={"token": each.event.subject.removeprefix("token/")})
        for each in events
        if each.event.type.startswith("placet.gateway.token.revoked.")
    ]
    return [Run(statement=sa.insert(index), parameters=rows), *revoked]


INDEX = Projection(
    name="audit index",
    version=2,
    apply=apply,
    reset=(Run(statement=sa.delete(index)), Run(statement=sa.delete(revoked_tokens))),
    log=AUDIT,
)
