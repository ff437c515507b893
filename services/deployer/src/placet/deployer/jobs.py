"""The long parts: bringing a release up beside what serves, and making what runs what should run.

A start is repeatable: instances are known by project and release, so one that a crash left half started is
taken over. A start moves the route and says so; it never ends what served before. That is `settle`'s, which
looks at what was decided by then, and so also cleans up after a start that failed, was overtaken or died.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain, repeat
from typing import TypeVar

from placet.deployer import queries
from placet.deployer.domain import PROJECT, Command, RejectStart, ReportFailed, ReportStarted, stream
from placet.deployer.handlers import accept
from placet.deployer.placements import (
    AWAIT_CERTIFICATE,
    SCALE,
    START,
    AwaitCertificate,
    Placements,
    Rescale,
    Settle,
    Start,
)
from placet.deployer.ports import Instance, InstanceSpec, Ports, Replicas
from placet.deployer.project import Live, Project, Quarantined, Scaling, Starting
from placet.deployer.queries import SETTLE, Certified, Cleared, Known
from placet.deployer.remedies import remedy
from placet.deployer.room import Amount, in_mebibytes
from placet.deployer.samples import difference
from placet.deployer.scaling import ReportNotScaled, ReportScaled
from placet.deployer.shares import shares, shares_with
from placet.deployer.vigil import Vigil, silence
from placet.errors import PlacetError, Refused, Unavailable, Unreadable
from placet.events import Clock, Finish, Job, UnitOfWork, Worker
from placet.events.contracts.shapes import Sample
from placet.events.store import EventStore

Payload = TypeVar("Payload")

log = logging.getLogger(__name__)

ASK_EVERY = 0.05
"""Seconds between two questions whether an instance is ready."""
KEPT_LOGS = 3
"""Releases of a project whose logs stay after they ended."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Seconds: until a model must be ready, and between leaving a route and being told to end."""

    ready: float
    drain: float


