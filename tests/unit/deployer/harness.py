"""A deployer with everything around it in memory, and a gateway, certifier and builder that say what a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from placet.deployer.bootstrap import build
from placet.deployer.domain import PROJECT, stream
from placet.deployer.ports import Ports
from placet.deployer.project import Project
from placet.deployer.settings import DeployerSettings
from placet.events import Heard, Service, ServiceRunner, Wiring, tables
from placet.events.adapters.in_process_bus import InProcessBus, InProcessHub
from placet.events.bus import EpochBegan, HeadAnnounced, Outgoing
from placet.events.catalog import contract_of
from placet.events.clocks import SystemClock
from placet.events.codec import timestamp
from placet.events.contracts.builder import BuildFailed
from placet.events.contracts.certifier import (
    ApprovalAwaited,
    CertificateIssued,
    CertificateReinstated,
    CertificateRevoked,
    CertificateSuspended,
    ReleaseCleared,
    ReleaseRefused,
)
from placet.events.contracts.gateway import (
    AbortRequested,
    DeleteRequested,
    DeployRequested,
    ErasureRequested,
    ProjectAssigned,
    ProjectRestricted,
    PromoteRequested,
    QuotaRemoved,
    QuotaSet,
    RoleGranted,
    ScaleRequested,
    StartRequested,
    StopRequested,
    TeamChanged,
    TokenRevoked,
)
from placet.events.contracts.shapes import Binding, Command, Ground, QuotaScope, Resources
from placet.events.envelope import Actor
from placet.trust import SigningKey

from tests.support.eventually import eventually
from tests.unit.deployer.fakes import FakeCertificates, FakeImages, FakeModelHost, FakeProbe, FakeRouter

SOURCE = f"sha256:{'5' * 64}"
IMAGE = f"sha256:{'1' * 64}"


class ShiftedClock:
    """The time, and as much more as a test lets pass at once."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._shift = timedelta()

    def now(self) -> datetime:
        return self._clock.now() + self._shift

    def pass_(self, span: timedelta) -> None:
        self._shift += span


