"""Seconds from what speaks against a certificate until the model's callers are told: a drift that is observed, and a
revocation.

On the embedded platform, with a model that serves; the event's own time is when it begins. The worst of a few rounds.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from datetime import datetime
from pathlib import Path

from placet.events.clocks import SystemClock

from benchmarks.rows import Row
from tests.support.eventually import eventually
from tests.support.platforms import Platform, embedded
from tests.system.models import write_project
from tests.system.scenarios import deploy, placet, printed, refusal_of

ROUNDS = 3
AT_MOST = 5
CLOCK = SystemClock()
CONDITION = {"metric": "psi", "max": 0.2, "minSamples": 100, "window": "1h", "action": "suspend"}
FITS = range(200)
UNFIT = {"inputs": [[150.0 + number / 10] for number in range(150)]}


def run() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="placet-bench-") as folder, embedded(Path(folder)) as platform:
        return asyncio.run(_measure(platform, Path(folder)))


async def _measure(platform: Platform, folder: Path) -> list[Row]:
    drifted = [await _drifts(platform, folder / f"d{number}", f"drifts-{number}") for number in range(ROUNDS)]
    revoked = [await _revoked(platform, folder / f"r{number}", f"ends-{number}") for number in range(ROUNDS)]
    return [
        _row("a drift is observed until callers are told", max(drifted)),
        _row("a certificate is revoked until callers are told", max(revoked)),
    ]


async def _drifts(platform: Platform, folder: Path, project: str) -> float:
    await deploy(platform, write_project(folder, project, reference=FITS, monitoring=[CONDITION]))
    async with platform.http() as http:
        (await http.post(f"/models/{project}/predict", json=UNFIT)).raise_for_status()
    await eventually(lambda: refusal_of(platform, project), within=60)
    told = CLOCK.now()
    return (told - await _said(platform, project, "placet.deployer.model.observed.*")).total_seconds()


async def _revoked(platform: Platform, folder: Path, project: str) -> float:
    live = await deploy(platform, write_project(folder, project))
    words = ("certificate", "revoke", str(live.certificate), "--reason", "it is measured")
    asked = asyncio.create_task(placet(platform, *words))
    await eventually(lambda: refusal_of(platform, project), within=60)
    told = CLOCK.now()
    await asked
    return (told - await _said(platform, project, "placet.gateway.revocation.requested.*")).total_seconds()


async def _said(platform: Platform, project: str, kind: str) -> datetime:
    """When the last such event was said."""
    lines = (await printed(platform, "events", "--project", project, "--type", kind)).splitlines()
    return datetime.fromisoformat(json.loads(lines[-1])["time"])


def _row(name: str, value: float) -> Row:
    return {
        "name": f"standing: {name}",
        "value": round(value, 2),
        "unit": "s",
        "goal": f"≤ {AT_MOST}",
        "met": value <= AT_MOST,
    }
