"""Fifty models on one embedded platform: how long each deploy takes, and how much memory a model does.

    python -m benchmarks deploy.many

The linear model of `benchmarks.runtime`, with scikit-learn, under fifty names, deployed one after the other: that the
last take as long as the first did is the goal. At the end all fifty answer, and each is asked for every row that the
peers are asked for, before its process's memory is read.

The peers serve the same model, each alone; what counts is their largest process. Processes of models have the files of
their libraries in common, and with them the memory that those take: a model's own is what would be free if it ended.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.deploy.projects import MEMORY, deploy, write_linear
from benchmarks.rows import Row, at_most, row
from benchmarks.runtime.model_servers import Running, check, free_ports
from benchmarks.runtime.models import Trained, trained
from benchmarks.runtime.servers import BARE, PLACET, servers
from tests.support.platforms import Platform, embedded, model_processes

MODELS = 50
COUNTED = 10
"""So many are the first, and the last."""
FLAT = 1.2


async def run(models: int = MODELS) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="placet-bench-") as made:
        model = next(trained(Path(made) / "models"))
        rows, ours = await _deployed(model, Path(made), models)
        name, peer = min(
            (await asyncio.to_thread(_peers, model, Path(made) / "peers")).items(), key=lambda each: each[1]
        )
    beside = f"memory of one process, the least peer ({name}) / a model of {models}"
    return [
        *rows,
        row(f"memory of one process, the least peer ({name})", round(peer, 1), "MB"),
        row(beside, round(peer / ours, 2), "x", goal=1.0),
    ]


async def _deployed(model: Trained, folder: Path, models: int) -> tuple[list[Row], float]:
    """With the middle of the models' resident memory, in megabytes."""
    names = [f"linear-{number:02d}" for number in range(models)]
    project = write_linear(folder / "linear", names[0], model)
    room = {"PLACET_MEMORY": str(models * MEMORY), "PLACET_CPU": str(models)}
    seconds = []
    with embedded(folder, room) as platform:
        for name in names:
            began = time.perf_counter()
            await deploy(platform, project, name=name)
            seconds.append(time.perf_counter() - began)
        answering = [await _answers(platform, name, model) for name in names]
        memory = [_memory(folder / "data" / "deployer", name) for name in names]
    resident, own = (statistics.median(each) for each in zip(*memory, strict=True))
    counted = min(COUNTED, models // 2)
    first, last = statistics.median(seconds[:counted]), statistics.median(seconds[-counted:])
    what = f"{models} models deployed in a row"
    rows = [
        row(f"{what}: the first", round(seconds[0], 2), "s"),
        row(f"{what}: the first {counted}, the middle", round(first, 2), "s"),
        row(f"{what}: the last {counted}, the middle", round(last, 2), "s"),
        row(f"{what}: the longest", round(max(seconds), 2), "s"),
        at_most(f"{what}: the last {counted} / the first {counted}", round(last / first, 2), "x", goal=FLAT),
        row(f"{what}: that answer at the end", sum(answering), "models", goal=models),
        row(f"memory of one of {models} models, the middle", round(resident, 1), "MB"),
        row(f"memory of one of {models} models, its own", round(own, 1), "MB"),
    ]
    return rows, resident


async def _answers(platform: Platform, name: str, model: Trained) -> bool:
    """Every row as the model does that was trained."""
    async with platform.http() as http:
        for asked, answer in zip(model.rows, model.answers, strict=True):
            said = await http.post(f"/models/{name}/predict", json={"inputs": [asked]})
            if said.status_code != 200 or said.json()["outputs"] != [answer]:
                return False
    return True


def _memory(deployer: Path, name: str) -> tuple[float, float]:
    """Resident, and its own, of the process that serves it, in megabytes."""
    return max(_megabytes(psutil.Process(each)) for each in model_processes(deployer, name))


def _megabytes(process: psutil.Process) -> tuple[float, float]:
    memory = process.memory_full_info()
    return memory.rss / 1e6, memory.uss / 1e6


def _peers(model: Trained, folder: Path) -> dict[str, float]:
    """Resident megabytes by name, after they were asked for every row."""
    found = {}
    for server in servers(model, folder, iter(free_ports(16))):
        if server.name not in (PLACET, BARE):
            with Running(server) as process:
                check(server, model)
                found[server.name] = process.memory()
    return found
