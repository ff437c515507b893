"""Seconds from `deploy` to the first answer, split by step: cold, again, and with one changed line.

On the embedded platform with the multiclass example. Cold means an empty platform (no layers, no image); the
downloads' own speed is the package cache's or the network's. The measure for a warm start is the model server
alone: the same image's layers, started by hand, until it is ready.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from placet.client import Client, Connection, Operation
from placet.projects import pack

from tests.support.eventually import eventually
from tests.support.platforms import ROOT, Platform, embedded

EXAMPLE = ROOT / "examples" / "multiclass"
ROUNDS = 5

Row = dict[str, Any]


def run() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="placet-bench-") as folder, embedded(Path(folder)) as platform:
        return asyncio.run(_measure(platform, Path(folder)))


async def _measure(platform: Platform, folder: Path) -> list[Row]:
    project = folder / "project"
    shutil.copytree(EXAMPLE, project)
    cold, first = await _deploy(platform, project)
    again = sorted([await _deploy(platform, project) for _ in range(ROUNDS)], key=lambda each: each[0])
    warm, second = again[ROUNDS // 2]
    (project / "README.md").open("a").write("\nOne line more.\n")
    changed, third = await _deploy(platform, project)
    load = await load_alone(folder)
    return [
        _row("deploy to first answer, cold", cold, "s", goal="≤ 60", met=cold <= 60),
        *_steps("cold", first),
        _row(
            "deploy to first answer, same source again",
            warm,
            "s",
            goal=f"≤ {load + 2:.2f}",
            met=warm <= load + 2,
        ),
        *_steps("same source again", second),
        _row("deploy to first answer, one changed line", changed, "s"),
        *_steps("one changed line", third),
        _row("the model server alone until ready", load, "s"),
    ]


async def _deploy(platform: Platform, project: Path) -> tuple[float, Operation]:
    """Pack, upload, deploy, ask: as `placet deploy` and one `curl` do."""
    request = json.loads((project / "sample.json").read_text())["request"]
    began = time.perf_counter()
    archive = project.with_suffix(".tar")
    packed = pack(project, archive)
    async with Client(Connection(url=platform.url, token=platform.token)) as client:
        if not await client.has_source(packed.digest):
            await client.upload(archive, packed.digest)
        asked = await client.command("deploy", digest=packed.digest)
        assert asked.operation is not None  # noqa: S101 - the platform always names it
        ended = await client.finish(asked.operation)
    if ended.state != "live":
        raise RuntimeError(f"the deploy ended {ended.state}: {ended.refusals}")
    async with platform.http() as http:
        (await http.post(f"/models/{ended.project}/predict", json=request)).raise_for_status()
    return time.perf_counter() - began, ended


async def load_alone(folder: Path) -> float:
    """The unpacked image that the deployer runs, started once more by itself: median of a few starts."""
    # Whole trees, not single layers; there are two, which differ in a line of README.
    whole = ("deps", "serving/placet/runtime", "project", "placet.json")
    trees = {path.parent for path in (folder / "data").rglob("app/placet.json")}
    root = min(tree for tree in trees if all((tree / part).exists() for part in whole))
    seconds = []
    for _ in range(ROUNDS):
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            listening.set_inheritable(True)
            began = time.perf_counter()
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *(
                    "-S",
                    "-s",
                    "-P",
                    "-m",
                    "placet.runtime",
                    "--root",
                    str(root),
                    "--fd",
                    str(listening.fileno()),
                ),
                pass_fds=(listening.fileno(),),
                env={
                    "PYTHONPATH": f"{root}/serving:{root}/deps",
                    "PATH": "/usr/bin:/bin",
                    "PLACET_ACCESS": "public",
                },
            )
            ready = asyncio.ensure_future(_until_ready(listening.getsockname()[1]))
            ended = asyncio.ensure_future(process.wait())
            await asyncio.wait((ready, ended), return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                ready.cancel()
                raise RuntimeError(f"the model server ended with status {ended.result()} before it was ready")
            await ready
            seconds.append(time.perf_counter() - began)
            process.terminate()
            await ended
    return sorted(seconds)[len(seconds) // 2]


async def _until_ready(port: int) -> None:
    """The socket listens from the start, so the first request waits until the server takes it."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as http:

        async def is_ready() -> bool:
            return (await http.get("/v2/health/ready")).status_code == 200

        await eventually(is_ready, within=60, every=0.005)


def _steps(what: str, operation: Operation) -> list[Row]:
    return [
        _row(f"{what}: {step.name}", step.seconds or 0.0, "s") for step in operation.steps if step.seconds
    ]


def _row(name: str, value: float, unit: str, *, goal: str | None = None, met: bool | None = None) -> Row:
    return {"name": name, "value": round(value, 3), "unit": unit, "goal": goal, "met": met}
