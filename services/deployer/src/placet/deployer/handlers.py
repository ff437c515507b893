"""What the deployer does with what it hears.

Two producers tell of one deploy: the gateway that it was requested, the certifier that it was cleared. They
are heard in any order, so room is reserved when both are there. That also puts every reservation behind all
requests that were made before it: a stop that is heard late can never end a deploy that was asked for later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from placet.deployer import projections as p
from placet.deployer import queries
from placet.deployer.canaries import Abort, Promote
from placet.deployer.domain import PROJECT, Delete, Happened, Quarantine, RejectStart, Release, Stop, stream
from placet.deployer.placements import AWAIT_CERTIFICATE, AwaitCertificate, Placements
from placet.deployer.placing import AcceptStart, Reserve, Resume
from placet.deployer.ports import Ports
from placet.deployer.project import Canary, Live, Project, Quarantined
from placet.deployer.queries import Certified, Cleared, Known
from placet.deployer.room import Room
from placet.deployer.scaling import Scale
from placet.deployer.shares import shares_with
from placet.errors import Refused, Unavailable
from placet.events import Heard, UnitOfWork
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
from placet.events.contracts.deployer import CanaryAborted
from placet.events.contracts.gateway import (
    AbortRequested,
    DeleteRequested,
    DeployRequested,
    ErasureRequested,
    ProjectAssigned,
    PromoteRequested,
    QuotaRemoved,
    QuotaSet,
    ScaleRequested,
    StartRequested,
    StopRequested,
    TokenRevoked,
)
from placet.events.contracts.shapes import Ground
from placet.identity.sharing import Said

log = logging.getLogger(__name__)

CERTIFICATE_WITHIN = 10.0
"""Seconds that a start waits for a certificate of which the gateway heard before us."""
SHARED_WITHIN = 5.0
"""Seconds that a router has to share requests otherwise before that is told all the same."""


async def on_deploy_requested(
    heard: Heard[DeployRequested], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    asked = heard.data
    request = await count_request(work, placements, asked.project)
    show_requested(work, asked, request, correlation=heard.event.correlationid)
    known = await queries.known(placements.reads, asked.project, asked.release)
    if known.cleared is not None:
        await reserve(work, placements, known, known.cleared, request)


async def on_release_cleared(
    heard: Heard[ReleaseCleared], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    said = heard.data
    cleared = Cleared(
        command=said.command,
        source=said.source,
        image=said.image,
        access=said.access,
        resources=said.resources,
        dockerfile=said.dockerfile,
        trial=said.trial,
        asker=said.asker,
    )
    show_cleared(work, said)
    known = await queries.known(placements.reads, said.project, said.release)
    if known.request is not None:
        await reserve(work, placements, known, cleared, known.request)


async def on_release_refused(
    heard: Heard[ReleaseRefused], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    await placements.decide(work, Release(project=heard.data.project, release=heard.data.release))


async def on_approval_awaited(
    heard: Heard[ApprovalAwaited], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    """People may take days: others have the room meanwhile, and its start takes what is free then."""
    await placements.decide(work, Release(project=heard.data.project, release=heard.data.release))


async def on_build_failed(
    heard: Heard[BuildFailed], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    await placements.decide(work, Release(project=heard.data.project, release=heard.data.release))


async def on_certificate_issued(
    heard: Heard[CertificateIssued], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    said = heard.data
    certified = Certified(
        certificate=said.certificate,
        image=said.image,
        repository=said.repository,
        envelope=said.envelope,
        not_after=said.not_after,
    )
    show_certified(work, said)
    if said.command == "deploy":
        known = await queries.known(placements.reads, said.project, said.release)
        await accept(work, placements, known, certified, known.request or 0, asker=known.asker)


async def on_certificate_suspended(
    heard: Heard[CertificateSuspended], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    said = heard.data
    await _take_off(work, placements, ports, said, said.grounds)


async def on_certificate_revoked(
    heard: Heard[CertificateRevoked], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    said = heard.data
    await _take_off(work, placements, ports, said, (said.ground,))


async def on_certificate_reinstated(
    heard: Heard[CertificateReinstated], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    said = heard.data
    show_grounds(work, said.project, said.release, ())
    await resume(work, placements, await queries.known(placements.reads, said.project, said.release))


async def resume(work: UnitOfWork, placements: Placements, known: Known) -> None:
    """Start again what was taken off its route, unless somebody wanted otherwise since."""
    cleared, certified = known.cleared, known.certified
    if cleared is None or certified is None:
        return

    def command(room: Room) -> Resume:
        return Resume(
            project=known.project,
            release=known.release,
            image=certified.image,
            repository=certified.repository,
            certificate=certified.certificate,
            resources=cleared.resources,
            room=room,
            patience=placements.patience(work.now),
            trial=cleared.trial,
            asker=cleared.asker,
        )

    await placements.decide_in_room(work, command, asker=cleared.asker)


async def on_start_requested(
    heard: Heard[StartRequested], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    asked = heard.data
    request = await count_request(work, placements, asked.project)
    known = await queries.known(placements.reads, asked.project, asked.release)
    asker = heard.event.actor.id
    if known.certified is not None:
        await accept(work, placements, known, known.certified, request, asker=asker)
        return
    waiting = AwaitCertificate(
        project=asked.project,
        release=asked.release,
        request=request,
        until=work.now.timestamp() + CERTIFICATE_WITHIN,
    )
    work.enqueue(AWAIT_CERTIFICATE, f"{asked.project}/{request}", waiting, asker=asker)


async def on_stop_requested(
    heard: Heard[StopRequested], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    project = heard.data.project
    request = await count_request(work, placements, project)
    await placements.decide(work, Stop(project=project, request=request), asker=heard.event.actor.id)
    await _close_unless_live(work, ports, project)


async def on_delete_requested(
    heard: Heard[DeleteRequested], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    project = heard.data.project
    request = await count_request(work, placements, project)
    await placements.decide(work, Delete(project=project, request=request), asker=heard.event.actor.id)
    await _close_unless_live(work, ports, project)


async def _close_unless_live(work: UnitOfWork, ports: Ports, project: str) -> None:
    """Before anybody hears that it stopped, nobody reaches it any more. What was started since stays."""
    state: Project = await work.state(PROJECT, stream(project))
    if state.live is None:
        await ports.router.unroute(project)


async def on_token_revoked(
    heard: Heard[TokenRevoked], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    work.put(p.revoked_tokens, token=heard.data.token)


async def on_erasure_requested(
    heard: Heard[ErasureRequested], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    """A provider's tokens have no ids that we gave, so it is the person of whom none holds any more."""
    work.put(p.revoked_tokens, token=heard.data.person)