@dataclass(frozen=True, kw_only=True)
class Jobs:
    ports: Ports
    placements: Placements
    store: EventStore
    clock: Clock
    public_url: str
    patience: Patience
    vigil: Vigil
    _turns: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    """One project's instances are started and stopped by one at a time, each on a fresh look at what is wanted."""

    @property
    def workers(self) -> tuple[Worker[Start], Worker[Rescale], Worker[Settle], Worker[AwaitCertificate]]:
        return (
            Worker(
                kind=START, payload=Start, run=_patiently(self.start), gave_up=self._start_gave_up, slots=4
            ),
            Worker(
                kind=SCALE, payload=Rescale, run=_patiently(self.scale), gave_up=self._scale_gave_up, slots=4
            ),
            Worker(
                kind=SETTLE,
                payload=Settle,
                run=_patiently(self.settle),
                gave_up=self._settle_gave_up,
                slots=8,
            ),
            Worker(
                kind=AWAIT_CERTIFICATE,
                payload=AwaitCertificate,
                run=self.await_certificate,
                gave_up=self._await_gave_up,
                slots=8,
            ),
        )

    # Starting.

    async def start(self, job: Job[Start]) -> Finish:
        """Bring the release up beside what serves, ask it its sample, and move the route to it."""
        payload = job.payload
        known = await queries.known(self.placements.reads, payload.project, payload.release)
        try:
            brought_up = await self._bring_up(known, payload.request)
        except (Refused, Unreadable) as error:
            return self._finish(_failure(payload, error), job.asker)
        if brought_up is None:  # overtaken; deciding says so
            return self._finish(_failure(payload, Refused("a later request overtook it")), job.asker)
        instances, sample = brought_up
        url = f"{self.public_url}/models/{payload.project}"
        return self._finish(
            ReportStarted(
                project=payload.project,
                release=payload.release,
                request=payload.request,
                url=url,
                endpoints=tuple(each.endpoint for each in instances),
                sample=sample,
            ),
            job.asker,
        )

    async def _bring_up(self, known: Known, request: int) -> tuple[Sequence[Instance], Sample] | None:
        """Its instances, ready and routed, and what they were asked; None if a later request was made meanwhile."""
        await self._verify(known)
        async with self._turns[known.project]:
            starting = await self._starting(known.project, request)
            if starting is None:
                return None
            instances = await self._run(known, starting.replicas)
        sample = await self._try_out(known, instances)
        async with self._turns[known.project]:
            state = await self._state(known.project)
            if state.starting is None or state.starting.request != request:
                return None
            # Starting takes its time, at whose end its certificate may have ended.
            await self._standing(await queries.known(self.placements.reads, known.project, known.release))
            await self._route(known, state, state.starting, tuple(each.endpoint for each in instances))
        return instances, sample

    async def _run(self, known: Known, replicas: int, endpoints: Sequence[str] = ()) -> Sequence[Instance]:
        """All that should run of a release, those that do already and new ones, where they listened before if they
        did: one for each replica, or one for all on a host that scales."""
        host = self.ports.host
        specs = [
            _spec(known, replica=number, replicas=replicas, endpoint=endpoint)
            for number, endpoint in zip(
                range(1, (1 if host.scales else replicas) + 1), chain(endpoints, repeat(None)), strict=False
            )
        ]
        return [await host.start(spec) for spec in specs]

    async def _try_out(self, known: Known, instances: Sequence[Instance]) -> Sample:
        """Wait until all are ready, and ask each its sample."""
        samples: list[Sample] = []
        for each in instances:
            await self._until_ready(each)
            samples.append(await self._ask_sample(known, each))
            await self._must_fit(known, each)
        return samples[0]

    async def _route(
        self, known: Known, state: Project, starting: Starting, endpoints: tuple[str, ...]
    ) -> None:
        """To what starts here, or a share of the requests, if it is a canary. Without what it is to run beside it gets
        none, which deciding says."""
        if not starting.canary:
            targets = shares(endpoints)
        elif state.live is None:
            return
        else:
            targets = shares(state.live.endpoints, endpoints, weight=starting.canary)
        await self.ports.router.route(known.project, targets, access=_access(known))

    async def _verify(self, known: Known) -> None:
        cleared, certified = await self._standing(known)
        await self.ports.certificates.verify(
            repository=certified.repository,
            envelope=certified.envelope,
            certificate=certified.certificate,
            image=certified.image,
            source=cleared.source,
            now=self.clock.now(),
        )

    async def _standing(self, known: Known) -> tuple[Cleared, Certified]:
        """What was said of it; `Refused` unless its certificate stands now, as far as was heard."""
        cleared, certified = known.cleared, known.certified
        if cleared is None or certified is None:
            raise Refused(
                f"release {known.release} of {known.project} carries no certificate", fix="deploy it again"
            )
        if certified.grounds:
            first = certified.grounds[0]
            raise Refused(
                f"its certificate {certified.certificate} does not stand: {first.why}", fix=first.fix
            )
        if datetime.fromisoformat(certified.not_after) <= self.clock.now():
            raise Refused(
                f"its certificate {certified.certificate} ended at {certified.not_after}",
                fix="deploy it again, so that it is certified anew",
            )
        since = await self.vigil.silent_since()
        if since is not None:
            raise Refused(
                f"its certificate {certified.certificate} is not relied on: {silence(since)}",
                fix="start it again when the certifier runs",
            )
        return cleared, certified

    async def _until_ready(self, instance: Instance) -> None:
        deadline = time.monotonic() + self.patience.ready
        while not await self.ports.probe.is_ready(instance.endpoint):
            found = await self.ports.host.find(instance.id)
            if found is None or not found.is_running:
                why = found.why if found and found.why else "it ended"
                raise await self._in_vain(instance, f"{instance.project} did not start: {why}")
            if time.monotonic() > deadline:
                why = f"{instance.project} was not ready within {self.patience.ready:g} s"
                raise await self._in_vain(instance, why)
            await asyncio.sleep(ASK_EVERY)

    async def _ask_sample(self, known: Known, instance: Instance) -> Sample:
        assert known.certified is not None  # noqa: S101 - verified before anything was started
        sample = await self.ports.images.sample(known.certified.repository, known.certified.image)
        if sample is None:
            return "none"
        try:
            answer = await self.ports.probe.predict(instance.endpoint, sample.request)
        except Refused as refusal:
            written = await self.ports.host.last_words(instance.id)
            fix = remedy(refusal.detail, written, known.project)
            raise Refused(refusal.detail, fix=fix) from refusal
        wrong = difference(sample.response, answer, sample.tolerance)
        if wrong:
            raise Refused(
                f"the sample answer does not match: {wrong}",
                fix="correct the sample's response or the model, then deploy again",
            )
        return "answered"

    async def _must_fit(self, known: Known, instance: Instance) -> None:
        """Before it serves: later it would only be ended, again and again."""
        found = await self.ports.host.find(instance.id)
        if known.cleared and found and found.memory_bytes > known.cleared.resources.memory_bytes:
            raise Refused(
                f"{known.project} took {in_mebibytes(found.memory_bytes)} of memory to answer its sample, and"
                f" has reserved {in_mebibytes(known.cleared.resources.memory_bytes)}",
                fix="raise resources.memory in placet.yaml, then deploy again",
            )

    async def _in_vain(self, instance: Instance, why: str) -> Refused:
        """With its last words."""
        words = await self.ports.host.last_words(instance.id)
        said = f"; it said last:\n{words}" if words else ""
        return Refused(f"{why}{said}", fix=remedy(why, words, instance.project))

    async def _starting(self, project: str, request: int) -> Starting | None:
        """None once a later request was made."""
        starting = (await self._state(project)).starting
        return starting if starting is not None and starting.request == request else None

    def _start_gave_up(self, job: Job[Start], reason: str) -> Finish:
        return self._finish(_failure(job.payload, Refused(reason, fix="see the deployer's log")), job.asker)

    # Scaling.

    async def scale(self, job: Job[Rescale]) -> Finish:
        """Bring up what is missing, or take off its route what is too much; `settle` ends that."""
        payload = job.payload
        state = await self._state(payload.project)
        live, scaling = state.live, state.scaling
        if live is None or scaling is None or scaling.number != payload.scaling:
            return self._finish(_not_scaled(payload, Refused("it changed meanwhile")), job.asker)
        known = await queries.known(self.placements.reads, payload.project, live.release)
        try:
            endpoints = await self._rescale(known, live, scaling)
        except (Refused, Unreadable) as error:
            return self._finish(_not_scaled(payload, error), job.asker)
        report = ReportScaled(project=payload.project, scaling=scaling.number, endpoints=endpoints)
        return self._finish(report, job.asker)

    async def _rescale(self, known: Known, live: Live, scaling: Scaling) -> tuple[str, ...]:
        """Where the replicas listen, all of which are ready and routed to."""
        async with self._turns[known.project]:
            if (await self._state(known.project)).scaling != scaling:
                return ()  # deciding says so
            instances = await self._run(known, scaling.replicas, live.endpoints)
        new = [each for each in instances if each.endpoint not in live.endpoints]
        if new:
            await self._verify(known)
            await self._try_out(known, new)
        endpoints = tuple(each.endpoint for each in instances)
        async with self._turns[known.project]:
            state = await self._state(known.project)
            if state.scaling == scaling:
                await self.ports.router.route(
                    known.project, shares_with(endpoints, state.canary), access=_access(known)
                )
        return endpoints

    def _scale_gave_up(self, job: Job[Rescale], reason: str) -> Finish:
        refused = Refused(reason, fix="see the deployer's log")
        return self._finish(_not_scaled(job.payload, refused), job.asker)

    # Settling.

    async def settle(self, job: Job[Settle]) -> Finish:
        """Route what is live, end what is not wanted, and mend if that was said. Repeating it changes nothing."""
        project = job.payload.project
        state = await self._state(project)
        if state.live is None:
            held = state.serving
            why = held.told(project) if isinstance(held, Quarantined) else None
            await self.ports.router.unroute(project, why=why)
        else:
            await self._keep_serving(project, state.live, mend=job.payload.mend)
        await self._clear_away(project)
        return _nothing

    async def _keep_serving(self, project: str, live: Live, *, mend: bool) -> None:
        """Route the live release, started again first if it ended. That it is ready then, `reconcile` says."""
        known = await queries.known(self.placements.reads, project, live.release)
        async with self._turns[project]:
            state = await self._state(project)
            if state.live != live:
                return
            endpoints: Sequence[str] = live.endpoints
            if mend:
                run = [each.endpoint for each in await self._run(known, live.replicas, endpoints)]
                # Of several, those that serve already, while the others load.
                endpoints = [each for each in run if await self.ports.probe.is_ready(each)] or run
            targets = shares_with(endpoints, state.canary)
            routes = await self.ports.router.routes()
            if routes is None or routes.get(project) != frozenset(targets):
                await self.ports.router.route(project, targets, access=_access(known))

    async def _clear_away(self, project: str) -> None:
        """End what left its route, after those who were on their way have arrived, and old logs."""
        mine = [each for each in await self.ports.host.list() if each.project == project]
        state = await self._state(project)
        if any(each.is_running and not state.wants(each.release, each.replica) for each in mine):
            await asyncio.sleep(self.patience.drain)
        async with self._turns[project]:
            state = await self._state(project)
            unwanted = [each for each in mine if not state.wants(each.release, each.replica)]
            for each in unwanted:
                await self.ports.host.stop(each.id)
            was_deleted = 0 < state.deleted == state.asked and not state.runs
            kept = set() if was_deleted else set(sorted({each.release for each in unwanted})[-KEPT_LOGS:])
            for each in unwanted:
                if each.release not in kept:
                    await self.ports.host.forget(each.id)

    def _settle_gave_up(self, job: Job[Settle], reason: str) -> Finish:
        return _nothing  # what still differs is found by `reconcile`, again and again

    # Starting what is being certified.

    async def await_certificate(self, job: Job[AwaitCertificate]) -> Finish:
        """A start of a release of whose certificate only the gateway has heard so far."""
        payload = job.payload
        known = await queries.known(self.placements.reads, payload.project, payload.release)
        certified = known.certified
        if certified is None:
            if self.clock.now().timestamp() < payload.until:
                raise Unavailable(f"no certificate of {payload.project} was heard of yet")
            return self._finish(_rejection(payload), job.asker)

        async def finish(work: UnitOfWork) -> None:
            await accept(work, self.placements, known, certified, payload.request, asker=job.asker)

        return finish

    def _await_gave_up(self, job: Job[AwaitCertificate], reason: str) -> Finish:
        rejection = replace(_rejection(job.payload), why=reason, fix="see the deployer's log")
        return self._finish(rejection, job.asker)

    # Both.

    async def _state(self, project: str) -> Project:
        recorded = await self.store.read(stream(project))
        return PROJECT.fold(each.data for each in recorded)

    def _finish(self, command: Command, asker: str) -> Finish:
        async def finish(work: UnitOfWork) -> None:
            await self.placements.decide(work, command, asker=asker)

        return finish


