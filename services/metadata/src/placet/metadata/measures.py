"""What metadata tells of the audit log, its witnesses and its webhooks to who watches the platform."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from placet.events import Wiring
from placet.events.metrics import Measure, Samples
from placet.metadata import projections as p
from placet.metadata.projections import AUDIT


def measures(wiring: Wiring) -> Iterable[Measure]:
    store, clock = wiring.store, wiring.clock

    async def entries() -> Samples:
        return [((), (await store.head(AUDIT)).position)]

    yield Measure(name="placet_audit_entries", help="entries of the audit log", read=entries)

    async def unsigned() -> Samples:
        """Nothing, where all is signed: a log that stands still needs no newer checkpoint."""
        (row,) = await store.rows(
            sa.select(
                sa.func.max(p.checkpoints.c.size).label("size"),
                sa.func.max(p.checkpoints.c.signed_at).label("signed_at"),
            )
        )
        head = (await store.head(AUDIT)).position
        is_signed = head <= (row.size or 0)
        age = 0.0 if is_signed or row.signed_at is None else clock.now().timestamp() - row.signed_at
        return [((), max(0.0, age))]

    yield Measure(
        name="placet_audit_checkpoint_age_seconds",
        help="since the last signed checkpoint, where there are entries that it does not cover; else 0",
        read=unsigned,
    )

    async def witnesses() -> Samples:
        rows = await store.rows(sa.select(p.witnesses.c.name, p.witnesses.c.trouble))
        return [((row.name,), float(row.trouble is not None)) for row in rows]

    yield Measure(
        name="placet_witness_trouble",
        help="1 for a witness that did not answer the last time, or not as it should",
        labels=("witness",),
        read=witnesses,
    )

    async def webhooks() -> Samples:
        c = p.webhooks.c
        state = sa.case((c.why.is_not(None), "disabled"), (c.failures > 0, "failing"), else_="well")
        named = state.label("state")
        rows = await store.rows(sa.select(named, sa.func.count().label("many")).group_by("state"))
        found = {"well": 0, "failing": 0, "disabled": 0} | {row.state: row.many for row in rows}
        return [((name,), float(many)) for name, many in found.items()]

    yield Measure(name="placet_webhooks", help="webhooks by how they do", labels=("state",), read=webhooks)
