"""What is waited for: approvals come, time passes, and what people would approve may become another thing.

An approval counts for the release exactly as it was when it was given. Whether it is that still is asked with each one
that comes, and whenever something changed that rules could see.
"""

from __future__ import annotations

from placet.certifier import projections as p
from placet.certifier.certifying import judge_image, stop_waiting, unjudged
from placet.certifier.domain import RELEASE, Awaiting, JudgeImage, PassTime, stream
from placet.certifier.ports import Ports, Wait
from placet.errors import Refused
from placet.events import Actor, Context, Heard, UnitOfWork, Wiring, transact
from placet.events.codec import moment
from placet.events.contracts.gateway import ApprovalGiven, DeleteRequested
from placet.events.contracts.shapes import ApprovalUsed

SERVICE = "certifier"


async def on_approval_given(heard: Heard[ApprovalGiven], work: UnitOfWork, ports: Ports) -> None:
    given = heard.data
    wait = await ports.waits.of_release(given.project, given.release)
    if wait is None:
        return  # decided already, and what is decided stands
    approval = ApprovalUsed(
        approval=given.approval,
        given_by=given.given_by,
        roles=given.roles,
        at=heard.event.time,
        break_glass=given.break_glass,
    )
    work.put(
        p.approvals,
        approval=approval.approval,
        project=given.project,
        release=given.release,
        binding=given.binding.digest,
        given_by=approval.given_by,
        roles=",".join(approval.roles),
        at=approval.at,
        break_glass=approval.break_glass,
    )
    await judge_image(
        work,
        ports,
        wait.indexed,
        certificate=f"certificate:{heard.event.id}",
        at=moment(heard.event.time),
        operation=wait.operation,
        given=((given.binding.digest, approval),),
    )


async def on_delete_requested(heard: Heard[DeleteRequested], work: UnitOfWork, ports: Ports) -> None:
    """Nobody is reminded of what nobody wants any more, and an approval that comes late starts nothing."""
    why = Refused(
        "the project was deleted while this was awaited", fix="deploy it again, if it is still wanted"
    )
    for wait in await ports.waits.of_project(heard.data.project):
        indexed = wait.indexed
        command = JudgeImage(
            image=indexed.image,
            repository=indexed.repository,
            policies=(),
            verdicts=(unjudged("project.wanted", "certify", why),),
            signed=None,
        )
        await work.decide(RELEASE, stream(indexed.project, indexed.release), command)
        stop_waiting(work, indexed.project, indexed.release)


async def look(ports: Ports, wiring: Wiring) -> None:
    """Remind of what is waited for, refuse what was waited for too long, and judge again what may have changed."""
    for wait in await ports.waits.due(wiring.clock.now().timestamp()):

        async def change(work: UnitOfWork, wait: Wait = wait) -> None:
            await _look_at(work, ports, wait)

        context = Context(
            project=wait.indexed.project, correlation=wait.operation, actor=Actor.service(SERVICE)
        )
        await transact(wiring, SERVICE, context, change)


async def _look_at(work: UnitOfWork, ports: Ports, wait: Wait) -> None:
    project, release = wait.indexed.project, wait.indexed.release
    name = stream(project, release)
    await work.decide(RELEASE, name, PassTime(now=work.now))
    state = await work.state(RELEASE, name)
    if not isinstance(state, Awaiting):
        stop_waiting(work, project, release)
        return
    await judge_image(
        work,
        ports,
        wait.indexed,
        certificate=f"certificate:{work.new_id()}",
        at=work.now,
        operation=wait.operation,
    )
