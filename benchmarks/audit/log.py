"""An audit log of as many events as one likes, and the service that shows it.

It is filled quickly: events with valid canonical bytes, which differ by their ids alone, go into the table by COPY, all
of one producer; the tree over them is grown by the service's own `Sealing`. What nobody asks for here is left out: the
index by type and project only says that it is up to date, and the service hears nobody, since no broker is where it
looks for one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from time import perf_counter

import asyncpg
import httpx
from placet.client.connection import Connection
from placet.events.clocks import SystemClock
from placet.metadata.bootstrap import SERVICE
from placet.metadata.projections import AUDIT, INDEX, stream_of
from placet.trust import own_key, tokens

from benchmarks.audit.append_load import ORIGIN, PRODUCER, Carried, sealing, wired
from tests.support.platforms import Process
from tests.support.servers.local import free_port, poll

AT_ONCE = 20_000
EPOCH = "epoch-1"
COLUMNS = ("position", "id", "stream", "version", "raw")


class Log:
    """In the database at `url`, with its keys in `folder`."""

    def __init__(self, url: str, folder: Path) -> None:
        self.size = 0
        self._url = url
        self._folder = folder
        self._carried = Carried()
        self._key = own_key(folder / "tokens.pem")

    async def grow(self, size: int) -> float:
        """To so many events. Returns the seconds that it took the tree to follow."""
        wiring = await wired(self._url)
        try:
            await self._fill(size)
            started = perf_counter()
            await sealing(wiring, self._folder).catch_up()
            return perf_counter() - started
        finally:
            await wiring.store.close()

    async def _fill(self, size: int) -> None:
        connection = await asyncpg.connect(self._url, server_settings={"search_path": SERVICE})
        try:
            await begin_epoch(connection)
            while self.size < size:
                await self._copy(connection, min(AT_ONCE, size - self.size))
            await show_up_to(connection, size)
            await connection.execute(f"ANALYZE {AUDIT}; ANALYZE audit_tiles")
        finally:
            await connection.close()

    async def _copy(self, connection: asyncpg.Connection[asyncpg.Record], count: int) -> None:
        stream = stream_of(PRODUCER, EPOCH)
        rows = []
        for at in range(self.size + 1, self.size + count + 1):
            id, raw = self._carried.raw()
            rows.append((at, id, stream, at, raw))
        async with connection.transaction():
            await connection.copy_records_to_table(AUDIT, columns=COLUMNS, records=rows)
            await connection.execute(
                "UPDATE log_heads SET position = $1 WHERE log = $2", self.size + count, AUDIT
            )
        self.size += count

    @contextmanager
    def served(self) -> Iterator[Connection]:
        """By a process of its own, `python -m placet.metadata`, until the block ends."""
        port = free_port()
        settings = {
            "DATABASE_URL": self._url,
            "AMQP_URL": f"amqp://{SERVICE}:nobody@127.0.0.1:{free_port()}/",
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": port,
            "LOG_LEVEL": "error",
            "TOKEN_KEYS": self._folder / "tokens.json",
            "LOG_ORIGIN": ORIGIN,
            "SIGNING_KEY": self._folder / "checkpoints.pem",
        }
        process = Process(
            [sys.executable, "-m", f"placet.{SERVICE}"],
            {f"PLACET_{name}": str(value) for name, value in settings.items()},
            self._folder / f"{SERVICE}.log",
        )
        connection = Connection(url=f"http://127.0.0.1:{port}", token=self._token())
        process.start()
        try:
            poll(
                lambda: _answers(connection),
                or_give_up=lambda: None if process.is_running else process.last_words(),
            )
            yield connection
        finally:
            process.stop()

    def _token(self) -> str:
        return tokens.issue(
            id="token-1",
            person="person:00000000-0000-7000-8000-000000000001",
            roles=frozenset({"auditor"}),
            now=SystemClock().now(),
            lifetime=timedelta(days=1),
            key=self._key,
        )


async def begin_epoch(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    await connection.execute(
        "INSERT INTO audit_epochs (producer, epoch, began_after) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING",
        PRODUCER,
        EPOCH,
    )


async def show_up_to(connection: asyncpg.Connection[asyncpg.Record], position: int) -> None:
    """The index of events says that it has all up to there."""
    await connection.execute(
        "INSERT INTO projection_generations (name, generation, version, state, position, beat_at)"
        " VALUES ($1, 1, $2, 'serves', $3, 0)"
        " ON CONFLICT (name, generation) DO UPDATE SET position = $3",
        INDEX.name,
        INDEX.version,
        position,
    )


def _answers(connection: Connection) -> bool:
    try:
        headers = {"Authorization": f"Bearer {connection.token}"}
        url = f"{connection.url}/v1/audit/checkpoint"
        return httpx.get(url, headers=headers, trust_env=False, timeout=60).is_success
    except httpx.HTTPError:
        return False
