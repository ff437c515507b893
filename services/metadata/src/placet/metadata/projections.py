"""The audit log by type, project and time, for those who filter it, the tokens it says are revoked, and who reads what
is private.

Made from the log, and again at will. And the tree over the log, which is made from it once: rows that nothing updates
or deletes. And the webhooks: where each leads, its secrets and how far it is, which no event tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from placet.events import PLATFORM, Event, Projection, Recorded
from placet.events.catalog import contract_of
from placet.events.contracts import CATALOG, gateway
from placet.events.store import Put, Run
from placet.events.tables import APPEND_ONLY
from placet.identity.sharing import SAID

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

# Of what is the platform's own, and is said about a project all the same: whom the platform denied something of it.
named = sa.Table(
    "audit_named",
    TABLES,
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("project", sa.Text, nullable=False),
)

# Those of people who were erased are by the person: none of theirs holds.
revoked_tokens = sa.Table(
    "audit_revoked_tokens",
    TABLES,
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("token", sa.Text, primary_key=True),
)

private = sa.Table(
    "audit_private",
    TABLES,
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("project", sa.Text, primary_key=True),
)

roles = sa.Table(
    "audit_roles",
    TABLES,
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("project", sa.Text, primary_key=True),
    # A person, or `team:` and its name. Which role it is does not matter here: each of them reads.
    sa.Column("to", sa.Text, primary_key=True),
)

members = sa.Table(
    "audit_members",
    TABLES,
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("team", sa.Text, primary_key=True),
    sa.Column("person", sa.Text, primary_key=True),
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
        if each.event.type.startswith(_ENDING)
    ]
    about = [
        Put(table=named, row={"generation": generation, "position": each.position, "project": project})
        for each in events
        if (project := named_by(each.event)) is not None
    ]
    shared = [write for each in events for write in _shared(each, generation)]
    return [Run(statement=sa.insert(index), parameters=rows), *revoked, *about, *shared]


class _Naming(msgspec.Struct):
    project: str | None = None


_NAMING = msgspec.json.Decoder(_Naming)


def named_by(event: Event[Any]) -> str | None:
    """The project that an event of the platform is about, though it is not of it: from whom that is hidden, this is."""
    if event.partitionkey != PLATFORM:
        return None
    try:
        return _NAMING.decode(event.data).project
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None  # `project` is no name, or somebody wrote nonsense, which is told where it is read


_ENDING = ("placet.gateway.token.revoked.", "placet.gateway.erasure.requested.")


def _token(revoked: Recorded[Any]) -> str:
    """Which holds no more, or whose: the streams are `token/…` and `person/…`."""
    kind, _, id = revoked.event.subject.partition("/")
    return f"person:{id}" if kind == "person" else id


def _shared(recorded: Recorded[Any], generation: int) -> Sequence[Put | Run]:
    """Who reads what, as each of the events changes it."""
    if (
        recorded.event.type not in _SHARING
    ):  # also of a version that is newer than this service, which it cannot read
        return ()
    said = CATALOG.decode(recorded.event.type, recorded.event.data)
    match said:
        case gateway.RoleGranted():
            return (_put(roles, generation, project=said.project, to=said.to),)
        case gateway.RoleRevoked():
            return (_delete(roles, generation, project=said.project, to=said.to),)
        case gateway.ProjectRestricted():
            return (_put(private, generation, project=said.project),)
        case gateway.ProjectOpened():
            return (_delete(private, generation, project=said.project),)
        case gateway.TeamChanged():
            return (
                *(_put(members, generation, team=said.team, person=each) for each in said.added),
                *(_delete(members, generation, team=said.team, person=each) for each in said.removed),
            )
        case gateway.TeamDisbanded():
            return (_delete(members, generation, team=said.team),)
    return ()


_SHARING = frozenset(contract_of(each).type for each in SAID)


def _put(table: sa.Table, generation: int, **row: str) -> Put:
    return Put(table=table, row={"generation": generation, **row})


def _delete(table: sa.Table, generation: int, **row: str) -> Run:
    those = (table.c[name] == value for name, value in row.items())
    return Run(statement=sa.delete(table).where(table.c.generation == generation, *those))


INDEX = Projection(
    name="audit index",
    version=7,
    apply=apply,
    tables=(index, named, revoked_tokens, private, roles, members),
    log=AUDIT,
)
