"""Fixtures of the event library's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from placet.events.testing import ManualClock
from placet.events.wiring import Wiring

from tests.unit.events.harness import ScriptedBus, open_wiring


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def bus() -> ScriptedBus:
    return ScriptedBus()


@pytest.fixture
async def wiring(tmp_path: Path, bus: ScriptedBus, clock: ManualClock) -> AsyncIterator[Wiring]:
    opened = await open_wiring(tmp_path / "tester.db", clock=clock, bus=bus)
    yield opened
    await opened.store.close()
