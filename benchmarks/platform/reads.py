"""What a gateway answers a second for each core that it uses, of what is asked most.

    python -m benchmarks platform.reads

One gateway of the six processes, on PostgreSQL, with a model that was deployed, asked by a scientist. The load keeps
connections busy from a process of its own, and what counts is the processor time that the gateway takes: so neither the
load nor the database counts for it, and cores that are shared with them do not count against it. Each figure is the
middle one of some rounds, which take turns.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.deploy.projects import deploy
from benchmarks.platform.replicas import ReplicatedPlatform, replicated
from benchmarks.rows import Row, row
from benchmarks.runtime import load
from tests.system.models import write_project

NAME = "read"
CONNECTIONS = 16
SECONDS = 5.0
"""Of a round."""
ROUNDS = 3
WARM_UP_SECONDS = 1.0
GOAL = 2000


async def run(seconds: float = SECONDS) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="placet-bench-") as made, replicated(Path(made), 1) as platform:
        live = await deploy(platform.platform, write_project(platform.folder / "projects" / NAME, NAME))
        paths = {
            "an operation": f"/v1/operations/{live.operation}",
            "a model": f"/v1/models/{NAME}",
            "the models": "/v1/models",
        }
        token = await _scientist(platform)
        for path in paths.values():
            await asyncio.to_thread(_loaded, platform, token, path, WARM_UP_SECONDS)
        rounds = [
            {name: await _round(platform, token, path, seconds) for name, path in paths.items()}
            for _ in range(ROUNDS)
        ]
        rows = []
        for name, path in paths.items():
            for_each_core, here, slowest = (
                sorted(each) for each in zip(*(one[name] for one in rounds), strict=True)
            )
            what = f"reads of {name} (GET {path.replace(str(live.operation), '…')})"
            rows += [
                row(
                    f"{what}, for each core of the gateway",
                    round(for_each_core[ROUNDS // 2]),
                    "/s",
                    goal=GOAL,
                ),
                row(f"{what}, on this machine", round(here[ROUNDS // 2]), "/s"),
                row(f"{what}, 99 in 100", round(slowest[ROUNDS // 2], 1), "ms"),
            ]
    return rows


async def _scientist(platform: ReplicatedPlatform) -> str:
    async with platform.platform.http() as http:
        body = {"as": "grace", "roles": ["scientist"]}
        made = await http.post("/v1/tokens", json=body, headers=platform.platform.authorized())
    token: str = made.raise_for_status().json()["token"]
    return token


async def _round(
    platform: ReplicatedPlatform, token: str, path: str, seconds: float
) -> tuple[float, float, float]:
    """Requests a second, for each core of the gateway and in all, and the milliseconds that 99 of 100 keep to."""
    before = platform.processor_seconds()["gateway"]
    seen = await asyncio.to_thread(_loaded, platform, token, path, seconds)
    used = platform.processor_seconds()["gateway"] - before
    return seen["requests"] / used, seen["requests"] / seen["seconds"], seen["p99"]


def _loaded(platform: ReplicatedPlatform, token: str, path: str, seconds: float) -> dict[str, Any]:
    """What `load.py` says, as a process of its own."""
    where = urlsplit(platform.gateways[0])
    command = [sys.executable, load.__file__, str(where.hostname), str(where.port), path]
    said = subprocess.run(  # noqa: S603 - a command of ours
        [*command, str(CONNECTIONS), str(seconds), f"Authorization: Bearer {token}"],
        input=b"",
        capture_output=True,
        check=False,
    )
    if said.returncode:
        raise RuntimeError(said.stderr.decode())
    found: dict[str, Any] = json.loads(said.stdout)
    return found
