"""What the way to a model costs, beside the model server alone: the embedded gateway, Caddy, and the edge before it.

    python -m benchmarks deploy.routes

Edge and Caddy are run as they ship; Caddy alone is asked on a second socket, which it has here only. One embedded
platform runs the models, and the others lead to the very same processes: all ways end at one socket, and are asked in
turn, in short rounds, by a process that only makes load. What counts is the middle of the differences, or ratios,
within each round.

- Added p50: one connection, kept, and a model of one multiplication.
- Requests/s: some connections, and a model that takes 5 ms for each row, one after the other.
- A route that changes: somebody asks without a pause. With Caddy, from the call of the router's until the first answer
  of the other target; embedded, from the time that `model.started` bears until the first answer of the new release.
  Both hold one request of the old target, which was under way. No request may fail meanwhile.
- A quarantine, embedded: somebody asks without a pause, and a certificate is revoked. From that call until the first
  request that is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path

import aiohttp
from placet.client import Client, Connection, Operation
from placet.deployer.adapters.caddy_admin import CaddyAdmin
from placet.deployer.ports import Target
from placet.events.clocks import SystemClock
from yarl import URL

from benchmarks.deploy.projects import deploy, write_slow
from benchmarks.rows import Row, at_most, row
from benchmarks.runtime.loads import make_load
from tests.faults.edges import Edges, edges
from tests.support.eventually import eventually
from tests.support.platforms import Platform, embedded
from tests.support.servers.local import free_port, private_directory
from tests.system.models import write_project

ALONE, GATEWAY = "the model server alone", "the embedded gateway"
CADDY, EDGE = "Caddy alone", "the edge and Caddy"
ROUNDS = 21
SECONDS = 0.5
CONNECTIONS = 4
CHANGES = 20
RELEASES = 6
REVOKED = 5
ADDED, KEPT, CHANGED, QUARANTINED = 0.5, 0.9, 50.0, 2000.0
BODY = json.dumps({"inputs": [[1.0]]}).encode()


@dataclass(frozen=True, kw_only=True)
class Way:
    port: int
    path: str


async def run(
    rounds: int = ROUNDS, changes: int = CHANGES, releases: int = RELEASES, revoked: int = REVOKED
) -> list[Row]:
    with (
        tempfile.TemporaryDirectory(prefix="placet-bench-") as made,
        embedded(Path(made)) as platform,
        edges(private_directory("edges")) as edge,
    ):
        folder = Path(made)
        endpoints = {}
        for name, project in (
            ("quick", write_project(folder / "quick", "quick")),
            ("other", write_project(folder / "other", "other", weight=3.0)),
            ("slow", write_slow(folder / "slow", "slow")),
        ):
            await deploy(platform, project)
            endpoints[name] = _endpoint(folder / "data", name)
        router = _started(edge)
        for name, endpoint in endpoints.items():
            await router.route(name, [Target(endpoint=endpoint)], access="public")
        caddy = await _listening_too(edge)
        ways = {
            name: {
                ALONE: Way(port=_port(endpoint), path="/predict"),
                GATEWAY: Way(port=_port(platform.url), path=f"/models/{name}/predict"),
                CADDY: Way(port=caddy, path=f"/models/{name}/predict"),
                EDGE: Way(port=edge.port, path=f"/models/{name}/predict"),
            }
            for name, endpoint in endpoints.items()
        }
        return [
            *_added(await asyncio.to_thread(_in_turn, ways["quick"], 1, rounds)),
            *_kept(await asyncio.to_thread(_in_turn, ways["slow"], CONNECTIONS, rounds)),
            *await _changes_behind_caddy(router, edge, endpoints, changes),
            *await _changes_embedded(platform, folder, releases),
            *await _quarantines(platform, folder, revoked),
        ]


def _endpoint(data: Path, project: str) -> str:
    """Where the process that serves it listens, as the deployer wrote it down."""
    written = [json.loads(each.read_text()) for each in data.glob("deployer/instances/*/instance.json")]
    (endpoint,) = (each["endpoint"] for each in written if each["project"] == project and not each.get("why"))
    return str(endpoint)


def _started(edge: Edges) -> CaddyAdmin:
    edge.lead_to("models-1.sock")
    edge.run_routes("models-1.sock")
    edge.run_edge()
    return CaddyAdmin(edge.admin_url, server="placet")


async def _listening_too(edge: Edges) -> int:
    """A port where the Caddy behind the edge is asked without it."""
    port = free_port()
    listen = f"{edge.admin_url}/config/apps/http/servers/placet/listen"
    async with aiohttp.ClientSession() as http, http.post(listen, json=f"127.0.0.1:{port}") as answer:
        answer.raise_for_status()
    return port


def now() -> float:
    """Seconds since 1970."""
    return SystemClock().now().timestamp()


def _port(url: str) -> int:
    port = URL(url).port
    assert port is not None  # noqa: S101 - http has one
    return port


def _in_turn(ways: Mapping[str, Way], connections: int, rounds: int) -> dict[str, list[dict[str, float]]]:
    """What the load saw on each way, round by round; the first is for warmth alone."""
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        names = list(ways)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            took = make_load(ways[name].port, ways[name].path, [BODY], connections, SECONDS)
            if turn:
                seen[name].append(took)
    return seen


def _added(seen: Mapping[str, Sequence[Mapping[str, float]]]) -> list[Row]:
    p50 = {name: [each["p50"] for each in rounds] for name, rounds in seen.items()}
    rows = [
        row(f"routes, 1 connection: {name}, p50", round(statistics.median(p50[name]), 3), "ms")
        for name in p50
    ]
    for name in (GATEWAY, CADDY, EDGE):
        added = statistics.median(ours - alone for ours, alone in zip(p50[name], p50[ALONE], strict=True))
        rows.append(at_most(f"routes, 1 connection: {name}, p50 added", round(added, 3), "ms", goal=ADDED))
    return rows


def _kept(seen: Mapping[str, Sequence[Mapping[str, float]]]) -> list[Row]:
    what = f"routes, a model of 5 ms, {CONNECTIONS} connections"
    rates = {name: [each["requests"] / each["seconds"] for each in rounds] for name, rounds in seen.items()}
    rows = [row(f"{what}: {name}", round(statistics.median(rates[name]), 1), "requests/s") for name in rates]
    for name in (GATEWAY, CADDY, EDGE):
        kept = statistics.median(ours / alone for ours, alone in zip(rates[name], rates[ALONE], strict=True))
        rows.append(row(f"{what}: {name} / {ALONE}", round(kept, 3), "x", goal=KEPT))
    return rows


async def _changes_behind_caddy(
    router: CaddyAdmin, edge: Edges, endpoints: Mapping[str, str], changes: int
) -> list[Row]:
    took = []
    async with _asked(f"{edge.url}/models/quick/predict") as seen:
        for number in range(changes):
            target, answer = (("other", 3.0), ("quick", 2.0))[number % 2]
            began = now()
            await router.route("quick", [Target(endpoint=endpoints[target])], access="public")
            took.append(await seen.first(answer, after=began) - began)
    return _taken(
        "a change: Caddy, from the router's call to the first answer of the other target", took, CHANGED
    )


async def _changes_embedded(platform: Platform, folder: Path, releases: int) -> list[Row]:
    took = []
    projects = {
        weight: write_project(folder / f"changing-{weight:g}", "changing", weight=weight)
        for weight in (2.0, 3.0)
    }
    await deploy(platform, projects[2.0])
    async with _asked(f"{platform.url}/models/changing/predict") as seen:
        for number in range(releases):
            answer = (3.0, 2.0)[number % 2]
            asked = now()
            live = await deploy(platform, projects[answer])
            first = await seen.first(answer, after=asked)
            took.append(first - await _said_at(platform, live))
    what = "a change: embedded, from `model.started` to the first answer of the new release"
    return _taken(what, took, CHANGED)


async def _quarantines(platform: Platform, folder: Path, revoked: int) -> list[Row]:
    took = []
    project = write_project(folder / "harmful", "harmful")
    async with (
        aiohttp.ClientSession() as http,
        Client(Connection(url=platform.url, token=platform.token)) as client,
    ):
        for _ in range(revoked):
            live = await deploy(platform, project)
            asking = asyncio.create_task(_refused(http, f"{platform.url}/models/harmful/predict"))
            began = now()
            await client.revoke_certificate(str(live.certificate), reason="it harms")
            took.append(await asking - began)
    what = "a quarantine: embedded, from the call that revokes to the first request that is refused"
    return _taken(what, took, QUARANTINED)


async def _refused(http: aiohttp.ClientSession, url: str) -> float:
    """When a request was first refused."""
    while True:
        async with http.post(url, data=BODY, headers={"Content-Type": "application/json"}) as answer:
            if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
                return now()
            answer.raise_for_status()
            await answer.read()


def _taken(what: str, took: Sequence[float], goal: float) -> list[Row]:
    middle, longest = statistics.median(took) * 1000, max(took) * 1000
    return [
        at_most(f"routes, {what}", round(middle, 1), "ms", goal=goal),
        row(f"routes, {what}, the longest", round(longest, 1), "ms"),
    ]


async def _said_at(platform: Platform, live: Operation) -> float:
    """When `model.started` was said of that release, in seconds since 1970, to a millisecond."""

    async def said() -> float | None:
        async with Client(Connection(url=platform.url, token=platform.token)) as client:
            async for event in client.events(project=str(live.project)):
                if ".model.started." in event["type"] and event["data"]["release"] == live.release:
                    return datetime.fromisoformat(event["time"]).timestamp()
        return None

    at = await eventually(said, within=60)
    assert at is not None  # noqa: S101 - `eventually` gives what is true
    return at


class _Seen:
    """When the first answer after each change came."""

    def __init__(self) -> None:
        self._answers: list[tuple[float, float]] = []

    async def ask(self, http: aiohttp.ClientSession, url: str) -> None:
        """Until cancelled, one request after the other."""
        while True:
            async with http.post(url, data=BODY, headers={"Content-Type": "application/json"}) as answer:
                answer.raise_for_status()
                ((value,),) = (await answer.json())["outputs"]
            self._answers.append((now(), value))

    async def first(self, value: float, *, after: float) -> float:
        """When it was answered first since then."""
        find: Callable[[], float | None] = lambda: next(  # noqa: E731
            (at for at, answer in self._answers if at >= after and answer == value), None
        )
        at = await eventually(find, within=60, every=0.005)
        assert at is not None  # noqa: S101 - `eventually` gives what is true
        return at


@asynccontextmanager
async def _asked(url: str) -> AsyncIterator[_Seen]:
    """Without a pause, over one connection; any failed request ends the measurement with its error."""
    seen = _Seen()
    async with aiohttp.ClientSession() as http:
        asking = asyncio.create_task(seen.ask(http, url))
        try:
            yield seen
        finally:
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking
