"""A deployer whose database was lost has it again from the audit log: what it heard, and what it said."""

from __future__ import annotations

from pathlib import Path

from placet.deployer.bootstrap import build
from placet.deployer.projections import TABLES

from tests.unit.deployer.harness import World
from tests.unit.rebuilt import log, restore, shown


async def test_a_project_that_was_deployed_twice_shows_what_it_showed(world: World, tmp_path: Path) -> None:
    await world.deploy_and_wait("churn", memory=2**28)
    await world.deploy_and_wait("churn", 2, memory=2**28)
    await world.settled()
    lines = log("deployer", await world.wiring.store.read_all(0, 1000), world.told)
    restored = await restore(
        "deployer",
        world.wiring,
        lines,
        lambda wiring: build(world.settings, wiring, world.ports),
        TABLES,
        tmp_path / "anew",
    )
    assert restored == await shown(world.wiring, TABLES)
