"""What a gateway answers a second for each core that it uses, of what is asked most.

    python -m benchmarks platform.reads

One gateway of the six processes, on PostgreSQL, with a model that was deployed. The load keeps connections busy from a
process of its own, each with the administrator's token, and what counts is the processor time that the gateway
takes: so neither the load nor the database counts for it, and cores that are shared with them do not count against it.
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
        rows = []
        for name, path in paths.items():
            await asyncio.to_thread(_loaded, platform, path, WARM_UP_SECONDS)
            before = platform.processor_seconds()["gateway"]
            seen = await asyncio.to_thread(_loaded, platform, path, seconds)
            used = platform.processor_seconds()["gateway"] - before
            what = f"reads of {name} (GET {path.replace(str(live.operation), '…')})"
            rows += [
                row(f"{what}, for each core of the gateway", round(seen["requests"] / used), "/s", goal=GOAL),
                row(f"{what}, on this machine", round(seen["requests"] / seen["seconds"]), "/s"),
                row(f"{what}, 99 in 100", round(seen["p99"], 1), "ms"),
            ]
    return rows


def _loaded(platform: ReplicatedPlatform, path: str, seconds: float) -> dict[str, Any]:
    """What `load.py` says, as a process of its own."""
    where = urlsplit(platform.gateways[0])
    command = [sys.executable, load.__file__, str(where.hostname), str(where.port), path]
    said = subprocess.run(  # noqa: S603 - a command of ours
        [*command, str(CONNECTIONS), str(seconds), f"Authorization: Bearer {platform.platform.token}"],
        input=b"",
        capture_output=True,
        check=False,
    )
    if said.returncode:
        raise RuntimeError(said.stderr.decode())
    found: dict[str, Any] = json.loads(said.stdout)
    return found
