"""How long the server takes for a page of the console, where there is a great deal to show.

    python -m benchmarks console.pages

An embedded platform, first with one model, then the same with 10,000 of them and an audit log of a million events: the
rows of one model that was deployed, and of its events, are copied in its databases while it is stopped, each with a
name and an id of its own, and the platform starts again on them. Each page is asked for by a browser's request with its
cookie, one after the other, over one kept connection; what counts is the time until its last byte came, of which 99 in
100 stay below the number. Pages far into a list are asked for by position, as the page before them links to.
"""

from __future__ import annotations

import gc
import sqlite3
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx

from benchmarks.deploy.projects import deploy
from benchmarks.rows import Row, at_most, row
from tests.support.eventually import eventually
from tests.support.platforms import Platform, embedded_process
from tests.system.models import write_project

MODELS, EVENTS = 10_000, 1_000_000
ASKED = 200
GOAL = 200.0
"""Milliseconds."""
SEED = "seed"
COPIED = ("models", "operations", "releases", "certificates", "observations", "images")
"""Tables of the gateway's that lists of models and of images are made from."""
AT_ONCE = 10_000
ENOUGH = 600
"""Seconds for the log's tree to follow."""


async def run(models: int = MODELS, events: int = EVENTS) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="placet-bench-") as made:
        folder = Path(made)
        with embedded_process(folder) as (platform, _):
            await deploy(platform, write_project(folder / SEED, SEED))
            await _is_watched(platform)
            alone = await _timed(
                platform, {"the models": "/console/models", "a model": f"/console/models/{SEED}"}
            )
        _copy_models(folder / "data" / "log" / "gateway.db", models)
        _copy_events(folder / "data" / "log" / "metadata.db", events)
        with embedded_process(folder) as (platform, _):
            await _has_followed(platform, events)
            took = await _timed(platform, _pages(models, events))
    rows = [row(f"console, {name}, one model, 99 in 100", each, "ms") for name, each in alone.items()]
    what = f"{models:,} models and {events:,} events, 99 in 100"
    return [
        *rows,
        *(at_most(f"console, {name}, {what}", each, "ms", goal=GOAL) for name, each in took.items()),
    ]


def _pages(models: int, events: int) -> dict[str, str]:
    return {
        "the models": "/console/models",
        "the models, from the middle": f"/console/models?after={_name(models // 2)}",
        "the models, searched": f"/console/models?search={_name(models - 1)[-4:]}",
        "the models, none found": "/console/models?search=none-such",
        "a model": f"/console/models/{SEED}",
        "a model's timeline": f"/console/models/{SEED}/timeline",
        "a model's timeline, from the middle": f"/console/models/{SEED}/timeline?before={events // 2}",
        "a model's releases": f"/console/models/{SEED}/releases",
        "a model's lineage": f"/console/models/{SEED}/lineage",
        "the log": "/console/audit",
        "the log, from the middle": f"/console/audit?before={events // 2}",
        "the log, of a kind": "/console/audit?type=placet.certifier.*",
        "what was so, of a model": f"/console/audit/then?project={_name(7)}",
        "what was so, at a time": f"/console/audit/then?position={events // 2}",
        "why it was allowed": f"/console/audit/why?project={_name(7)}",
        "what waits": "/console/governance",
        "the policies": "/console/governance/policies",
        "the services": "/console/platform",
        "the images": "/console/deploy?from=image",
        "the images, of a project": f"/console/deploy?from=image&project={_name(7)}",
        "the registry": "/console/platform/registry",
    }


def _name(number: int) -> str:
    return f"model-{number:05d}"


async def _timed(platform: Platform, pages: Mapping[str, str]) -> dict[str, float]:
    """Milliseconds, by page; the first three are for warmth alone."""
    took: dict[str, float] = {}
    # The asker's own collections of all that the suites' support imports would count as the server's time.
    gc.collect()
    gc.freeze()
    async with httpx.AsyncClient(base_url=platform.url, timeout=60, trust_env=False) as http:
        answer = await http.post(
            "/console/sign-in", data={"token": platform.token}, headers={"Sec-Fetch-Site": "same-origin"}
        )
        assert "set-cookie" in answer.headers  # noqa: S101 - else nothing below is a page
        for name, path in pages.items():
            seconds = []
            for number in range(ASKED + 3):
                began = perf_counter()
                answer = await http.get(path)
                if number >= 3:
                    seconds.append(perf_counter() - began)
                answer.raise_for_status()
                assert answer.status_code == 200  # noqa: S101 - no way to the sign-in page
            took[name] = round(statistics.quantiles(seconds, n=100)[98] * 1000, 1)
    return took


