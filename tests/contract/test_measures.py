"""What services tell of themselves, asked of the databases that they really have: a query that one of them refuses
would be a gap in every graph."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from placet.deployer import projections as of_deployer
from placet.deployer.measures import measures as deployer_measures
from placet.deployer.placements import Placements
from placet.deployer.room import Amount
from placet.events.adapters.postgresql_store import open_postgresql_store
from placet.events.adapters.sql_store import SqlStore
from placet.events.adapters.sqlite_store import open_sqlite_store
from placet.events.codec import Codec, timestamp
from placet.events.contracts import CATALOG
from placet.events.metrics import Measure
from placet.events.store import EVENTS, Put, Unit
from placet.events.tables import LIBRARY
from placet.events.testing import CountingIds, ManualClock
from placet.events.wiring import Wiring
from placet.gateway import projections as of_gateway
from placet.gateway.measures import measures as gateway_measures
from placet.metadata import projections as of_metadata
from placet.metadata.measures import measures as metadata_measures

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Opened = Callable[[str, sa.MetaData, Iterable[str]], Any]


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Opens a service's store, in either database."""

    @asynccontextmanager
    async def opened(service: str, metadata: sa.MetaData, logs: Iterable[str]) -> AsyncIterator[SqlStore]:
        known: dict[str, Any] = {
            "codec": Codec(CATALOG),
            "ids": CountingIds(),
            "tables": (LIBRARY, metadata),
            "logs": (EVENTS, *logs),
        }
        if request.param == "sqlite":
            store: SqlStore = await open_sqlite_store(tmp_path / "service.db", **known)
        else:
            url = request.getfixturevalue("database_url")
            store = await open_postgresql_store(url, schema=service, **known)
        try:
            yield store
        finally:
            await store.close()

    return opened


async def told(measures: Iterable[Measure]) -> dict[str, dict[tuple[str, ...], float]]:
    found = {}
    for measure in measures:
        found[measure.name] = {tuple(labels): float(value) for labels, value in await measure.read()}
        assert all(len(labels) == len(measure.labels) for labels in found[measure.name])
    return found


async def put(store: SqlStore, table: sa.Table, **row: Any) -> None:
    await store.commit(Unit(writes=(Put(table=table, row=row),)))


async def test_the_gateway_tells_of_models_certificates_and_operations(opened: Opened) -> None:
    async with opened("gateway", of_gateway.TABLES, ()) as store:
        measures = list(gateway_measures(store, ManualClock(NOW)))
        empty = await told(measures)
        assert empty["placet_certificates"] == {
            (state,): 0.0 for state in ("valid", "expired", "suspended", "revoked")
        }
        assert empty["placet_operations_under_way"] == {(): 0.0}
        assert empty["placet_operation_silence_seconds"] == {(): 0.0}
        assert empty["placet_serving_certificate_expires_seconds"] == {}

        for number, (days, standing) in enumerate([(1, None), (90, None), (-1, None), (90, "suspended")]):
            await put(
                store,
                of_gateway.certificates,
                certificate=f"c{number}",
                project=f"p{number}",
                release=1,
                image="sha256:1",
                repository="r",
                envelope="{}",
                not_after=timestamp(NOW + timedelta(days=days)),
                lapsing=False,
                standing=standing,
            )
        for number, state in enumerate(["live", "live", "stopped"]):
            await put(
                store,
                of_gateway.models,
                project=f"p{number}",
                state=state,
                certificate=f"c{number}",
                operation=f"o{number}",
                diverged="a replica is away" if number == 0 else None,
            )
        for number, is_over in enumerate([False, True]):
            await put(
                store,
                of_gateway.operations,
                id=f"o{number}",
                project="p",
                is_over=is_over,
                changes=1,
                heard_at=NOW.timestamp() - 60,
                operation=b"{}",
            )
        await put(
            store,
            of_gateway.awaited,
            project="p",
            release=2,
            operation="o",
            state="awaiting",
            awaited=b"{}",
        )
        found = await told(measures)
        assert found["placet_certificates"] == {
            ("valid",): 2.0,
            ("expired",): 1.0,
            ("suspended",): 1.0,
            ("revoked",): 0.0,
        }
        assert found["placet_models"] == {("live",): 2.0, ("stopped",): 1.0}
        assert found["placet_models_diverged"] == {(): 1.0}
        assert found["placet_serving_certificate_expires_seconds"] == {(): 86400.0}
        assert found["placet_operations_under_way"] == {(): 1.0}
        assert found["placet_operation_silence_seconds"] == {(): 60.0}
        assert found["placet_approvals_awaited"] == {(): 1.0}


async def test_the_deployer_tells_of_room_and_of_what_runs(opened: Opened, tmp_path: Path) -> None:
    async with opened("deployer", of_deployer.TABLES, ()) as store:
        placements = Placements(
            reads=store,
            total=Amount(cpu_millis=4000, memory_bytes=2**30, gpus=1),
            reservation=timedelta(seconds=1),
            queue=timedelta(seconds=1),
            has_containers=False,
        )
        measures = list(deployer_measures(placements, ManualClock(NOW), tmp_path))
        empty = await told(measures)
        assert empty["placet_room"][("cpu_millis", "free")] == 4000
        assert empty["placet_replicas"] == {("wanted",): 0.0, ("ready",): 0.0}
        assert empty["placet_certifier_silence_seconds"] == {}
        disk = empty["placet_disk_bytes"]
        assert 0 < disk[("free",)] < disk[("total",)]

        await put(
            store,
            of_deployer.holdings,
            project="p",
            release=1,
            replicas=3,
            ready=2,
            is_live=True,
            is_canary=False,
            is_diverged=True,
        )
        await put(
            store,
            of_deployer.signs_of_life,
            producer="certifier",
            at=timestamp(NOW - timedelta(seconds=30)),
        )
        found = await told(measures)
        assert found["placet_replicas"] == {("wanted",): 3.0, ("ready",): 2.0}
        assert found["placet_certifier_silence_seconds"] == {(): 30.0}
        assert found["placet_room_queue"] == {(): 0.0}


async def test_metadata_tells_of_its_log_and_of_who_hears_it(opened: Opened) -> None:
    async with opened("metadata", of_metadata.TABLES, (of_metadata.AUDIT,)) as store:
        wiring = Wiring.apart("metadata", store, clock=ManualClock(NOW))
        empty = await told(metadata_measures(wiring))
        assert empty["placet_audit_entries"] == {(): 0.0}
        assert empty["placet_audit_checkpoint_age_seconds"] == {(): 0.0}
        assert empty["placet_webhooks"] == {("well",): 0.0, ("failing",): 0.0, ("disabled",): 0.0}

        for number, (failures, why) in enumerate([(0, None), (2, None), (9, "tried for too long")]):
            await put(
                store,
                of_metadata.webhooks,
                webhook=f"w{number}",
                url="https://example.org",
                added_by="person:1",
                added_at=0.0,
                secret="s",
                position=0,
                turn=0,
                failures=failures,
                why=why,
            )
        for name, trouble in (("near", None), ("far", "it did not answer")):
            await put(store, of_metadata.witnesses, name=name, size=0, asked_at=0.0, trouble=trouble)
        found = await told(metadata_measures(wiring))
        assert found["placet_webhooks"] == {("well",): 1.0, ("failing",): 1.0, ("disabled",): 1.0}
        assert found["placet_witness_trouble"] == {("near",): 0.0, ("far",): 1.0}
