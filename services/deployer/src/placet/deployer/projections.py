"""The deployer's own rows: what it heard of releases, who holds room or waits for some, and tokens that
were revoked.

`releases` keeps what other services' events said, so that a start needs nobody to be asked. `holdings` says which
releases hold room; it always agrees with the projects' streams, since it is derived from nothing else and both
are written in one unit. How much each replica holds is what its release was cleared for, which never changes.
`room_taken` is one number that every taking of room, or of a place in the queue for it, moves on by one: of two that
looked at the same room, the second finds it moved and has to look again (`placements.py`).
"""

from __future__ import annotations

import sqlalchemy as sa

from placet.events.tables import READ_MODEL
from placet.identity.sharing import Sharing

TABLES = sa.MetaData()

projects = sa.Table(
    "projects",
    TABLES,
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("requests", sa.Integer, nullable=False),
    info=READ_MODEL,
)
"""How many requests were heard for a project."""

releases = sa.Table(
    "releases",
    TABLES,
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("release", sa.Integer, primary_key=True, autoincrement=False),
    # From the request.
    sa.Column("request", sa.Integer),
    sa.Column("correlation", sa.Text),
    # From its clearance.
    sa.Column("command", sa.Text),
    sa.Column("source", sa.Text),
    sa.Column("known_image", sa.Text),
    sa.Column("access", sa.Text),
    sa.Column("resources", sa.LargeBinary),
    sa.Column("dockerfile", sa.Boolean),
    sa.Column("trial", sa.Boolean),
    sa.Column("asker", sa.Text),
    # How many of a hundred requests it is to get beside what serves; none of none: it takes its place.
    sa.Column("canary", sa.Integer),
    # From its certificate.
    sa.Column("certificate", sa.Text),
    sa.Column("image", sa.Text),
    sa.Column("repository", sa.Text),
    sa.Column("envelope", sa.Text),
    sa.Column("not_after", sa.Text),
    # What there is against it: a list of grounds, none while it stands.
    sa.Column("grounds", sa.LargeBinary),
    info=READ_MODEL,
)

signers = sa.Table(
    "signers",
    TABLES,
    # Which key signed the certificate of a release; those from before keys were rotated have no row.
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("release", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text, nullable=False),
    info=READ_MODEL,
)

holdings = sa.Table(
    "holdings",
    TABLES,
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("release", sa.Integer, primary_key=True, autoincrement=False),
    # That room is held for, and of those how many are said to be ready.
    sa.Column("replicas", sa.Integer, nullable=False),
    sa.Column("ready", sa.Integer, nullable=False),
    sa.Column("until", sa.Text),
    sa.Column("is_live", sa.Boolean, nullable=False),
    sa.Column("is_canary", sa.Boolean, nullable=False),
    sa.Column("is_diverged", sa.Boolean, nullable=False),
    info=READ_MODEL,
)

queued = sa.Table(
    "queued",
    TABLES,
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("request", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("release", sa.Integer, nullable=False),
    sa.Column("turn", sa.Integer, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("quota", sa.Text),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("until", sa.Text, nullable=False),
    sa.Column("replicas", sa.Integer, nullable=False),
    sa.Column("asker", sa.Text),
    sa.Column("correlation", sa.Text, nullable=False),
    # Nothing comes of it any more, which its operation has not been told yet.
    sa.Column("is_over", sa.Boolean, nullable=False),
    info=READ_MODEL,
)
"""Who waits for room, as was said last."""

quotas = sa.Table(
    "quotas",
    TABLES,
    # What a team or a project may hold altogether; none of a kind: as much as there is.
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("of", sa.Text, primary_key=True),
    sa.Column("cpu_millis", sa.BigInteger),
    sa.Column("memory_bytes", sa.BigInteger),
    sa.Column("gpus", sa.BigInteger),
    sa.Column("models", sa.BigInteger),
    info=READ_MODEL,
)

teams = sa.Table(
    "teams",
    TABLES,
    # Projects that are of a team.
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("team", sa.Text, nullable=False),
    info=READ_MODEL,
)

room_taken = sa.Table(
    "room_taken",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, nullable=False),
)

observed = sa.Table(
    "observed",
    TABLES,
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("release", sa.Integer, primary_key=True),
    sa.Column("watched", sa.LargeBinary, nullable=False),
)
"""Up to where `model.observed` has told of a release that serves, be it a canary, written together with it: nothing is
told twice."""

signs_of_life = sa.Table(
    "signs_of_life",
    TABLES,
    sa.Column("producer", sa.Text, primary_key=True),
    sa.Column("at", sa.Text, nullable=False),
)
"""When a service that is relied on was heard of last."""

silenced = sa.Table(
    "silenced",
    TABLES,
    sa.Column("project", sa.Text, primary_key=True),
    sa.Column("release", sa.Integer, nullable=False),
)
"""What was taken off its route since the certifier was silent, and is to be back once it is not."""

# Those of people who were erased are by the person: none of theirs holds.
revoked_tokens = sa.Table(
    "revoked_tokens", TABLES, sa.Column("token", sa.Text, primary_key=True), info=READ_MODEL
)

sharing = Sharing(TABLES)
"""Who may read what is private."""
