"""A deployer alone in the world."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from placet.deployer.projections import TABLES
from placet.deployer.settings import DeployerSettings
from placet.events.adapters.in_process_bus import InProcessHub
from placet.events.wiring import Wiring
from placet.trust import KeySet, SigningKey

from tests.unit.deployer.harness import ShiftedClock, World


@pytest.fixture
async def idle_world(tmp_path: Path) -> AsyncIterator[World]:
    """Nobody runs yet."""
    hub, clock, key = InProcessHub(), ShiftedClock(), SigningKey.generate()
    wiring = await Wiring.embedded(
        "deployer", data=tmp_path, hub=hub, tables=(TABLES,), clock=clock, is_kept=False
    )
    keys = tmp_path / "tokens.json"
    keys.write_text(KeySet([key.public]).to_json())
    settings = DeployerSettings(
        registry=str(tmp_path / "registry"),
        data=tmp_path / "deployer",
        certifier_keys=keys,
        token_keys=keys,
        public_url="https://models.example.org/",
        cpu=2,
        memory=2 * 2**30,
        drain_seconds=0.0,
        ready_seconds=30.0,
        stop_seconds=0.1,
        reconcile_seconds=0.05,
        liveness_seconds=0.3,
        observe_seconds=0.05,
        certifier_silence_seconds=1e9,
    )
    yield World(wiring=wiring, clock=clock, hub=hub, settings=settings, token_key=key)
    await wiring.store.close()


@pytest.fixture
async def world(idle_world: World) -> AsyncIterator[World]:
    async with idle_world.deployer():
        yield idle_world