@dataclass
class World:
    """What a test says to the deployer and sees of it."""

    wiring: Wiring
    clock: ShiftedClock
    hub: InProcessHub
    settings: DeployerSettings
    token_key: SigningKey
    host: FakeModelHost = field(default_factory=FakeModelHost)
    router: FakeRouter = field(default_factory=FakeRouter)
    certificates: FakeCertificates = field(default_factory=FakeCertificates)
    images: FakeImages = field(default_factory=FakeImages)
    probe: FakeProbe = field(default_factory=FakeProbe)
    positions: dict[str, int] = field(default_factory=dict)
    told: list[Heard[Any]] = field(default_factory=list)
    """All that others said."""

    @property
    def ports(self) -> Ports:
        return Ports(
            host=self.host,
            router=self.router,
            certificates=self.certificates,
            images=self.images,
            probe=self.probe,
        )

    # What others say.

    async def request_deploy(
        self, project: str = "churn", release: int = 1, command: Command = "deploy", *, canary: int = 0
    ) -> None:
        event = DeployRequested(
            project=project, release=release, command=command, source=SOURCE, image=None, canary=canary
        )
        await self.say(event, operation=f"deploy {project} {release}")

    async def clear(
        self,
        project: str = "churn",
        release: int = 1,
        command: Command = "deploy",
        *,
        memory: int = 512 * 2**20,
        cpu_millis: int = 500,
        dockerfile: bool = False,
        trial: bool = False,
        asker: str | None = None,
        replicas: tuple[int, int] = (1, 1),
        access: str = "public",
    ) -> None:
        least, most = replicas
        event = ReleaseCleared(
            project=project,
            release=release,
            command=command,
            source=SOURCE,
            image=None,
            format="sklearn",
            resources=Resources(
                cpu_millis=cpu_millis, memory_bytes=memory, gpus=0, min_replicas=least, max_replicas=most
            ),
            access=access,
            policies=(),
            verdicts=(),
            dockerfile=dockerfile,
            trial=trial,
            asker=asker,
        )
        await self.say(event, operation=f"deploy {project} {release}")

    async def refuse(self, project: str = "churn", release: int = 1) -> None:
        event = ReleaseRefused(
            project=project, release=release, stage="certify", source=SOURCE, policies=(), verdicts=()
        )
        await self.say(event, operation=f"deploy {project} {release}")

    async def await_approval(self, project: str = "churn", release: int = 1) -> None:
        event = ApprovalAwaited(
            project=project,
            release=release,
            command="deploy",
            binding=Binding(digest="sha256:b", source=SOURCE, image=IMAGE, inputs="sha256:a", policies=()),
            verdicts=(),
            since=timestamp(self.clock.now()),
            until=timestamp(self.clock.now() + timedelta(days=14)),
        )
        await self.say(event, operation=f"deploy {project} {release}")

    async def fail_build(self, project: str = "churn", release: int = 1) -> None:
        event = BuildFailed(project=project, release=release, source=SOURCE, why="no wheel", fix=None)
        await self.say(event, operation=f"deploy {project} {release}")

    async def certify(
        self,
        project: str = "churn",
        release: int = 1,
        command: Command = "deploy",
        *,
        days: int = 90,
        key: str | None = None,
        image: str = IMAGE,
    ) -> None:
        event = CertificateIssued(
            certificate=f"certificate:{project}-{release}",
            project=project,
            release=release,
            command=command,
            source=SOURCE,
            image=image,
            repository=f"models/{project}",
            envelope=f"sha256:{'e' * 64}",
            not_before=self.clock.now().isoformat(),
            not_after=(self.clock.now() + timedelta(days=days)).isoformat(),
            verdicts=(),
            key=key,
        )
        await self.say(event, operation=f"deploy {project} {release}")

    async def suspend(self, project: str = "churn", release: int = 1) -> None:
        ground = Ground(rule="operate.drift", why="it drifts", fix="train it anew")
        event = CertificateSuspended(
            certificate=f"certificate:{project}-{release}",
            project=project,
            release=release,
            grounds=(ground,),
        )
        await self.say(event, operation=f"suspend {project} {release}")

    async def reinstate(self, project: str = "churn", release: int = 1) -> None:
        event = CertificateReinstated(
            certificate=f"certificate:{project}-{release}", project=project, release=release
        )
        await self.say(event, operation=f"reinstate {project} {release}")

    async def revoke_certificate(self, project: str = "churn", release: int = 1) -> None:
        event = CertificateRevoked(
            certificate=f"certificate:{project}-{release}",
            project=project,
            release=release,
            ground=Ground(rule="certificate.revoked", why="it was revoked"),
            revoked_by="person:1",
        )
        await self.say(event, operation=f"revoke {project} {release}")

    async def request_start(
        self, project: str = "churn", release: int = 1, *, operation: str = "start"
    ) -> None:
        await self.say(StartRequested(project=project, release=release), operation=operation)

    async def request_scale(self, replicas: int, project: str = "churn") -> None:
        await self.say(ScaleRequested(project=project, replicas=replicas), operation="scale")

    async def request_promote(self, project: str = "churn", *, weight: int = 100) -> None:
        await self.say(PromoteRequested(project=project, weight=weight), operation="promote")

    async def request_abort(self, project: str = "churn") -> None:
        await self.say(AbortRequested(project=project), operation="abort")

    async def request_stop(self, project: str = "churn") -> None:
        await self.say(StopRequested(project=project), operation="stop")

    async def request_delete(self, project: str = "churn") -> None:
        await self.say(DeleteRequested(project=project), operation="delete")

    async def revoke(self, token: str) -> None:
        await self.say(TokenRevoked(token=token), operation="revoke", project="platform")

    async def restrict(self, project: str, *, owner: str) -> None:
        """Make it private, with one more owner."""
        granted = RoleGranted(project=project, to=owner, role="owner", granted_by="person:1")
        await self.say(granted, operation="share")
        await self.say(ProjectRestricted(project=project, restricted_by="person:1"), operation="share")

    async def join(self, team: str, person: str) -> None:
        joined = TeamChanged(team=team, added=(person,), removed=(), changed_by="person:1")
        await self.say(joined, operation="join", project="platform")

    async def erase(self, person: str) -> None:
        asked = ErasureRequested(person=person, requested_by="person:1", tokens=0, words=0)
        await self.say(asked, operation="erase", project="platform")

    async def set_quota(self, scope: QuotaScope, of: str, **limits: int) -> None:
        nothing = dict.fromkeys(("cpu_millis", "memory_bytes", "gpus", "models"))
        quota = QuotaSet(scope=scope, of=of, **{**nothing, **limits})
        await self.say(quota, operation="quota", project=of if scope == "project" else "platform")

    async def remove_quota(self, scope: QuotaScope, of: str) -> None:
        await self.say(QuotaRemoved(scope=scope, of=of), operation="quota", project="platform")

    async def assign(self, project: str, team: str | None) -> None:
        await self.say(ProjectAssigned(project=project, team=team), operation="assign")

    async def say(self, payload: Any, *, operation: str, project: str | None = None) -> None:
        """Publish an event of another service, at the next place of its log."""
        contract = contract_of(payload)
        key = project or payload.project
        event = self.wiring.codec.seal(
            payload,
            id=self.wiring.ids.new(),
            time=self.clock.now(),
            subject=f"test/{key}",
            partitionkey=key,
            correlationid=operation,
            causationid=None,
            actor=Actor.service(contract.producer),
            traceparent=None,
        )
        position = self.positions.get(contract.producer, 0) + 1
        self.positions[contract.producer] = position
        self.told.append(Heard(event=event, epoch="e", position=position))
        await self._publish(self.told[-1])

    async def say_again(self) -> None:
        """All that was said: as a broker does to whom it may not have reached."""
        for each in self.told:
            await self._publish(each)

    async def _publish(self, heard: Heard[Any]) -> None:
        contract = contract_of(heard.data)
        outgoing = Outgoing(
            routing_key=f"{contract.producer}.{contract.name}.{heard.event.partitionkey}",
            epoch=heard.epoch,
            position=heard.position,
            raw=heard.event.raw,
            id=heard.event.id,
        )
        bus = InProcessBus(self.hub, contract.producer)
        epochs = (EpochBegan(epoch="e", began_after=0),)
        end = self.positions[contract.producer]
        await bus.tell(HeadAnnounced(producer=contract.producer, position=end, end=end, epochs=epochs))
        await bus.publish([outgoing])

    async def deploy(
        self,
        project: str = "churn",
        release: int = 1,
        *,
        memory: int = 2**29,
        replicas: tuple[int, int] = (1, 1),
    ) -> None:
        """All that leads to a start."""
        await self.request_deploy(project, release)
        await self.clear(project, release, memory=memory, replicas=replicas)
        await self.certify(project, release)

    async def deploy_and_wait(
        self,
        project: str = "churn",
        release: int = 1,
        *,
        memory: int = 2**29,
        replicas: tuple[int, int] = (1, 1),
    ) -> None:
        await self.deploy(project, release, memory=memory, replicas=replicas)
        await self.heard("model.started", f"deploy {project} {release}")
        await self.settled()

    async def let_pass(self, span: timedelta) -> None:
        """So much time, at once; whatever a job would have done meanwhile is done when it is due, and tried again."""
        await eventually(self._nothing_is_due)
        end = self.clock.now() + span
        while self.clock.now() < end:
            soonest = min((datetime.fromtimestamp(each, UTC) for each in await self._due()), default=end)
            left = min(soonest, end) - self.clock.now()
            self.clock.pass_(max(left, timedelta()) + timedelta(milliseconds=1))
            self.wiring.store.committed.fire()  # workers look now, and not in half a second
            await eventually(self._nothing_is_due)

    async def _nothing_is_due(self) -> bool:
        return all(each > self.clock.now().timestamp() for each in await self._due())

    async def _due(self) -> list[float]:
        """When each job is to be done next."""
        return [row.next_at for row in await self.wiring.store.rows(sa.select(tables.jobs.c.next_at))]

    # What the deployer says and is.

    async def said(self) -> list[tuple[str, str, Any]]:
        """(name, operation, payload) of all events, in order."""
        recorded = await self.wiring.store.read_all(0, 1000)
        return [(contract_of(each.data).name, each.event.correlationid, each.data) for each in recorded]

    async def names(self) -> list[str]:
        return [name for name, _, _ in await self.said()]

    async def heard(self, name: str, operation: str, *, times: int = 1) -> Any:
        """The payload of an event that the deployer says, sooner or later, in an operation."""

        async def find() -> Any:
            found = [data for said, of, data in await self.said() if (said, of) == (name, operation)]
            return found[times - 1] if len(found) >= times else None

        return await eventually(find)

    async def state(self, project: str = "churn") -> Project:
        recorded = await self.wiring.store.read(stream(project))
        return PROJECT.fold(each.data for each in recorded)

    async def jobs(self) -> list[str]:
        """What is still to be done."""
        return [row.key for row in await self.wiring.store.rows(sa.select(tables.jobs.c.key))]

    async def turns(self) -> set[tuple[str, str]]:
        """(kind, asker) of all jobs that there ever were."""
        table = tables.job_turns
        return {(row.kind, row.asker) for row in await self.wiring.store.rows(sa.select(table))}

    async def settled(self) -> None:
        """Wait until nothing is left to be done."""

        async def is_settled() -> bool:
            return not await self.jobs()

        await eventually(is_settled)

    async def running(self, *ids: str) -> None:
        """Wait until exactly these instances run."""
        await eventually(lambda: self.host.running() == set(ids))

    @asynccontextmanager
    async def deployer(self) -> AsyncIterator[Service]:
        """A deployer process's life."""
        service = await build(self.settings, self.wiring, self.ports)
        runner = ServiceRunner(service, lease_seconds=5.0)
        running = asyncio.create_task(runner.run())
        try:
            await eventually(lambda: runner.is_leading and self.hub.hearers_of("gateway"))
            yield service
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
