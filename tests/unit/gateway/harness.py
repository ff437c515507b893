"""A gateway of its own: a database file, a registry in memory, and the other services' voices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import anyio
import httpx
from placet.errors import Refused, Unknown
from placet.events import PLATFORM, Context, Heard, Service, ServiceRunner, UnitOfWork, Wiring, transact
from placet.events.adapters.in_process_bus import InProcessHub
from placet.events.catalog import contract_of
from placet.events.contracts.gateway import AccessDenied
from placet.events.envelope import Actor
from placet.events.http import Face, http_app
from placet.events.jobs import JobRunner
from placet.events.store import Put, Unit
from placet.events.testing import ManualClock
from placet.gateway.adapters.git_repositories import GitRepositories
from placet.gateway.adapters.packing_processes import PackingProcesses
from placet.gateway.adapters.policy_rules import PolicyRules
from placet.gateway.bootstrap import build
from placet.gateway.people import People
from placet.gateway.ports import Labelled, Packing, Ports
from placet.gateway.projections import TABLES, declarations
from placet.gateway.projections import sources as known_sources
from placet.gateway.published import PublishedPolicies
from placet.gateway.settings import GatewaySettings
from placet.gateway.told_routes import ToldRoutes
from placet.oci import sha256_digest
from placet.rules import Engine, PolicySet, load_shipped
from placet.trust import SigningKey, tokens

from tests.support.described import described
from tests.unit.gateway.roads import DEPLOY, SOURCE

MAX_SOURCE = 64 * 1024


@dataclass
class MemorySources:
    """The `Sources` port."""

    archives: dict[str, bytes] = field(default_factory=dict)

    async def has(self, digest: str) -> bool:
        return digest in self.archives

    async def keep(self, digest: str, archive: Path) -> None:
        self.archives[digest] = archive.read_bytes()  # noqa: ASYNC240 - small, and a test

    async def read(self, digest: str) -> AsyncIterator[bytes]:
        if digest not in self.archives:
            raise Unknown(f"no source {digest}")
        yield self.archives[digest]


@dataclass
class MemoryEnvelopes:
    """The `Envelopes` port."""

    envelopes: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    async def read(self, repository: str, envelope: str) -> dict[str, Any]:
        if (repository, envelope) not in self.envelopes:
            raise Unknown(f"no envelope {envelope} in {repository}")
        return self.envelopes[repository, envelope]


@dataclass
class MemoryPolicies:
    """The `PolicyFiles` port."""

    files: dict[str, bytes] = field(default_factory=dict)

    async def keep(self, digest: str, file: bytes) -> None:
        self.files[digest] = file

    async def read(self, digest: str) -> bytes:
        return self.files[digest]


@dataclass
class MemoryFacts:
    """The `Facts` port."""

    facts: dict[str, bytes] = field(default_factory=dict)
    people: dict[str, bytes] = field(default_factory=dict)
    refuses: bool = False
    swept: datetime | None = None
    meanwhile: Callable[[], Awaitable[None]] | None = None
    """What happens while what is about people is read or removed, once."""

    async def seen(self, digest: str) -> bytes | None:
        return self.facts.get(digest)

    async def personal(self, digest: str) -> bytes | None:
        await self._pass()
        return self.people.get(digest)

    async def all_personal(self) -> AsyncIterator[str]:
        for digest in list(self.people):
            yield digest

    async def remove_personal(self, digest: str) -> bool:
        if self.refuses:
            raise Refused("this registry removes nothing")
        await self._pass()
        return self.people.pop(digest, None) is not None

    async def sweep(self, before: datetime) -> None:
        self.swept = before

    async def _pass(self) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()


@dataclass
class MemorySnapshots:
    """The `SnapshotFiles` port."""

    kept: dict[str, bytes] = field(default_factory=dict)

    async def keep(self, digest: str, file: Path) -> None:
        self.kept[digest] = await anyio.Path(file).read_bytes()

    async def read(self, digest: str) -> AsyncIterator[bytes]:
        yield self.kept[digest]


@dataclass
class MemoryAssessments:
    """The `AssessmentFiles` port."""

    questionnaires: dict[str, bytes] = field(default_factory=dict)
    kept: dict[str, bytes] = field(default_factory=dict)
    swept: datetime | None = None

    async def keep_questionnaire(self, digest: str, file: bytes) -> None:
        self.questionnaires[digest] = file

    async def questionnaire(self, digest: str) -> bytes:
        return self.questionnaires[digest]

    async def keep_answers(self, answers: bytes) -> str:
        digest = sha256_digest(answers)
        self.kept[digest] = answers
        return digest

    async def answers(self, digest: str) -> bytes:
        if digest not in self.kept:
            raise Unknown(f"no answers {digest}")
        return self.kept[digest]

    async def remove_answers(self, digest: str) -> bool:
        return self.kept.pop(digest, None) is not None

    async def sweep(self, before: datetime) -> None:
        self.swept = before


@dataclass
class MemoryImages:
    """The `Images` port."""

    images: dict[str, Labelled] = field(default_factory=dict)

    async def look_up(self, repository: str, image: str) -> Labelled | None:
        return self.images.get(image)


@dataclass
class Gateway:
    wiring: Wiring
    service: Service
    clock: ManualClock
    sources: MemorySources
    envelopes: MemoryEnvelopes
    images: MemoryImages
    policies: MemoryPolicies
    facts: MemoryFacts
    snapshots: MemorySnapshots
    assessments: MemoryAssessments
    folder: Path
    positions: dict[str, int] = field(default_factory=dict)
    heard: list[Heard[Any]] = field(default_factory=list)

    @property
    def people(self) -> People:
        return People(self.wiring.store)

    @cached_property
    def app(self) -> Face:
        return http_app("placet", [ServiceRunner(self.service)], version="1")

    @property
    def admin_token(self) -> str:
        return (self.folder / "admin.token").read_text()

    def http(self, token: str | None = None) -> httpx.AsyncClient:
        """A client; without a token of its own it is the administrator. Whatever it is answered is held against the
        OpenAPI document."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False),
            base_url="http://placet",
            headers={"Authorization": f"Bearer {token or self.admin_token}"},
            event_hooks={"response": [self._must_be_described]},
        )

    async def _must_be_described(self, answer: httpx.Response) -> None:
        if "json" in answer.headers.get("content-type", ""):  # else it may be a stream
            await answer.aread()
            described("gateway", self.app.rest.openapi).must_allow(answer)

    def token(self, *roles: tokens.Role, person: str | None = None) -> str:
        """A token that this gateway's key signed; of a new person unless told."""
        return tokens.issue(
            id=self.wiring.ids.new(),
            person=person or f"person:{self.wiring.ids.new()}",
            roles=frozenset(roles),
            now=self.clock.now(),
            lifetime=timedelta(hours=1),
            key=SigningKey.load(self.folder / "tokens.pem"),
        )

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """With the service's jobs being done."""
        runners = [
            JobRunner(
                "gateway", self.wiring, worker, owner=self.wiring.ids.new(), lease=10.0, look_every=0.02
            )
            for worker in self.service.workers
        ]
        tasks = [asyncio.create_task(runner.run()) for runner in runners]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def hear(self, event: Any, operation: str, *, twice: bool = False) -> None:
        """What another service says about an operation. `twice` as a bus would bring it again after a crash."""
        producer = contract_of(event).producer
        self.positions[producer] = self.positions.get(producer, 0) + 1
        sealed = self.wiring.codec.seal(
            event,
            id=self.wiring.ids.new(),
            time=self.clock.now(),
            subject="stream",
            partitionkey=getattr(event, "project", PLATFORM),
            correlationid=operation,
            actor=Actor.service(producer),
        )
        heard = Heard(event=sealed, epoch="1", position=self.positions[producer])
        self.heard.append(heard)

        async def change(work: UnitOfWork) -> None:
            await self.service.reaction([heard], work)

        for _ in range(2 if twice else 1):
            await transact(self.wiring, "gateway", Context.after(sealed, "gateway"), change)

    async def hear_all(self, road: Iterable[Any], operation: str) -> None:
        for event in road:
            self.clock.pass_(timedelta(seconds=1))
            await self.hear(event, operation)

    async def command(self, body: dict[str, Any], **headers: str) -> dict[str, Any]:
        """An accepted command's operation."""
        async with self.http() as http:
            answer = await http.post("/v1/commands", json=body, headers=headers)
        assert answer.status_code == 202, answer.text
        document: dict[str, Any] = answer.json()
        return document

    async def read(self, path: str) -> dict[str, Any]:
        async with self.http() as http:
            answer = await http.get(path)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    async def said(self) -> Sequence[Any]:
        """What it decided. Whom it let in is said behind that, and whenever there is time: `denied`."""
        return [each for each in await self._said() if not isinstance(each, AccessDenied)]

    async def denied(self) -> Sequence[AccessDenied]:
        return [each for each in await self._said() if isinstance(each, AccessDenied)]

    async def _said(self) -> Sequence[Any]:
        return [each.event.data for each in await self.wiring.store.read_all(0, 1000)]


