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
    assert "go on with it: python -m placet.metadata --restore FILE" in told


async def begin_epoch(database_url: str, folder: Path) -> tuple[int | None, str]:
    return await run(database_url, folder, "--begin-epoch")


async def run(database_url: str, folder: Path, *typed: str) -> tuple[int | None, str]:
    """Exit status and what was said, without a broker and with a key file that holds no key."""
    keys = folder / "token-keys.json"
    keys.write_text("[]")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "placet.metadata", *typed),
        stderr=PIPE,
        env={
            "PATH": os.environ["PATH"],
            "PLACET_AMQP_URL": "amqp://metadata@127.0.0.1:1/",
            "PLACET_DATABASE_URL": database_url,
            "PLACET_TOKEN_KEYS": str(keys),
            "PLACET_SIGNING_KEY": str(folder / "checkpoints.pem"),
        },
    )
    _, told = await process.communicate()
    return process.returncode, told.decode()
