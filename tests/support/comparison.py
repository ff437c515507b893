"""The audit log against the stores of those who said it: what `metadata` keeps must be what was said."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

import asyncpg

from tests.support.platforms import SERVICES


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Raw bytes by producer position, for each producer: as said, and as kept."""

    said: dict[str, list[tuple[int, bytes]]]
    kept: dict[str, list[tuple[int, bytes]]]
    audit_positions: list[int]

    @property
    def missing(self) -> dict[str, int]:
        """By producer, how many events have been said and are not kept yet."""
        counts = {name: len(self.said[name]) - len(self.kept[name]) for name in self.said}
        return {name: count for name, count in counts.items() if count}

    @property
    def differing(self) -> dict[str, list[str]]:
        """By producer, the types of what was said and is not kept, or is kept and not known to who said it."""
        found: dict[str, list[str]] = {}
        for name in self.said:
            said, kept = ({raw for _, raw in events} for events in (self.said[name], self.kept[name]))
            if differing := said ^ kept:
                found[name] = sorted(json.loads(raw)["type"] for raw in differing)
        return found

    def assert_complete(self) -> None:
        for producer, said in self.said.items():
            assert [position for position, _ in said] == list(range(1, len(said) + 1)), (
                f"{producer} has a gap"
            )
            assert self.kept[producer] == said, f"what {producer} said is not what was kept"
        assert self.audit_positions == list(range(1, len(self.audit_positions) + 1))
        assert sum(map(len, self.said.values())) == len(self.audit_positions)


async def compare(database_url: str) -> Comparison:
    """All as of one moment: what is said and kept between two looks would be kept, and never said."""
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await _compared(connection)
    finally:
        await connection.close()


async def _compared(connection: asyncpg.Connection) -> Comparison:
    said: dict[str, list[tuple[int, bytes]]] = {}
    for producer in SERVICES:
        rows = await connection.fetch(f"SELECT position, raw FROM {producer}.events ORDER BY position")  # noqa: S608
        said[producer] = [(row["position"], row["raw"]) for row in rows]
    kept: dict[str, list[tuple[int, bytes]]] = {producer: [] for producer in SERVICES}
    began = {
        f"{row['producer']}@{row['epoch']}": row["began_after"]
        for row in await connection.fetch("SELECT producer, epoch, began_after FROM metadata.audit_epochs")
    }
    rows = await connection.fetch(
        "SELECT position, stream, version, raw FROM metadata.audit ORDER BY position"
    )
    for row in rows:
        producer = row["stream"].partition("@")[0]
        kept[producer].append((began[row["stream"]] + row["version"], row["raw"]))
    return Comparison(said=said, kept=kept, audit_positions=[row["position"] for row in rows])


def effects(events: list[dict[str, object]]) -> Counter[tuple[str, str]]:
    """How often each type was said in each operation: what happens once is counted once."""
    return Counter((str(event["correlationid"]), str(event["type"])) for event in events)