@asynccontextmanager
async def a_gateway(
    folder: Path,
    clock: ManualClock | None = None,
    *,
    packing: Packing | None = None,
    told: ToldRoutes | None = None,
    **limits: Any,
) -> AsyncIterator[Gateway]:
    """`limits` are settings."""
    clock = clock or ManualClock()
    wiring = await Wiring.embedded(
        "gateway", data=folder, hub=InProcessHub(), tables=(TABLES,), clock=clock, is_kept=False
    )
    sources, envelopes, images = MemorySources(), MemoryEnvelopes(), MemoryImages()
    policies, facts, snapshots = MemoryPolicies(), MemoryFacts(), MemorySnapshots()
    assessments = MemoryAssessments()
    # The clock stands still, so whoever fails 200 times in a test would be told to come back.
    limits = {"failures_per_second": 0, **limits}
    settings = GatewaySettings(
        registry=str(folder / "registry"),
        token_key=folder / "tokens.pem",
        admin_token_file=folder / "admin.token",
        max_source_bytes=MAX_SOURCE,
        **limits,
    )
    repositories = GitRepositories(
        hosts=settings.allowed_git_hosts, max_bytes=MAX_SOURCE, seconds=settings.git_seconds
    )
    engine = Engine()
    ports = Ports(
        sources=sources,
        repositories=repositories,
        packing=packing or PackingProcesses(),
        rules=PolicyRules(PolicySet(load_shipped(), PublishedPolicies(wiring.store)), engine),
        policies=policies,
        facts=facts,
        snapshots=snapshots,
        assessments=assessments,
        envelopes=envelopes,
        images=images,
    )
    service = await build(settings, wiring, ports, told)
    for step in service.start:
        await step()
    try:
        yield Gateway(
            wiring,
            service,
            clock,
            sources,
            envelopes,
            images,
            policies,
            facts,
            snapshots,
            assessments,
            folder,
        )
    finally:
        for step in service.close:
            await step()
        await wiring.store.close()
        engine.close()


async def knows_source(gateway: Gateway, source: str = SOURCE) -> None:
    """As after an upload."""
    gateway.sources.archives[source] = b"an archive"
    row = {"source": source, "size": 10, "project": "churn", "files": 1}
    said = {"source": source, "purpose": f"sha256:{'a' * 64}", "data": f"sha256:{'b' * 64}"}
    writes = (Put(table=known_sources, row=row), Put(table=declarations, row=said))
    await gateway.wiring.store.commit(Unit(writes=writes))


async def asked(gateway: Gateway, command: str = "deploy", **more: Any) -> str:
    """The id of a new operation of `churn`."""
    await knows_source(gateway)
    body: dict[str, Any] = {"command": command, "project": "churn"}
    if command in ("deploy", "build"):
        body["source"] = {"digest": SOURCE}
    return str((await gateway.command(body | more))["operation"])


async def live(gateway: Gateway) -> str:
    """The id of the operation that made `churn` live."""
    operation = await asked(gateway)
    await gateway.hear_all(DEPLOY[1:], operation)
    return operation
