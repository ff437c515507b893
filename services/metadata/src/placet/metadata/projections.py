"""The audit log by type, project and time, for those who filter it, and the tokens it says are revoked.

Made from the log, and again at will. And the tree over the log, which is made from it once: rows that nothing updates
or deletes. And the webhooks: where each leads, its secrets and how far it is, which no event tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from placet.events import Projection, Recorded
from placet.events.store import Put, Run
from placet.events.tables import APPEND_ONLY

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
    "audit_indexed",
    TABLES,
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("project", sa.Text, nullable=False),
    # As the event has it: RFC 3339 in UTC with milliseconds, so that texts are in the order of times.
    sa.Column("time", sa.Text, nullable=False),
    sa.Index("audit_indexed_project", "generation", "project", "position"),
    # Of a project most is what its model was asked in each window, and what is looked for is seldom that.
    sa.Index("audit_indexed_project_type", "generation", "project", "type", "position"),
    sa.Index("audit_indexed_type", "generation", "type", "position"),
    sa.Index("audit_indexed_time", "generation", "time", "position"),
)

revoked_tokens = sa.Table(
    "audit_revoked_tokens",
    TABLES,
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("token", sa.Text, primary_key=True),
)

tiles = sa.Table(
    "audit_tiles",
    TABLES,
    sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hashes", sa.LargeBinary, nullable=False),
    # Of the tile: the hash in the level above, without reading this one again.
    sa.Column("root", sa.LargeBinary, nullable=False),
    info=APPEND_ONLY,
)

checkpoints = sa.Table(
    "audit_checkpoints",
    TABLES,
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    # Of the audit log: another one after a restore.
    sa.Column("epoch", sa.Text, nullable=False),
    sa.Column("signed_at", sa.Double, nullable=False),
    info=APPEND_ONLY,
)

cosignatures = sa.Table(
    "audit_cosignatures",
    TABLES,
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("witness", sa.Text, primary_key=True),
    sa.Column("line", sa.Text, nullable=False),
    info=APPEND_ONLY,
)

cosigned_again = sa.Table(
    "audit_cosigned_again",
    TABLES,
    sa.Column("witness", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    # Its newest for that checkpoint, where the log stands still: a cosignature says no more than that it was so then.
    sa.Column("line", sa.Text, nullable=False),
)

witnesses = sa.Table(
    "audit_witnesses",
    TABLES,
    sa.Column("name", sa.Text, primary_key=True),
    # Of the last checkpoint that it has.
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.Double),
    sa.Column("asked_at", sa.Double, nullable=False),
    sa.Column("trouble", sa.Text),
)

webhooks = sa.Table(
    "webhooks",
    TABLES,
    sa.Column("webhook", sa.Text, primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("type", sa.Text),
    sa.Column("project", sa.Text),
    sa.Column("added_by", sa.Text, nullable=False),
    sa.Column("added_at", sa.Double, nullable=False),
    sa.Column("secret", sa.Text, nullable=False),
    # The one before, as long as it signs, too.
    sa.Column("old_secret", sa.Text),
    sa.Column("old_until", sa.Double),
    # Why it is disabled; none while it is enabled.
    sa.Column("why", sa.Text),
    # Everything up to here that was asked for was taken.
    sa.Column("position", sa.BigInteger, nullable=False),
    # Counts what people did to the position: who sent something meanwhile moves nothing.
    sa.Column("turn", sa.BigInteger, nullable=False),
    # Of the event after it, where that was not taken.
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("failing_since", sa.Double),
    sa.Column("next_at", sa.Double),
    # What the last message came to.
    sa.Column("answered_at", sa.Double),
    sa.Column("answer_status", sa.Integer),
    sa.Column("trouble", sa.Text),
    sa.Column("answered_position", sa.BigInteger),
)

producers = sa.Table(
    "audit_producers",
    TABLES,
    sa.Column("producer", sa.Text, primary_key=True),
    sa.Column("epoch", sa.Text, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    # Over what its own store has of that epoch, as it says.
    sa.Column("chain", sa.Text, nullable=False),
    sa.Column("said_at", sa.Double, nullable=False),
)

events = sa.table(
    AUDIT,
    sa.column("position", sa.BigInteger),
    sa.column("id", sa.Text),
    sa.column("stream", sa.Text),
    sa.column("version", sa.BigInteger),
    sa.column("raw", sa.LargeBinary),
)
"""The log itself, as far as it is asked for an event by its id, with the tile over it, or for some that lie apart."""


def stream_of(producer: str, epoch: str) -> str:
    """The audit log's stream for one epoch of a producer; its versions count that epoch's positions."""
    return f"{producer}@{epoch}"


def apply(events: Sequence[Recorded[Any]], generation: int) -> Sequence[Put | Run]:
    rows = [
        {
            "generation": generation,
            "position": each.position,
            "type": each.event.type,
            "project": each.event.partitionkey,
            "time": each.event.time,
        }
        for each in events
    ]
    revoked = [
        Put(table=revoked_tokens, row={"generation": generation, "token": _token(each)})
        for each in events
        if each.event.type.startswith("placet.gateway.token.revoked.")
    ]
    return [Run(statement=sa.insert(index), parameters=rows), *revoked]


def _token(revoked: Recorded[Any]) -> str:
    return revoked.event.subject.removeprefix("token/")


INDEX = Projection(name="audit index", version=4, apply=apply, tables=(index, revoked_tokens), log=AUDIT)
