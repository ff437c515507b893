"""The embedded platform has what it shows made anew while it runs, and a lost database again while it does not."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from placet.events.mending import read_models

from tests.support.eventually import eventually
from tests.support.platforms import Platform, embedded
from tests.system.models import write_project
from tests.system.scenarios import ask, deploy, is_so, placet, predict

SERVICES = ("gateway", "certifier", "builder", "indexer", "deployer")


@pytest.mark.slow
async def test_it_is_mended_while_it_runs_and_while_it_does_not(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with embedded(tmp_path) as platform:
        assert (await deploy(platform, write_project(tmp_path / "p", "churn"))).state == "live"
        assert (await deploy(platform, write_project(tmp_path / "s", "digits"))).state == "live"
        await ask(platform, "stop", "digits")
        before = await listed(platform)
        for service in SERVICES:
            models = names_of(service)
            assert (await mended(platform, data, "rebuild", service))["changed"] == dict.fromkeys(models, 0)
            emptied = empty(data, service, models)
            assert (await mended(platform, data, "rebuild", service))["changed"] == emptied
        assert (await mended(platform, data, "rebuild", "metadata"))["rebuilt"] is True
        assert await listed(platform) == before
        assert await predict(platform, "churn", 5.0) == pytest.approx(10.0)
        refusal = await refused(platform, tmp_path / "elsewhere", "rebuild", "gateway", status=1)
        assert "elsewhere holds no keys of an audit log" in refusal
        refusal = await refused(platform, data, "restore", "gateway", status=3)
        assert f"another platform is running on {data}" in refusal

    refusal = await refused(platform, data, "rebuild", "gateway", status=3)
    assert platform.url in refusal, "nobody answers there any more"
    refusal = await refused(platform, data, "restore", "builder", status=2)
    assert "the database of builder is not empty" in refusal
    for service in ("certifier", "builder", "indexer", "deployer"):
        for file in (data / "log").glob(f"{service}.db*"):
            file.unlink()
        assert (await mended(platform, data, "restore", service))["restored"] is True

    with embedded(tmp_path) as platform:
        # A platform that has just begun says "starting again" of a model until it runs.
        await eventually(lambda: is_so(lambda: listed(platform), before))
        assert (await deploy(platform, write_project(tmp_path / "n", "churn", weight=3.0))).state == "live"
        assert await predict(platform, "churn", 5.0) == pytest.approx(15.0)
        for service in SERVICES:
            models = names_of(service)
            assert (await mended(platform, data, "rebuild", service))["changed"] == dict.fromkeys(models, 0)


async def listed(platform: Platform) -> Any:
    """Without the models' addresses: each platform here has a port of its own."""
    models = (await placet(platform, "list"))["models"]
    without = [{name: each[name] for name in each if name != "url"} for each in models]
    return without, await placet(platform, "list", "--images")


def names_of(service: str) -> list[str]:
    tables: sa.MetaData = import_module(f"placet.{service}.projections").TABLES
    return [table.name for table in read_models((tables,))]


def empty(data: Path, service: str, tables: list[str]) -> Mapping[str, int]:
    """As somebody who has the file. Returns how many rows are gone."""
    with closing(sqlite3.connect(data / "log" / f"{service}.db", timeout=30)) as connection, connection:
        return {
            table: connection.execute(f"DELETE FROM {table}").rowcount  # noqa: S608 - our own names
            for table in tables
        }


async def mended(platform: Platform, data: Path, verb: str, service: str) -> dict[str, Any]:
    status, output, errors = await audit(platform, verb, service, "--data", str(data), "--json")
    assert status == 0, errors
    told: dict[str, Any] = json.loads(output)
    return told


async def refused(platform: Platform, data: Path, verb: str, service: str, *, status: int) -> str:
    ended, _, errors = await audit(platform, verb, service, "--data", str(data))
    assert ended == status, errors
    return errors


async def audit(platform: Platform, *words: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "placet.cli", "audit", *words),
        env={**os.environ, **platform.environment()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()
