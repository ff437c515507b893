"""A gateway that lost its database shows what it showed, but for the words of people."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from placet.errors import Unauthenticated
from placet.events import Actor, Context, Service, UnitOfWork, transact
from placet.events.adapters.in_process_bus import InProcessHub
from placet.events.contracts.gateway import AssessmentAnswered, PersonErased
from placet.events.jobs import JobRunner
from placet.events.restoring import AsOf, Restoration
from placet.events.store import Put, Unit
from placet.events.tables import jobs
from placet.events.testing import ManualClock
from placet.events.wiring import Wiring
from placet.gateway import projections as p
from placet.gateway.bootstrap import build
from placet.gateway.people import People
from placet.gateway.ports import Ports
from placet.gateway.settings import GatewaySettings

from tests.support.eventually import eventually
from tests.unit.gateway.harness import MAX_SOURCE, Gateway, live
from tests.unit.gateway.test_erasing import NAME, erase, erased, token_for
from tests.unit.gateway.test_exceptions_api import asked as asked_exception
from tests.unit.gateway.test_exceptions_api import post
from tests.unit.gateway.test_gateway_api import MANIFEST
from tests.unit.gateway.test_policies_api import submit
from tests.unit.gateway.test_uploads import form

FILES = {"placet.yaml": MANIFEST.replace(b"governance: {", b"governance: {builders: [Grace@example.org], ")}
SHOWN = (
    p.models,
    p.takedowns,
    p.releases,
    p.lives,
    p.images,
    p.histories,
    p.certificates,
    p.exceptions,
    p.asked_exceptions,
    p.revoked_tokens,
    p.policies,
    p.senders,
    p.made_teams,
    p.sharing.members,
    p.sharing.roles,
    p.sharing.private,
)


async def much_was_asked_for(gateway: Gateway) -> str:
    """And came to something. Returns the operation of a deploy."""
    async with gateway.http() as http:
        assert (await http.post("/v1/sources", files=form(FILES))).status_code == 201
        other = (await http.post("/v1/tokens", json={"as": "Eve", "roles": ["scientist"]})).json()
        assert (await http.delete(f"/v1/tokens/{other['id']}")).status_code == 204
    operation = await live(gateway)
    granted, withdrawn = (
        await asked_exception(gateway),
        await asked_exception(gateway, rule="licences.allowed"),
    )
    async with gateway.http() as http:
        shared = [
            ("PUT", "/v1/teams/fraud", {"members": ["Eve"]}),
            ("PUT", "/v1/teams/gone", {}),
            ("DELETE", "/v1/teams/gone", None),
            ("PUT", "/v1/models/wine/members", {"to": "Eve", "role": "owner"}),
            ("PUT", "/v1/models/wine/members", {"to": "team:fraud", "role": "owner"}),
            ("DELETE", f"/v1/models/wine/members/{other['person']}", None),
            ("PUT", "/v1/models/wine/private", None),
        ]
        for method, path, body in shared:
            assert (await http.request(method, path, json=body)).is_success, path
    gateway.clock.pass_(timedelta(minutes=1))
    assert (await post(gateway, granted, "grant")).status_code == 200
    assert (await post(gateway, withdrawn, "withdraw")).status_code == 200
    assert (await submit(gateway)).status_code == 202
    return operation


async def test_what_was_asked_for_and_what_came_of_it(gateway: Gateway, tmp_path: Path) -> None:
    operation = await much_was_asked_for(gateway)

    restored = await restore(gateway, tmp_path / "restored")

    for table in SHOWN:
        assert await rows(restored, table) == await rows(gateway.wiring, table), table.name
    # Another gateway tells names apart by a key of its own.
    (built,) = await rows(restored, p.builders)
    assert built.alike == await People(restored.store).looks("grace@example.org")
    assert built.alike != (await rows(gateway.wiring, p.builders))[0].alike
    (before,) = await rows(gateway.wiring, p.operations, operation)
    (after,) = await rows(restored, p.operations, operation)
    assert p.read_operation(after).state == "live"
    assert p.read_operation(after) == p.read_operation(before)
    for words in (p.people, p.reasons, p.idempotency):
        assert await rows(restored, words) == []
    await restored.store.close()


async def rows(wiring: Wiring, table: sa.Table, operation: str | None = None) -> Sequence[Any]:
    query = sa.select(table).order_by(*table.primary_key)
    return await wiring.store.rows(
        query if operation is None else query.where(p.operations.c.id == operation)
    )


async def restore(gateway: Gateway, folder: Path) -> Wiring:
    return (await restored_service(gateway, folder))[0]


async def restored_service(gateway: Gateway, folder: Path) -> tuple[Wiring, Service]:
    """Another gateway, on an empty database, from what the audit log has of this one."""
    clock = AsOf(ManualClock(gateway.clock.now()))
    wiring = await Wiring.embedded(
        "gateway", data=folder, hub=InProcessHub(), tables=(p.TABLES,), clock=clock, is_kept=False
    )
    service = await another(gateway, folder, wiring)
    await Restoration(service, wiring.store, clock).run(lines(gateway))  # type: ignore[arg-type]
    return wiring, service


@asynccontextmanager
async def running(runner: JobRunner) -> AsyncIterator[None]:
    task = asyncio.create_task(runner.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def an_answer(*, by: str, answers: str) -> AssessmentAnswered:
    digest = f"sha256:{'5' * 64}"
    return AssessmentAnswered(
        assessment="assessment:1",
        project="churn",
        source=digest,
        purpose=digest,
        data=digest,
        questionnaire="small",
        version="1",
        digest=digest,
        answers=answers,
        answered_by=by,
    )


async def say(gateway: Gateway, payload: Any) -> None:
    context = Context(project="churn", correlation="1", actor=Actor.service("gateway"))

    async def change(work: UnitOfWork) -> None:
        work.report("assessment/1", payload)

    await transact(gateway.wiring, "gateway", context, change)


async def another(gateway: Gateway, folder: Path, wiring: Wiring) -> Service:
    """On a database of its own, beside the same registry."""
    settings = GatewaySettings(
        registry=str(folder / "registry"),
        token_key=gateway.folder / "tokens.pem",
        admin_token_file=gateway.folder / "admin.token",
        max_source_bytes=MAX_SOURCE,
    )
    ports = Ports(
        sources=gateway.sources,
        repositories=None,  # type: ignore[arg-type]
        packing=None,  # type: ignore[arg-type]
        rules=None,  # type: ignore[arg-type]
        policies=gateway.policies,
        facts=gateway.facts,
        snapshots=gateway.snapshots,
        assessments=gateway.assessments,
        envelopes=gateway.envelopes,
        images=gateway.images,
    )
    return await build(settings, wiring, ports)


async def lines(gateway: Gateway) -> AsyncIterator[bytes]:
    """In the order in which it was said: ids are in the order of time."""
    epoch = (await gateway.wiring.store.head()).epoch
    own = [
        ("gateway", epoch, each.position, each.event) for each in await gateway.wiring.store.read_all(0, 1000)
    ]
    heard = [(each.event.producer, each.epoch, each.position, each.event) for each in gateway.heard]
    every = sorted([*own, *heard], key=lambda each: each[3].id)
    for at, (producer, epoch, position, event) in enumerate(every, start=1):
        yield msgspec.json.encode(
            {
                "position": at,
                "producer": producer,
                "epoch": epoch,
                "producerPosition": position,
                "event": msgspec.Raw(event.raw),
            }
        )


@pytest.mark.parametrize("gone", [True, False])
async def test_a_source_that_was_collected_tells_nothing_any_more(
    gateway: Gateway, tmp_path: Path, gone: bool
) -> None:
    async with gateway.http() as http:
        assert (await http.post("/v1/sources", files=form(FILES))).status_code == 201
    if gone:
        gateway.sources.archives.clear()
    restored = await restore(gateway, tmp_path / "restored")
    assert len(await rows(restored, p.sources)) == (0 if gone else 1)
    await restored.store.close()


async def test_who_was_erased_stays_so_and_what_was_held_is_held(gateway: Gateway, tmp_path: Path) -> None:
    projects = {"churn": f"sha256:{'5' * 64}", "digits": f"sha256:{'6' * 64}"}
    sent = [{"source": source, "size": 1, "project": name, "files": 1} for name, source in projects.items()]
    await gateway.wiring.store.commit(Unit(writes=tuple(Put(table=p.sources, row=each) for each in sent)))
    async with gateway.http() as http:
        eve = (await http.post("/v1/tokens", json={"as": "Eve", "roles": ["scientist"]})).json()["person"]
        for project, reason in (("churn", "an inquiry"), ("digits", "another one")):
            held = await http.put(f"/v1/models/{project}/hold", json={"reason": reason})
            assert held.status_code in (200, 201), held.text
        assert (await http.delete("/v1/models/digits/hold")).status_code in (200, 204)
    await erased(gateway, eve)

    restored = await restore(gateway, tmp_path / "restored")

    with pytest.raises(Unauthenticated):
        await People(restored.store).owner(eve)
    assert [each.project for each in await rows(restored, p.holds)] == ["churn"]
    assert await rows(restored, p.erasures) == await rows(gateway.wiring, p.erasures) != []
    await restored.store.close()


async def test_an_erasure_that_was_cut_off_is_ended_by_who_is_restored_and_says_what_it_cannot_know(
    gateway: Gateway, tmp_path: Path
) -> None:
    """The database is lost while what they left in the registry is still there, and their name with it."""
    ada = await token_for(gateway)
    answers = await gateway.assessments.keep_answers(b"what they wrote")
    await say(gateway, an_answer(by=ada["person"], answers=answers))
    gateway.facts.people["sha256:1"] = json.dumps({"salt": "1", "owner": NAME}).encode()
    gateway.facts.people["sha256:2"] = json.dumps({"salt": "2", "owner": "bob@example.org"}).encode()
    assert (await erase(gateway, ada["person"])).status_code == 202

    restored, service = await restored_service(gateway, tmp_path / "restored")
    take_up = next(each for each in service.periodic if each.name == "erase")
    await take_up.run()
    [worker] = service.workers

    async def is_done() -> bool:
        return [row.erased_at for row in await rows(restored, p.erasures)] != [None]

    async with running(JobRunner("gateway", restored, worker, owner="it", lease=10.0)):
        await eventually(is_done)

    assert gateway.assessments.kept == {}
    [erasure] = await rows(restored, p.erasures)
    done = msgspec.json.decode(erasure.said, type=PersonErased)
    assert (done.artifacts, done.kept) == (1, 2), "who of the two is named nobody can tell"
    assert erasure.looks is None
    assert [each.data for each in await restored.store.read_all(0, 1000)][-1] == done
    with pytest.raises(Unauthenticated, match="erased"):
        await People(restored.store).owner(ada["person"])
    await take_up.run()
    assert await rows(restored, jobs) == [], "it is done once"
    await restored.store.close()
