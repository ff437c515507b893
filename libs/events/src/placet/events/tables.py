"""The library's own tables in a service's database: private state, never shared, never an event."""

from __future__ import annotations

import sqlalchemy as sa

LIBRARY = sa.MetaData()

APPEND_ONLY = {"append_only": True}
"""For a table's `info`: its rows are written once, and the database itself refuses to change or remove them."""

READ_MODEL = {"read_model": True}
"""For a table's `info`: its rows are made of events alone, so they can be made anew while the service serves."""
NOT_TOLD = {"not_told": True}
"""For the `info` of a column of a read model: no event tells it. A row that is there keeps what it has."""

inbox = sa.Table(
    "inbox",
    LIBRARY,
    sa.Column("producer", sa.Text, primary_key=True),
    sa.Column("epoch", sa.Text, primary_key=True),
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("routing_key", sa.Text, nullable=False),
    sa.Column("lane", sa.Text, nullable=False),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    # early: behind a hole; waiting: to be handled; parked: for a person.
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", sa.Double, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("received_at", sa.Double, nullable=False),
    sa.Index("inbox_lanes", "state", "lane"),
)

inbox_cursors = sa.Table(
    "inbox_cursors",
    LIBRARY,
    sa.Column("producer", sa.Text, primary_key=True),
    sa.Column("epoch", sa.Text, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
)

strays = sa.Table(
    "inbox_strays",
    LIBRARY,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("sender", sa.Text),
    sa.Column("routing_key", sa.Text, nullable=False),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("received_at", sa.Double, nullable=False),
)

relay_cursor = sa.Table(
    "outbox_cursor",
    LIBRARY,
    sa.Column("log", sa.Text, primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),
)

leases = sa.Table(
    "leases",
    LIBRARY,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("until", sa.Double, nullable=False),
)

jobs = sa.Table(
    "jobs",
    LIBRARY,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("asker", sa.Text, nullable=False),
    sa.Column("context", sa.LargeBinary, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", sa.Double, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("leased_by", sa.Text),
    sa.Column("leased_until", sa.Double, nullable=False),
    sa.Index("jobs_of_askers", "kind", "asker", "next_at"),
)

job_turns = sa.Table(
    "job_turns",
    LIBRARY,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("asker", sa.Text, primary_key=True),
    # The number of the last turn that the asker had, over all turns of the kind; 0 before the first.
    sa.Column("last", sa.BigInteger, nullable=False),
)

generations = sa.Table(
    "projection_generations",
    LIBRARY,
    # A projection's rows carry the number of the generation that they are of: a new one is built beside the old.
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.Integer, nullable=False),
    # builds: nobody reads it yet; serves: what readers see; left: its rows are being removed.
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("beat_at", sa.Double, nullable=False),
)
for _state in ("builds", "serves"):
    _is_it = generations.c.state == _state
    sa.Index(
        f"projection_{_state}", generations.c.name, unique=True, sqlite_where=_is_it, postgresql_where=_is_it
    )

recalled = sa.Table(
    "recalled",
    LIBRARY,
    # Of the audit log: what a restore has read of it and not worked off yet. Empty otherwise.
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Text, nullable=False, index=True),
    # The event that it was a reaction to.
    sa.Column("causation", sa.Text, index=True),
    sa.Column("producer", sa.Text, nullable=False),
    sa.Column("epoch", sa.Text, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("routing_key", sa.Text, nullable=False),
    sa.Column("lane", sa.Text, nullable=False),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.Column("is_done", sa.Boolean, nullable=False),
    sa.Index("recalled_places", "producer", "epoch", "position"),
)

restoring = sa.Table(
    "restoring",
    LIBRARY,
    # One row, as long as a restore is under way.
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    # reads: the audit log; logs: its own events; rows: what is folded from them; ends: what is left to do.
    sa.Column("phase", sa.Text, nullable=False),
    # The position in the audit log up to which it has been read.
    sa.Column("sequence", sa.BigInteger, nullable=False),
    # By producer and epoch, the last position that was read, and a digest of all lines, as JSON.
    sa.Column("seen", sa.LargeBinary, nullable=False),
)
