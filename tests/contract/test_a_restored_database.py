"""A service whose database was restored is told so by a command, and goes on under the name of a new epoch."""

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


async def begin_epoch(database_url: str, folder: Path) -> tuple[int | None, str]:
    """Exit status and what was said, without a broker and with a key file that holds no key."""
    keys = folder / "token-keys.json"
    keys.write_text("[]")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "placet.metadata", "--begin-epoch"),
        stderr=PIPE,
        env={
            "PATH": os.environ["PATH"],
            "PLACET_AMQP_URL": "amqp://nobody@127.0.0.1:1/",
            "PLACET_DATABASE_URL": database_url,
            "PLACET_TOKEN_KEYS": str(keys),
            "PLACET_SIGNING_KEY": str(folder / "checkpoints.pem"),
        },
    )
    _, told = await process.communicate()
    return process.returncode, told.decode()
