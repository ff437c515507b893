"""Commands that are given through REST, until their models are live: how many a second, how
long each takes, and what of.

    python -m benchmarks platform.commands

Six processes on a broker, a database server and a registry of their own, on one machine, with models that are there at
once (`instant.py`) and an image that is known: what is left is what the platform does for each deploy. People deploy
under new names, each the next as soon as the one before is live, and hear of it by the operation's stream, as `placet
deploy` does; with several replicas of every service they ask one gateway after the other.

The processor time that a deploy takes tells what is scarce next: where all cores are at work, more replicas of anything
take more of it. Memory is what is a process's own (USS), when nobody asked yet and at the most while they do.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path

from placet.client import Client, Connection
from placet.projects import pack

from benchmarks.deploy.projects import deploy
from benchmarks.platform.replicas import ReplicatedPlatform, replicated
from benchmarks.rows import Row, row
from tests.system.models import write_project

REPLICAS = (1, 2, 4)
PEOPLE = 16
COMMANDS = 128
WARM_UP = 16
"""Deploys before those that count."""
LOOK_EVERY = 0.5
"""Seconds between two looks at the memory."""
NAME = "seed"


async def run(commands: int = COMMANDS) -> list[Row]:
    rows: list[Row] = []
    for replicas in REPLICAS:
        with (
            tempfile.TemporaryDirectory(prefix="placet-bench-") as made,
            replicated(Path(made), replicas) as platform,
        ):
            rows += await _measured(platform, replicas, commands)
    return rows


async def _measured(platform: ReplicatedPlatform, replicas: int, commands: int) -> list[Row]:
    what = f"{replicas} {'replica' if replicas == 1 else 'replicas'} of each service"
    idle = platform.memory()
    await deploy(platform.platform, write_project(platform.folder / "projects" / NAME, NAME))
    digest = await _source(platform)
    await _deployed(platform, digest, [f"warm-{number}" for number in range(WARM_UP)])
    before, began = platform.processor_seconds(), time.perf_counter()
    async with _most_memory(platform) as most:
        took = sorted(await _deployed(platform, digest, [f"load-{number}" for number in range(commands)]))
    seconds, after = time.perf_counter() - began, platform.processor_seconds()
    spent = {name: after[name] - before[name] for name in after}
    return [
        row(f"{what}: deploys until live", round(commands / seconds, 2), "/s"),
        row(f"{what}: a deploy until live, the middle", round(took[len(took) // 2], 2), "s"),
        row(f"{what}: a deploy until live, 99 in 100", round(took[len(took) * 99 // 100], 2), "s"),
        row(f"{what}: cores at work", round(sum(spent.values()) / seconds, 2), f"of {os.cpu_count()}"),
        *(
            row(f"{what}: processor time of a deploy, {name}", round(1000 * each / commands, 1), "ms")
            for name, each in sorted(spent.items(), key=lambda one: -one[1])
        ),
        *(row(f"{what}: memory of {name}, idle", round(idle[name] / 1e6, 1), "MB") for name in idle),
        *(
            row(f"{what}: memory of {name}, the most under load", round(most[name] / 1e6, 1), "MB")
            for name in most
        ),
    ]


async def _source(platform: ReplicatedPlatform) -> str:
    """The digest of what was deployed first, whose image is there since."""
    packed = await asyncio.to_thread(pack, platform.folder / "projects" / NAME, platform.folder / "again.tar")
    return packed.digest


async def _deployed(platform: ReplicatedPlatform, digest: str, names: Sequence[str]) -> list[float]:
    """Seconds that each took, by so many people at once. Raises RuntimeError where one did not get live."""
    left, took = deque(names), list[float]()

    async def work(gateway: str) -> None:
        async with Client(Connection(url=gateway, token=platform.platform.token)) as client:
            while left:
                name = left.popleft()
                began = time.perf_counter()
                asked = await client.command("deploy", digest=digest, project=name)
                assert asked.operation is not None  # noqa: S101 - the platform always names it
                ended = await client.finish(asked.operation)
                took.append(time.perf_counter() - began)
                if ended.state != "live":
                    raise RuntimeError(f"the deploy of {name} ended {ended.state}: {ended.refusals}")

    async with asyncio.TaskGroup() as people:
        for _, gateway in zip(range(PEOPLE), cycle(platform.gateways), strict=False):
            people.create_task(work(gateway))
    return took


@asynccontextmanager
async def _most_memory(platform: ReplicatedPlatform) -> AsyncIterator[dict[str, int]]:
    """Filled while it lasts."""
    most = platform.memory()

    async def look() -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            for service, bytes_now in (await asyncio.to_thread(platform.memory)).items():
                most[service] = max(most[service], bytes_now)

    looking = asyncio.create_task(look())
    try:
        yield most
    finally:
        looking.cancel()