async def on_sharing(heard: Heard[Said], work: UnitOfWork, placements: Placements, ports: Ports) -> None:
    p.sharing.show(work, heard.data, heard.event.time)


async def on_quota_set(
    heard: Heard[QuotaSet], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    """What holds more than that by now goes on; who waits may have room, or never get any."""
    show_quota(work, heard.data)
    await placements.let_in(work, heard.event.partitionkey)


async def on_quota_removed(
    heard: Heard[QuotaRemoved], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    forget_quota(work, heard.data)
    await placements.let_in(work, heard.event.partitionkey)


async def on_project_assigned(
    heard: Heard[ProjectAssigned], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    show_team(work, heard.data)
    await placements.let_in(work, heard.data.project)


async def accept(
    work: UnitOfWork,
    placements: Placements,
    known: Known,
    certified: Certified,
    request: int,
    *,
    asker: str | None,
) -> Sequence[Happened]:
    """Accept the start of a certified release, for a deploy's own request or a later one."""
    cleared = known.cleared
    if cleared is None:
        return await placements.decide(work, _never_cleared(known, request), asker=asker)
    if certified.grounds:
        return await placements.decide(work, _does_not_stand(known, certified, request), asker=asker)
    canary = known.canary if request == known.request else 0  # later it is started as any other
    if canary and await _is_called_otherwise(work, placements, known):
        return await placements.decide(work, _called_otherwise(known, request), asker=asker)

    def command(room: Room) -> AcceptStart:
        return AcceptStart(
            project=known.project,
            release=known.release,
            request=request,
            deployed_by=known.request or 0,
            image=certified.image,
            repository=certified.repository,
            certificate=certified.certificate,
            resources=cleared.resources,
            room=room,
            patience=placements.patience(work.now),
            trial=cleared.trial,
            asker=asker,
            canary=canary,
        )

    return await placements.decide_in_room(work, command, asker=asker)


async def reserve(
    work: UnitOfWork, placements: Placements, known: Known, cleared: Cleared, request: int
) -> None:
    if cleared.command != "deploy":
        return  # a build takes no room
    until = timestamp(work.now + placements.reservation)

    def command(room: Room) -> Reserve:
        return Reserve(
            project=known.project,
            release=known.release,
            request=request,
            source=cleared.source,
            image=cleared.image,
            resources=cleared.resources,
            room=room,
            patience=placements.patience(work.now),
            until=until,
            runs_here=placements.has_containers or not cleared.dockerfile,
            asker=cleared.asker,
            canary=known.canary,
        )

    await placements.decide_in_room(work, command, asker=cleared.asker)


async def _take_off(
    work: UnitOfWork,
    placements: Placements,
    ports: Ports,
    said: CertificateSuspended | CertificateRevoked,
    grounds: tuple[Ground, ...],
) -> None:
    """Before anybody hears that it is off its route, nobody reaches it any more."""
    show_grounds(work, said.project, said.release, grounds)
    first = grounds[0]
    quarantine = Quarantine(
        project=said.project,
        release=said.release,
        certificate=said.certificate,
        why=first.why,
        rule=first.rule,
        fix=first.fix,
    )
    happened = await placements.decide(work, quarantine)
    state: Project = await work.state(PROJECT, stream(said.project))
    if isinstance(state.serving, Quarantined):
        await ports.router.unroute(said.project, why=state.serving.told(said.project))
    elif state.live is not None and any(isinstance(each, CanaryAborted) for each in happened):
        await route(placements, ports, said.project, state.live)


async def route(
    placements: Placements, ports: Ports, project: str, live: Live, canary: Canary | None = None
) -> None:
    """Requests to what serves, and to the canary as many as it is to get."""
    known = await queries.known(placements.reads, project, live.release)
    access = known.cleared.access if known.cleared else "token"
    await ports.router.route(project, shares_with(live.endpoints, canary), access=access)


async def on_promote_requested(
    heard: Heard[PromoteRequested], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    asked = heard.data
    promote = Promote(project=asked.project, weight=asked.weight)
    await placements.decide(work, promote, asker=heard.event.actor.id)
    await _share(work, placements, ports, asked.project)


async def on_abort_requested(
    heard: Heard[AbortRequested], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    abort = Abort(project=heard.data.project, why="somebody asked for that", fix=None)
    await placements.decide(work, abort, asker=heard.event.actor.id)
    await _share(work, placements, ports, heard.data.project)


async def _share(work: UnitOfWork, placements: Placements, ports: Ports, project: str) -> None:
    """As was just decided: before anybody hears that requests are shared otherwise, they are. Where the router does not
    do that soon, nobody waits, least of all who would take the project off its URL: `settle` has it done later."""
    state = await _state(work, project)
    if state.live is not None:
        try:
            async with asyncio.timeout(SHARED_WITHIN):
                await route(placements, ports, project, state.live, state.canary)
        except (Unavailable, Refused, TimeoutError) as error:
            log.warning(
                "requests to %s are shared as before: %s", project, str(error) or "the router is silent"
            )
    elif isinstance(state.serving, Quarantined):  # since this was tried, which may have routed it again
        await ports.router.unroute(project, why=state.serving.told(project))


async def on_scale_requested(
    heard: Heard[ScaleRequested], work: UnitOfWork, placements: Placements, ports: Ports
) -> None:
    asked = heard.data
    live = (await _state(work, asked.project)).live
    known = None if live is None else await queries.known(placements.reads, asked.project, live.release)
    resources = None if known is None or known.cleared is None else known.cleared.resources

    def command(room: Room) -> Scale:
        return Scale(project=asked.project, replicas=asked.replicas, resources=resources, room=room)

    await placements.decide_in_room(work, command, asker=heard.event.actor.id)


async def _state(work: UnitOfWork, project: str) -> Project:
    state: Project = await work.state(PROJECT, stream(project))
    return state


async def _is_called_otherwise(work: UnitOfWork, placements: Placements, known: Known) -> bool:
    """Whether other people may call it than what serves."""
    live = (await _state(work, known.project)).live
    if live is None or known.cleared is None:
        return False
    serving = await queries.known(placements.reads, known.project, live.release)
    return serving.cleared is not None and serving.cleared.access != known.cleared.access


def _called_otherwise(known: Known, request: int) -> RejectStart:
    why = f"release {known.release} of {known.project} has another `access` than what serves: its callers would be"
    return RejectStart(
        project=known.project,
        release=known.release,
        request=request,
        why=f"{why} now let in and now not",
        fix="deploy it without a canary, or with the same `access`",
    )


def show_requested(work: UnitOfWork, asked: DeployRequested, request: int, *, correlation: str) -> None:
    work.put(
        p.releases,
        project=asked.project,
        release=asked.release,
        request=request,
        correlation=correlation,
        canary=asked.canary,
    )


def show_cleared(work: UnitOfWork, said: ReleaseCleared) -> None:
    work.put(
        p.releases,
        project=said.project,
        release=said.release,
        command=said.command,
        source=said.source,
        known_image=said.image,
        access=said.access,
        resources=msgspec.json.encode(said.resources),
        dockerfile=said.dockerfile,
        trial=said.trial,
        asker=said.asker,
    )


def show_certified(work: UnitOfWork, said: CertificateIssued) -> None:
    work.put(
        p.releases,
        project=said.project,
        release=said.release,
        certificate=said.certificate,
        image=said.image,
        repository=said.repository,
        envelope=said.envelope,
        not_after=said.not_after,
    )
    if said.key is not None:
        work.put(p.signers, project=said.project, release=said.release, key=said.key)


def show_quota(work: UnitOfWork, said: QuotaSet) -> None:
    work.put(
        p.quotas,
        scope=said.scope,
        of=said.of,
        cpu_millis=said.cpu_millis,
        memory_bytes=said.memory_bytes,
        gpus=said.gpus,
        models=said.models,
    )


def forget_quota(work: UnitOfWork, said: QuotaRemoved) -> None:
    work.run(sa.delete(p.quotas).where(p.quotas.c.scope == said.scope, p.quotas.c.of == said.of))


def show_team(work: UnitOfWork, said: ProjectAssigned) -> None:
    if said.team is None:
        work.run(sa.delete(p.teams).where(p.teams.c.project == said.project))
    else:
        work.put(p.teams, project=said.project, team=said.team)


def show_grounds(work: UnitOfWork, project: str, release: int, grounds: tuple[Ground, ...]) -> None:
    said = msgspec.json.encode(grounds) if grounds else None
    work.put(p.releases, project=project, release=release, grounds=said)


async def count_request(work: UnitOfWork, placements: Placements, project: str) -> int:
    """The number of the request that is heard now. The gateway's order is the people's."""
    number = await queries.requests(placements.reads, project) + 1
    work.put(p.projects, project=project, requests=number)
    return number


def _never_cleared(known: Known, request: int) -> RejectStart:
    why = f"release {known.release} of {known.project} was never cleared here"
    return RejectStart(
        project=known.project, release=known.release, request=request, why=why, fix="deploy it again"
    )


def _does_not_stand(known: Known, certified: Certified, request: int) -> RejectStart:
    first = certified.grounds[0]
    return RejectStart(
        project=known.project,
        release=known.release,
        request=request,
        why=f"its certificate {certified.certificate} does not stand: {first.why}",
        fix=first.fix,
    )
