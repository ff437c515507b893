"""A gateway that serves has its read models made anew from the audit log, and its people's words stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from placet.events.adapters.in_process_bus import InProcessHub
from placet.events.mending import read_models
from placet.events.rebuilding import Rebuild
from placet.events.restoring import AsOf
from placet.events.store import Put, Run, Unit
from placet.events.tables import inbox_cursors
from placet.events.testing import ManualClock
from placet.events.wiring import Wiring
from placet.gateway import projections as p

from tests.unit.gateway.harness import Gateway, asked
from tests.unit.gateway.roads import SOURCE
from tests.unit.gateway.test_assessments_api import answer, imports
from tests.unit.gateway.test_gateway_recalling import another, lines, much_was_asked_for, rows


@pytest.fixture
async def busy(gateway: Gateway) -> Gateway:
    """Much was asked for, and came to something."""
    await much_was_asked_for(gateway)
    async with gateway.http() as http:
        assert (await http.put("/v1/models/churn/hold", json={"reason": "an inquiry"})).status_code == 200
        for team in ("fraud", "risk"):
            assert (await http.put(f"/v1/quotas/teams/{team}", json={"models": 2})).status_code == 200
            assert (await http.put(f"/v1/teams/{team}/projects/churn")).status_code == 200
        assert (await http.delete("/v1/quotas/teams/risk")).status_code == 204
    assert (await imports(gateway)).status_code == 201
    assert (await answer(gateway)).status_code == 202
    # The harness knows this source, and nobody uploaded it.
    planted = sa.delete(p.declarations).where(p.declarations.c.source == SOURCE)
    await gateway.wiring.store.commit(Unit(writes=(Run(statement=planted),)))
    # These tests hand over what is heard past the inbox, which would have noted how far it came.
    for producer, position in gateway.positions.items():
        cursor = {"producer": producer, "epoch": "1", "position": position}
        await gateway.wiring.store.commit(Unit(writes=(Put(table=inbox_cursors, row=cursor),)))
    return gateway


async def rebuild(gateway: Gateway, folder: Path) -> Mapping[str, int]:
    """How many rows were other, by table; those where none was are left out."""
    clock = AsOf(ManualClock(gateway.clock.now()))
    beside = await Wiring.embedded(
        "gateway", data=folder, hub=InProcessHub(), tables=(p.TABLES,), clock=clock, is_kept=False
    )
    try:
        service = await another(gateway, folder, beside)
        models = read_models((p.TABLES,))
        again = Rebuild(service, beside.store, clock, gateway.wiring.store, models)  # type: ignore[arg-type]
        rebuilt = await again.run(lines(gateway))
    finally:
        await beside.store.close()
    return {table: count for table, count in rebuilt.changed.items() if count}


async def test_what_it_shows_is_what_the_log_says(busy: Gateway, tmp_path: Path) -> None:
    assert await rebuild(busy, tmp_path / "beside") == {}


async def test_what_somebody_broke_is_right_again_and_words_stay(busy: Gateway, tmp_path: Path) -> None:
    tables = p.TABLES.sorted_tables
    before = {table.name: await rows(busy.wiring, table) for table in tables}
    broken = (
        sa.update(p.models).values(state="failed", url="http://elsewhere"),
        sa.update(p.certificates).values(standing="revoked"),
        sa.delete(p.images),
        sa.delete(p.revoked_tokens),
        sa.insert(p.releases).values(project="churn", release=9, access="public", trial=False),
    )
    await busy.wiring.store.commit(Unit(writes=tuple(Run(statement=each) for each in broken)))
    assert await rebuild(busy, tmp_path / "beside") == {
        "models": 1,
        "certificates": 1,
        "images": 1,
        "revoked_tokens": 1,
        "releases": 1,
    }
    assert {table.name: await rows(busy.wiring, table) for table in tables} == before
    assert before["people"]
    assert before["reasons"]


async def test_what_stalled_is_shown_as_stalled(gateway: Gateway, tmp_path: Path) -> None:
    """No event says so: time alone does."""
    operation = await asked(gateway)
    gateway.clock.pass_(timedelta(days=1))
    (silence,) = [each for each in gateway.service.periodic if each.name == "name silence"]
    await silence.run()
    await rebuild(gateway, tmp_path / "beside")
    (row,) = await rows(gateway.wiring, p.operations, operation)
    assert p.read_operation(row).state == "stalled"
