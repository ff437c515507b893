"""The audit log itself comes back from a copy that somebody kept: the same entries at the same positions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from placet.events.adapters.in_process_bus import InProcessHub
from placet.events.contracts.gateway import TokenRevoked
from placet.events.restoring import AsOf, Restoration
from placet.events.wiring import Wiring
from placet.metadata.bootstrap import build
from placet.metadata.projections import AUDIT, TABLES
from placet.metadata.settings import MetadataSettings

from tests.unit.metadata.logs import Metadata, a_log

LINES = {"Accept": "application/jsonl"}


async def test_a_copy_of_the_log_is_the_log_again(tmp_path: Path) -> None:
    async with a_log(tmp_path / "lost") as lost:
        await lost.keep_all([TokenRevoked(token=f"token-{number}") for number in range(7)])
        copy = await read(lost)

    clock = AsOf(lost.alone.clock)
    wiring = await Wiring.embedded(
        "metadata",
        data=tmp_path / "restored",
        hub=InProcessHub(),
        tables=(TABLES,),
        logs=(AUDIT,),
        clock=clock,
        is_kept=False,
    )
    chosen = MetadataSettings(
        token_keys=lost.folder / "tokens.json", signing_key=lost.folder / "checkpoints.pem"
    )

    async def lines() -> AsyncIterator[bytes]:
        for line in copy.splitlines():
            yield line

    service = await build(chosen, wiring)
    await Restoration(service, wiring.store, clock).run(lines())  # type: ignore[arg-type]
    lost.alone.service = service
    assert await read(lost) == copy
    await wiring.store.close()


async def read(metadata: Metadata) -> bytes:
    async with metadata.alone.http(metadata.token()) as http:
        answer: httpx.Response = await http.get("/v1/audit/entries", headers=LINES)
    assert answer.status_code == 200
    return answer.content
