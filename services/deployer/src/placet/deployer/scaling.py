"""What serves, brought to another number of replicas. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from placet.deployer.project import Project
from placet.deployer.room import Amount, Room, no_room
from placet.events.contracts.deployer import ChangeRefused, ModelScaled, ScaleAccepted
from placet.events.contracts.shapes import Resources

FEWER = "scale it to fewer replicas"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Run so many replicas of what serves, of which each takes `resources`."""

    project: str
    replicas: int
    resources: Resources | None
    room: Room


@dataclass(frozen=True, kw_only=True)
class ReportScaled:
    """They are ready, and the route points to them."""

    project: str
    scaling: int
    endpoints: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ReportNotScaled:
    project: str
    scaling: int
    why: str
    fix: str | None


@dataclass(frozen=True, kw_only=True)
class ReportScalingDelayed:
    """Something that it needs is away, and it is tried again; null: it goes on."""

    project: str
    scaling: int
    delayed: str | None


def scale(command: Scale, project: Project) -> Sequence[ChangeRefused | ScaleAccepted]:
    name, live, asked = command.project, project.live, command.resources
    if live is None or asked is None:
        why, fix = (
            f"{name} serves nothing that could be scaled",
            f"`placet status {name}` says what became of it",
        )
        return [_refused(name, why, fix)]
    if not asked.min_replicas <= command.replicas <= asked.max_replicas:
        why = f"{name} runs {asked.min_replicas} to {asked.max_replicas} replicas, as its placet.yaml says"
        return [_refused(name, why, "set resources.replicas there, and deploy it")]
    if command.replicas > project.replicas_of(live.release):
        # Who waits for room was there before; a quota counts all that the project holds then.
        room = command.room.without(name, live.release).before(name, command.room.next_turn)
        none = no_room(name, Amount.of(asked) * command.replicas, room, less=FEWER)
        if none is not None:
            return [_refused(name, none.why, none.fix)]
    return [
        ScaleAccepted(
            project=name, release=live.release, replicas=command.replicas, scaling=project.scalings + 1
        )
    ]


def scaled(command: ReportScaled, project: Project) -> Sequence[ChangeRefused | ModelScaled]:
    live, scaling = project.live, project.scaling
    if live is None or scaling is None or scaling.number != command.scaling:
        return [_another(command)]
    return [
        ModelScaled(
            project=command.project,
            release=live.release,
            replicas=scaling.replicas,
            endpoints=command.endpoints,
            scaling=scaling.number,
        )
    ]


def not_scaled(command: ReportNotScaled, project: Project) -> Sequence[ChangeRefused]:
    scaling = project.scaling
    if scaling is None or scaling.number != command.scaling:
        return [_another(command)]
    return [_refused(command.project, command.why, command.fix, scaling=scaling.number)]


def delayed(command: ReportScalingDelayed, project: Project) -> Sequence[ScaleAccepted]:
    live, scaling = project.live, project.scaling
    if live is None or scaling is None or scaling.number != command.scaling:
        return []  # its end says so
    if scaling.delayed == command.delayed:
        return []
    return [
        ScaleAccepted(
            project=command.project,
            release=live.release,
            replicas=scaling.replicas,
            scaling=scaling.number,
            delayed=command.delayed,
        )
    ]


def _another(command: ReportScaled | ReportNotScaled) -> ChangeRefused:
    why = f"what {command.project} serves, or how many replicas of it are wanted, changed meanwhile"
    return _refused(command.project, why, "scale it again, if that is still wanted")


def _refused(project: str, why: str, fix: str | None, *, scaling: int = 0) -> ChangeRefused:
    return ChangeRefused(project=project, why=why, fix=fix, scaling=scaling)
