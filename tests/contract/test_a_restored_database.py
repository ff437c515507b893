"""What an operator does by a command: a service is told that its database was restored, is to be, or shows anew."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from placet.events.store import EVENTS
from placet.events.wiring import open_distributed_store
from placet.metadata.projections import AUDIT

from tests.unit.gateway.roads import asked
from tests.unit.metadata.logs import a_log


async def test_every_log_of_the_service_begins_an_epoch(database_url: str, tmp_path: Path) -> None:
    store = await open_distributed_store("metadata", database_url, logs=(AUDIT,))
    before = [await store.head(log) for log in (EVENTS, AUDIT)]

    status, told = await begin_epoch(database_url, tmp_path)

    after = [await store.epochs(log) for log in (EVENTS, AUDIT)]
    await store.close()
    assert status == 0
    assert [epochs[0] for epochs in after] == before
    assert [len(epochs) for epochs in after] == [2, 2]
    assert all(epochs[1].epoch in told for epochs in after)


async def test_a_database_that_is_away_is_told(tmp_path: Path) -> None:
    status, told = await begin_epoch("postgresql://nobody@127.0.0.1:1/x", tmp_path)
    assert status == 1
    assert told.startswith("the database is away")
    assert "Traceback" not in told


async def test_its_read_models_are_made_anew_on_demand(database_url: str, tmp_path: Path) -> None:
    status, told = await run(database_url, tmp_path, "--rebuild")
    assert status == 0, told
    assert "metadata: audit index is made anew" in told


async def test_nothing_is_restored_from_what_is_no_log(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("no log\n")
    status, told = await run(database_url, tmp_path, "--restore", str(tmp_path / "log"))
    assert status == 2
    assert "is no entry of an audit log" in told
    assert "Traceback" not in told
    status, told = await run(database_url, tmp_path)
    assert status == 2, "a service does not start on half of it"
    assert "go on with it: `placet audit restore metadata`" in told
    assert "python -m placet.metadata --restore FILE" in told


async def test_what_is_piped_in_counts_once_it_is_said_to_be_verified(
    database_url: str, tmp_path: Path
) -> None:
    """Whoever verifies it may be killed behind the last event, and before he knows whether it was ever signed."""
    (tmp_path / "log").mkdir()
    async with a_log(tmp_path / "log") as log:
        await log.keep(log.heard(asked(), 1))
        async with log.alone.http(log.token()) as http:
            jsonl = {"Accept": "application/jsonl"}
            lines = (await http.get("/v1/audit/entries", headers=jsonl)).content
    restore = ("--restore", "-", "--until", "1")
    status, told = await run(database_url, tmp_path, *restore, given=lines)
    assert (status, "nobody has said that the audit log" in told) == (1, True), told
    status, told = await run(database_url, tmp_path, *restore, given=lines + b"\n")
    assert (status, "metadata: restored" in told) == (0, True), told


async def begin_epoch(database_url: str, folder: Path) -> tuple[int | None, str]:
    return await run(database_url, folder, "--begin-epoch")


async def run(
    database_url: str, folder: Path, *typed: str, given: bytes | None = None
) -> tuple[int | None, str]:
    """Exit status and what was said, without a broker and with a key file that holds no key."""
    keys = folder / "token-keys.json"
    keys.write_text("[]")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "placet.metadata", *typed),
        stdin=PIPE,
        stderr=PIPE,
        env={
            "PATH": os.environ["PATH"],
            "PLACET_AMQP_URL": "amqp://metadata@127.0.0.1:1/",
            "PLACET_DATABASE_URL": database_url,
            "PLACET_TOKEN_KEYS": str(keys),
            "PLACET_SIGNING_KEY": str(folder / "checkpoints.pem"),
        },
    )
    _, told = await process.communicate(given)
    return process.returncode, told.decode()