async def _nothing(work: UnitOfWork) -> None:
    """There is nothing to say."""


def _patiently(
    run: Callable[[Job[Payload]], Awaitable[Finish]],
) -> Callable[[Job[Payload]], Awaitable[Finish]]:
    """With pauses that grow, whatever says how soon to ask again: a cluster or an edge that is away for a minute would
    else use all tries of a job up in a few seconds."""

    async def patient(job: Job[Payload]) -> Finish:
        try:
            return await run(job)
        except Unavailable as away:
            raise Unavailable(away.detail, fix=away.fix) from away

    return patient


def _failure(payload: Start, error: PlacetError) -> ReportFailed:
    return ReportFailed(
        project=payload.project,
        release=payload.release,
        request=payload.request,
        why=error.detail,
        fix=error.fix,
    )


def _not_scaled(payload: Rescale, error: PlacetError) -> ReportNotScaled:
    return ReportNotScaled(project=payload.project, scaling=payload.scaling, why=error.detail, fix=error.fix)


def _rejection(payload: AwaitCertificate) -> RejectStart:
    return RejectStart(
        project=payload.project,
        release=payload.release,
        request=payload.request,
        why=f"release {payload.release} of {payload.project} carries no certificate",
        fix="deploy it, so that it is certified",
    )


def _access(known: Known) -> str:
    return known.cleared.access if known.cleared else "token"


def _spec(known: Known, *, replica: int, replicas: int, endpoint: str | None = None) -> InstanceSpec:
    if known.cleared is None or known.certified is None:
        raise Refused(f"release {known.release} of {known.project} is not known here any more")
    return InstanceSpec(
        project=known.project,
        release=known.release,
        image=known.certified.image,
        repository=known.certified.repository,
        access=known.cleared.access,
        amount=Amount.of(known.cleared.resources),
        replica=replica,
        replicas=Replicas(min=replicas, max=max(replicas, known.cleared.resources.max_replicas)),
        endpoint=endpoint,
    )
