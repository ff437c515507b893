"""A deployer that serves has its read models made anew from the audit log, and no model notices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import sqlalchemy as sa
from placet.deployer import projections as p
from placet.deployer.bootstrap import build
from placet.deployer.projections import TABLES
from placet.events.store import Run, Unit

from tests.support.eventually import eventually
from tests.unit.deployer.harness import World
from tests.unit.rebuilt import empty, log, rebuild, shown


async def made_anew(world: World, folder: Path) -> Mapping[str, int]:
    """By table, how many rows were other."""
    lines = log("deployer", await world.wiring.store.read_all(0, 1000), world.told)
    return await rebuild(
        "deployer",
        world.wiring,
        lines,
        lambda wiring: build(world.settings, wiring, world.ports),
        TABLES,
        folder,
    )


@pytest.fixture
async def busy(world: World) -> World:
    """One serves, one was stopped, one was suspended and is back, and one waits for its certificate."""
    await world.deploy_and_wait("churn", memory=2**28)
    await world.deploy_and_wait("wine", memory=2**28)
    await world.request_stop("wine")
    await world.heard("model.stopped", "stop")
    await world.deploy_and_wait("digits", memory=2**28)
    await world.suspend("digits")
    await world.heard("model.quarantined", "suspend digits 1")
    await world.reinstate("digits")
    await world.heard("model.started", "reinstate digits 1")
    await world.request_deploy("late")
    await world.clear("late", memory=2**28)
    await world.heard("resources.reserved", "deploy late 1")
    await world.request_deploy("large")
    await world.clear("large", memory=2**40)
    await world.heard("resources.refused", "deploy large 1")
    for project in ("first", "second"):
        await world.request_deploy(project)
        await world.clear(project, memory=2**30 + 2**29)
        await world.heard("resources.queued", f"deploy {project} 1")
    await world.set_quota("team", "fraud", models=9)
    await world.set_quota("team", "gone", models=9)
    await world.remove_quota("team", "gone")
    await world.assign("churn", "fraud")
    await world.assign("wine", "fraud")
    await world.assign("wine", None)
    await world.certify("churn", key="key-1")
    await world.revoke("token-1")
    await world.restrict("churn", owner="person:1")
    await world.join("fraud", "person:2")
    await world.settled()

    async def has_heard_it_all() -> bool:
        return all((await shown(world.wiring, TABLES)).values())

    await eventually(has_heard_it_all)
    return world


async def test_what_it_shows_is_what_the_log_says(busy: World, tmp_path: Path) -> None:
    assert await made_anew(busy, tmp_path / "beside") == {}


async def test_what_was_dropped_is_there_again_and_no_model_notices(busy: World, tmp_path: Path) -> None:
    before, said = await shown(busy.wiring, TABLES), await busy.said()
    serving, routes = busy.host.running(), await busy.router.routes()
    await empty(busy.wiring, TABLES)
    changed = await made_anew(busy, tmp_path / "beside")
    assert changed == {table: len(rows) for table, rows in before.items()}
    assert await shown(busy.wiring, TABLES) == before
    assert (await busy.said(), busy.host.running(), await busy.router.routes()) == (said, serving, routes)


async def test_what_somebody_changed_is_right_again(busy: World, tmp_path: Path) -> None:
    before = await shown(busy.wiring, TABLES)
    changes = (
        sa.update(p.projects).where(p.projects.c.project == "churn").values(requests=7),
        sa.update(p.releases).where(p.releases.c.project == "digits").values(image="sha256:another"),
        sa.insert(p.revoked_tokens).values(token="of nobody"),
    )
    await busy.wiring.store.commit(Unit(writes=tuple(Run(statement=each) for each in changes)))
    found = await made_anew(busy, tmp_path / "beside")
    assert found == {"projects": 1, "releases": 1, "revoked_tokens": 1}
    assert await shown(busy.wiring, TABLES) == before