def _copy_models(database: Path, models: int) -> None:
    with sqlite3.connect(database) as connection:
        ids = connection.execute("SELECT operation, certificate FROM models").fetchone()
        for table in COPIED:
            _multiply(connection, table, models, ids)
    connection.close()


def _copy_events(database: Path, events: int) -> None:
    """As if the deployer had said them all in an earlier epoch: that each model was started, and what it was asked from
    then on; half of it is about the model that is there."""
    with sqlite3.connect(database) as connection:
        (head,) = connection.execute("SELECT position FROM log_heads WHERE log = 'audit'").fetchone()
        started, observed = (
            connection.execute(
                "SELECT a.id, a.raw, i.generation, i.type, i.time FROM audit a JOIN audit_indexed i"
                " ON a.position = i.position WHERE i.project = ? AND i.type LIKE ?",
                (SEED, f"%.{kind}.%"),
            ).fetchone()
            for kind in ("model.started", "model.observed")
        )
        connection.execute("INSERT INTO audit_epochs VALUES ('deployer', 'e1', 0)")
        for rows in _events(started, observed, head=head, events=events):
            connection.executemany("INSERT INTO audit VALUES (?, ?, ?, ?, ?)", [each[:5] for each in rows])
            connection.executemany(
                "INSERT INTO audit_indexed VALUES (?, ?, ?, ?, ?)", [each[5:] for each in rows]
            )
        connection.execute("UPDATE log_heads SET position = ? WHERE log = 'audit'", (head + events,))
        connection.execute("UPDATE projection_generations SET position = ?", (head + events,))
    connection.close()


def _events(
    started: tuple[Any, ...], observed: tuple[Any, ...], *, head: int, events: int
) -> Iterator[list[tuple[object, ...]]]:
    rows: list[tuple[object, ...]] = []
    for number in range(1, events + 1):
        project = SEED if number % 2 else _name(number // 2 % MODELS)
        is_first = number // 2 <= MODELS and not number % 2
        id, raw, generation, type, time = started if is_first else observed
        own = f"{id[:-12]}{number:012x}"
        said = raw.replace(id.encode(), own.encode()).replace(SEED.encode(), project.encode())
        position = head + number
        rows.append((position, own, "deployer@e1", number, said, generation, position, type, project, time))
        if len(rows) == AT_ONCE or number == events:
            yield rows
            rows = []


def _multiply(connection: sqlite3.Connection, table: str, count: int, ids: Sequence[str]) -> None:
    """The rows of the model that is there, `count` times, with other names and ids."""
    for seed in connection.execute(f"SELECT * FROM {table} WHERE project = ?", (SEED,)).fetchall():  # noqa: S608
        places = ", ".join("?" for _ in seed)
        connection.executemany(
            f"INSERT INTO {table} VALUES ({places})",  # noqa: S608 - names of ours
            ([_other(value, ids, number) for value in seed] for number in range(1, count)),
        )


def _other(value: object, ids: Sequence[str], number: int) -> object:
    if isinstance(value, bytes):
        return str(_other(value.decode(), ids, number)).encode()
    if not isinstance(value, str):
        return value
    for id in ids:
        value = value.replace(id, f"{id[:-12]}{number:012x}")
    return value.replace(SEED, _name(number))


async def _is_watched(platform: Platform) -> None:
    """Until a window was observed, so that cards have numbers."""

    async def is_it() -> bool:
        async with httpx.AsyncClient(base_url=platform.url, trust_env=False) as http:
            await http.post(f"/models/{SEED}/predict", json={"inputs": [[1.0]]})
            answer = await http.get(f"/v1/models/{SEED}", headers=platform.authorized())
        return bool(answer.json()["windows"])

    await eventually(is_it, within=60, every=0.2)


async def _has_followed(platform: Platform, events: int) -> None:
    """Until the tree over the log has, so that nothing else is measured with the pages."""
    headers = platform.authorized()

    async def does() -> bool:
        async with httpx.AsyncClient(base_url=platform.url, headers=headers, trust_env=False) as http:
            answer = await http.get("/v1/audit/checkpoint")
        return answer.status_code == 200 and int(answer.text.splitlines()[1]) >= events

    await eventually(does, within=ENOUGH, every=0.5)
