"""Ten minutes of everything at once: services killed and paused, networks cut, disks full, clocks put forward and back,
broker, database and registry gone for a while, and all the time people who deploy, stop, start and delete models.

At its end every command has ended where it should, the audit log holds what each service said and verifies, and nothing
is left over: no process, route, reservation, message or job that belongs to nobody.

`PLACET_SOAK_SECONDS` makes it longer, `PLACET_SOAK_SEED` repeats one: what happens, in which order and for how long, is
drawn from the seed that pytest's first lines print. What it meets there depends on the machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import asyncpg
import httpx
import pytest
from placet.client import Client, Command, Operation
from placet.errors import Unavailable
from placet.projects import pack

from tests.faults.test_operations_survive import answers, settled
from tests.support import chaos
from tests.support.chaos import (
    OF_PROCESSES,
    OF_SURROUNDINGS,
    ChaoticPlatform,
    Fault,
    Kind,
    Server,
    faults,
)
from tests.support.comparison import compare
from tests.support.eventually import eventually
from tests.support.platforms import SERVICES, Platform, distributed, model_processes
from tests.support.servers import CaddyServer, PostgreSQL, RabbitMQ, Registry, sources
from tests.system.models import write_project
from tests.system.scenarios import client_of, placet

PEOPLE = 3
"""Who give commands at once, each about a project of their own."""
PATIENCE = 300.0
"""Seconds for a command to be taken, and for each step that one comes to: a bound for what hangs. As long as something
is done to it, a slow machine may come to no end of a step, so they are counted from when that is over."""
ENDS = ("live", "stopped", "deleted", "failed", "refused", "stalled")

Answer = TypeVar("Answer")


@dataclass
class Told:
    """What was asked for, and what became of it."""

    over: float
    """When nothing is done to the platform any more, as `time.monotonic` counts."""
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    live: dict[str, float] = field(default_factory=dict)
    """By project, what its model multiplies by."""
    happened: list[str] = field(default_factory=list)

    def is_over(self) -> bool:
        return time.monotonic() > self.over


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory,
    rabbitmq: RabbitMQ,
    postgres: PostgreSQL,
    registry: Registry,
    caddy: CaddyServer,
) -> Iterator[ChaoticPlatform]:
    sources.program("faketime")  # whose library the services' clocks are
    if os.geteuid() != 0:
        pytest.skip("only root mounts disks that can be full")
    with distributed(
        tmp_path_factory.mktemp("soak"),
        rabbitmq=rabbitmq,
        postgres=postgres,
        registry=registry,
        caddy=caddy,
        kind=ChaoticPlatform,
    ) as platform:
        assert isinstance(platform, ChaoticPlatform)
        yield platform


@pytest.mark.soak
@pytest.mark.timeout(chaos.SECONDS + 900)
async def test_everything_at_once(
    running: ChaoticPlatform,
    rabbitmq: RabbitMQ,
    postgres: PostgreSQL,
    registry: Registry,
    tmp_path: Path,
) -> None:
    servers = {
        # A broker that is killed keeps halves of queues, for ever, up to RabbitMQ 3.10 (`RabbitMQ.kill`).
        "broker": Server(stop=rabbitmq.stop, start=rabbitmq.start),
        "database": Server(stop=postgres.stop, kill=postgres.kill, start=postgres.start),
        "registry": Server(stop=registry.stop, kill=registry.kill, start=registry.start),
    }
    told = Told(over=time.monotonic() + chaos.SECONDS)
    down: set[str] = set()
    try:
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(keep_running(running, down))
            trouble = [
                tasks.create_task(
                    make_trouble(running, chaos.dice(f"trouble {number}"), servers, kinds, told, down)
                )
                for number, kinds in enumerate((OF_PROCESSES, OF_SURROUNDINGS))
            ]
            people = [
                tasks.create_task(
                    work(
                        running.platform,
                        tmp_path,
                        number,
                        chaos.dice(f"person {number}"),
                        told,
                    )
                )
                for number in range(PEOPLE)
            ]
            await asyncio.wait(trouble)
            await asyncio.wait(people)
            keeping.cancel()
        await nothing_is_wrong(running, told)
        await everything_ends(running, told)
    finally:  # which pytest shows where it fails
        ends = ", ".join(f"{count} {kind} {state}" for (kind, state), count in sorted(told.ended.items()))
        sys.stdout.write(
            f"seed {chaos.seed()}; {ends}; {len(told.happened)} faults:\n" + "\n".join(told.happened) + "\n"
        )


async def everything_ends(running: ChaoticPlatform, told: Told) -> None:
    """While the threads are there that started services again, which end with them."""
    for process in reversed(running.processes.values()):
        await asyncio.to_thread(process.stop)
    everything = running.folder / "deployer"
    left = {project: model_processes(everything, project) for project in told.live}
    assert not any(left.values()), left


async def keep_running(running: ChaoticPlatform, down: set[str]) -> None:
    """As whoever runs services does: one that ended by itself is started again."""
    while True:
        for service in SERVICES:
            if service not in down and not running.processes[service].is_running:
                running.processes[service].start()  # at once: a fault of it may begin meanwhile otherwise
        await asyncio.sleep(0.5)


async def make_trouble(
    running: ChaoticPlatform,
    dice: random.Random,
    servers: Mapping[str, Server],
    kinds: Mapping[str, Kind],
    told: Told,
    down: set[str],
) -> None:
    for fault in faults(running, dice, servers, kinds):
        if told.is_over():
            return
        pause = dice.uniform(0, 4)
        told.happened.append(f"{time.strftime('%H:%M:%S')} {fault.name} for {fault.seconds:.1f} s")
        await happen(fault, down)
        await asyncio.sleep(pause)


async def happen(fault: Fault, down: set[str]) -> None:
    down |= fault.ends
    await asyncio.to_thread(fault.begin)
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        await asyncio.to_thread(fault.end)
        down -= fault.ends


async def work(
    platform: Platform,
    folder: Path,
    number: int,
    dice: random.Random,
    told: Told,
) -> None:
    """One project after the other: deployed, changed, stopped, started, gone back, deleted, or left to serve."""
    turn = 0
    while not told.is_over():
        turn += 1
        project = f"soak-{number}-{turn}"
        weight = float(dice.randint(2, 99))
        if await deploy(platform, folder / f"{project}-a", project, weight, told) != "live":
            continue
        for step in dice.sample(("change", "stop and start", "same again"), k=2):
            if step == "change":
                changed = float(dice.randint(100, 199))
                if await deploy(platform, folder / f"{project}-b", project, changed, told) == "live":
                    weight = changed
            elif step == "same again":
                await deploy(platform, folder / f"{project}-c", project, weight, told)
            else:
                await command(platform, "stop", project, "stopped", told)
                await command(platform, "start", project, "live", told)
            told.live[project] = weight
        if dice.random() < 0.7:
            await command(platform, "delete", project, "deleted", told)
            told.live.pop(project, None)


async def deploy(platform: Platform, folder: Path, project: str, weight: float, told: Told) -> str:
    write_project(folder, project, weight=weight)
    archive = folder.with_suffix(".tar")
    packed = await asyncio.to_thread(pack, folder, archive)

    async def upload(client: Client) -> None:
        if not await client.has_source(packed.digest):
            await client.upload(archive, packed.digest)

    await insist(platform, told, upload)
    state = await ended(platform, told, "deploy", "live", digest=packed.digest)
    if state == "live":
        told.live[project] = weight
    return state


async def command(platform: Platform, kind: Command, project: str, wanted: str, told: Told) -> str:
    return await ended(platform, told, kind, wanted, project=project)


async def ended(
    platform: Platform,
    told: Told,
    kind: Command,
    wanted: str,
    *,
    project: str | None = None,
    digest: str | None = None,
) -> str:
    """Give a command, however often that has to be tried, and see it to its end. The same key is the same command."""
    key = secrets.token_hex(8)
    begun = await insist(
        platform, told, lambda client: client.command(kind, project=project, digest=digest, key=key)
    )
    end = await insist(platform, told, lambda client: client.operation(id_of(begun)))
    while end.state not in ENDS:
        end = await insist(platform, told, partial(goes_on, before=end))
    told.ended[kind, end.state] += 1
    if end.state != wanted:
        told.wrong.append(
            f"{time.strftime('%H:%M:%S')} {kind} of {project or digest} ended {end.state}: {end}"
        )
    return end.state


async def goes_on(client: Client, *, before: Operation) -> Operation:
    """Once it has come further than it was."""
    seen = await client.operation(id_of(before))
    if seen.state == before.state:
        raise Unavailable(f"{seen.command} of {seen.project} is {seen.state}")
    return seen


def id_of(operation: Operation) -> str:
    assert operation.operation is not None
    return operation.operation


async def insist(platform: Platform, told: Told, ask: Callable[[Client], Awaitable[Answer]]) -> Answer:
    """Ask until there is an answer, as who needs one does."""

    async def once() -> list[Answer]:
        try:
            async with client_of(platform) as client:
                return [await ask(client)]
        except (httpx.HTTPError, Unavailable, OSError) as error:
            raise AssertionError(f"not now: {error}") from error

    within = max(0.0, told.over - time.monotonic()) + PATIENCE
    (answer,) = await eventually(once, within=within, every=0.5)
    return answer


async def nothing_is_wrong(running: ChaoticPlatform, told: Told) -> None:
    platform = running.platform
    for service in SERVICES:
        await asyncio.to_thread(running.wait_until_ready, service)
    assert not told.wrong, "\n".join(told.wrong)
    assert told.ended["deploy", "live"] > 0
    comparison = await settled(running)

    for project, weight in told.live.items():
        assert await answers(platform, project) == pytest.approx(3.0 * weight), project
    await eventually(lambda: left_over(running, told), within=120, every=0.5)
    verified = await placet(platform, "audit", "verify", "--anew")
    assert verified["verified"]
    assert verified["size"] >= len(comparison.audit_positions)
    started = Counter[str]()
    for _, raw in comparison.said["gateway"]:
        event = json.loads(raw)
        if event["type"].endswith("requested.v1"):
            started[event["correlationid"]] += 1
    assert max(started.values()) == 1, "a command that was sent again was taken twice"


async def left_over(running: ChaoticPlatform, told: Told) -> bool:
    """Raises for what belongs to nobody; true where there is nothing like it."""
    database = await asyncpg.connect(running.database_url)
    try:
        for service in SERVICES:
            for table in ("inbox", "inbox_strays", "jobs"):
                rows = await database.fetch(f"SELECT * FROM {service}.{table}")  # noqa: S608
                assert not rows, (service, table, rows[0])
        held = await database.fetch("SELECT project, is_live, ready FROM deployer.holdings")
        assert {row["project"] for row in held if row["is_live"]} == told.live.keys()
        assert all(row["is_live"] for row in held), held
    finally:
        await database.close()
    everything = running.folder / "deployer"
    running_now = {project: len(model_processes(everything, project)) for project in told.live}
    assert set(running_now.values()) <= {1}, running_now
    # Of one that was stopped the log stays, of one that was deleted nothing does.
    kept = {path.name: names_in(path) for path in (everything / "instances").iterdir()}
    left = {name: files for name, files in kept.items() if project_of(name) not in told.live}
    assert not left, (left, await said_by_the_deployer(running, {project_of(name) for name in left}))
    async with running.platform.http() as http:
        known = (
            await http.get("/v1/models", headers=running.platform.authorized(), params={"limit": 500})
        ).json()
    states = {each["project"]: each["state"] for each in known["models"]}
    assert {project for project, state in states.items() if state == "live"} == told.live.keys()
    for project, state in states.items():
        if state != "live":
            assert not model_processes(everything, project), (project, state)
    return True


def names_in(folder: Path) -> list[str]:
    """None in one that goes while it is looked into."""
    with suppress(FileNotFoundError):
        return sorted(each.name for each in folder.iterdir())
    return []


def project_of(instance: str) -> str:
    """Of an instance's id, which ends in the release (`ports.instance_id`)."""
    return instance.rpartition("-")[0]


async def said_by_the_deployer(running: ChaoticPlatform, projects: set[str]) -> list[str]:
    """What it decided about them, in order: for who looks for the reason."""
    comparison = await compare(running.database_url)
    events = (json.loads(raw) for _, raw in comparison.said["deployer"])
    return [
        f"{event['time']} {event['type']} {event['data'].get('request')}"
        for event in events
        if event["partitionkey"] in projects and event["subject"].startswith("project/")
    ]
