"""A second release beside what serves, with a share of its requests: it begins, gets more of them, and ends.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from placet.deployer.project import Live, Project
from placet.events.contracts.deployer import (
    CanaryAborted,
    CanaryStarted,
    CanaryWeighted,
    ChangeRefused,
    ModelStarted,
)

ALL = 100
"""Of a hundred requests."""

ALONE = "what it ran beside serves no more"


@dataclass(frozen=True, kw_only=True)
class Promote:
    """Give the canary so many of a hundred requests; all of them: put it in the place of what it runs beside."""

    project: str
    weight: int


@dataclass(frozen=True, kw_only=True)
class Abort:
    """End the canary; of one `release` where something is wrong with that."""

    project: str
    why: str
    fix: str | None
    release: int | None = None


def begun(project: str, live: Live, weight: int) -> CanaryStarted:
    return CanaryStarted(
        project=project,
        release=live.release,
        image=live.image,
        certificate=live.certificate,
        url=live.url,
        endpoints=live.endpoints,
        replicas=live.replicas,
        weight=weight,
        request=live.request,
        sample=live.sample,
    )


def promote(command: Promote, project: Project) -> Sequence[ChangeRefused | CanaryWeighted | ModelStarted]:
    canary = project.canary
    if canary is None:
        return [_no_canary(command.project)]
    if command.weight < ALL:
        return [CanaryWeighted(project=command.project, release=canary.live.release, weight=command.weight)]
    return [canary.live.told(command.project)]


def abort(command: Abort, project: Project) -> Sequence[ChangeRefused | CanaryAborted]:
    if command.release is not None:
        is_meant = project.canary is not None and project.canary.live.release == command.release
        return aborted(project, command.project, command.why, command.fix) if is_meant else []
    if project.canary is None:
        return [_no_canary(command.project)]
    return aborted(project, command.project, command.why, command.fix)


def aborted(project: Project, name: str, why: str, fix: str | None = None) -> Sequence[CanaryAborted]:
    """The canary's end, if there is one."""
    if project.canary is None:
        return []
    return [CanaryAborted(project=name, release=project.canary.live.release, why=why, fix=fix)]


def _no_canary(project: str) -> ChangeRefused:
    return ChangeRefused(
        project=project, why=f"{project} has no canary", fix=f"`placet status {project}` says what serves"
    )


def nothing_beside(project: str) -> tuple[str, str]:
    """Why it cannot begin, and what to do, where nothing serves."""
    return f"{project} serves nothing that a canary could run beside", "deploy it without a canary"
