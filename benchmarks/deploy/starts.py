"""From `placet start` to live, as a process and as a container, beside the time that the model itself takes to load.

    python -m benchmarks deploy.starts

The linear model of `benchmarks.runtime`, with scikit-learn, whose image is there already: a start verifies its
certificate, lodges it, asks it its sample, routes it and says so. What the model takes by itself is the same program
with the same environment, begun by hand, until it says that it serves. In each round all three are done once, one
after the other; what counts is the middle of the differences within each round. What was stopped is waited for until
nothing of it is left: what still drains would only have to be led to again.

Containers need a Docker Engine, and a base image made of Debian's packages.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from placet.client import Client, Connection

from benchmarks.builder.beside_docker import our_base
from benchmarks.deploy.projects import deploy, write_linear
from benchmarks.rows import Row, at_most, row
from benchmarks.runtime.models import trained
from tests.deploy.containers_of_models import a_name
from tests.deploy.test_a_platform_that_runs_containers import names, with_containers
from tests.support.eventually import eventually
from tests.support.platforms import Platform, embedded, model_processes
from tests.support.servers import sources

ROUNDS = 9
NAME = "linear"
PROCESS, CONTAINER = "a process", "a container"
MORE = {PROCESS: 0.5, CONTAINER: 1.5}


async def run(rounds: int = ROUNDS) -> list[Row]:
    with (
        sources.REGISTRY.running() as registry,
        sources.DOCKER.running() as engine,
        tempfile.TemporaryDirectory(prefix="placet-bench-") as made,
    ):
        folder = Path(made)
        for each in MORE:
            (folder / each).mkdir()
        project = write_linear(folder / NAME, NAME, next(trained(folder / "models")))
        client = engine.client()
        try:
            with a_name(client) as name:
                docker = await with_containers(
                    engine, registry, our_base(registry.url), name, folder / CONTAINER
                )
                with (
                    embedded(folder / PROCESS) as processes,
                    embedded(folder / CONTAINER, docker) as containers,
                ):
                    here = folder / PROCESS / "data" / "deployer"
                    starts = {
                        PROCESS: _Starts(processes, lambda: _has_ended(here)),
                        CONTAINER: _Starts(containers, lambda: not names(client, name)),
                    }
                    for platform in (processes, containers):
                        await deploy(platform, project)
                    (pid,) = model_processes(here, NAME)
                    begun = _Begun(psutil.Process(pid))
                    seen = [await _round(begun, starts) for _ in range(rounds)]
        finally:
            client.close()
    return _rows([own for own, _ in seen], {each: [took[each] for _, took in seen] for each in MORE})


@dataclass(frozen=True)
class _Starts:
    platform: Platform
    is_gone: Callable[[], bool]
    """Whether nothing is left of the model that was stopped."""


async def _round(begun: _Begun, starts: Mapping[str, _Starts]) -> tuple[float, dict[str, float]]:
    return begun.again(), {name: await _start(each) for name, each in starts.items()}


def _rows(own: Sequence[float], took: dict[str, Sequence[float]]) -> list[Row]:
    rows = [row("a start: the model by itself, until it serves", round(statistics.median(own), 2), "s")]
    for name, seconds in took.items():
        more = statistics.median(each - alone for each, alone in zip(seconds, own, strict=True))
        rows += [
            row(f"a start: {name}, until it is live", round(statistics.median(seconds), 2), "s"),
            at_most(f"a start: {name}, more than the model by itself", round(more, 2), "s", goal=MORE[name]),
        ]
    return rows


def _has_ended(deployer: Path) -> bool:
    """Whether nothing of it is left to be cleared away either."""
    record = json.loads((deployer / "instances" / f"{NAME}-1" / "instance.json").read_text())
    return bool(record["why"])


async def _start(of: _Starts) -> float:
    """Seconds until a client hears that it is live. Raises RuntimeError where it is not."""
    async with Client(Connection(url=of.platform.url, token=of.platform.token)) as client:
        await client.finish(str((await client.command("stop", project=NAME)).operation))
        await eventually(of.is_gone, within=120.0)
        began = time.perf_counter()
        ended = await client.finish(str((await client.command("start", project=NAME)).operation))
        took = time.perf_counter() - began
    if ended.state != "live":
        raise RuntimeError(f"the start of {NAME} ended {ended.state}: {ended.refusals}")
    return took


class _Begun:
    """The program of a model that runs, to be begun once more beside it."""

    def __init__(self, process: psutil.Process) -> None:
        *command, flag, _ = process.cmdline()
        if flag != "--fd":
            raise RuntimeError(f"this is no model's process: {process.cmdline()}")
        self._command = [*command, "--port", "0"]
        self._environment = process.environ()
        self._folder = process.cwd()

    def again(self) -> float:
        """Seconds until it says that it serves."""
        began = time.perf_counter()
        with subprocess.Popen(  # noqa: S603 - a command of ours
            self._command, env=self._environment, cwd=self._folder, stderr=subprocess.PIPE
        ) as process:
            assert process.stderr is not None  # noqa: S101 - it is a pipe
            said = ""
            while said != "serving":
                line = process.stderr.readline()
                if not line:
                    raise RuntimeError(f"the model ended with {process.wait()}")
                said = json.loads(line)["event"]
            took = time.perf_counter() - began
            process.terminate()
        return took
